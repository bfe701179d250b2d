//! Default deny: whether every pod a namespace has, or could have, is isolated.

use super::policy::{Direction, NetworkPolicy};
use super::selector::{Cover, Labels, Selector, union_covers_everything};

/// What is accepted as a default deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accept {
    /// Whatever has the effect: the union of the isolating policies' selectors covers every label set.
    #[default]
    Effective,
    /// One policy that selects everything and allows nothing in that direction.
    Strict,
}

/// Whether these policies of one namespace leave no pod open in a direction.
///
/// A policy with an allow-all rule isolates in name only and is no cover. The witness of
/// [`Cover::Uncovered`] is the label set of a pod that would be open.
#[must_use]
pub fn default_deny<'a>(
    policies: impl Iterator<Item = &'a NetworkPolicy>,
    direction: Direction,
    accept: Accept,
) -> Cover {
    let mut isolating: Vec<&NetworkPolicy> = Vec::new();
    for policy in policies.filter(|policy| policy.spec.isolates(direction)) {
        // The usual way, and the end of the search: a bundle asks once a policy.
        if policy.spec.pod_selector.selects_everything() && policy.spec.rules(direction).is_empty() {
            return Cover::Covered;
        }
        isolating.push(policy);
    }
    let selectors: Vec<&Selector> = isolating
        .into_iter()
        .filter(|policy| !policy.spec.rules(direction).iter().any(super::policy::PolicyRule::allows_everything))
        .map(|policy| &policy.spec.pod_selector)
        .collect();
    match (accept, union_covers_everything(&selectors)) {
        (Accept::Effective, cover) | (Accept::Strict, cover @ Cover::Uncovered(_)) => cover,
        // Isolated in effect, but not by one policy: any pod will do as a witness.
        (Accept::Strict, Cover::Covered | Cover::Unknown) => Cover::Uncovered(Labels::new()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn cover(specs: &[Value], direction: Direction, accept: Accept) -> Cover {
        let policies: Vec<NetworkPolicy> =
            specs.iter().map(|spec| NetworkPolicy::parse("shop", "p", spec).expect("a valid spec")).collect();
        default_deny(policies.iter(), direction, accept)
    }

    fn by_app(operator: &str) -> Value {
        json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": operator, "values": ["a"]}]},
               "policyTypes": ["Egress"]})
    }

    #[rstest]
    #[case::one_policy_for_all(&[json!({"podSelector": {}, "policyTypes": ["Egress"]})], true, true)]
    #[case::the_other_direction(&[json!({"podSelector": {}, "policyTypes": ["Ingress"]})], false, false)]
    #[case::two_halves(&[by_app("In"), by_app("NotIn")], true, false)]
    #[case::one_half(&[by_app("NotIn")], false, false)]
    #[case::all_pods_but_with_a_rule(
        &[json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53}]}]})], true, false)]
    #[case::opened_again(&[json!({"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]})], false, false)]
    #[case::egress_empty_without_types(&[json!({"podSelector": {}, "egress": []})], false, false)]
    #[case::nothing(&[], false, false)]
    fn covers(#[case] specs: &[Value], #[case] effective: bool, #[case] strict: bool) {
        assert_eq!(cover(specs, Direction::Egress, Accept::Effective) == Cover::Covered, effective);
        assert_eq!(cover(specs, Direction::Egress, Accept::Strict) == Cover::Covered, strict);
    }

    #[test]
    fn the_witness_is_a_pod_left_open() {
        let Cover::Uncovered(labels) = cover(&[by_app("NotIn")], Direction::Egress, Accept::Effective) else {
            panic!("one half is no cover");
        };
        assert_eq!(labels, Labels::from([("app".to_owned(), "a".to_owned())]));
    }
}
