//! `cni-unsupported-field`: what a policy says and the cluster's CNI plugin does not do.

use serde::Deserialize;
use serde_json::Value;

use super::{
    CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, SHOWN, opening, some_of, typed,
};
use crate::finding::{Evidence, Level};
use crate::netpol::extent::Extent;
use crate::netpol::groups::{Groups, parse_all};
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, NetworkPolicy, Peer, PolicyRule};
use crate::netpol::port_set::{PortSet, Protocol};
use crate::netpol::selector::{Operator, Requirement, Selector};

mod plugins;

use plugins::{Field, PLUGINS, Plugin};

/// The rule.
pub(super) struct CniUnsupportedField;

static META: Meta = Meta {
    name: "cni-unsupported-field",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "a field that the cluster's CNI plugin is known to ignore",
    what: "Parts of a policy that the CNI plugin named by `cni` does not enforce, by its own documentation: `endPort`, \
           SCTP, ports by name, `except`, IPv6 blocks, an `ipBlock` for pods, or the policy as a whole. The list of \
           plugins is closed, and what it does not name is held to work. It does nothing until `cni` is named.",
    why: "The API server stores what no plugin enforces. Where a plugin drops the field, the policy opens less than it \
          says, or more, and nothing tells.",
    example_params: "cni: cilium-before-1.16\n",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 8080, endPort: 8082}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 8080}, {protocol: TCP, port: 8081}, {protocol: TCP, port: 8082}]
",
    params: &[
        ParamDoc {
            name: "cni",
            default: "null",
            about: "The plugin that enforces policies: `azure-npm`, `azure-npm-windows`, `cilium`, `cilium-before-1.16`, \
                    `flannel`, `kube-router` or `weave-net`; or `antrea`, `calico` or `ovn-kubernetes`, which enforce \
                    all of it.",
        },
        ParamDoc {
            name: "clusterCidrs",
            default: "[]",
            about: "The blocks that pods have their addresses from; without them no `ipBlock` is held to be for pods.",
        },
    ],
    references: &[
        "https://docs.cilium.io/en/stable/network/kubernetes/policy/",
        "https://github.com/cilium/cilium/issues/9209",
        "https://github.com/cilium/cilium/pull/32389",
        "https://github.com/cloudnativelabs/kube-router/issues/1019",
        "https://github.com/flannel-io/flannel#networking-details",
        "https://github.com/weaveworks/weave/issues/3032",
        "https://learn.microsoft.com/azure/aks/use-network-policies",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    cni: Option<String>,
    cluster_cidrs: Vec<String>,
}

impl Rule for CniUnsupportedField {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        let pods = parse_all(&params.cluster_cidrs).map_err(|error| ParamError::at("clusterCidrs", error))?;
        let known = |name: &str| {
            PLUGINS.iter().find(|plugin| plugin.name == name).ok_or_else(|| {
                let names: Vec<&str> = PLUGINS.iter().map(|plugin| plugin.name).collect();
                ParamError::at("cni", format!("nothing is known of `{name}`; known are {}", names.join(", ")))
            })
        };
        let plugin = params.cni.as_deref().map(known).transpose()?;
        Ok(Box::new(Unsupported { plugin, pods }))
    }
}

struct Unsupported {
    plugin: Option<&'static Plugin>,
    /// The addresses of pods.
    pods: IpSet,
}

impl Check for Unsupported {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let (Some(policy), Some(plugin)) = (cx.policy(), self.plugin) else { return Ok(Outcome::default()) };
        let mut drafts = Vec::new();
        if plugin.ignores.contains(&Field::Policy) {
            let open = Extent { pods: Selector::everything(), addresses: IpSet::all(), ports: PortSet::all() };
            let isolated = Direction::ALL.into_iter().filter(|direction| policy.spec.isolates(*direction));
            let evidence = Evidence { directions: isolated.map(Direction::as_str).collect(), ..Evidence::default() };
            drafts.push(draft(plugin, Field::Policy, "spec".to_owned(), vec![open], evidence));
        }
        for direction in Direction::ALL {
            for (i, rule) in policy.spec.rules(direction).iter().enumerate() {
                let at = At { policy, direction, rule, field: format!("spec.{}[{i}]", direction.field()) };
                for field in plugin.ignores.iter().copied() {
                    self.find(plugin, field, &at, &mut drafts);
                }
            }
        }
        Ok(drafts.into())
    }
}

/// One rule of the policy, and where it stands.
struct At<'a> {
    policy: &'a NetworkPolicy,
    direction: Direction,
    rule: &'a PolicyRule,
    field: String,
}

impl At<'_> {
    fn extents(&self, ports: &PortSet) -> Vec<Extent> {
        opening::extents(&self.policy.spec.pod_selector, self.direction, &self.rule.peers, ports)
    }

    fn evidence(&self, ports: &PortSet) -> Evidence {
        Evidence { ports: ports.items(), directions: vec![self.direction.as_str()], ..Evidence::default() }
    }
}

impl Unsupported {
    /// What of a rule rests on that field.
    fn find(&self, plugin: &Plugin, field: Field, at: &At<'_>, drafts: &mut Vec<Draft>) {
        match field {
            Field::Policy => {}
            Field::EndPort => drafts.extend(at.rule.ranges.iter().map(|range| {
                let (place, ports) = (range.index, PortSet::range(range.protocol, range.first, range.last));
                let place = format!("{}.ports[{place}].endPort", at.field);
                draft(plugin, field, place, at.extents(&ports), at.evidence(&ports))
            })),
            Field::Sctp | Field::NamedPort => {
                let ports = if field == Field::Sctp { sctp(&at.rule.ports) } else { named(&at.rule.ports) };
                // A rule for all ports does not ask for SCTP in particular.
                if !ports.is_empty() && !at.rule.ports.is_all() {
                    let place = format!("{}.ports", at.field);
                    drafts.push(draft(plugin, field, place, at.extents(&ports), at.evidence(&ports)));
                }
            }
            Field::Except | Field::Ipv6 | Field::PodAddresses => {
                for (j, peer) in at.rule.peers.iter().enumerate() {
                    let Some(addresses) = self.ignored(field, peer) else { continue };
                    let selected = &at.policy.spec.pod_selector;
                    let all = opening::extent(selected, at.direction, Some(peer), at.rule.ports.clone());
                    let place = format!("{}.{}[{j}].ipBlock", at.field, at.direction.peers_field());
                    let evidence = Evidence { cidrs: addresses.cidrs(), ..at.evidence(&PortSet::empty()) };
                    drafts.push(draft(plugin, field, place, vec![Extent { addresses, ..all }], evidence));
                }
            }
        }
    }

    /// The addresses of an ipBlock that the plugin treats otherwise than it says.
    fn ignored(&self, field: Field, peer: &Peer) -> Option<IpSet> {
        let Peer::IpBlock { cidr, except } = peer else { return None };
        let addresses = match field {
            Field::Except => except.iter().copied().collect(),
            Field::Ipv6 if cidr.addr().is_ipv6() => IpSet::from_cidr(*cidr),
            Field::PodAddresses if self.pods.touches(*cidr) => peer.addresses()?.intersection(&self.pods),
            _ => return None,
        };
        (!addresses.is_empty()).then_some(addresses)
    }
}

fn sctp(ports: &PortSet) -> PortSet {
    let numbers =
        ports.ranges(Protocol::Sctp).map(|range| PortSet::range(Protocol::Sctp, *range.start(), *range.end()));
    let names = ports.names().filter(|(protocol, _)| *protocol == Protocol::Sctp);
    PortSet::union_of(numbers.chain(names.map(|(protocol, name)| PortSet::named(protocol, name))))
}

fn named(ports: &PortSet) -> PortSet {
    PortSet::union_of(ports.names().map(|(protocol, name)| PortSet::named(protocol, name)))
}

fn draft(plugin: &Plugin, field: Field, place: String, mut extents: Vec<Extent>, evidence: Evidence) -> Draft {
    for extent in &mut extents {
        // What one field opened before is no excuse for another.
        let mut requirements = extent.pods.requirements().to_vec();
        requirements.push(Requirement::new(" ignored", Operator::In, [field.name()]));
        extent.pods = Selector::new(requirements);
    }
    let (cidrs, ports) = (some_of(evidence.cidrs.iter(), SHOWN), some_of(evidence.ports.iter(), SHOWN));
    let about = if cidrs.is_empty() { ports } else { cidrs };
    let about = if about.is_empty() { about } else { format!(" ({about})") };
    Draft {
        field: place,
        message: format!("{} does not enforce {}{about}", plugin.title, field.what()),
        brief: format!("{} does not enforce {}", plugin.title, field.what()),
        help: field.repair().to_owned(),
        evidence,
        extents,
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
