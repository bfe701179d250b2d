//! `defeated-default-deny`: rules that together let everybody through again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use serde_json::Value;

use super::traffic::Traffic;
use super::{
    CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, SHOWN, some_of, typed,
};
use crate::finding::{Evidence, Level};
use crate::inventory::NamespaceState;
use crate::netpol::coverage::{Accept, default_deny};
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, NetworkPolicy, Peer, PolicyRule};
use crate::netpol::port_set::Protocol;
use crate::netpol::selector::{Cover, Labels};

/// The rule.
pub(super) struct DefeatedDefaultDeny;

static META: Meta = Meta {
    name: "defeated-default-deny",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Deny),
    needs: Needs::Inventory,
    summary: "rules that, added to the others of the namespace, undo its default deny",
    what: "Creating or changing a policy so that the rules of all policies of the namespace together let every peer \
           reach every pod again in a direction, or every pod reach every peer, although the namespace has a default \
           deny. Peers are all addresses and all pods, on every port of every protocol; blocks, selectors and port \
           ranges count together, so that `0.0.0.0/1` and `128.0.0.0/1` are found, and halves that two policies open. \
           An ipBlock is not taken to mean pods, since that depends on the CNI. A rule limited to some ports, such as \
           those of DNS, never defeats a default deny. What was open before the request is not held against it.",
    why: "Policies only add, so the default deny is still there to be seen and restricts nothing: the namespace looks \
          closed and is open.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: isolated, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
    - from:
        - ipBlock: {cidr: 0.0.0.0/0}
        - ipBlock: {cidr: \"::/0\"}
        - namespaceSelector: {}
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: isolated, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector: {}
",
    params: &[ParamDoc { name: "directions", default: "[Ingress, Egress]", about: "The directions that are judged." }],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-policies",
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation",
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    directions: Vec<Direction>,
}

impl Default for Params {
    fn default() -> Self {
        Self { directions: Direction::ALL.to_vec() }
    }
}

impl Rule for DefeatedDefaultDeny {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        if params.directions.is_empty() {
            return Err(ParamError::at("directions", "must name Ingress, Egress or both"));
        }
        Ok(Box::new(params))
    }
}

impl Check for Params {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some(policy) = cx.policy() else { return Ok(Outcome::default()) };
        if cx.around.after.terminating {
            return Ok(Outcome::default());
        }
        let mut drafts = Vec::new();
        for direction in self.directions.iter().copied() {
            if !policy.spec.rules(direction).is_empty() {
                drafts.extend(defeated(cx, policy, direction)?);
            }
        }
        // It rests on the other policies, and one of them may be gone already.
        let confirm = !drafts.is_empty();
        Ok(Outcome { drafts, confirm })
    }
}

/// What there is to say of one direction.
fn defeated(cx: &Context<'_>, policy: &NetworkPolicy, direction: Direction) -> Result<Option<Draft>, CannotTell> {
    let after = &cx.around.after;
    // A bundle has no before. There each policy is laid over those with a lesser name, so that one of them is told.
    let earlier = |other: &&NetworkPolicy| !cx.bundle || other.name <= policy.name;
    let others: Vec<&NetworkPolicy> = policies(after).filter(earlier).collect();
    if !opens_everything(&others, direction, after)? {
        return Ok(None);
    }
    let before = &cx.around.before;
    let were: Vec<&NetworkPolicy> = policies(before).filter(earlier).collect();
    if opens_everything(&were, direction, before)? {
        return Ok(None);
    }
    match default_deny(policies(after), direction, Accept::Effective) {
        Cover::Covered => Ok(Some(draft(cx, policy, direction, &others))),
        Cover::Uncovered(_) if after.odd.is_empty() => Ok(None),
        Cover::Uncovered(_) => {
            let names: Vec<&str> = after.odd.keys().map(String::as_str).collect();
            let names = some_of(names.iter(), SHOWN);
            let text = "holds policies that could not be read and may be its default deny";
            Err(CannotTell { reason: format!("namespace {} {text}: {names}", after.name), confirm: true })
        }
        Cover::Unknown => Err(too_many(after, direction)),
    }
}

fn policies(namespace: &NamespaceState) -> impl Iterator<Item = &NetworkPolicy> {
    namespace.policies.values().map(|policy| &**policy)
}

fn too_many(namespace: &NamespaceState, direction: Direction) -> CannotTell {
    let name = &namespace.name;
    let text = "too many interlocking rules and selectors to tell whether together they undo its default deny for";
    CannotTell { reason: format!("the policies of namespace {name} have {text} {direction}"), confirm: false }
}

/// Whether the rules of these policies together let every peer and every pod meet on every port.
fn opens_everything(
    policies: &[&NetworkPolicy],
    direction: Direction,
    namespace: &NamespaceState,
) -> Result<bool, CannotTell> {
    let rules =
        || policies.iter().flat_map(|policy| policy.spec.rules(direction).iter().map(move |rule| (*policy, rule)));
    // Hardly any namespace gets past this: a few peers and a port that must be open if everything is.
    let probed = |address| {
        let plain = Labels::new();
        rules().any(|(policy, rule)| policy.spec.pod_selector.matches(&plain) && may_allow(rule, address))
    };
    let probes = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
    if !probes.into_iter().all(probed) {
        return Ok(false);
    }
    Traffic::of(rules()).is_everything().ok_or_else(|| too_many(namespace, direction))
}

/// Whether a rule may let that address through on a port that nobody asks for by number.
fn may_allow(rule: &PolicyRule, address: IpAddr) -> bool {
    let holds = |peer: &Peer| matches!(peer, Peer::IpBlock { cidr, .. } if cidr.contains(&address));
    rule.ports.contains(Protocol::Sctp, 9) && (rule.peers.is_empty() || rule.peers.iter().any(holds))
}

fn draft(cx: &Context<'_>, policy: &NetworkPolicy, direction: Direction, all: &[&NetworkPolicy]) -> Draft {
    let (list, namespace) = (direction.field(), &cx.around.after.name);
    let alone = |policies: &[&NetworkPolicy]| opens_everything(policies, direction, &cx.around.after) == Ok(true);
    let rules = policy.spec.rules(direction);
    let by_itself = alone(&[policy]);
    let whole = rules.iter().position(|rule| by_itself && rule.allows_everything());
    let field = whole.map_or_else(|| format!("spec.{list}"), |i| format!("spec.{list}[{i}]"));
    let effect = match direction {
        Direction::Ingress => format!("every peer reach every pod of namespace {namespace}"),
        Direction::Egress => format!("every pod of namespace {namespace} reach every peer"),
    };
    let names: Vec<&str> = if by_itself { Vec::new() } else { partners(policy, all, alone) };
    let with =
        if names.is_empty() { String::new() } else { format!(" together with {}", some_of(names.iter(), SHOWN)) };
    Draft {
        field,
        message: format!("lets {effect} on every port{with}: the default deny for {direction} restricts nothing"),
        brief: format!("undoes the default deny of {namespace} for {direction}{with}"),
        help: format!(
            "name under `{}` only the peers that are needed, and under `ports` theirs, such as `{list}: [{{{}: \
             [{{podSelector: {{}}}}]}}]` for the pods of the namespace alone",
            direction.peers_field(),
            direction.peers_field(),
        ),
        evidence: Evidence {
            directions: vec![direction.as_str()],
            ports: vec!["all ports".to_owned()],
            ..Evidence::default()
        },
        ..Draft::default()
    }
}

/// Beyond so many policies nobody asks which of them are needed.
const MAX_PARTNERS: usize = 24;

/// The other policies without which the request would open less.
fn partners<'a>(
    policy: &NetworkPolicy,
    all: &[&'a NetworkPolicy],
    opens: impl Fn(&[&NetworkPolicy]) -> bool,
) -> Vec<&'a str> {
    let mut needed: Vec<&NetworkPolicy> = all.to_vec();
    if all.len() <= MAX_PARTNERS {
        for other in all.iter().filter(|other| other.name != policy.name) {
            let fewer: Vec<&NetworkPolicy> = needed.iter().copied().filter(|one| one.name != other.name).collect();
            if opens(&fewer) {
                needed = fewer;
            }
        }
    }
    let kept = |name: &str| name != policy.name && needed.iter().any(|one| one.name == name);
    all.iter().map(|other| other.name.as_str()).filter(|name| kept(name)).collect()
}

#[cfg(test)]
mod tests;
