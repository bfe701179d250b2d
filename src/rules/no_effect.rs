//! `no-effect`: policies and rules that change nothing.

use serde_json::Value;

use super::traffic::Traffic;
use super::{CannotTell, Check, Context, Draft, Meta, Needs, NoParams, Outcome, ParamError, Rule, typed};
use crate::finding::Level;
use crate::inventory::{Inventory, NamespaceState};
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, NetworkPolicy, PolicyRule};
use crate::netpol::selector::{Cover, Selector, uncovered};
use crate::object::Change;

mod unmatched;

const REMOVE_OR_SAY: &str = "remove it, or make it say what is meant";
const REMOVE_OR_MEND: &str = "mend the selector, or remove what it selects for";

/// The rule.
pub(super) struct NoEffect;

static META: Meta = Meta {
    name: "no-effect",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Audit),
    needs: Needs::Inventory,
    summary: "a policy or rule that adds nothing to the others of the namespace",
    what: "A policy whose pods the other policies of the namespace isolate anyway and whose rules allow nothing that \
           those do not; a rule that allows nothing beyond the other rules; and selectors that no pod can satisfy. \
           Where the pods of the namespace are known, also a podSelector, or a peer in the same namespace, that none \
           of them satisfies; a peer of other namespaces whose pods are known and do not satisfy it; and, where the \
           whole cluster is known, a namespaceSelector that no namespace satisfies. A policy that selects every pod and allows nothing is never found, whatever is beside \
           it. Of two that say the same one is found. Comparisons too large to be decided are left out.",
    why: "What has no effect is read as if it had one: the label may be mistyped, the rule may be the remains of a \
          change, and whoever removes the other one is surprised.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {}}]
      ports: [{protocol: TCP, port: 8080}]
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 8080}]
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
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation",
    ],
};

impl Rule for NoEffect {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Self))
    }
}

impl Check for NoEffect {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Change::NetworkPolicy { old, new: Some(new) } = &cx.subject.change else { return Ok(Outcome::default()) };
        if cx.around.after.terminating {
            return Ok(Outcome::default());
        }
        let found = idle(&new.policy, &cx.around.after, cx.inventory);
        // What had no effect before the update is not its doing.
        let old = old.as_ref().filter(|_| !found.is_empty()).map(|old| &*old.policy);
        let were = old.map(|old| idle(old, &cx.around.before, cx.inventory)).unwrap_or_default();
        let policy_was = were.iter().any(|was| was.what == What::Policy);
        let was_idle = |what: &What| match (what, old) {
            (What::Rule(direction, rule), Some(old)) => {
                let idle_rules = were.iter().filter_map(|was| match &was.what {
                    What::Rule(of, rule) if of == direction => Some(rule),
                    _ => None,
                });
                let of_an_idle_policy = old.spec.rules(*direction).iter().filter(|_| policy_was);
                let rule = (&*new.policy, rule);
                idle_rules.chain(of_an_idle_policy).any(|was| within(vec![rule], vec![(old, was)]))
            }
            _ => were.iter().any(|was| was.what == *what),
        };
        let capped = |idle: Idle| {
            let as_before = was_idle(&idle.what);
            Draft { as_before, ..idle.draft }
        };
        Ok(found.into_iter().map(capped).collect::<Vec<_>>().into())
    }
}

/// Something without effect.
struct Idle {
    what: What,
    draft: Draft,
}

/// What it is, wherever it stands.
#[derive(PartialEq)]
enum What {
    Policy,
    Rule(Direction, PolicyRule),
    /// As it is written.
    Selector(String),
}

fn idle(policy: &NetworkPolicy, namespace: &NamespaceState, inventory: &Inventory) -> Vec<Idle> {
    if is_strict_default_deny(policy) {
        return Vec::new();
    }
    if policy.spec.pod_selector.is_contradiction() {
        let text = "can be satisfied by no pod, so the policy has no effect";
        return vec![Idle { what: What::Policy, draft: draft("spec.podSelector", text, REMOVE_OR_MEND) }];
    }
    // Of two that say the same the one with the lesser name stays.
    let others: Vec<&NetworkPolicy> = namespace
        .policies
        .values()
        .map(|other| &**other)
        .filter(|other| other.name != policy.name && (other.spec != policy.spec || other.name < policy.name))
        .collect();
    let mut found = idle_rules(policy, &others);
    // Nearly always some rule is not idle, and the policy as a whole need not be asked about.
    let rules: usize = Direction::ALL.into_iter().map(|direction| policy.spec.rules(direction).len()).sum();
    if found.len() == rules && adds_nothing(policy, &others) {
        let enough = others.iter().take(MAX_RULES).find(|other| adds_nothing(policy, &[other]));
        let others = match enough {
            Some(enough) => format!("policy {} does not", enough.name),
            None => format!("the other policies of namespace {} do not", namespace.name),
        };
        let text = format!("isolates and allows nothing that {others}");
        return vec![Idle { what: What::Policy, draft: draft("spec", &text, REMOVE_OR_SAY) }];
    }
    found.extend(unmatched::selectors(policy, namespace, inventory));
    found
}

/// A policy that selects every pod and allows nothing in a direction says so for good, whatever else there is.
fn is_strict_default_deny(policy: &NetworkPolicy) -> bool {
    let strict = |direction: Direction| policy.spec.isolates(direction) && policy.spec.rules(direction).is_empty();
    policy.spec.pod_selector.selects_everything() && Direction::ALL.into_iter().any(strict)
}

/// Rules of one policy and direction, and boxes of the others, beyond which nothing is compared: nobody waits for
/// an audit finding.
const MAX_RULES: usize = 32;
const MAX_BOXES: usize = 256;

/// Whether the namespace would be the same without the policy.
fn adds_nothing(policy: &NetworkPolicy, others: &[&NetworkPolicy]) -> bool {
    Direction::ALL.into_iter().filter(|direction| policy.spec.isolates(*direction)).all(|direction| {
        let isolating = others.iter().filter(|other| other.spec.isolates(direction));
        let selectors: Vec<&Selector> = isolating.map(|other| &other.spec.pod_selector).collect();
        let rules = policy.spec.rules(direction).iter().map(|rule| (policy, rule));
        uncovered(&policy.spec.pod_selector, &selectors) == Cover::Covered
            && within(rules.collect(), rules_of(others, direction).collect())
    })
}

fn rules_of<'a>(
    policies: &[&'a NetworkPolicy],
    direction: Direction,
) -> impl Iterator<Item = (&'a NetworkPolicy, &'a PolicyRule)> {
    policies.iter().flat_map(move |policy| policy.spec.rules(direction).iter().map(move |rule| (*policy, rule)))
}

/// Whether the one allow nothing beyond the others, as far as that is told quickly.
fn within(these: Vec<(&NetworkPolicy, &PolicyRule)>, others: Vec<(&NetworkPolicy, &PolicyRule)>) -> bool {
    if these.len() > MAX_RULES || others.len() > MAX_BOXES {
        return false;
    }
    let (these, others) = (Traffic::of(these), Traffic::of(others));
    others.size() <= MAX_BOXES && these.size() <= MAX_BOXES && these.is_within(&others) == Some(true)
}

/// One of the others that plainly says as much by itself.
fn said_by<'a>(
    rule: (&NetworkPolicy, &PolicyRule),
    others: &[(&'a NetworkPolicy, &'a PolicyRule)],
) -> Option<(&'a NetworkPolicy, &'a PolicyRule)> {
    let rule = Traffic::of([rule]);
    others.iter().copied().find(|other| rule.lies_plainly_in(&Traffic::of([*other])))
}

/// The rules that allow nothing beyond the rest, the last first: all of them may go at once.
fn idle_rules(policy: &NetworkPolicy, others: &[&NetworkPolicy]) -> Vec<Idle> {
    let mut found = Vec::new();
    for direction in Direction::ALL {
        let rules = policy.spec.rules(direction);
        if rules.len() > MAX_RULES {
            continue;
        }
        let mut stay: Vec<bool> = vec![true; rules.len()];
        for (i, rule) in rules.iter().enumerate().rev() {
            let rest = rules.iter().zip(&stay).enumerate().filter(|(j, (_, stays))| *j != i && **stays);
            let rest: Vec<_> = rest.map(|(_, (rule, _))| (policy, rule)).chain(rules_of(others, direction)).collect();
            if within(vec![(policy, rule)], rest.clone()) {
                if let Some(stays) = stay.get_mut(i) {
                    *stays = false;
                }
                let others = match said_by((policy, rule), &rest) {
                    Some((_, other)) if let Some(j) = rules.iter().position(|own| std::ptr::eq(own, other)) => {
                        format!("{}[{j}] does not", direction.field())
                    }
                    Some((other, _)) => format!("policy {} does not", other.name),
                    None => "the other rules of the namespace do not".to_owned(),
                };
                let text = format!("allows nothing that {others}");
                let at = format!("spec.{}[{i}]", direction.field());
                let what = What::Rule(direction, rule.clone());
                found.push(Idle { what, draft: draft(&at, &text, REMOVE_OR_SAY) });
            }
        }
    }
    found.reverse();
    found
}

fn draft(field: &str, message: &str, help: &str) -> Draft {
    Draft {
        field: field.to_owned(),
        message: message.to_owned(),
        brief: "has no effect".to_owned(),
        help: help.to_owned(),
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
