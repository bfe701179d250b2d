use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::extent::contained;
use crate::rules::tests::{change, create, drafts, fields};

const RULE: &str = "unrestricted-ports";

#[rstest]
#[case::no_ports(json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}), &["spec.ingress[0]"])]
#[case::an_empty_list(
    json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": []}]}), &["spec.ingress[0]"])]
#[case::null(json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": null}]}),
    &["spec.ingress[0]"])]
#[case::egress_to_addresses(json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [
    {"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}]}]}), &["spec.egress[0]"])]
#[case::every_protocol_spelt_out(json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}],
    "ports": [{"protocol": "TCP"}, {"protocol": "UDP", "port": 1, "endPort": 65535}, {"protocol": "SCTP"}]}]}),
    &["spec.ingress[0]"])]
#[case::of_some_pods(json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]},
    "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "b"}}}], "ports": [{"port": 80}]},
                {"from": [{"podSelector": {"matchLabels": {"app": "c"}}}]}]}), &["spec.ingress[1]"])]
#[case::both_directions(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
    "ingress": [{"from": [{"podSelector": {}}]}], "egress": [{"to": [{"podSelector": {}}]}]}),
    &["spec.ingress[0]", "spec.egress[0]"])]
#[case::one_port(json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}]}), &[])]
#[case::a_named_port(
    json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "http"}]}]}), &[])]
#[case::one_protocol(
    json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP"}]}]}), &[])]
#[case::allow_all_is_another_rules(json!({"podSelector": {}, "ingress": [{}]}), &[])]
#[case::ports_without_peers(json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}), &[])]
#[case::default_deny(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}), &[])]
#[case::without_effect(
    json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{"from": [{"podSelector": {}}]}]}), &[])]
fn rules_are_judged(#[case] spec: Value, #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &Value::Null, &create(&spec)), found);
}

#[test]
fn an_update_answers_for_the_peers_it_adds() {
    let spec = |from: Value| json!({"podSelector": {}, "ingress": [{"from": from}]});
    let extents = |from: Value| -> Vec<_> {
        let outcome = drafts(RULE, &Value::Null, &create(&spec(from))).expect("judged");
        outcome.drafts.into_iter().flat_map(|draft| draft.extents).collect()
    };
    let own = json!({"podSelector": {}});
    let other = json!({"namespaceSelector": {"matchLabels": {"team": "b"}}});
    assert_eq!(contained(&extents(json!([own])), &extents(json!([other, own]))), Some(true));
    assert_eq!(contained(&extents(json!([own, other])), &extents(json!([own]))), Some(false));
    let gone = change("x", Some(&spec(json!([own]))), None);
    assert_eq!(drafts(RULE, &Value::Null, &gone).expect("judged").drafts, []);
}
