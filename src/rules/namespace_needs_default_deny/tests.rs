use rstest::rstest;
use serde_json::{Value, json};

use crate::inventory::Inventory;
use crate::object::{Metadata, Operation, Subject};
use crate::rules::tests::{NAMESPACE, drafts_in, inventory, labelled, namespace_change, namespace_from_to};
use crate::rules::{Draft, find};

const RULE: &str = "namespace-needs-default-deny";

fn found(inventory: &Inventory, subject: &Subject) -> Vec<Draft> {
    let outcome = drafts_in(inventory, RULE, &Value::Null, subject).expect("judged");
    assert!(!outcome.confirm, "a reminder needs no live read");
    outcome.drafts
}

fn deny(types: &[&str]) -> Value {
    json!({"podSelector": {}, "policyTypes": types})
}

fn by_app(operator: &str) -> Value {
    json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": operator, "values": ["a"]}]},
           "policyTypes": ["Ingress", "Egress"]})
}

#[rstest]
#[case::nothing(&[], &["Ingress", "Egress"])]
#[case::ingress_only(&[("d", deny(&["Ingress"]))], &["Egress"])]
#[case::egress_only(&[("d", deny(&["Egress"]))], &["Ingress"])]
#[case::some_pods(&[("d", by_app("In"))], &["Ingress", "Egress"])]
#[case::egress_empty_without_types(&[("d", json!({"podSelector": {}, "egress": []}))], &["Egress"])]
#[case::opened(&[("d", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]}))], &["Egress"])]
#[case::both(&[("d", deny(&["Ingress", "Egress"]))], &[])]
#[case::one_a_direction(&[("i", deny(&["Ingress"])), ("e", deny(&["Egress"]))], &[])]
#[case::two_halves(&[("a", by_app("In")), ("b", by_app("NotIn"))], &[])]
#[case::with_dns(&[("d", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
    "egress": [{"ports": [{"protocol": "UDP", "port": 53}]}]}))], &[])]
#[case::beside_an_open_one(&[("d", deny(&["Ingress", "Egress"])), ("o", json!({"podSelector": {}, "ingress": [{}]}))], &[])]
fn what_a_bundle_brings_counts(#[case] policies: &[(&str, Value)], #[case] open: &[&str]) {
    let drafts = found(&inventory(policies), &namespace_change(None, Some(&[]), "dev"));
    assert_eq!(drafts.iter().flat_map(|draft| draft.evidence.directions.clone()).collect::<Vec<_>>(), open);
    assert!(drafts.iter().all(|draft| draft.field == "metadata.name"));
}

#[test]
fn only_creations_are_reminded() {
    let leaving = Metadata { deletion_timestamp: Some(jiff::Timestamp::UNIX_EPOCH), ..labelled(&[]) };
    let mut unreadable_before = namespace_change(None, Some(&[]), "dev");
    unreadable_before.operation = Operation::Update;
    for subject in [
        namespace_change(Some(&[]), Some(&[("environment", "production")]), "dev"),
        namespace_change(Some(&[]), None, "dev"),
        namespace_from_to(None, Some(leaving), "dev"),
        unreadable_before,
    ] {
        assert_eq!(found(&Inventory::default(), &subject), []);
    }
}

/// One of that name that is gone says nothing of the new one.
#[test]
fn a_name_that_is_used_again_is_reminded() {
    let mut there = Inventory::default();
    there.update(NAMESPACE, |namespace| namespace.terminating = true);
    assert_eq!(found(&there, &namespace_change(None, Some(&[]), "dev")).len(), 1);
}

#[test]
fn a_policy_that_cannot_be_read_may_be_the_default_deny() {
    let mut there = Inventory::default();
    there.update(NAMESPACE, |namespace| {
        namespace.odd.insert("strange".to_owned(), "unknown field".to_owned());
    });
    assert_eq!(found(&there, &namespace_change(None, Some(&[]), "dev")), []);
}

#[test]
fn the_warning_is_short_whatever_the_name() {
    let prefix = format!("[{}] metadata.name: ", find(RULE).expect("the rule").meta().name);
    for length in 1..=63 {
        let name = "a".repeat(length);
        let metadata = Metadata { name: name.clone(), ..Metadata::default() };
        let drafts = found(&Inventory::default(), &namespace_from_to(None, Some(metadata), "dev"));
        let warning = format!("{prefix}{}", drafts[0].brief);
        assert!(warning.len() <= 120, "{warning}");
        assert!(drafts[0].help.contains(&format!("`portcullis template namespace {name}`")));
    }
}
