use rstest::rstest;
use serde_json::{Value, json};

use crate::finding::Level;
use crate::rules::tests::{change, create, drafts, drafts_in, fields, inventory};
use crate::rules::{CannotTell, Outcome};

const RULE: &str = "ineffective-section";

fn rules() -> Value {
    json!([{"ports": [{"protocol": "TCP", "port": 443}]}])
}

fn app(value: &str) -> Value {
    json!({"matchLabels": {"app": value}})
}

#[rstest]
#[case::empty_egress_and_no_types(json!({"podSelector": {}, "egress": []}), "spec.egress")]
#[case::nothing_after_the_colon(json!({"podSelector": {}, "egress": null}), "spec.egress")]
#[case::empty_egress_and_no_items(json!({"podSelector": {}, "policyTypes": [], "egress": []}), "spec.egress")]
#[case::empty_egress(json!({"podSelector": app("a"), "policyTypes": ["Ingress"], "egress": []}), "spec.egress")]
#[case::empty_ingress(json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": []}), "spec.ingress")]
#[case::egress_rules(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": rules()}), "spec.egress")]
#[case::ingress_rules(
    json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": rules(), "egress": rules()}), "spec.ingress")]
#[case::allow_all(json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]}), "spec.ingress")]
#[case::beside_ingress(json!({"podSelector": {}, "ingress": rules(), "egress": []}), "spec.egress")]
fn found(#[case] spec: Value, #[case] field: &str) {
    let outcome = drafts(RULE, &Value::Null, &create(&spec)).expect("judged");
    let [draft] = outcome.drafts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((draft.field.as_str(), draft.at_most, outcome.confirm), (field, Level::Deny, true));
    assert!(draft.message.contains("restricts nothing") && draft.help.contains("[Ingress, Egress]"), "{draft:?}");
}

#[rstest]
#[case::ingress_by_default(json!({"podSelector": {}, "ingress": []}))]
#[case::no_rules(json!({"podSelector": {}}))]
#[case::egress_by_default(json!({"podSelector": {}, "egress": rules()}))]
#[case::default_deny(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}))]
#[case::egress_alone(json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": []}))]
#[case::types_alone(json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]
#[case::both(json!({"podSelector": {}, "policyTypes": ["Egress", "Ingress"], "ingress": rules(), "egress": rules()}))]
fn not_found(#[case] spec: Value) {
    assert_eq!(fields(RULE, &Value::Null, &create(&spec)), [""; 0]);
}

fn beside(policies: &[(&str, Value)], spec: &Value) -> Outcome {
    drafts_in(&inventory(policies), RULE, &Value::Null, &create(spec)).expect("judged")
}

#[rstest]
#[case::a_default_deny(&[json!({"podSelector": {}, "policyTypes": ["Egress"]})], Level::Audit)]
#[case::the_same_pods(&[json!({"podSelector": app("a"), "policyTypes": ["Egress"]})], Level::Audit)]
#[case::with_rules_of_its_own(&[json!({"podSelector": {}, "egress": rules()})], Level::Audit)]
#[case::two_halves(
    &[json!({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, "policyTypes": ["Egress"]}),
      json!({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
             "policyTypes": ["Egress"]})],
    Level::Audit)]
#[case::of_the_other_direction(&[json!({"podSelector": {}, "policyTypes": ["Ingress"]})], Level::Deny)]
#[case::of_other_pods(&[json!({"podSelector": app("b"), "policyTypes": ["Egress"]})], Level::Deny)]
#[case::of_some_of_the_pods(
    &[json!({"podSelector": {"matchLabels": {"app": "a", "tier": "x"}}, "policyTypes": ["Egress"]})], Level::Deny)]
#[case::open_to_everybody(&[json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]})], Level::Deny)]
#[case::as_ineffective(&[json!({"podSelector": {}, "egress": []})], Level::Deny)]
fn others_may_isolate_the_pods(#[case] others: &[Value], #[case] level: Level) {
    const NAMES: [&str; 2] = ["one", "two"];
    let others: Vec<(&str, Value)> = NAMES.into_iter().zip(others.iter().cloned()).collect();
    let outcome = beside(&others, &json!({"podSelector": app("a"), "egress": []}));
    assert_eq!(outcome.drafts.iter().map(|draft| draft.at_most).collect::<Vec<_>>(), [level]);
    // What nobody is denied for needs no second look.
    assert_eq!(outcome.confirm, level == Level::Deny);
}

#[test]
fn a_policy_of_another_namespace_does_not_count() {
    let mut elsewhere = inventory(&[]);
    let deny = crate::rules::tests::policy("deny", &json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    elsewhere.update("warehouse", |state| _ = state.policies.insert("deny".to_owned(), deny));
    let subject = create(&json!({"podSelector": {}, "egress": []}));
    let outcome = drafts_in(&elsewhere, RULE, &Value::Null, &subject).expect("judged");
    assert_eq!(outcome.drafts[0].at_most, Level::Deny);
}

/// What it was itself before the request is no other policy.
#[test]
fn taking_egress_out_of_the_types_is_found() {
    let effective = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": []});
    let without = json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": []});
    let stored = inventory(&[("x", effective.clone())]);
    let subject = change("x", Some(&effective), Some(&without));
    let outcome = drafts_in(&stored, RULE, &Value::Null, &subject).expect("judged");
    // Nothing to compare with: it is all new.
    assert_eq!((outcome.drafts[0].at_most, outcome.drafts[0].extents.len()), (Level::Deny, 0));
    assert_eq!(fields(RULE, &Value::Null, &change("x", Some(&without), Some(&effective))), [""; 0]);
    assert_eq!(fields(RULE, &Value::Null, &change("x", Some(&without), None)), [""; 0]);
}

#[rstest]
#[case::as_before(json!({"podSelector": {}, "egress": []}), 1)]
#[case::with_rules_instead(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": rules()}), 1)]
#[case::the_other_direction(json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": []}), 0)]
fn an_update_is_compared_with_the_same_section(#[case] old: Value, #[case] extents: usize) {
    let new = json!({"podSelector": app("a"), "egress": []});
    let outcome = drafts(RULE, &Value::Null, &change("x", Some(&old), Some(&new))).expect("judged");
    assert_eq!(outcome.drafts[0].extents.len(), extents);
}

#[test]
fn what_cannot_be_read_may_isolate_the_pods() {
    let mut odd = inventory(&[]);
    odd.update(crate::rules::tests::NAMESPACE, |state| _ = state.odd.insert("new-kind".to_owned(), String::new()));
    let judged = |spec: &Value| drafts_in(&odd, RULE, &Value::Null, &create(spec));
    let told = judged(&json!({"podSelector": {}, "egress": []}));
    assert!(matches!(&told, Err(CannotTell { reason, confirm: true }) if reason.contains("new-kind")), "{told:?}");
    assert_eq!(judged(&json!({"podSelector": {}})), Ok(Outcome::default()));
}
