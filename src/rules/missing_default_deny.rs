//! `missing-default-deny`: a namespace that has policies but leaves pods open.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::finding::{Evidence, Level};
use crate::inventory::NamespaceState;
use crate::netpol::coverage::{Accept, default_deny};
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, NetworkPolicy};
use crate::netpol::selector::{Cover, Labels};
use crate::object::Change;

/// The rule.
pub(super) struct MissingDefaultDeny;

static META: Meta = Meta {
    name: "missing-default-deny",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Deny),
    needs: Needs::Inventory,
    summary: "a policy with rules in a namespace that has no default deny, or a change that takes it away",
    what: "Creating a policy that has rules, or adding its first rule, while some pod the namespace has or could have \
           is isolated by no policy in a direction; and changing or deleting a policy so that a direction that was \
           covered no longer is. The state after the request counts, and the union of all policies: selectors that \
           only together select every pod are a default deny. A policy with an allow-all rule isolates nothing. \
           Policies without rules are always welcome, so that the default denies of ingress and egress may come in \
           any order.",
    why: "A pod that no policy selects may talk to everything. Allowing some traffic without denying the rest \
          restricts nothing elsewhere, and deleting the last isolating policy turns a pod from most to least \
          restricted.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
",
    params: &[
        ParamDoc { name: "directions", default: "[Ingress, Egress]", about: "The directions that must be covered." },
        ParamDoc {
            name: "accept",
            default: "effective",
            about: "`effective`: the union of the policies covers every pod; `strict`: one policy selects everything \
                    and allows nothing.",
        },
        ParamDoc {
            name: "gracePeriod",
            default: "0s",
            about: "Time since the namespace's creation in which the rule warns instead of denying, such as `10m`.",
        },
        ParamDoc {
            name: "confirm",
            default: "true",
            about: "Whether the webhook reads the namespace live before it denies, since a policy created a moment \
                    ago may not have reached it.",
        },
    ],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-policies",
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation",
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    directions: Vec<Direction>,
    accept: Accept,
    grace_period: SignedDuration,
    confirm: bool,
}

impl Default for Params {
    fn default() -> Self {
        let directions = Direction::ALL.to_vec();
        Self { directions, accept: Accept::default(), grace_period: SignedDuration::ZERO, confirm: true }
    }
}

impl Rule for MissingDefaultDeny {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        if params.directions.is_empty() {
            return Err(ParamError::at("directions", "must name Ingress, Egress or both"));
        }
        if params.grace_period.is_negative() {
            return Err(ParamError::at("gracePeriod", "must not be negative"));
        }
        Ok(Box::new(params))
    }
}

/// What the request does to the namespace, and so which directions it answers for.
#[derive(Clone, Copy, PartialEq)]
enum Blame {
    /// It brings the first rules of a policy: every uncovered direction.
    Opens,
    /// It changes or removes what may be part of the cover: what was covered before.
    Uncovers,
}

impl Check for Params {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Change::NetworkPolicy { old, new } = &cx.subject.change else { return Ok(Outcome::default()) };
        let (old, new) = (old.as_ref().map(|old| &*old.policy), new.as_ref().map(|new| &*new.policy));
        let bare = |policy: &NetworkPolicy| policy.spec.is_pure_isolation();
        let blame = match (old, new) {
            _ if cx.around.after.terminating => return Ok(Outcome::default()),
            (None, Some(new)) if bare(new) => return Ok(Outcome::default()),
            (None, Some(_)) => Blame::Opens,
            (Some(old), Some(new)) if bare(old) && !bare(new) => Blame::Opens,
            (Some(_), _) => Blame::Uncovers,
            (None, None) => return Ok(Outcome::default()),
        };
        let mut open = Vec::new();
        for direction in self.directions.iter().copied() {
            if let Some(witness) = self.uncovered(cx, blame, direction)? {
                open.push((direction, witness));
            }
        }
        // Taking something away leans on what is left: were that gone as well, and the news of it
        // still on its way, nobody would notice. Such requests are rare, so they are always confirmed.
        let leans = blame == Blame::Uncovers && old.is_some_and(|old| self.was_part_of_the_cover(old, new));
        let confirm = self.confirm && (!open.is_empty() || leans);
        Ok(Outcome { drafts: self.draft(cx, &open).into_iter().collect(), confirm })
    }

    fn brought_under(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        if cx.around.after.terminating {
            return Ok(Outcome::default());
        }
        let open = self.open_after(cx)?;
        let drafts: Vec<Draft> = self.draft(cx, &open).into_iter().collect();
        Ok(Outcome { confirm: self.confirm && !drafts.is_empty(), drafts })
    }
}

impl Params {
    /// The directions in which the namespace is open after the request, each with the labels of an open pod.
    fn open_after(&self, cx: &Context<'_>) -> Result<Vec<(Direction, Labels)>, CannotTell> {
        let mut open = Vec::new();
        for direction in self.directions.iter().copied() {
            if let State::Open(witness) = self.state(&cx.around.after, direction)? {
                open.push((direction, witness));
            }
        }
        Ok(open)
    }

    /// The labels of a pod that the request is to blame for leaving open.
    fn uncovered(&self, cx: &Context<'_>, blame: Blame, direction: Direction) -> Result<Option<Labels>, CannotTell> {
        let after = self.state(&cx.around.after, direction)?;
        let State::Open(witness) = after else { return Ok(None) };
        if blame == Blame::Opens {
            return Ok(Some(witness));
        }
        let before = self.state(&cx.around.before, direction)?;
        Ok((before == State::Covered).then_some(witness))
    }

    fn state(&self, namespace: &NamespaceState, direction: Direction) -> Result<State, CannotTell> {
        let policies = namespace.policies.values().map(|policy| &**policy);
        match default_deny(policies, direction, self.accept) {
            Cover::Covered => Ok(State::Covered),
            Cover::Uncovered(_) if !namespace.odd.is_empty() => {
                let names: Vec<&str> = namespace.odd.keys().map(String::as_str).collect();
                let reason = format!(
                    "namespace {} holds policies that could not be read and may be part of its default deny: {}",
                    namespace.name,
                    super::some_of(names.iter(), super::SHOWN),
                );
                Err(CannotTell { reason, confirm: self.confirm })
            }
            Cover::Uncovered(witness) => Ok(State::Open(witness)),
            Cover::Unknown => Err(CannotTell {
                reason: format!(
                    "the policies of namespace {} have too many interlocking selectors to tell whether they are a \
                     default deny for {direction}; a policy with podSelector: {{}} and no rules settles it",
                    namespace.name
                ),
                confirm: self.confirm,
            }),
        }
    }

    /// Whether the old policy isolated something in a direction that matters, and the new one says otherwise.
    fn was_part_of_the_cover(&self, old: &NetworkPolicy, new: Option<&NetworkPolicy>) -> bool {
        self.directions.iter().any(|direction| {
            let shape = |policy: &NetworkPolicy| {
                let open =
                    policy.spec.rules(*direction).iter().any(crate::netpol::policy::PolicyRule::allows_everything);
                (policy.spec.isolates(*direction) && !open).then(|| policy.spec.pod_selector.clone())
            };
            let old = shape(old);
            old.is_some() && old != new.and_then(shape)
        })
    }

    fn draft(&self, cx: &Context<'_>, open: &[(Direction, Labels)]) -> Option<Draft> {
        let (_, witness) = open.first()?;
        let names: Vec<&str> = open.iter().map(|(direction, _)| direction.as_str()).collect();
        let (namespace, directions) = (&cx.subject.namespace, names.join(" and "));
        let pod = match witness.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>() {
            labels if labels.is_empty() => "a pod without labels".to_owned(),
            labels => format!("a pod labelled {}", labels.join(",")),
        };
        let repair = format!("`podSelector: {{}}`, `policyTypes: [{}]` and no rules", names.join(", "));
        let (message, help) = match &cx.subject.change {
            Change::Namespace { .. } => (
                format!("namespace {namespace} has no default deny for {directions}, and its labels now ask for one"),
                format!("first apply a NetworkPolicy to {namespace} with {repair}"),
            ),
            Change::NetworkPolicy { old, new: Some(_) } if old.is_none() || self.brings_rules(cx) => (
                format!("namespace {namespace} has no default deny for {directions}: {pod} is open"),
                format!("first apply a NetworkPolicy to {namespace} with {repair}"),
            ),
            Change::NetworkPolicy { new: None, .. } => (
                format!("without it namespace {namespace} has no default deny for {directions}: {pod} becomes open"),
                format!("keep it, or first apply another NetworkPolicy with {repair}"),
            ),
            Change::NetworkPolicy { .. } => (
                format!("leaves namespace {namespace} without a default deny for {directions}: {pod} becomes open"),
                format!("keep what it isolates, or first apply another NetworkPolicy with {repair}"),
            ),
        };
        // A clock that is behind the API server's makes nothing younger than new.
        let age = |created| cx.now.duration_since(created).max(SignedDuration::ZERO);
        let young = cx.around.after.created.is_some_and(|created| age(created) < self.grace_period);
        Some(Draft {
            field: if cx.namespace().is_some() { "metadata.labels" } else { "spec" }.to_owned(),
            message,
            brief: format!("namespace {namespace} has no default deny for {directions}"),
            help,
            evidence: Evidence { directions: names, labels: Some(witness.clone()), ..Evidence::default() },
            at_most: if young { Level::Warn } else { Level::Deny },
            ..Draft::default()
        })
    }

    /// Whether an UPDATE brings the first rules.
    fn brings_rules(&self, cx: &Context<'_>) -> bool {
        let Change::NetworkPolicy { old: Some(old), new: Some(new) } = &cx.subject.change else { return false };
        old.policy.spec.is_pure_isolation() && !new.policy.spec.is_pure_isolation()
    }
}

#[derive(PartialEq)]
enum State {
    Covered,
    Open(Labels),
}

#[cfg(test)]
mod tests;
