use rstest::rstest;
use serde_json::{Value, json};

use crate::rules::tests::{change, create, drafts, fields};

const RULE: &str = "implicit-policy-types";

fn rules() -> Value {
    json!([{"ports": [{"protocol": "TCP", "port": 443}]}])
}

#[rstest]
#[case::nothing_at_all(json!({}), "[Ingress]")]
#[case::pods_alone(json!({"podSelector": {}}), "[Ingress]")]
#[case::ingress_rules(json!({"podSelector": {}, "ingress": rules()}), "[Ingress]")]
#[case::egress_rules(json!({"podSelector": {}, "egress": rules()}), "[Ingress, Egress]")]
#[case::empty_egress(json!({"podSelector": {}, "egress": []}), "[Ingress]")]
#[case::an_empty_list(json!({"podSelector": {}, "policyTypes": []}), "[Ingress]")]
#[case::null(json!({"podSelector": {}, "policyTypes": null, "egress": rules()}), "[Ingress, Egress]")]
fn found(#[case] spec: Value, #[case] types: &str) {
    let outcome = drafts(RULE, &Value::Null, &create(&spec)).expect("judged");
    let [draft] = outcome.drafts.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(draft.field, "spec.policyTypes");
    assert!(draft.message.ends_with(types) && draft.help.starts_with(&format!("write `policyTypes: {types}`")));
}

#[rstest]
#[case::ingress(json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]
#[case::egress(json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules()}))]
#[case::both(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": rules()}))]
#[case::without_effect(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": []}))]
#[case::everything(json!({"policyTypes": ["Egress", "Ingress"], "ingress": [{}], "egress": [{}]}))]
fn not_found(#[case] spec: Value) {
    assert_eq!(fields(RULE, &Value::Null, &create(&spec)), [""; 0]);
}

/// At most a warning for what was so before; at DELETE nothing.
#[test]
fn an_update_answers_for_what_it_leaves_out_itself() {
    let (implicit, explicit) = (json!({"ingress": rules()}), json!({"policyTypes": ["Ingress"], "ingress": rules()}));
    let as_before = |old: &Value, new: Option<&Value>| {
        let outcome = drafts(RULE, &Value::Null, &change("x", Some(old), new)).expect("judged");
        outcome.drafts.first().map(|draft| draft.as_before)
    };
    assert_eq!(as_before(&explicit, Some(&implicit)), Some(false));
    assert_eq!(as_before(&implicit, Some(&json!({}))), Some(true));
    assert_eq!(as_before(&implicit, Some(&explicit)), None);
    assert_eq!(as_before(&implicit, None), None);
}
