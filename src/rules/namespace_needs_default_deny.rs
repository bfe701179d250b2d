//! `namespace-needs-default-deny`: a reminder for namespaces that begin open.

use serde_json::Value;

use super::{CannotTell, Check, Context, Draft, Meta, Needs, NoParams, Outcome, ParamError, Rule, typed};
use crate::finding::{Evidence, Level};
use crate::inventory::NamespaceState;
use crate::netpol::coverage::{Accept, default_deny};
use crate::netpol::groups::Groups;
use crate::netpol::policy::Direction;
use crate::netpol::selector::Cover;

/// The rule.
pub(super) struct NamespaceNeedsDefaultDeny;

static META: Meta = Meta {
    name: "namespace-needs-default-deny",
    kind: "Namespace",
    // The UPDATE half is about labels, and they change through `namespaces/status` and
    // `namespaces/finalize` too, which the guard path alone sees. A reminder told on both paths
    // reaches the requester once: the API server merges equal warnings.
    guards_labels: true,
    builtin: Some(Level::Warn),
    // Not the inventory: a namespace that comes into being has no policies, however old the knowledge
    // of others is, and a reminder is no reason to turn one away.
    needs: Needs::Nothing,
    summary: "a namespace begins without a default deny, or its labels bring it under a rule that asks for one",
    what: "Creating a namespace is answered with a reminder of the isolation template, which `portcullis template` \
           prints. In a bundle of manifests that brings the default deny along there is nothing to remind of. And an \
           update of a namespace's labels that brings it under an entry of `missing-default-deny` (by that entry's \
           `namespaceSelector`) while it has no default deny: reported at the level of that entry.",
    why: "Until a policy selects them, the pods of a namespace may talk to everything and everything to them. And a \
          namespace labelled `environment: production` is taken to be as closed as the others.",
    example_params: "",
    rejected: "apiVersion: v1
kind: Namespace
metadata: {name: shop}
",
    accepted: "apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
",
    params: &[],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-deny-all-ingress-and-all-egress-traffic",
    ],
};

impl Rule for NamespaceNeedsDefaultDeny {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Self))
    }
}

impl Check for NamespaceNeedsDefaultDeny {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some((None, Some(new))) = cx.namespace() else { return Ok(Outcome::default()) };
        let created = cx.subject.operation == crate::object::Operation::Create;
        // By the object's own word: what is known of the name may be of a namespace that had it before.
        if !created || new.deletion_timestamp.is_some() {
            return Ok(Outcome::default());
        }
        let open: Vec<&str> =
            Direction::ALL.into_iter().filter(|it| is_open(&cx.around.after, *it)).map(Direction::as_str).collect();
        if open.is_empty() {
            return Ok(Outcome::default());
        }
        Ok(vec![reminder(&cx.subject.namespace, open)].into())
    }
}

/// Whether some pod is surely open. A policy that cannot be read may well be the default deny.
fn is_open(namespace: &NamespaceState, direction: Direction) -> bool {
    let policies = namespace.policies.values().map(|policy| &**policy);
    let cover = default_deny(policies, direction, Accept::Effective);
    namespace.odd.is_empty() && matches!(cover, Cover::Uncovered(_))
}

fn reminder(namespace: &str, open: Vec<&'static str>) -> Draft {
    /// Longer names do not fit into a warning of 120 characters beside the rest.
    const SHORT: usize = 20;
    let name = if namespace.len() <= SHORT { namespace } else { "NAME" };
    Draft {
        field: "metadata.name".to_owned(),
        message: format!("namespace {namespace} has no default deny for {} yet", open.join(" and ")),
        brief: format!("no default deny yet: `portcullis template namespace {name}`"),
        help: format!("apply what `portcullis template namespace {namespace}` prints"),
        evidence: Evidence { directions: open, ..Evidence::default() },
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
