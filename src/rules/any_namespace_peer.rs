//! `any-namespace-peer`: every pod of the cluster as a peer.

use serde::Deserialize;
use serde_json::Value;

use super::peers::{Place, places};
use super::reach::Ports;
use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::finding::Level;
use crate::netpol::METADATA_NAME;
use crate::netpol::extent::Extent;
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, Peer};
use crate::netpol::port_set::PortSet;
use crate::netpol::selector::{Cover, Operator, Requirement, Selector, uncovered};

/// The rule.
pub(super) struct AnyNamespacePeer;

static META: Meta = Meta {
    name: "any-namespace-peer",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "a peer stands for every pod of every namespace",
    what: "A peer whose namespaceSelector selects every namespace and that names no pods: `namespaceSelector: {}` \
           alone, or beside `podSelector: {}`; a selector that asks for no more than `kubernetes.io/metadata.name` to \
           be there, which it always is; and items of one list that make up all namespaces together. A rule limited \
           to `exemptPorts` is not judged.",
    why: "It admits every workload of the cluster, those of other teams and those to come included, so that one \
          compromised pod anywhere is enough.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-anybody, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {}}]
      ports: [{protocol: TCP, port: 8080}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-checkout, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: checkout}}}]
      ports: [{protocol: TCP, port: 8080}]
",
    params: &[ParamDoc {
        name: "exemptPorts",
        default: "[UDP/53, TCP/53]",
        about: "A rule limited to these ports is not judged.",
    }],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-to-and-from-selectors",
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#automatic-labelling",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    exempt_ports: Ports,
}

impl Rule for AnyNamespacePeer {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        Ok(Box::new(Bound { exempt_ports: params.exempt_ports.0 }))
    }
}

struct Bound {
    exempt_ports: PortSet,
}

/// Rules of one policy in which items are put together, each in bounded time: a bound on hostile policies.
const MAX_SEARCHES: usize = 8;

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let mut drafts = Vec::new();
        let mut searches = MAX_SEARCHES;
        for place in places(cx).filter(|place| !place.rule.ports.is_subset(&self.exempt_ports)) {
            let whole = whole_namespaces(place);
            let alone = whole.iter().filter(|(_, namespaces)| is_every_namespace(namespaces));
            let found: Vec<Draft> = alone.map(|(j, _)| one(place, *j)).collect();
            if found.is_empty() && whole.len() > 1 && searches > 0 {
                searches -= 1;
                drafts.extend(together(place, &whole));
            }
            drafts.extend(found);
        }
        Ok(drafts.into())
    }
}

/// The items of a list that stand for all pods of namespaces.
fn whole_namespaces<'a>(place: Place<'a>) -> Vec<(usize, &'a Selector)> {
    let whole = |(j, peer): (usize, &'a Peer)| match peer {
        Peer::IpBlock { .. } | Peer::Pods { namespace: None, .. } => None,
        Peer::Pods { namespace: Some(namespaces), pod } => {
            pod.as_ref().is_none_or(Selector::selects_everything).then_some((j, namespaces))
        }
    };
    place.rule.peers.iter().enumerate().filter_map(whole).collect()
}

/// What every namespace has: its name as a label.
fn named() -> Selector {
    Selector::new(vec![Requirement::new::<&str>(METADATA_NAME, Operator::Exists, [])])
}

/// Whether no namespace is left out.
pub(super) fn is_every_namespace(selector: &Selector) -> bool {
    selector.requirements().is_empty() || named().implies(selector)
}

fn one(place: Place<'_>, j: usize) -> Draft {
    let extents = place.rule.peers.get(j).map(|peer| place.opens(peer)).into_iter().collect();
    draft(place, format!("{}[{j}].namespaceSelector", place.peers_field()), "", extents)
}

/// A finding where items select every namespace only together.
fn together(place: Place<'_>, whole: &[(usize, &Selector)]) -> Option<Draft> {
    let selectors: Vec<&Selector> = whole.iter().map(|(_, namespaces)| *namespaces).collect();
    let any = Peer::Pods { namespace: Some(Selector::everything()), pod: None };
    let found = uncovered(&named(), &selectors) == Cover::Covered;
    found.then(|| draft(place, place.peers_field(), " by its items together", vec![place.opens(&any)]))
}

fn draft(place: Place<'_>, field: String, how: &str, extents: Vec<Extent>) -> Draft {
    let verb = match place.direction {
        Direction::Ingress => "lets in",
        Direction::Egress => "reaches",
    };
    let on = &place.rule.ports;
    let on = if on.is_all() { "all ports".to_owned() } else { super::some_of(on.items().iter(), super::SHOWN) };
    Draft {
        field,
        message: format!("{verb} every pod of every namespace on {on}{how}"),
        brief: format!("{verb} every pod of every namespace{how}"),
        help: format!(
            "name the namespaces: `namespaceSelector: {{matchLabels: {{{METADATA_NAME}: NAME}}}}`, with a podSelector \
             in the same item where only some pods are meant"
        ),
        evidence: place.evidence(),
        extents,
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
