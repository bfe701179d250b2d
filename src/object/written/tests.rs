use rstest::rstest;
use serde_json::json;

use super::*;

const DENY_INGRESS: &str = r#"{"podSelector": {}, "policyTypes": ["Ingress"]}"#;

fn spec(raw: &Value) -> PolicySpec {
    NetworkPolicy::parse("shop", "p", raw).expect("a valid spec").spec
}

fn annotated(text: &str) -> Metadata {
    Metadata { annotations: [(LAST_APPLIED.to_owned(), text.to_owned())].into(), ..Metadata::default() }
}

fn wrote(ingress: bool, egress: bool, types_left_out: bool) -> Written {
    Written { ingress, egress, types_left_out }
}

#[rstest]
#[case::empty_egress(json!({"podSelector": {}, "egress": []}), wrote(false, true, true))]
#[case::types_written(json!({"policyTypes": ["Ingress"], "egress": []}), wrote(false, true, false))]
#[case::nothing_new(json!({"podSelector": {}, "policyTypes": ["Ingress"]}), wrote(false, false, false))]
#[case::nothing_after_the_colon(json!({"egress": null, "policyTypes": []}), wrote(false, true, true))]
#[case::stale(json!({"podSelector": {"matchLabels": {"app": "a"}}, "egress": []}), wrote(false, false, false))]
#[case::with_rules_since_removed(json!({"egress": [{"ports": [{"port": 53}]}]}), wrote(false, false, false))]
#[case::of_types_since_removed(json!({"policyTypes": ["Ingress", "Egress"], "egress": []}), wrote(false, false, false))]
#[case::unreadable(json!({"egress": [], "fqdns": []}), wrote(false, false, false))]
fn client_side_apply(#[case] applied: Value, #[case] written: Written) {
    let at_hand = spec(&serde_json::from_str(DENY_INGRESS).expect("JSON"));
    let metadata = annotated(&json!({"kind": "NetworkPolicy", "spec": applied}).to_string());
    assert_eq!(Written::recovered(&metadata, None::<&Value>, &at_hand), written);
}

#[rstest]
#[case::no_json("{")]
#[case::no_object("[]")]
#[case::empty("")]
#[case::deep(&"[".repeat(100_000))]
fn an_annotation_that_is_none_tells_nothing(#[case] text: &str) {
    let at_hand = spec(&json!({}));
    assert_eq!(Written::recovered(&annotated(text), None::<&Value>, &at_hand), Written::default());
}

fn entry(operation: &str, fields: &Value) -> Value {
    json!({"manager": "m", "operation": operation, "apiVersion": "networking.k8s.io/v1", "fieldsType": "FieldsV1",
           "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:egress": {}}}, "f:spec": fields}})
}

#[rstest]
#[case::empty_egress(json!([entry("Apply", &json!({"f:egress": {}, "f:podSelector": {}}))]), wrote(false, true, true))]
#[case::empty_ingress(
    json!([entry("Apply", &json!({"f:ingress": {}, "f:policyTypes": {}}))]), wrote(true, false, false))]
#[case::beside_others(
    json!([entry("Update", &json!({"f:policyTypes": {}})), entry("Apply", &json!({"f:egress": {}}))]),
    wrote(false, true, false))]
#[case::not_of_an_update(json!([entry("Update", &json!({"f:egress": {}}))]), wrote(false, false, false))]
#[case::labels_alone(json!([{"operation": "Apply", "fieldsV1": {"f:metadata": {}}}]), wrote(false, false, false))]
#[case::none(json!([]), wrote(false, false, false))]
#[case::another_operation(json!([entry("Later", &json!({"f:egress": {}}))]), wrote(false, false, false))]
#[case::malformed(json!([{"operation": 1}]), wrote(false, false, false))]
#[case::no_list(json!("x"), wrote(false, false, false))]
fn server_side_apply(#[case] managed_fields: Value, #[case] written: Written) {
    let at_hand = spec(&json!({"policyTypes": ["Ingress"]}));
    assert_eq!(Written::recovered(&Metadata::default(), Some(&managed_fields), &at_hand), written);
    let text = RawValue::from_string(managed_fields.to_string()).expect("JSON");
    assert_eq!(Written::recovered(&Metadata::default(), Some(&*text), &at_hand), written);
}

/// As `kubectl get -o yaml` has it.
#[test]
fn a_manifest_out_of_a_cluster_tells_of_its_empty_lists() {
    let raw = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    let metadata = annotated(r#"{"spec": {"podSelector": {}, "egress": []}}"#);
    assert_eq!(Written::in_manifest(&metadata, None, &raw, &spec(&raw)), wrote(false, true, false));
}
