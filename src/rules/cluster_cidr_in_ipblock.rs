//! `cluster-cidr-in-ipblock`: an ipBlock for addresses of the cluster's own.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::reach::{SHOWN_IN_REPAIRS, excepts};
use super::{
    CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, SHOWN, opening, some_of, typed,
};
use crate::finding::{Evidence, Level};
use crate::netpol::extent::Extent;
use crate::netpol::groups::{Groups, parse_all};
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, Peer};

/// The rule.
pub(super) struct ClusterCidrInIpblock;

static META: Meta = Meta {
    name: "cluster-cidr-in-ipblock",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "an ipBlock holds addresses of pods, services or nodes, whose meaning depends on the CNI plugin",
    what: "An `ipBlock` in either direction that still holds addresses of `clusterCidrs` once its `except` entries are \
           taken out. It does nothing until `clusterCidrs` are named.",
    why: "An ipBlock is meant for addresses outside of the cluster. Whether one matches pods, services or nodes is up to \
          the CNI plugin and to where addresses are rewritten: the same policy opens a connection in one cluster and \
          none in the next, and addresses of pods change with every restart.",
    example_params: "clusterCidrs: [10.244.0.0/16, 10.96.0.0/12]\n",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-database, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
  egress:
    - to: [{ipBlock: {cidr: 10.244.3.17/32}}]
      ports: [{protocol: TCP, port: 5432}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-database, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: postgres}}}]
      ports: [{protocol: TCP, port: 5432}]
",
    params: &[ParamDoc {
        name: "clusterCidrs",
        default: "[]",
        about: "The blocks that pods, services and nodes have their addresses from.",
    }],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-to-and-from-selectors",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    cluster_cidrs: Vec<String>,
}

impl Rule for ClusterCidrInIpblock {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        let cluster = parse_all(&params.cluster_cidrs).map_err(|error| ParamError::at("clusterCidrs", error))?;
        Ok(Box::new(Cluster(cluster)))
    }
}

/// The addresses of the cluster's own.
struct Cluster(IpSet);

impl Check for Cluster {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some(policy) = cx.policy() else { return Ok(Outcome::default()) };
        let mut drafts = Vec::new();
        for direction in Direction::ALL {
            for (i, rule) in policy.spec.rules(direction).iter().enumerate() {
                for (j, peer) in rule.peers.iter().enumerate() {
                    let Some(inside) = self.inside(peer) else { continue };
                    let field = format!("spec.{}[{i}].{}[{j}].ipBlock", direction.field(), direction.peers_field());
                    let all = opening::extent(&policy.spec.pod_selector, direction, Some(peer), rule.ports.clone());
                    let extents = vec![Extent { addresses: inside.clone(), ..all }];
                    drafts.push(Draft { extents, ..draft(direction, field, &inside, excepts(peer, &self.0)) });
                }
            }
        }
        Ok(drafts.into())
    }
}

impl Cluster {
    /// The cluster's addresses in an ipBlock; `None` where there are none.
    fn inside(&self, peer: &Peer) -> Option<IpSet> {
        // Most blocks are nowhere near: no set is made of those.
        let near = matches!(peer, Peer::IpBlock { cidr, .. } if self.0.touches(*cidr));
        let inside = near.then(|| peer.addresses())??.intersection(&self.0);
        (!inside.is_empty()).then_some(inside)
    }
}

fn draft(direction: Direction, field: String, inside: &IpSet, excepts: Option<Vec<IpNet>>) -> Draft {
    let cidrs = inside.cidrs();
    let (shown, peers) = (some_of(cidrs.iter(), SHOWN), direction.peers_field());
    let by_label =
        format!("name pods by their labels, such as `{peers}: [{{podSelector: {{matchLabels: {{app: NAME}}}}}}]`");
    Draft {
        field,
        message: format!(
            "holds addresses of the cluster, {shown}: whether it matches pods, services or nodes is up to the CNI plugin"
        ),
        brief: format!("holds addresses of the cluster, {}", some_of(cidrs.iter(), 2)),
        help: match excepts {
            Some(blocks) => format!(
                "{by_label}; where addresses outside of the cluster are meant, add {} to its `except`",
                some_of(blocks.iter(), SHOWN_IN_REPAIRS)
            ),
            None => by_label,
        },
        evidence: Evidence { cidrs, directions: vec![direction.as_str()], ..Evidence::default() },
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
