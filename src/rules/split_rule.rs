//! `split-rule`: two rules where one was probably meant.

use serde_json::Value;

use super::peers::{Place, fits, peer_yaml, places, ports_yaml};
use super::reach::Ports;
use super::{
    CannotTell, Check, Context, Draft, Meta, Needs, NoParams, Outcome, ParamError, Rule, SHOWN, some_of, typed,
};
use crate::finding::{Evidence, Level};
use crate::netpol::groups::Groups;
use crate::netpol::policy::Direction;
use crate::netpol::port_set::PortSet;

/// The rule.
pub(super) struct SplitRule;

static META: Meta = Meta {
    name: "split-rule",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "peers and ports are two rules of a list where one rule was probably meant",
    what: "A rule with nothing but `ports` next to a rule with nothing but peers, in either order. An egress rule for \
           DNS alone (UDP/53, TCP/53) is left out: lookups anywhere beside peers on every port are a common and \
           intended pair.",
    why: "Rules are alternatives: one opens the ports to the whole world, the other every port to the peers. Only in \
          one rule do peers and ports restrict each other. One dash makes the difference.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
    - ports: [{protocol: TCP, port: 8080}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 8080}]
",
    params: &[],
    references: &["https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource"],
};

impl Rule for SplitRule {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Bound { dns: Ports::default().0 }))
    }
}

struct Bound {
    dns: PortSet,
}

/// What a rule says that may have been meant as half of one.
#[derive(Clone, Copy)]
enum Half<'a> {
    Ports(Place<'a>),
    Peers(Place<'a>),
    Neither,
}

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let mut drafts = Vec::new();
        let mut before = Half::Neither;
        for place in places(cx) {
            // The first rule of a list has no neighbour before it.
            let neighbour = if place.index == 0 { Half::Neither } else { before };
            let half = self.half(place);
            before = match (neighbour, half) {
                (Half::Ports(ports), Half::Peers(peers)) | (Half::Peers(peers), Half::Ports(ports)) => {
                    drafts.push(draft(place.field(), ports, peers));
                    Half::Neither
                }
                _ => half,
            };
        }
        Ok(drafts.into())
    }
}

impl Bound {
    fn half<'a>(&self, place: Place<'a>) -> Half<'a> {
        let is_lookup = place.direction == Direction::Egress && place.rule.ports.is_subset(&self.dns);
        match (place.rule.peers.is_empty(), place.rule.ports.is_all()) {
            (true, false) if !is_lookup => Half::Ports(place),
            (false, true) => Half::Peers(place),
            _ => Half::Neither,
        }
    }
}

fn draft(field: String, ports: Place<'_>, peers: Place<'_>) -> Draft {
    let (list, direction) = (ports.direction.field(), ports.direction.peers_field());
    let opened = some_of(ports.rule.ports.items().iter(), SHOWN);
    let shown: Vec<String> = peers.rule.peers.iter().take(SHOWN + 1).map(peer_yaml).collect();
    let one = format!("- {{{direction}: [{}], ports: {}}}", shown.join(", "), ports_yaml(&ports.rule.ports));
    let one =
        if shown.len() <= SHOWN && fits(&one) { format!("one rule: `{one}`") } else { "both into one rule".to_owned() };
    let other = if field == ports.field() { peers.index } else { ports.index };
    let mut extents = vec![ports.opens_to_all()];
    extents.extend(peers.rule.peers.iter().map(|peer| peers.opens(peer)));
    Draft {
        field,
        message: format!(
            "{list}[{}] opens {opened} to every peer, and {list}[{}] every port to its own: they are two rules",
            ports.index, peers.index
        ),
        brief: format!("is another rule than {list}[{other}], not a part of it"),
        help: format!("to open those ports to those peers write {one}"),
        evidence: Evidence {
            directions: vec![ports.direction.as_str()],
            ports: ports.rule.ports.items(),
            ..Evidence::default()
        },
        extents,
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
