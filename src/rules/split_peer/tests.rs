use rstest::rstest;
use serde_json::{Value, json};

use crate::finding::Level;
use crate::rules::peers::tests::levels;
use crate::rules::tests::{change, create, drafts, fields};

const RULE: &str = "split-peer";

fn from(peers: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers, "ports": [{"port": 80}]}]})
}

fn namespaces() -> Value {
    json!({"namespaceSelector": {"matchLabels": {"team": "a"}}})
}

fn pods() -> Value {
    json!({"podSelector": {"matchLabels": {"app": "web"}}})
}

const SECOND: &str = "spec.ingress[0].from[1]";

#[rstest]
#[case::two(json!([namespaces(), pods()]), &[SECOND])]
#[case::the_other_order(json!([pods(), namespaces()]), &[SECOND])]
#[case::every_namespace(json!([{"namespaceSelector": {}}, pods()]), &[SECOND])]
#[case::expressions(json!([
    {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
    {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}}]), &[SECOND])]
#[case::a_block_between(json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}, namespaces(), {"ipBlock": {"cidr": "192.0.3.0/24"}}, pods()]),
    &["spec.ingress[0].from[3]"])]
#[case::two_pairs(json!([namespaces(), pods(), namespaces(), pods()]), &[SECOND, "spec.ingress[0].from[3]"])]
#[case::one_pair_of_three(json!([namespaces(), pods(), namespaces()]), &[SECOND])]
#[case::null_is_absent(json!([{"namespaceSelector": {}, "podSelector": null}, pods()]), &[SECOND])]
#[case::one_item(json!([{"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"app": "web"}}}]), &[])]
#[case::all_pods_here(json!([{"podSelector": {}}, namespaces()]), &[])]
#[case::namespaces_alone(json!([namespaces(), {"namespaceSelector": {}}]), &[])]
#[case::pods_alone(json!([pods(), pods()]), &[])]
#[case::a_whole_item_between(
    json!([namespaces(), {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "x"}}}, pods()]), &[])]
#[case::all_pods_spelt_out(json!([{"namespaceSelector": {}, "podSelector": {}}, pods()]), &[])]
#[case::blocks(json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}, pods()]), &[])]
fn lists(#[case] peers: Value, #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &Value::Null, &create(&from(&peers))), found);
}

#[test]
fn only_one_list_of_a_rule_with_an_effect_counts() {
    let two_rules = json!({"podSelector": {}, "ingress": [{"from": [namespaces()]}, {"from": [pods()]}]});
    let two_directions =
        json!({"podSelector": {}, "ingress": [{"from": [namespaces()]}], "egress": [{"to": [pods()]}]});
    let no_effect = json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"to": [namespaces(), pods()]}]});
    for spec in [two_rules, two_directions, no_effect] {
        assert_eq!(fields(RULE, &Value::Null, &create(&spec)), [""; 0]);
    }
    let egress = json!({"podSelector": {}, "egress": [{"to": []}, {"to": [namespaces(), pods()]}]});
    assert_eq!(fields(RULE, &Value::Null, &create(&egress)), ["spec.egress[1].to[1]"]);
}

#[test]
fn the_message_names_both_and_the_repair_is_the_item() {
    let outcome = drafts(RULE, &Value::Null, &create(&from(&json!([namespaces(), pods()])))).expect("judged");
    let [draft] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    assert_eq!(
        draft.message,
        "from[0] and from[1] are two peers: the rule lets in every pod of namespaces team=a, and pods app=web of the \
         policy's own namespace"
    );
    assert_eq!(
        draft.help,
        "for those pods of those namespaces write one item: `- {namespaceSelector: {matchLabels: {team: a}}, \
         podSelector: {matchLabels: {app: web}}}`; where both peers are meant, give each a rule"
    );
    assert_eq!(
        (&draft.evidence.directions[..], &draft.evidence.ports[..]),
        (&["Ingress"][..], &["TCP/80".to_owned()][..])
    );
}

#[test]
fn an_update_answers_for_what_it_opens() {
    let (bad, whole) = (from(&json!([namespaces(), pods()])), from(&json!([{"namespaceSelector": {}}])));
    assert_eq!(levels(RULE, None, Some(&bad)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&bad)), [Level::Warn]);
    let turned = from(&json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}, pods(), namespaces()]));
    assert_eq!(levels(RULE, Some(&bad), Some(&turned)), [Level::Warn]);
    let wider = from(&json!([{"namespaceSelector": {}}, pods()]));
    assert_eq!(levels(RULE, Some(&bad), Some(&wider)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&whole), Some(&bad)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&whole)), []);
    assert_eq!(fields(RULE, &Value::Null, &change("x", Some(&bad), None)), [""; 0]);
}

#[test]
fn long_selectors_are_cut() {
    let labels: serde_json::Map<String, Value> = (0..50).map(|i| (format!("key-{i}"), json!("value"))).collect();
    let peers = json!([namespaces(), {"podSelector": {"matchLabels": labels}}]);
    let outcome = drafts(RULE, &Value::Null, &create(&from(&peers))).expect("judged");
    let draft = &outcome.drafts[0];
    assert!(draft.message.len() < 500 && draft.help.contains("both selectors into one item"), "{draft:?}");
}
