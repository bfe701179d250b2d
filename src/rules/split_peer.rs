//! `split-peer`: two peers where one was probably meant.

use serde_json::Value;

use super::peers::{Place, fits, places, selector_yaml, shown};
use super::{CannotTell, Check, Context, Draft, Meta, Needs, NoParams, Outcome, ParamError, Rule, typed};
use crate::finding::Level;
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, Peer};
use crate::netpol::selector::Selector;

/// The rule.
pub(super) struct SplitPeer;

static META: Meta = Meta {
    name: "split-peer",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "a namespaceSelector and a podSelector are two items of a list where one item was probably meant",
    what: "An item of `from` or `to` with a namespaceSelector alone next to one with a podSelector alone, in either \
           order. ipBlocks between them do not count. An empty podSelector, which stands for all pods of the policy's \
           own namespace, is no half of anything: it beside a namespaceSelector is a common and sound pair.",
    why: "Items of a list are alternatives: together they admit every pod of those namespaces, and the named pods of \
          the policy's own namespace. Only in one item do both have to hold. One dash makes the difference.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-prometheus, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
        - podSelector: {matchLabels: {app: prometheus}}
      ports: [{protocol: TCP, port: 9090}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-prometheus, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
          podSelector: {matchLabels: {app: prometheus}}
      ports: [{protocol: TCP, port: 9090}]
",
    params: &[],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-to-and-from-selectors",
    ],
};

impl Rule for SplitPeer {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Bound))
    }
}

struct Bound;

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let drafts =
            places(cx).flat_map(|place| pairs(&place.rule.peers).into_iter().map(move |pair| draft(place, &pair)));
        Ok(drafts.collect::<Vec<_>>().into())
    }
}

/// What an item says that may have been meant as half of one.
#[derive(Clone, Copy)]
enum Half<'a> {
    Namespaces(&'a Selector),
    Pods(&'a Selector),
    Neither,
}

impl<'a> Half<'a> {
    fn of(peer: &'a Peer) -> Self {
        match peer {
            Peer::Pods { namespace: Some(namespaces), pod: None } => Self::Namespaces(namespaces),
            Peer::Pods { namespace: None, pod: Some(pods) } if !pods.selects_everything() => Self::Pods(pods),
            _ => Self::Neither,
        }
    }
}

/// Two items that were probably meant as one.
struct Pair<'a> {
    /// Their indices.
    at: [usize; 2],
    namespaces: &'a Selector,
    pods: &'a Selector,
}

/// The pairs of neighbours in a list, from its beginning. No item is in two of them.
fn pairs(peers: &[Peer]) -> Vec<Pair<'_>> {
    let mut pairs = Vec::new();
    let mut before: Option<(usize, Half<'_>)> = None;
    for (j, peer) in peers.iter().enumerate().filter(|(_, peer)| matches!(peer, Peer::Pods { .. })) {
        let half = Half::of(peer);
        before = match (before, half) {
            (Some((i, Half::Namespaces(namespaces))), Half::Pods(pods))
            | (Some((i, Half::Pods(pods))), Half::Namespaces(namespaces)) => {
                pairs.push(Pair { at: [i, j], namespaces, pods });
                None
            }
            _ => Some((j, half)),
        };
    }
    pairs
}

fn draft(place: Place<'_>, pair: &Pair<'_>) -> Draft {
    let Pair { at: [first, second], namespaces, pods } = pair;
    let list = place.direction.peers_field();
    let verb = match place.direction {
        Direction::Ingress => "lets in",
        Direction::Egress => "reaches",
    };
    let of = if namespaces.selects_everything() {
        "all namespaces".to_owned()
    } else {
        format!("namespaces {}", shown(namespaces))
    };
    let item = format!("- {{namespaceSelector: {}, podSelector: {}}}", selector_yaml(namespaces), selector_yaml(pods));
    let item = if fits(&item) { format!("one item: `{item}`") } else { "both selectors into one item".to_owned() };
    let peer = |j: usize| place.rule.peers.get(j).map(|peer| place.opens(peer));
    Draft {
        field: format!("{}[{second}]", place.peers_field()),
        message: format!(
            "{list}[{first}] and {list}[{second}] are two peers: the rule {verb} every pod of {of}, and pods {} of \
             the policy's own namespace",
            shown(pods)
        ),
        brief: format!("is another peer than {list}[{first}], not a part of it"),
        help: format!("for those pods of those namespaces write {item}; where both peers are meant, give each a rule"),
        evidence: place.evidence(),
        extents: pair.at.into_iter().filter_map(peer).collect(),
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
