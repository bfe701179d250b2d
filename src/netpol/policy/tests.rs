use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::netpol::selector::Labels;

fn parse(spec: &Value) -> Result<NetworkPolicy, Vec<SpecProblem>> {
    NetworkPolicy::parse("shop", "x", spec)
}

fn spec(spec: &Value) -> PolicySpec {
    parse(spec).expect("a valid spec").spec
}

fn refusal(spec: &Value) -> String {
    parse(spec).expect_err("an invalid spec").iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[rstest]
#[case::nothing_written(json!({"podSelector": {}}), true, false)]
#[case::egress_rules(json!({"podSelector": {}, "egress": [{}]}), true, true)]
#[case::empty_egress(json!({"podSelector": {}, "egress": []}), true, false)]
#[case::null_egress(json!({"podSelector": {}, "egress": null}), true, false)]
#[case::egress_only(json!({"podSelector": {}, "policyTypes": ["Egress"]}), false, true)]
#[case::types_win_over_rules(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}), true, false)]
#[case::empty_types(json!({"podSelector": {}, "policyTypes": [], "egress": [{}]}), true, true)]
#[case::no_spec_at_all(Value::Null, true, false)]
fn types_are_defaulted_as_the_api_server_does(#[case] value: Value, #[case] ingress: bool, #[case] egress: bool) {
    let spec = spec(&value);
    assert_eq!((spec.isolates_ingress, spec.isolates_egress), (ingress, egress));
}

#[test]
fn rules_without_their_type_have_no_effect() {
    let spec = spec(&json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}));
    assert!(spec.rules(Direction::Egress).is_empty() && spec.is_pure_isolation());
}

#[test]
fn absent_and_empty_lists_mean_everything() {
    let rules = spec(&json!({"ingress": [{}, {"from": [], "ports": []}, null, {"from": null, "ports": null}]})).ingress;
    assert!(rules.len() == 4 && rules.iter().all(PolicyRule::allows_everything), "{rules:?}");
}

#[test]
fn peers_keep_their_meaning_and_their_order() {
    let mut spec = spec(&json!({"ingress": [{"from": [
        {"podSelector": {}},
        {"namespaceSelector": {}},
        {"namespaceSelector": {"matchLabels": {"a": "1"}}, "podSelector": {"matchLabels": {"b": "2"}}},
        {"ipBlock": {"cidr": "10.1.2.3/8", "except": ["10.1.0.0/16"]}},
    ]}]}));
    let any = Some(Selector::everything());
    let expected = vec![
        Peer::Pods { namespace: None, pod: any.clone() },
        Peer::Pods { namespace: any, pod: None },
        Peer::Pods { namespace: Some(Selector::labels([("a", "1")])), pod: Some(Selector::labels([("b", "2")])) },
        Peer::IpBlock {
            cidr: "10.0.0.0/8".parse().expect("a block"),
            except: vec!["10.1.0.0/16".parse().expect("a block")],
        },
    ];
    assert_eq!(spec.ingress.remove(0).peers, expected);
}

#[test]
fn ports_are_sets() {
    let rules = spec(&json!({"egress": [{"ports": [
        {"port": 443}, {"protocol": "UDP", "port": 30000, "endPort": 32767}, {"port": "http"}, {"protocol": "SCTP"},
    ]}]}))
    .egress;
    assert_eq!(rules[0].ports.to_string(), "TCP/443, UDP/30000-32767, SCTP/*, TCP/http");
}

#[test]
fn expressions_are_read() {
    let selector = spec(&json!({"podSelector": {"matchLabels": {"app.kubernetes.io/name": "a"}, "matchExpressions": [
        {"key": "tier", "operator": "NotIn", "values": ["db"]},
        {"key": "old", "operator": "DoesNotExist", "values": []},
    ]}}))
    .pod_selector;
    let labels = |pairs: &[(&str, &str)]| -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    assert!(selector.matches(&labels(&[("app.kubernetes.io/name", "a")])));
    assert!(!selector.matches(&labels(&[("app.kubernetes.io/name", "a"), ("tier", "db")])));
    assert!(!selector.matches(&labels(&[("app.kubernetes.io/name", "a"), ("old", "")])));
}

/// A key dropped in silence could turn "only these" into "everyone".
#[rstest]
#[case::of_the_spec(json!({"podSelectors": {}}), "spec.podSelectors: unknown field")]
#[case::of_a_rule(json!({"egress": [{"from": []}]}), "spec.egress[0].from: unknown field")]
#[case::of_a_peer(json!({"egress": [{"to": [{"fqdns": ["example.com"]}]}]}), "spec.egress[0].to[0].fqdns: unknown field")]
#[case::of_a_block(json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "not": []}}]}]}), "ipBlock.not: unknown")]
#[case::of_a_port(json!({"ingress": [{"ports": [{"ports": 1}]}]}), "spec.ingress[0].ports[0].ports: unknown field")]
#[case::of_a_selector(json!({"podSelector": {"matchFields": []}}), "spec.podSelector.matchFields: unknown field")]
#[case::of_a_requirement(
    json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "value": "x"}]}}),
    "spec.podSelector.matchExpressions[0].value: unknown field")]
#[case::in_capitals(json!({"PodSelector": {}}), "spec.PodSelector: unknown field")]
fn unknown_fields_are_named(#[case] value: Value, #[case] told: &str) {
    let problems = parse(&value).expect_err("an unknown field");
    assert!(problems.iter().any(|problem| problem.unknown), "{problems:?}");
    assert!(refusal(&value).contains(told), "{}", refusal(&value));
}

#[rstest]
#[case::empty_peer(json!({"ingress": [{"from": [{}]}]}), "spec.ingress[0].from[0]: must name an ipBlock")]
#[case::block_beside_selector(
    json!({"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]}), "may not stand beside")]
#[case::bad_cidr(json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}), "spec.egress[0].to[0].ipBlock.cidr: ")]
#[case::no_cidr(json!({"egress": [{"to": [{"ipBlock": {}}]}]}), "spec.egress[0].to[0].ipBlock.cidr: ")]
#[case::except_outside(
    json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]}),
    "spec.egress[0].to[0].ipBlock.except[0]: must lie strictly inside")]
#[case::except_all(
    json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}]}), "strictly inside")]
#[case::except_of_the_other_family(
    json!({"egress": [{"to": [{"ipBlock": {"cidr": "::/0", "except": ["10.0.0.0/8"]}}]}]}), "strictly inside")]
#[case::port_zero(json!({"ingress": [{"ports": [{"port": 0}]}]}), "spec.ingress[0].ports[0].port: 0 is outside")]
#[case::port_too_large(json!({"ingress": [{"ports": [{"port": 65536}]}]}), "is outside 1 to 65535")]
#[case::port_negative(json!({"ingress": [{"ports": [{"port": -1}]}]}), "is outside")]
#[case::port_as_text(json!({"ingress": [{"ports": [{"port": "80"}]}]}), "neither a number nor a port name")]
#[case::port_in_quotes(json!({"egress": [{"ports": [{"port": "8125"}]}]}), "write a number without quotes")]
#[case::a_label_y_without_quotes(json!({"podSelector": {"matchLabels": {"a": true}}}),
    "must be a string, not a boolean; put it in quotes")]
#[case::port_true(json!({"ingress": [{"ports": [{"port": true}]}]}), "must be a number, not a boolean")]
#[case::end_before_start(json!({"ingress": [{"ports": [{"port": 9, "endPort": 8}]}]}), "must not be below port 9")]
#[case::end_without_start(json!({"ingress": [{"ports": [{"endPort": 8}]}]}), "endPort: needs a port")]
#[case::end_of_a_name(json!({"ingress": [{"ports": [{"port": "http", "endPort": 8}]}]}), "needs a numeric port")]
#[case::protocol(json!({"ingress": [{"ports": [{"protocol": "tcp"}]}]}), "must be TCP, UDP or SCTP")]
#[case::types(json!({"policyTypes": ["ingress"]}), "spec.policyTypes[0]: must be Ingress or Egress")]
#[case::types_thrice(json!({"policyTypes": ["Ingress", "Ingress", "Egress"]}), "more than two")]
#[case::in_without_values(
    json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}), "at least one value")]
#[case::exists_with_values(
    json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}), "may not be set")]
#[case::operator(json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}}), "must be In, NotIn")]
#[case::key(json!({"podSelector": {"matchLabels": {"-a": "b"}}}), "is not a label key")]
#[case::key_prefix(json!({"podSelector": {"matchLabels": {"A/b": "b"}}}), "is not a label key")]
#[case::value(json!({"podSelector": {"matchLabels": {"a": "b c"}}}), "is not a label value")]
#[case::list_for_object(json!({"podSelector": []}), "spec.podSelector: must be an object, not a list")]
#[case::object_for_list(json!({"ingress": {}}), "spec.ingress: must be a list, not an object")]
#[case::spec_is_text(json!("x"), "spec: must be an object, not a string")]
fn what_the_api_server_refuses_is_refused(#[case] value: Value, #[case] told: &str) {
    assert!(refusal(&value).contains(told), "{}", refusal(&value));
    assert!(parse(&value).expect_err("invalid").iter().all(|problem| !problem.unknown));
}

#[test]
fn every_problem_is_told_but_not_endlessly() {
    let value = json!({"policyTypes": ["x"], "ingress": [{"from": [{}]}], "egress": [{"ports": [{"port": 0}]}]});
    assert_eq!(parse(&value).expect_err("three problems").len(), 3);
    let peers: Vec<Value> = (0..1_000).map(|_| json!({})).collect();
    assert_eq!(parse(&json!({"ingress": [{"from": peers}]})).expect_err("many").len(), 50);
}

#[test]
fn foreign_text_in_messages_is_short_and_printable() {
    let told = refusal(&json!({"policyTypes": [format!("a\n\u{1b}[31m{}", "x".repeat(500))]}));
    assert!(told.len() < 300 && !told.contains('\u{1b}') && !told.contains('\n'), "{told}");
}

#[test]
fn stored_specs_of_older_servers_are_read() {
    let spec = spec(&json!({"egress": [{"to": [
        {"ipBlock": {"cidr": "::ffff:10.0.0.0/104"}},
        {"ipBlock": {"cidr": "::/0", "except": ["::ffff:10.0.0.0/104"]}},
        {"ipBlock": {"cidr": "010.0.0.0/8"}},
    ]}]}));
    let addresses: Vec<String> =
        spec.egress[0].peers.iter().filter_map(Peer::addresses).map(|set| set.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.0/8", "::/0", "10.0.0.0/8"]);
}
