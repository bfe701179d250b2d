use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use crate::inventory::Inventory;
use crate::netpol::pod::{Pod, PodKind};
use crate::netpol::selector::Labels;
use crate::object::Subject;
use crate::rules::tests::{NAMESPACE, change, create, drafts_in, inventory};

const RULE: &str = "no-effect";

fn app(value: &str) -> Value {
    json!({"matchLabels": {"app": value}})
}

fn ingress(pods: &Value, rules: &Value) -> Value {
    json!({"podSelector": pods, "policyTypes": ["Ingress"], "ingress": rules})
}

fn from(cidr: &str) -> Value {
    json!({"from": [{"ipBlock": {"cidr": cidr}}]})
}

fn deny() -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
}

fn fields(inventory: &Inventory, subject: &Subject) -> Vec<String> {
    let outcome = drafts_in(inventory, RULE, &Value::Null, subject).expect("judged");
    outcome.drafts.into_iter().map(|draft| draft.field).collect()
}

#[rstest]
#[case::isolates_what_is_isolated(&[("d", deny())], ingress(&app("a"), &json!([])), &["spec"])]
#[case::the_same_under_a_greater_name(
    &[("d", ingress(&app("a"), &json!([from("10.0.0.0/8")])))], ingress(&app("a"), &json!([from("10.0.0.0/8")])), &["spec"])]
#[case::within_two_others(
    &[("a", ingress(&json!({}), &json!([from("10.0.0.0/9")]))), ("b", ingress(&json!({}), &json!([from("10.128.0.0/9")])))],
    ingress(&app("a"), &json!([from("10.0.0.0/8")])), &["spec"])]
#[case::a_rule_within_another(&[], ingress(&app("a"), &json!([from("10.1.0.0/16"), from("10.0.0.0/8")])), &["spec.ingress[0]"])]
#[case::a_rule_twice(&[], ingress(&app("a"), &json!([from("10.0.0.0/8"), from("10.0.0.0/8")])), &["spec.ingress[1]"])]
#[case::a_rule_of_another_policy(
    &[("d", ingress(&json!({}), &json!([from("10.0.0.0/8")])))],
    ingress(&app("a"), &json!([from("192.168.0.0/16"), from("10.1.0.0/16")])), &["spec.ingress[1]"])]
#[case::own_namespace_by_its_name(
    &[("d", ingress(&json!({}), &json!([{"from": [{"podSelector": {}}]}])))],
    ingress(&app("a"), &json!([{"from": [{"podSelector": app("b"),
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}]}])), &["spec"])]
#[case::a_selector_nobody_satisfies(
    &[], ingress(&json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}), &json!([{}])),
    &["spec.podSelector"])]
#[case::matched_by_expressions(
    &[("d", ingress(&json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}), &json!([{}]))),
      ("e", ingress(&json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}), &json!([{}])))],
    ingress(&json!({}), &json!([from("0.0.0.0/0")])), &["spec"])]
fn what_adds_nothing_is_found(#[case] there: &[(&str, Value)], #[case] spec: Value, #[case] expected: &[&str]) {
    assert_eq!(fields(&inventory(there), &create(&spec)), expected);
}

#[rstest]
#[case::a_strict_default_deny(&[("d", deny())], deny())]
#[case::a_strict_default_deny_of_one_direction(&[("d", deny())], json!({"podSelector": {}, "policyTypes": ["Egress"]}))]
#[case::alone(&[], ingress(&app("a"), &json!([from("10.0.0.0/8")])))]
#[case::it_alone_isolates(&[("d", json!({"podSelector": {}, "policyTypes": ["Egress"]}))], ingress(&app("a"), &json!([])))]
#[case::wider_than_the_others(
    &[("d", ingress(&json!({}), &json!([from("10.0.0.0/9")])))], ingress(&app("a"), &json!([from("10.0.0.0/8")])))]
#[case::other_ports(
    &[("d", ingress(&json!({}), &json!([{"ports": [{"port": 80}]}])))], ingress(&app("a"), &json!([{"ports": [{"port": "http"}]}])))]
#[case::addresses_are_not_pods(
    &[("d", ingress(&json!({}), &json!([from("0.0.0.0/0"), from("::/0")])))],
    ingress(&app("a"), &json!([{"from": [{"podSelector": {}}]}])))]
#[case::the_other_direction(
    &[("d", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}))], ingress(&app("a"), &json!([{}])))]
#[case::pods_of_other_namespaces(
    &[("d", ingress(&json!({}), &json!([{"from": [{"podSelector": {}}]}])))],
    ingress(&app("a"), &json!([{"from": [{"namespaceSelector": {}, "podSelector": app("b")}]}])))]
#[case::the_same_under_a_lesser_name(&[("z", ingress(&app("a"), &json!([{}])))], ingress(&app("a"), &json!([{}])))]
fn what_adds_something_passes(#[case] there: &[(&str, Value)], #[case] spec: Value) {
    assert_eq!(fields(&inventory(there), &create(&spec)), [""; 0]);
}

#[test]
fn a_policy_of_another_namespace_does_not_count() {
    let mut elsewhere = Inventory::default();
    let all = inventory(&[("d", deny())]).namespace(NAMESPACE).policies.clone();
    elsewhere.update("other", |state| state.policies = all);
    assert_eq!(fields(&elsewhere, &create(&ingress(&app("a"), &json!([])))), [""; 0]);
}

fn pod(namespace: &str, name: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        kind: PodKind::Pod,
        name: name.to_owned(),
        labels: Labels::from([("app".to_owned(), name.to_owned())]),
        ports: Vec::new(),
        host_network: false,
        addresses: Vec::new(),
        controller: None,
    }
}

fn put_pod(there: &mut Inventory, namespace: &str, name: &str) {
    let pod = Arc::new(pod(namespace, name));
    there.update(namespace, |state| drop(state.pods.insert((name.to_owned(), PodKind::Pod), pod)));
}

fn named(name: &str, pods: &Value) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}, "podSelector": pods})
}

/// `web` has pods, `empty` is there, and nothing else but the policy's own namespace.
#[rstest]
#[case::pods_that_it_has(named("web", &app("front")), None)]
#[case::pods_that_it_has_not(named("web", &app("frnt")), Some("podSelector"))]
#[case::all_of_its_pods(named("web", &json!({})), None)]
#[case::a_namespace_without_known_pods(named("empty", &app("front")), None)]
#[case::either_of_two(
    json!({"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In",
        "values": ["web", "empty"]}]}, "podSelector": app("frnt")}), None)]
#[case::a_namespace_that_is_not_there(named("wep", &json!({})), Some("namespaceSelector"))]
#[case::a_label_that_none_bears(json!({"namespaceSelector": {"matchLabels": {"name": "web"}}}), Some("namespaceSelector"))]
#[case::a_label_that_one_bears(json!({"namespaceSelector": {"matchLabels": {"tier": "front"}}}), None)]
#[case::a_label_that_is_asked_not_to_be(
    json!({"namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, "podSelector": app("frnt")}), None)]
fn peers_elsewhere_are_held_against_what_is_known(#[case] peer: Value, #[case] key: Option<&str>) {
    let mut there = Inventory::default();
    put_pod(&mut there, NAMESPACE, "a");
    put_pod(&mut there, "web", "front");
    there.update("empty", |_| {});
    there.update("web", |state| drop(state.labels.insert("tier".to_owned(), "front".to_owned())));
    let subject = create(&ingress(&app("a"), &json!([{"from": [peer]}])));
    let field = |key: &str| format!("spec.ingress[0].from[0].{key}");
    assert_eq!(fields(&there.clone().taken_for_whole(), &subject), key.map(field).into_iter().collect::<Vec<_>>());
    // In part of a cluster other namespaces may be there.
    let known = key.filter(|key| *key == "podSelector");
    assert_eq!(fields(&there, &subject), known.map(field).into_iter().collect::<Vec<_>>());
    assert_eq!(fields(&there.taken_for_whole().with_pods_in_doubt("old".to_owned()), &subject), [""; 0]);
}

#[test]
fn selectors_are_held_against_the_pods_where_they_are_known() {
    let mut there = Inventory::default();
    let spec = ingress(
        &app("api"),
        &json!([{"from": [{"podSelector": app("web")}, {"podSelector": app("wep")},
        {"namespaceSelector": {}, "podSelector": app("far")}]}]),
    );
    assert_eq!(fields(&there, &create(&spec)), [""; 0]);
    put_pod(&mut there, NAMESPACE, "web");
    assert_eq!(fields(&there, &create(&spec)), ["spec.podSelector", "spec.ingress[0].from[1].podSelector"]);
    assert_eq!(fields(&there, &create(&deny())), [""; 0]);
    let doubted = there.with_pods_in_doubt("the watch of pods is behind".to_owned());
    assert_eq!(fields(&doubted, &create(&spec)), [""; 0]);
}

#[test]
fn what_says_it_already_is_named() {
    let message = |there: &[(&str, Value)], rules: &Value| {
        let outcome = drafts_in(&inventory(there), RULE, &Value::Null, &create(&ingress(&app("a"), rules)));
        outcome.expect("judged").drafts.into_iter().map(|draft| draft.message).collect::<Vec<_>>()
    };
    let wide = ("wide", ingress(&json!({}), &json!([from("10.0.0.0/8")])));
    let named = message(std::slice::from_ref(&wide), &json!([from("10.1.0.0/16")]));
    assert_eq!(named, ["isolates and allows nothing that policy wide does not"]);
    let rules = json!([from("192.168.0.0/16"), from("10.1.0.0/16"), from("192.168.1.0/24")]);
    let expected = ["allows nothing that policy wide does not", "allows nothing that ingress[0] does not"];
    assert_eq!(message(&[wide], &rules), expected);
}

#[test]
fn what_an_update_leaves_as_it_was_never_denies() {
    let (one, twice) = (json!([from("10.0.0.0/8")]), json!([from("10.0.0.0/8"), from("10.0.0.0/8")]));
    let (one, twice) = (ingress(&app("a"), &one), ingress(&app("a"), &twice));
    let as_before = |subject: &Subject| {
        let outcome = drafts_in(&Inventory::default(), RULE, &Value::Null, subject).expect("judged");
        outcome.drafts.first().map(|draft| draft.as_before)
    };
    assert_eq!(as_before(&change("x", Some(&twice), Some(&twice))), Some(true));
    assert_eq!(as_before(&change("x", Some(&one), Some(&twice))), Some(false));
    assert_eq!(as_before(&change("x", Some(&twice), Some(&one))), None);
    assert_eq!(as_before(&change("x", Some(&twice), None)), None);
    // Wherever it stands, and in a policy that had no effect at all.
    let narrow = |rules: &Value| ingress(&app("a"), rules);
    let (before, after) =
        (json!([from("10.1.0.0/16"), from("10.0.0.0/8")]), json!([from("10.0.0.0/8"), from("10.1.0.0/16")]));
    assert_eq!(as_before(&change("x", Some(&narrow(&before)), Some(&narrow(&after)))), Some(true));
    let peers = |first: &str, second: &str| {
        narrow(&json!([{}, {"from": [{"podSelector": app(first)}, {"podSelector": app(second)}]}]))
    };
    assert_eq!(as_before(&change("x", Some(&peers("b", "c")), Some(&peers("c", "b")))), Some(true));
}
