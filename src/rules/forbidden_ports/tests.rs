use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::extent::contained;
use crate::netpol::groups::Groups;
use crate::rules::tests::{NAMESPACE, change, create, drafts, fields};
use crate::rules::{Draft, find};

const RULE: &str = "forbidden-ports";

fn spec(rule: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [rule]})
}

fn judged(rule: &Value) -> Vec<Draft> {
    drafts(RULE, &Value::Null, &create(&spec(rule))).expect("judged").drafts
}

/// Every field found, with the ports.
fn found(rule: &Value) -> Vec<String> {
    judged(rule).into_iter().map(|draft| format!("{} {}", draft.field, draft.evidence.ports.join(" "))).collect()
}

#[rstest]
#[case::ssh_to_addresses(json!({"from": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": [{"port": 22}]}),
    &["spec.ingress[0].from[0] TCP/22"])]
#[case::to_another_namespace(
    json!({"from": [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {"team": "b"}}}],
           "ports": [{"port": 5432}]}), &["spec.ingress[0].from[1] TCP/5432"])]
#[case::to_pods_of_another_namespace(
    json!({"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}},
                     "podSelector": {"matchLabels": {"app": "api"}}}], "ports": [{"port": 6379}]}),
    &["spec.ingress[0].from[0] TCP/6379"])]
#[case::to_every_namespace(json!({"from": [{"namespaceSelector": {}}], "ports": [{"port": 3389}]}),
    &["spec.ingress[0].from[0] TCP/3389"])]
#[case::own_and_another(
    json!({"from": [{"namespaceSelector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [NAMESPACE, "other"]}]}}],
        "ports": [{"port": 22}]}), &["spec.ingress[0].from[0] TCP/22"])]
#[case::to_everybody(json!({"ports": [{"port": 22}, {"port": 80}]}), &["spec.ingress[0] TCP/22"])]
#[case::in_a_range(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 1000, "endPort": 2000}]}),
    &["spec.ingress[0].from[0] TCP/1433 TCP/1521"])]
#[case::all_ports(json!({"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}]}), &[
    "spec.ingress[0].from[0] TCP/22 TCP/1433 TCP/1521 TCP/3306 TCP/3389 TCP/5432 TCP/6379 TCP/27017"])]
fn is_found(#[case] rule: Value, #[case] expected: &[&str]) {
    assert_eq!(found(&rule), expected);
}

#[rstest]
#[case::within_the_namespace(json!({"from": [{"podSelector": {}}], "ports": [{"port": 22}]}))]
#[case::the_namespace_by_name(
    json!({"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}],
           "ports": [{"port": 22}]}))]
#[case::the_namespace_by_expression(
    json!({"from": [{"namespaceSelector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [NAMESPACE]}]}}], "ports": [{"port": 22}]}))]
#[case::another_port(json!({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}))]
#[case::another_protocol(json!({"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 22}]}))]
#[case::by_name(json!({"from": [{"namespaceSelector": {}}], "ports": [{"port": "ssh"}]}))]
#[case::beside_it(json!({"from": [{"namespaceSelector": {}}], "ports": [{"port": 23, "endPort": 1432}]}))]
#[case::nobody(
    json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9", "10.128.0.0/9"]}}],
           "ports": [{"port": 22}]}))]
fn is_not_found(#[case] rule: Value) {
    assert_eq!(found(&rule), [""; 0]);
}

#[test]
fn both_directions_are_judged_where_they_have_an_effect() {
    let egress = json!({"podSelector": {}, "policyTypes": ["Egress"],
        "ingress": [{"ports": [{"port": 22}]}],
        "egress": [{"to": [{"ipBlock": {"cidr": "198.51.100.7/32"}}], "ports": [{"port": 22}]}]});
    assert_eq!(fields(RULE, &Value::Null, &create(&egress)), ["spec.egress[0].to[0]"]);
    assert_eq!(fields(RULE, &json!({"directions": ["Ingress"]}), &create(&egress)), [""; 0]);
}

#[test]
fn the_ports_are_a_parameter() {
    let vnc = create(&spec(&json!({"ports": [{"port": 5901}]})));
    assert_eq!(fields(RULE, &Value::Null, &vnc), [""; 0]);
    assert_eq!(fields(RULE, &json!({"ports": ["TCP/5900-5999"]}), &vnc), ["spec.ingress[0]"]);
    for wrong in [json!({"ports": []}), json!({"ports": ["22"]}), json!({"directions": []})] {
        assert!(find(RULE).expect("the rule").bind(&wrong, &Groups::builtin()).is_err(), "{wrong}");
    }
}

#[test]
fn an_update_answers_for_the_ports_and_peers_it_adds() {
    let extents = |rule: Value| -> Vec<_> { judged(&rule).into_iter().flat_map(|draft| draft.extents).collect() };
    let team = |team: &str| json!({"namespaceSelector": {"matchLabels": {"team": team}}});
    let old = extents(json!({"from": [team("a")], "ports": [{"port": 22}, {"port": 5432}]}));
    assert_eq!(contained(&extents(json!({"from": [team("a")], "ports": [{"port": 22}]})), &old), Some(true));
    assert_eq!(contained(&extents(json!({"from": [team("b")], "ports": [{"port": 22}]})), &old), Some(false));
    assert_eq!(contained(&extents(json!({"from": [team("a")]})), &old), Some(false));
    let gone = change("x", Some(&spec(&json!({"ports": [{"port": 22}]}))), None);
    assert_eq!(drafts(RULE, &Value::Null, &gone).expect("judged").drafts, []);
}

#[test]
fn the_message_names_ports_and_peer() {
    let message = |rule: Value| judged(&rule)[0].message.clone();
    let team = json!({"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}], "ports": [{"port": 22}]});
    assert_eq!(message(team), "opens TCP/22 to namespaces with team=b; forbidden beyond namespace shop");
    let all = json!({"from": [{"namespaceSelector": {}}], "ports": [{"port": 22}]});
    assert_eq!(message(all), "opens TCP/22 to every namespace; forbidden beyond namespace shop");
}
