use rstest::rstest;
use serde_json::{Value, json};

use crate::finding::Level;
use crate::netpol::extent::contained;
use crate::netpol::groups::Groups;
use crate::rules::tests::{change, create, drafts};
use crate::rules::{Draft, find};

const RULE: &str = "ingress-from-anywhere";

fn spec(ingress: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress})
}

fn judged(params: &Value, spec: &Value) -> Vec<Draft> {
    drafts(RULE, params, &create(spec)).expect("judged").drafts
}

/// The fields found, each with the blocks that prove it.
fn found(params: &Value, ingress: &Value) -> Vec<String> {
    let shown = |draft: Draft| {
        let cidrs: Vec<String> = draft.evidence.cidrs.iter().map(ToString::to_string).collect();
        let field = draft.field.trim_start_matches("spec.ingress").trim_end_matches(".ipBlock").to_owned();
        format!("{field} {}", cidrs.join(" "))
    };
    judged(params, &spec(ingress)).into_iter().map(shown).collect()
}

fn block(cidr: &str) -> Value {
    json!({"ipBlock": {"cidr": cidr}})
}

#[rstest]
#[case::everything(json!([{"from": [block("0.0.0.0/0")]}]), &["[0].from[0] 0.0.0.0/0"])]
#[case::everything_v6(json!([{"from": [block("::/0")], "ports": [{"port": 80}]}]), &["[0].from[0] ::/0"])]
#[case::halves(json!([{"from": [block("0.0.0.0/1"), block("128.0.0.0/1")]}]),
    &["[0].from[0] 0.0.0.0/1", "[0].from[1] 128.0.0.0/1"])]
#[case::one_wider_than_allowed(json!([{"from": [block("12.0.0.0/7")]}]), &["[0].from[0] 12.0.0.0/7"])]
#[case::global_unicast(json!([{"from": [block("2000::/3")]}]), &["[0].from[0] 2000::/3"])]
#[case::host_bits(json!([{"from": [block("203.0.113.7/0")]}]), &["[0].from[0] 0.0.0.0/0"])]
#[case::mapped(json!([{"from": [block("::ffff:0.0.0.0/96")]}]), &["[0].from[0] 0.0.0.0/0"])]
#[case::with_excepts(json!([{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["128.0.0.0/1", "64.0.0.0/2"]}}]}]),
    &["[0].from[0] 0.0.0.0/2"])]
#[case::neighbours_together(json!([{"from": [block("8.0.0.0/8")]}, {"from": [block("9.0.0.0/8")]}]),
    &["[0].from[0] 8.0.0.0/7", "[1].from[0] 8.0.0.0/7"])]
#[case::neighbours_on_a_port_in_common(
    json!([{"from": [block("8.0.0.0/8")], "ports": [{"port": 80}, {"port": 443}]},
           {"from": [block("9.0.0.0/8")], "ports": [{"port": 443, "endPort": 444}]}]),
    &["[0].from[0] 8.0.0.0/7", "[1].from[0] 8.0.0.0/7"])]
#[case::a_small_one_beside_it_is_not_to_blame(json!([{"from": [block("10.0.0.0/8"), block("0.0.0.0/0")]}]),
    &["[0].from[1] 0.0.0.0/0"])]
#[case::one_grows_by_another(json!([{"from": [block("8.0.0.0/6"), block("12.0.0.0/8"), block("13.0.0.0/8")]}]),
    &["[0].from[0] 8.0.0.0/6", "[0].from[1] 12.0.0.0/7", "[0].from[2] 12.0.0.0/7"])]
#[case::beside_pods(json!([{"from": [{"podSelector": {}}, block("0.0.0.0/0")]}]), &["[0].from[1] 0.0.0.0/0"])]
fn is_found(#[case] ingress: Value, #[case] expected: &[&str]) {
    assert_eq!(found(&Value::Null, &ingress), expected);
}

#[rstest]
#[case::as_wide_as_allowed(json!([{"from": [block("10.0.0.0/8"), block("fd00::/16")]}]))]
#[case::private_ranges(json!([{"from": [block("10.0.0.0/8"), block("172.16.0.0/12"), block("192.168.0.0/16")]}]))]
#[case::neighbours_that_make_no_block(json!([{"from": [block("9.0.0.0/8"), block("10.0.0.0/8")]}]))]
#[case::neighbours_on_other_ports(
    json!([{"from": [block("8.0.0.0/8")], "ports": [{"port": 80}]},
           {"from": [block("9.0.0.0/8")], "ports": [{"port": 443}, {"protocol": "UDP", "port": 80}]}]))]
#[case::ports_in_common_only_pairwise(
    json!([{"from": [block("8.0.0.0/9")], "ports": [{"port": 1}, {"port": 2}]},
           {"from": [block("8.128.0.0/9")], "ports": [{"port": 2}, {"port": 3}]},
           {"from": [block("9.0.0.0/8")], "ports": [{"port": 1}, {"port": 3}]}]))]
#[case::excepted(
    json!([{"from": [{"ipBlock": {"cidr": "0.0.0.0/6", "except": ["0.0.0.0/7", "2.0.0.0/8"]}}]}]))]
#[case::pods_of_every_namespace(json!([{"from": [{"namespaceSelector": {}}]}]))]
#[case::no_from(json!([{"ports": [{"port": 443}]}]))]
#[case::no_rules(json!([]))]
fn is_not_found(#[case] ingress: Value) {
    assert_eq!(found(&Value::Null, &ingress), [""; 0]);
}

#[test]
fn only_rules_in_effect_count() {
    let without_effect = json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{"from": [block("::/0")]}]});
    let egress = json!({"podSelector": {}, "egress": [{"to": [block("0.0.0.0/0")]}]});
    for spec in [without_effect, egress] {
        assert_eq!(judged(&Value::Null, &spec), [], "{spec}");
    }
    let by_expression = json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        "ingress": [{"from": [block("0.0.0.0/0")]}]});
    assert_eq!(judged(&Value::Null, &by_expression).len(), 1);
}

#[test]
fn parameters_say_what_is_allowed() {
    let open = |ports: Value| json!([{"from": [block("0.0.0.0/0"), block("::/0")], "ports": ports}]);
    let https = open(json!([{"port": 443}]));
    assert_eq!(found(&json!({"ports": ["TCP/443"]}), &https), [""; 0]);
    assert_eq!(found(&json!({"ports": ["UDP/443"]}), &https).len(), 2);
    let two = judged(&json!({"ports": ["TCP/443"]}), &spec(&open(json!([{"port": 443}, {"port": 22}]))));
    assert_eq!(two[0].evidence.ports, ["TCP/22"]);
    assert_eq!(found(&json!({"maxPrefixV4": 0}), &https), ["[0].from[1] ::/0"]);
    assert_eq!(found(&json!({"maxPrefixV4": 0, "maxPrefixV6": 0}), &https), [""; 0]);
    let narrow = json!([{"from": [block("198.51.100.0/24")]}]);
    assert_eq!(found(&json!({"maxPrefixV4": 25}), &narrow), ["[0].from[0] 198.51.100.0/24"]);
    for wrong in [json!({"maxPrefixV4": 33}), json!({"maxPrefixV6": 129}), json!({"ports": ["443"]})] {
        assert!(find(RULE).expect("the rule").bind(&wrong, &Groups::builtin()).is_err(), "{wrong}");
    }
}

#[test]
fn the_message_says_who_gets_in_and_where() {
    let ingress = json!([{"from": [block("8.0.0.0/8"), block("9.0.0.0/8")], "ports": [{"port": 22}]}]);
    let drafts = judged(&Value::Null, &spec(&ingress));
    assert_eq!(drafts[0].message, "helps to let 8.0.0.0/7 in on TCP/22, with the other blocks");
    assert_eq!(drafts[0].at_most, Level::Deny);
    let alone = judged(&Value::Null, &spec(&json!([{"from": [block("::/0")]}])));
    assert_eq!(alone[0].message, "lets ::/0 in on all ports");
}

#[test]
fn an_update_answers_for_what_it_widens() {
    let extents = |ingress: Value| -> Vec<_> {
        judged(&Value::Null, &spec(&ingress)).into_iter().flat_map(|draft| draft.extents).collect()
    };
    let old = extents(json!([{"from": [block("0.0.0.0/0")], "ports": [{"port": 443}]}]));
    let halves = extents(json!([{"from": [block("0.0.0.0/1"), block("128.0.0.0/1")], "ports": [{"port": 443}]}]));
    let more = extents(json!([{"from": [block("0.0.0.0/0")], "ports": [{"port": 443}, {"port": 22}]}]));
    assert_eq!(contained(&halves, &old), Some(true));
    assert_eq!(contained(&more, &old), Some(false));
    let gone = change("x", Some(&spec(&json!([{"from": [block("0.0.0.0/0")]}]))), None);
    assert_eq!(drafts(RULE, &Value::Null, &gone).expect("judged").drafts, []);
}

/// Rules with a port each multiply the sets to tell apart; beyond the bound they count together.
#[test]
fn thousands_of_ports_are_no_danger() {
    let rule = |i: u16| json!({"from": [block(&format!("{}.0.0.0/8", 8 + i % 2))], "ports": [{"port": i + 1}]});
    let ingress: Vec<Value> = (0..3000).map(rule).collect();
    assert_eq!(found(&Value::Null, &json!(ingress)).len(), 3000);
    assert_eq!(found(&Value::Null, &json!(ingress[..100])), [""; 0]);
}
