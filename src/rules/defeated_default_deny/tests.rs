use rstest::rstest;
use serde_json::{Value, json};

use crate::inventory::Inventory;
use crate::netpol::groups::Groups;
use crate::object::Subject;
use crate::rules::tests::{NAMESPACE, change, create, drafts, drafts_in, inventory};
use crate::rules::{Context, Draft, find};

const RULE: &str = "defeated-default-deny";

fn deny() -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
}

fn ingress(pods: &Value, rules: &Value) -> Value {
    json!({"podSelector": pods, "policyTypes": ["Ingress"], "ingress": rules})
}

fn from(peers: &Value) -> Value {
    ingress(&json!({}), &json!([{"from": peers}]))
}

fn everybody() -> Value {
    json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}, {"namespaceSelector": {}}])
}

fn app(operator: &str) -> Value {
    json!({"matchExpressions": [{"key": "app", "operator": operator, "values": ["a"]}]})
}

fn found(inventory: &Inventory, subject: &Subject) -> Vec<Draft> {
    let outcome = drafts_in(inventory, RULE, &Value::Null, subject).expect("judged");
    assert_eq!(outcome.confirm, !outcome.drafts.is_empty(), "a denial is confirmed, and nothing else");
    outcome.drafts
}

fn fields(there: &[(&str, Value)], subject: &Subject) -> Vec<String> {
    found(&inventory(there), subject).into_iter().map(|draft| draft.field).collect()
}

#[rstest]
#[case::a_rule_without_peers(ingress(&json!({}), &json!([{"from": [{"podSelector": {}}]}, {}])), "spec.ingress[1]")]
#[case::all_peers_named(from(&everybody()), "spec.ingress")]
#[case::halves_of_the_addresses(
    from(&json!([{"ipBlock": {"cidr": "0.0.0.0/1"}}, {"ipBlock": {"cidr": "128.0.0.0/1"}}, {"ipBlock": {"cidr": "::/0"}},
                 {"namespaceSelector": {}, "podSelector": {}}])), "spec.ingress")]
#[case::an_except_reopened(
    from(&json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}, {"ipBlock": {"cidr": "10.0.0.0/8"}},
                 {"ipBlock": {"cidr": "::/0"}}, {"namespaceSelector": {}}])), "spec.ingress")]
#[case::own_namespace_and_the_others(
    from(&json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}, {"podSelector": {}},
        {"namespaceSelector": {"matchExpressions":
            [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop"]}]}}])), "spec.ingress")]
#[case::every_port_of_every_protocol(
    ingress(&json!({}), &json!([{"ports": [{"port": 1, "endPort": 65535}]}, {"ports": [{"protocol": "UDP"}]},
        {"ports": [{"protocol": "SCTP"}]}])), "spec.ingress")]
fn one_policy_that_undoes_the_default_deny_is_found(#[case] spec: Value, #[case] field: &str) {
    assert_eq!(fields(&[("d", deny())], &create(&spec)), [field]);
}

#[rstest]
#[case::v4_only(from(&json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"namespaceSelector": {}}])))]
#[case::addresses_only(from(&json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}])))]
#[case::pods_only(from(&json!([{"namespaceSelector": {}}])))]
#[case::own_pods_and_addresses(
    from(&json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}, {"podSelector": {}}])))]
#[case::one_address_missing(
    from(&json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.1.2.3/32"]}}, {"ipBlock": {"cidr": "::/0"}},
                 {"namespaceSelector": {}}])))]
#[case::dns_only(ingress(&json!({}), &json!([{"ports": [{"protocol": "UDP", "port": 53}, {"port": 53}]}])))]
#[case::tcp_only(ingress(&json!({}), &json!([{"ports": [{"protocol": "TCP"}]}])))]
#[case::some_pods(ingress(&app("NotIn"), &json!([{}])))]
#[case::a_section_without_effect(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}))]
#[case::no_rules(deny())]
fn what_keeps_something_out_passes(#[case] spec: Value) {
    assert_eq!(fields(&[("d", deny())], &create(&spec)), [""; 0]);
}

#[test]
fn two_halves_are_found_and_the_other_one_is_named() {
    let there =
        [("d", deny()), ("noise", from(&json!([{"podSelector": {}}]))), ("rest", ingress(&app("NotIn"), &json!([{}])))];
    let drafts = found(&inventory(&there), &create(&ingress(&app("In"), &json!([{"from": everybody()}]))));
    assert_eq!(drafts.len(), 1);
    assert!(drafts[0].message.contains(" together with rest: "), "{}", drafts[0].message);
    assert_eq!(drafts[0].evidence.directions, ["Ingress"]);
}

#[test]
fn without_a_default_deny_there_is_nothing_to_undo() {
    let open = ingress(&json!({}), &json!([{}]));
    assert_eq!(fields(&[], &create(&open)), [""; 0]);
    // This one isolates every pod itself, and lets everybody in again.
    assert_eq!(fields(&[], &create(&from(&everybody()))), ["spec.ingress"]);
    let mut elsewhere = Inventory::default();
    elsewhere
        .update("other", |state| state.policies = inventory(&[("d", deny())]).namespace(NAMESPACE).policies.clone());
    assert_eq!(found(&elsewhere, &create(&open)), []);
}

#[test]
fn both_directions_and_the_parameter() {
    let open = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]});
    let there = inventory(&[("d", deny())]);
    assert_eq!(found(&there, &create(&open)).len(), 2);
    let only = drafts_in(&there, RULE, &json!({"directions": ["Egress"]}), &create(&open)).expect("judged");
    assert_eq!(only.drafts.iter().map(|draft| draft.field.as_str()).collect::<Vec<_>>(), ["spec.egress[0]"]);
    let none = find(RULE).expect("there").bind(&json!({"directions": []}), &Groups::builtin()).err();
    assert!(none.is_some_and(|error| error.param == "directions"));
}

#[test]
fn what_was_open_before_is_not_held_against_the_request() {
    let (open, narrow) = (from(&everybody()), from(&json!([{"podSelector": {}}])));
    let there = [("d", deny()), ("x", open.clone())];
    assert_eq!(fields(&there, &change("x", Some(&open), Some(&ingress(&json!({}), &json!([{}]))))), [""; 0]);
    assert_eq!(fields(&there, &change("x", Some(&open), Some(&narrow))), [""; 0]);
    assert_eq!(fields(&there, &change("x", Some(&open), None)), [""; 0]);
    assert_eq!(fields(&there, &change("y", None, Some(&open))), [""; 0]);
    assert_eq!(fields(&[("x", open.clone())], &change("d", None, Some(&deny()))), [""; 0]);
    assert_eq!(fields(&[("d", deny())], &change("x", Some(&narrow), Some(&open))), ["spec.ingress"]);
}

#[test]
fn a_bundle_names_one_policy_and_not_all() {
    let there = inventory(&[("d", deny()), ("a", from(&everybody())), ("b", from(&everybody()))]);
    let check = find(RULE).expect("there").bind(&Value::Null, &Groups::builtin()).expect("defaults");
    let told = |name: &str| {
        let subject = change(name, None, Some(&from(&everybody())));
        let around = there.overlay(&subject);
        let now = jiff::Timestamp::UNIX_EPOCH;
        let cx = Context { subject: &subject, around: &around, inventory: &there, now, bundle: true };
        check.check(&cx).expect("judged").drafts.len()
    };
    assert_eq!((told("a"), told("b")), (1, 0));
}

#[test]
fn a_policy_that_could_not_be_read_may_be_the_default_deny() {
    let mut there = Inventory::default();
    there.update(NAMESPACE, |state| {
        state.odd.insert("strange".to_owned(), "spec.podSelector: an unknown field".to_owned());
    });
    let open = create(&ingress(&json!({}), &json!([{}])));
    let unjudged = drafts_in(&there, RULE, &Value::Null, &open).expect_err("nobody can tell");
    assert!(unjudged.confirm && unjudged.reason.contains("strange"), "{}", unjudged.reason);
    assert_eq!(drafts(RULE, &Value::Null, &open).expect("judged").drafts, []);
}

#[test]
fn hundreds_of_narrow_rules_do_not_stand_in_the_way() {
    let half = |i: usize| json!({"matchExpressions": [{"key": format!("k{i}"), "operator": "In", "values": ["v"]}]});
    let slice = |i: usize| {
        json!([{"from": [{"ipBlock": {"cidr": format!("10.0.{i}.0/24")}}],
                                   "ports": [{"port": i + 1, "endPort": 60_000}]}])
    };
    let names: Vec<String> = (0..200).map(|i| format!("p{i}")).collect();
    let mut there: Vec<(&str, Value)> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), ingress(&half(i), &slice(i)))).collect();
    let rest = json!([{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/16"]}}, {"ipBlock": {"cidr": "::/0"}}]}]);
    there.push(("d", deny()));
    let outcome = drafts_in(&inventory(&there), RULE, &Value::Null, &create(&ingress(&json!({}), &rest)));
    assert!(outcome.is_ok_and(|outcome| outcome.drafts.is_empty()), "part of 10.0.0.0/16 stays shut");
}
