use rstest::rstest;
use serde_json::{Value, json};

use crate::finding::Level;
use crate::rules::peers::tests::levels;
use crate::rules::tests::{change, create, drafts, fields};

const RULE: &str = "split-rule";

fn ingress(rules: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules})
}

fn egress(rules: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules})
}

#[rstest]
#[case::two(ingress(&json!([{"from": [{"podSelector": {}}]}, {"ports": [{"port": 80}]}])), &["spec.ingress[1]"])]
#[case::the_other_order(ingress(&json!([{"ports": [{"port": 80}]}, {"from": [{"podSelector": {}}]}])), &["spec.ingress[1]"])]
#[case::a_block(ingress(&json!([{"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}, {"from": [], "ports": [{"port": "http"}]}])),
    &["spec.ingress[1]"])]
#[case::a_whole_protocol(ingress(&json!([{"from": [{"namespaceSelector": {}}]}, {"ports": [{"protocol": "TCP"}]}])),
    &["spec.ingress[1]"])]
#[case::egress_too(egress(&json!([{"to": [{"podSelector": {}}]}, {"ports": [{"port": 443}]}])), &["spec.egress[1]"])]
#[case::more_than_lookups(egress(&json!([{"to": [{"podSelector": {}}]}, {"ports": [{"port": 53}, {"port": 443}]}])),
    &["spec.egress[1]"])]
#[case::lookups_inwards(ingress(&json!([{"from": [{"podSelector": {}}]}, {"ports": [{"port": 53}]}])), &["spec.ingress[1]"])]
#[case::every_port_spelt_out(
    ingress(&json!([{"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP"}, {"protocol": "UDP"}, {"protocol": "SCTP"}]},
        {"ports": [{"port": 80}]}])), &["spec.ingress[1]"])]
#[case::no_rule_twice(
    ingress(&json!([{"from": [{"podSelector": {}}]}, {"ports": [{"port": 80}]}, {"from": [{"podSelector": {}}]}])),
    &["spec.ingress[1]"])]
#[case::one_rule(ingress(&json!([{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}])), &[])]
#[case::ports_twice(ingress(&json!([{"ports": [{"port": 80}]}, {"ports": [{"port": 81}]}])), &[])]
#[case::peers_twice(ingress(&json!([{"from": [{"podSelector": {}}]}, {"from": [{"namespaceSelector": {}}]}])), &[])]
#[case::peers_with_ports(
    ingress(&json!([{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}, {"ports": [{"port": 443}]}])), &[])]
#[case::lookups(egress(&json!([{"to": [{"podSelector": {}}]}, {"ports": [{"protocol": "UDP", "port": 53}, {"port": 53}]}])), &[])]
#[case::everything(ingress(&json!([{"from": [{"podSelector": {}}]}, {}])), &[])]
#[case::another_between(
    ingress(&json!([{"from": [{"podSelector": {}}]}, {"from": [{"podSelector": {}}], "ports": [{"port": 80}]}, {"ports": [{"port": 81}]}])),
    &[])]
#[case::two_directions(
    json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}], "egress": [{"ports": [{"port": 80}]}]}), &[])]
#[case::without_effect(
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"to": [{"podSelector": {}}]}, {"ports": [{"port": 80}]}]}),
    &[])]
fn lists(#[case] spec: Value, #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &Value::Null, &create(&spec)), found);
}

#[test]
fn the_message_names_both_and_the_repair_is_the_rule() {
    let web = json!({"podSelector": {"matchLabels": {"app": "web"}}});
    let outcome = drafts(RULE, &Value::Null, &create(&ingress(&json!([{"from": [web]}, {"ports": [{"port": 80}]}]))));
    let outcome = outcome.expect("judged");
    let [draft] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    assert_eq!(
        draft.message,
        "ingress[1] opens TCP/80 to every peer, and ingress[0] every port to its own: they are two rules"
    );
    assert_eq!(
        draft.help,
        "to open those ports to those peers write one rule: \
         `- {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{protocol: TCP, port: 80}]}`"
    );
    let many: Vec<Value> = (0..20).map(|i| json!({"ipBlock": {"cidr": format!("192.0.2.{i}/32")}})).collect();
    let outcome = drafts(RULE, &Value::Null, &create(&ingress(&json!([{"from": many}, {"ports": [{"port": 80}]}]))));
    assert!(outcome.expect("judged").drafts[0].help.ends_with("write both into one rule"));
}

#[test]
fn an_update_answers_for_what_it_opens() {
    let rules =
        |port: u16, cidr: &str| ingress(&json!([{"from": [{"ipBlock": {"cidr": cidr}}]}, {"ports": [{"port": port}]}]));
    let bad = rules(80, "192.0.2.0/24");
    assert_eq!(levels(RULE, None, Some(&bad)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&bad)), [Level::Warn]);
    assert_eq!(levels(RULE, Some(&bad), Some(&rules(80, "192.0.2.0/25"))), [Level::Warn]);
    assert_eq!(levels(RULE, Some(&bad), Some(&rules(81, "192.0.2.0/24"))), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&rules(80, "192.0.2.0/23"))), [Level::Deny]);
    let ports_alone = ingress(&json!([{"ports": [{"port": 80}]}]));
    assert_eq!(levels(RULE, Some(&ports_alone), Some(&bad)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&ports_alone)), []);
    assert_eq!(fields(RULE, &Value::Null, &change("x", Some(&bad), None)), [""; 0]);
}
