//! Whether a rule reaches a resolver.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use crate::inventory::{Inventory, METADATA_NAME};
use crate::netpol::ip_set::{IpSet, parse_cidr};
use crate::netpol::policy::{NetworkPolicy, Peer, PolicyRule, label_selector};
use crate::netpol::selector::{Operator, Selector};

/// The namespace in which clusters run their DNS.
const SYSTEM: &str = "kube-system";

/// Where lookups go.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(super) enum Resolver {
    /// To addresses.
    Block(IpNet),
    /// To pods; no selector selects everything.
    Pods { namespace: Selector, pod: Selector },
}

impl TryFrom<Value> for Resolver {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let wrong = "a resolver is a CIDR, or has `namespaceSelector`, `podSelector` or both";
        match value {
            Value::String(text) => parse_cidr(&text).map(Self::Block).map_err(|error| format!("`{text}`: {error}")),
            Value::Object(fields) if !fields.is_empty() => {
                let known = |key: &String| key == "namespaceSelector" || key == "podSelector";
                if let Some(key) = fields.keys().find(|key| !known(key)) {
                    return Err(format!("unknown field `{key}`: {wrong}"));
                }
                let selector = |key: &str| match fields.get(key) {
                    None => Ok(Selector::everything()),
                    Some(value) => label_selector(key, value)
                        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
                };
                Ok(Self::Pods { namespace: selector("namespaceSelector")?, pod: selector("podSelector")? })
            }
            _ => Err(wrong.to_owned()),
        }
    }
}

/// Whether a rule of that policy has a peer that is one of the resolvers; any peer will do where none is named.
pub(super) fn reached(
    rule: &PolicyRule,
    policy: &NetworkPolicy,
    resolvers: &[Resolver],
    inventory: &Inventory,
) -> bool {
    rule.peers.is_empty()
        || rule.peers.iter().any(|peer| {
            let empty = peer.addresses().is_some_and(|addresses| addresses.is_empty());
            let wanted = || resolvers.is_empty() || resolvers.iter().any(|resolver| meets(peer, resolver, policy));
            !empty && !misses_the_system(peer, inventory) && wanted()
        })
}

/// Whether peer and resolver may be the same.
fn meets(peer: &Peer, resolver: &Resolver, policy: &NetworkPolicy) -> bool {
    match (peer, resolver) {
        (Peer::IpBlock { .. }, Resolver::Block(block)) => {
            peer.addresses().is_some_and(|addresses| addresses.intersects(&IpSet::from_cidr(*block)))
        }
        (Peer::Pods { namespace, pod }, Resolver::Pods { namespace: wanted, pod: pods }) => {
            let own = || Selector::labels([(METADATA_NAME, policy.namespace.as_str())]);
            !namespace.clone().unwrap_or_else(own).disjoint(wanted)
                && pod.as_ref().is_none_or(|pod| !pod.disjoint(pods))
        }
        _ => false,
    }
}

/// Whether a peer means kube-system and does not select it: `name: kube-system` is a label that people
/// remember, and that clusters do not set.
fn misses_the_system(peer: &Peer, inventory: &Inventory) -> bool {
    let Peer::Pods { namespace: Some(namespace), .. } = peer else { return false };
    let means = namespace
        .requirements()
        .iter()
        .any(|requirement| requirement.operator == Operator::In && requirement.values.iter().eq([SYSTEM]));
    means && !namespace.matches(&inventory.namespace(SYSTEM).labels)
}
