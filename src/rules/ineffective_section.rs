//! `ineffective-section`: rules, or `egress: []`, for a direction that is not in `policyTypes`.

use serde_json::Value;

use super::{
    CannotTell, Check, Context, Draft, Meta, Needs, NoParams, Outcome, ParamError, Rule, SHOWN, some_of, typed,
};
use crate::finding::{Evidence, Level};
use crate::inventory::NamespaceState;
use crate::netpol::extent::Extent;
use crate::netpol::groups::Groups;
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, PolicyRule};
use crate::netpol::port_set::PortSet;
use crate::netpol::selector::{Cover, Labels, Selector, uncovered};
use crate::object::{Change, PolicyObject};

/// The rule.
pub(super) struct IneffectiveSection;

static META: Meta = Meta {
    name: "ineffective-section",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Deny),
    needs: Needs::Inventory,
    summary: "rules, or `egress: []`, for a direction that is not in `policyTypes`",
    what: "An `ingress` or `egress` in the spec, be it empty, whose direction is not in `policyTypes`; left out, \
           `policyTypes` has Ingress, and Egress only if there is an egress rule. Where other policies of the namespace \
           isolate the selected pods in that direction anyway, it is an audit finding. The API server drops an empty \
           list before the policy is judged: it is known in manifests, after client-side apply by its annotation, as \
           long as that still makes the spec at hand, and after server-side apply by `managedFields`; after a plain \
           `create` it is not.",
    why: "It reads as a restriction and is none: the pods stay open in that direction, on every port and for every \
          peer, and nobody who reads the manifest expects it.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: no-egress, namespace: shop}
spec:
  podSelector: {}
  egress: []
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: no-egress, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: []
",
    params: &[],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource",
        "https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/",
    ],
};

impl Rule for IneffectiveSection {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Self))
    }
}

impl Check for IneffectiveSection {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Change::NetworkPolicy { old, new: Some(new) } = &cx.subject.change else { return Ok(Outcome::default()) };
        // Every policy isolates in one direction at least, so there is one such section at most.
        let Some(direction) = ineffective(new) else { return Ok(Outcome::default()) };
        let open = open_pod(&cx.around.after, &cx.subject.name, &new.policy.spec.pod_selector, direction)?;
        let confirm = open.is_some();
        let mut draft = draft(new, direction, open);
        // An UPDATE that exchanges one direction for the other is no better for what it closes.
        if old.as_ref().is_some_and(|old| ineffective(old) != Some(direction)) {
            draft.extents.clear();
        }
        Ok(Outcome { drafts: vec![draft], confirm })
    }
}

/// The direction for which something is written that has no effect.
fn ineffective(object: &PolicyObject) -> Option<Direction> {
    let spec = &object.policy.spec;
    Direction::ALL.into_iter().find(|direction| {
        let rules = stored(object, *direction);
        !spec.isolates(*direction) && (!rules.is_empty() || object.written.has(*direction))
    })
}

/// The rules as they stand, with an effect or without.
fn stored(object: &PolicyObject, direction: Direction) -> &[PolicyRule] {
    match direction {
        Direction::Ingress => &object.policy.spec.ingress,
        Direction::Egress => &object.policy.spec.egress,
    }
}

/// The labels of a selected pod that no other policy isolates. One with an allow-all rule isolates in name only.
fn open_pod(
    namespace: &NamespaceState,
    name: &str,
    pods: &Selector,
    direction: Direction,
) -> Result<Option<Labels>, CannotTell> {
    let others = namespace.policies.iter().filter(|(other, _)| *other != name).map(|(_, policy)| &policy.spec);
    let isolating = others
        .filter(|spec| spec.isolates(direction) && !spec.rules(direction).iter().any(PolicyRule::allows_everything));
    let covers: Vec<&Selector> = isolating.map(|spec| &spec.pod_selector).collect();
    let reason = match uncovered(pods, &covers) {
        Cover::Covered => return Ok(None),
        Cover::Uncovered(labels) if namespace.odd.is_empty() => return Ok(Some(labels)),
        Cover::Uncovered(_) => format!(
            "namespace {} holds policies that could not be read and may isolate the selected pods for {direction}: {}",
            namespace.name,
            some_of(namespace.odd.keys(), SHOWN),
        ),
        Cover::Unknown => format!(
            "the policies of namespace {} have too many interlocking selectors to tell whether they isolate the \
             selected pods for {direction}; adding {direction} to policyTypes settles it",
            namespace.name
        ),
    };
    Err(CannotTell { reason, confirm: true })
}

fn draft(object: &PolicyObject, direction: Direction, open: Option<Labels>) -> Draft {
    let field = direction.field();
    let what = match stored(object, direction) {
        [] => format!("`{field}: []`"),
        _ => format!("`{field}`"),
    };
    let brief = format!("{what} restricts nothing: `policyTypes` has no {direction}");
    let message = match (&open, direction) {
        (None, _) => format!(
            "{what} has no effect: `policyTypes` has no {direction}; only other policies isolate the selected pods"
        ),
        (Some(_), Direction::Ingress) => format!("{brief}, so every peer may reach selected pods on every port"),
        (Some(_), Direction::Egress) => format!("{brief}, so selected pods may reach every peer on every port"),
    };
    let brief = if open.is_some() { brief } else { format!("{what} has no effect: `policyTypes` has no {direction}") };
    Draft {
        field: format!("spec.{field}"),
        message,
        brief,
        help: format!("write `policyTypes: [Ingress, Egress]`, or remove `{field}`"),
        at_most: if open.is_some() { Level::Deny } else { Level::Audit },
        evidence: Evidence { directions: vec![direction.as_str()], labels: open, ..Evidence::default() },
        extents: vec![Extent {
            pods: object.policy.spec.pod_selector.clone(),
            addresses: IpSet::all(),
            ports: PortSet::all(),
        }],
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
