use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::extent::contained;
use crate::netpol::groups::Groups;
use crate::rules::tests::{change, create, drafts, fields};
use crate::rules::{Draft, find};

const RULE: &str = "wide-port-range";

fn spec(ports: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}], "ports": ports}]})
}

fn judged(spec: &Value) -> Vec<Draft> {
    drafts(RULE, &Value::Null, &create(spec)).expect("judged").drafts
}

#[rstest]
#[case::everything(json!([{"port": 1, "endPort": 65535}]), &["TCP/*"])]
#[case::one_too_many(json!([{"port": 1000, "endPort": 2000}]), &["TCP/1000-2000"])]
#[case::of_udp(json!([{"protocol": "UDP", "port": 30000, "endPort": 32767}]), &["UDP/30000-32767"])]
#[case::cut_in_two(json!([{"port": 1601, "endPort": 2200}, {"port": 1000, "endPort": 1600}]), &["TCP/1000-2200"])]
#[case::overlapping(json!([{"port": 1000, "endPort": 1900}, {"port": 1500, "endPort": 2400}]), &["TCP/1000-2400"])]
#[case::two_protocols(json!([{"port": 1, "endPort": 5000}, {"protocol": "SCTP", "port": 1, "endPort": 5000}]),
    &["TCP/1-5000", "SCTP/1-5000"])]
fn is_found(#[case] ports: Value, #[case] expected: &[&str]) {
    let found: Vec<String> = judged(&spec(&ports)).into_iter().flat_map(|draft| draft.evidence.ports).collect();
    assert_eq!(found, expected);
}

#[rstest]
#[case::as_many_as_allowed(json!([{"port": 1000, "endPort": 1999}]))]
#[case::apart(json!([{"port": 1000, "endPort": 1600}, {"port": 1602, "endPort": 2200}]))]
#[case::of_two_protocols(json!([{"port": 1000, "endPort": 1999}, {"protocol": "UDP", "port": 2000, "endPort": 2999}]))]
#[case::no_ports(json!([]))]
#[case::a_protocol_is_no_range(json!([{"protocol": "TCP"}]))]
#[case::one_port(json!([{"port": 65535}, {"port": "http"}]))]
#[case::a_range_of_one(json!([{"port": 8080, "endPort": 8080}]))]
fn is_not_found(#[case] ports: Value) {
    assert_eq!(judged(&spec(&ports)), []);
}

#[test]
fn the_field_is_the_first_item_of_the_range_in_either_direction() {
    let wide = json!({"port": 1, "endPort": 5000});
    let spec = json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"port": 80}]}, {"ports": [{"port": 6000}, wide]}],
        "egress": [{"ports": [{"port": 900, "endPort": 1700}, {"port": 1, "endPort": 900}]}]});
    assert_eq!(fields(RULE, &Value::Null, &create(&spec)), ["spec.ingress[1].ports[1]", "spec.egress[0].ports[0]"]);
    let without_effect = json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{"ports": [wide]}]});
    assert_eq!(judged(&without_effect), []);
}

#[test]
fn the_bound_is_a_parameter() {
    let range = create(&spec(&json!([{"port": 8080, "endPort": 8089}])));
    assert_eq!(fields(RULE, &json!({"max": 9}), &range), ["spec.ingress[0].ports[0]"]);
    assert_eq!(fields(RULE, &json!({"max": 10}), &range), [""; 0]);
    for wrong in [json!({"max": 0}), json!({"max": 65536}), json!({"max": -1})] {
        assert!(find(RULE).expect("the rule").bind(&wrong, &Groups::builtin()).is_err(), "{wrong}");
    }
}

#[test]
fn an_update_answers_for_what_it_widens() {
    let extents = |first: u16, last: u16| -> Vec<_> {
        judged(&spec(&json!([{"port": first, "endPort": last}]))).into_iter().flat_map(|draft| draft.extents).collect()
    };
    assert_eq!(contained(&extents(2000, 9000), &extents(1000, 9000)), Some(true));
    assert_eq!(contained(&extents(1000, 9001), &extents(1000, 9000)), Some(false));
    let gone = change("x", Some(&spec(&json!([{"port": 1, "endPort": 9000}]))), None);
    assert_eq!(drafts(RULE, &Value::Null, &gone).expect("judged").drafts, []);
}

#[test]
fn the_message_counts_the_ports() {
    let drafts = judged(&spec(&json!([{"port": 30000, "endPort": 32767}])));
    assert_eq!(drafts[0].message, "opens TCP/30000-32767, 2768 ports; 1000 are allowed");
}
