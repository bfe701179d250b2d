//! `forbidden-ports`: ports that only pods of the same namespace may use with each other.

use serde::Deserialize;
use serde_json::Value;

use super::reach::Ports;
use super::{
    CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, SHOWN, opening, some_of, typed,
};
use crate::finding::Evidence;
use crate::netpol::METADATA_NAME;
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, NetworkPolicy, Peer};
use crate::netpol::port_set::PortSet;
use crate::netpol::selector::Selector;

/// The rule.
pub(super) struct ForbiddenPorts;

static META: Meta = Meta {
    name: "forbidden-ports",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: None,
    needs: Needs::Nothing,
    summary: "a port that may not be opened to peers wider than the namespace",
    what: "A rule that opens one of `ports` to a peer outside of the policy's namespace: an `ipBlock`, a \
           `namespaceSelector` other than the namespace's own `kubernetes.io/metadata.name`, or everybody where the rule \
           names no peers. Ranges and rules without `ports` open them as well. A port given by name is not judged, \
           since each pod says for itself which number that is.",
    why: "Remote shells and databases trust whoever reaches them with a password or a key, and are the first thing that \
          an intruder tries from the pod next door.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-database, namespace: shop}
spec:
  podSelector: {matchLabels: {app: postgres}}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {team: reports}}}]
      ports: [{protocol: TCP, port: 5432}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-database, namespace: shop}
spec:
  podSelector: {matchLabels: {app: postgres}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: api}}}]
      ports: [{protocol: TCP, port: 5432}]
",
    params: &[
        ParamDoc {
            name: "ports",
            default: "[TCP/22, TCP/1433, TCP/1521, TCP/3306, TCP/3389, TCP/5432, TCP/6379, TCP/27017]",
            about: "The forbidden ports, such as `TCP/22`, `TCP/5900-5999` or `SCTP/*`. The default is SSH, RDP, and \
                    the ports of SQL Server, Oracle, MySQL, PostgreSQL, Redis and MongoDB.",
        },
        ParamDoc { name: "directions", default: "[Ingress, Egress]", about: "The directions that are judged." },
    ],
    references: &[
        "https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/",
        "https://www.iana.org/assignments/service-names-port-numbers/service-names-port-numbers.xhtml",
    ],
};

/// SSH, SQL Server, Oracle, MySQL, RDP, PostgreSQL, Redis, MongoDB. The last two by their own documentation, the others
/// by IANA's registry.
const PORTS: [&str; 8] =
    ["TCP/22", "TCP/1433", "TCP/1521", "TCP/3306", "TCP/3389", "TCP/5432", "TCP/6379", "TCP/27017"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    ports: Option<Ports>,
    directions: Vec<Direction>,
}

impl Default for Params {
    fn default() -> Self {
        Self { ports: None, directions: Direction::ALL.to_vec() }
    }
}

impl Rule for ForbiddenPorts {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let Params { ports, directions } = typed(params)?;
        if directions.is_empty() {
            return Err(ParamError::at("directions", "must name Ingress, Egress or both"));
        }
        let Ports(ports) = match ports {
            Some(ports) => ports,
            None => {
                Ports::try_from(PORTS.map(str::to_owned).to_vec()).map_err(|error| ParamError::at("ports", error))?
            }
        };
        if ports.is_empty() {
            return Err(ParamError::at("ports", "must name at least one port, such as TCP/22"));
        }
        Ok(Box::new(Forbidden { ports, directions }))
    }
}

struct Forbidden {
    ports: PortSet,
    directions: Vec<Direction>,
}

impl Check for Forbidden {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some(policy) = cx.policy() else { return Ok(Outcome::default()) };
        let mut drafts = Vec::new();
        for direction in self.directions.iter().copied() {
            for (i, rule) in policy.spec.rules(direction).iter().enumerate() {
                let open = rule.ports.intersection(&self.ports);
                if open.is_empty() {
                    continue;
                }
                let field = format!("spec.{}[{i}]", direction.field());
                if rule.peers.is_empty() {
                    drafts.push(draft(policy, direction, field, None, &open));
                    continue;
                }
                for (j, peer) in rule.peers.iter().enumerate() {
                    if is_wider(policy, peer) {
                        let field = format!("{field}.{}[{j}]", direction.peers_field());
                        drafts.push(draft(policy, direction, field, Some(peer), &open));
                    }
                }
            }
        }
        Ok(drafts.into())
    }
}

/// Whether a peer reaches beyond the policy's namespace.
fn is_wider(policy: &NetworkPolicy, peer: &Peer) -> bool {
    match peer {
        Peer::IpBlock { .. } => peer.addresses().is_some_and(|addresses| !addresses.is_empty()),
        Peer::Pods { namespace: None, .. } => false,
        Peer::Pods { namespace: Some(namespace), pod } => {
            let own = Selector::labels([(METADATA_NAME, policy.namespace.as_str())]);
            !namespace.implies(&own) && !pod.as_ref().is_some_and(Selector::is_contradiction)
        }
    }
}

fn draft(policy: &NetworkPolicy, direction: Direction, field: String, peer: Option<&Peer>, open: &PortSet) -> Draft {
    let items = open.items();
    let shown = some_of(items.iter(), SHOWN);
    let to = match peer {
        None => "every peer".to_owned(),
        Some(Peer::IpBlock { cidr, .. }) => format!("addresses of {cidr}"),
        Some(Peer::Pods { namespace, .. }) => match namespace.as_ref().filter(|is| !is.selects_everything()) {
            Some(namespace) => format!("namespaces with {namespace}"),
            None => "every namespace".to_owned(),
        },
    };
    let peers = direction.peers_field();
    Draft {
        field,
        message: format!("opens {shown} to {to}; forbidden beyond namespace {}", policy.namespace),
        brief: format!("opens {} to {to}", some_of(items.iter(), 2)),
        help: format!(
            "list under `ports` only what else is needed, or name pods of this namespace: `{peers}: [{{podSelector: {{}}}}]`"
        ),
        evidence: Evidence {
            cidrs: peer.and_then(Peer::addresses).map(|addresses| addresses.cidrs()).unwrap_or_default(),
            ports: items,
            directions: vec![direction.as_str()],
            labels: None,
        },
        extents: vec![opening::extent(&policy.spec.pod_selector, direction, peer, open.clone())],
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
