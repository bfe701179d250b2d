use rstest::rstest;
use serde_json::{Value, json};

use crate::finding::Level;
use crate::netpol::groups::Groups;
use crate::rules::find;
use crate::rules::peers::tests::levels;
use crate::rules::tests::{change, create, drafts, fields};

const RULE: &str = "any-namespace-peer";
const PEER: &str = "spec.ingress[0].from[0].namespaceSelector";

fn from(peers: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers, "ports": [{"port": 80}]}]})
}

fn by(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({"namespaceSelector": {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}})
}

const NAME: &str = "kubernetes.io/metadata.name";

#[rstest]
#[case::empty(json!([{"namespaceSelector": {}}]), &[PEER])]
#[case::empty_lists(json!([{"namespaceSelector": {"matchLabels": {}, "matchExpressions": []}}]), &[PEER])]
#[case::all_pods_of_all(json!([{"namespaceSelector": {}, "podSelector": {}}]), &[PEER])]
#[case::whatever_the_name(json!([by(NAME, "Exists", &[])]), &[PEER])]
#[case::beside_another(json!([{"podSelector": {}}, {"namespaceSelector": {}}]), &["spec.ingress[0].from[1].namespaceSelector"])]
#[case::in_parts(json!([by("env", "In", &["x"]), by("env", "NotIn", &["x"])]), &["spec.ingress[0].from"])]
#[case::with_and_without(json!([by("env", "Exists", &[]), by("env", "DoesNotExist", &[])]), &["spec.ingress[0].from"])]
#[case::labels(json!([{"namespaceSelector": {"matchLabels": {"team": "a"}}}]), &[])]
#[case::expressions(json!([by("team", "Exists", &[])]), &[])]
#[case::all_but_one(json!([by(NAME, "NotIn", &["x"])]), &[])]
#[case::pods_of_all(json!([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}]), &[])]
#[case::own_namespace(json!([{"podSelector": {}}]), &[])]
#[case::parts_of_some(json!([by("env", "In", &["x"]), by("env", "In", &["y"])]), &[])]
#[case::parts_of_which_one_names_pods(json!([by("env", "Exists", &[]),
    {"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]},
     "podSelector": {"matchLabels": {"app": "web"}}}]), &[])]
fn lists(#[case] peers: Value, #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &Value::Null, &create(&from(&peers))), found);
}

#[test]
fn lookups_are_exempt_and_nothing_else() {
    let to = |ports: Value| json!({"podSelector": {}, "egress": [{"to": [{"namespaceSelector": {}}], "ports": ports}]});
    let found = |params: Value, ports: Value| fields(RULE, &params, &create(&to(ports))).len();
    assert_eq!(found(Value::Null, json!([{"protocol": "UDP", "port": 53}, {"port": 53}])), 0);
    assert_eq!(found(Value::Null, json!([{"protocol": "UDP", "port": 53}])), 0);
    assert_eq!(found(Value::Null, json!([{"protocol": "UDP", "port": 53}, {"port": 80}])), 1);
    assert_eq!(found(Value::Null, json!([{"protocol": "UDP", "port": "dns"}])), 1);
    assert_eq!(found(Value::Null, json!([])), 1);
    assert_eq!(found(json!({"exemptPorts": []}), json!([{"protocol": "UDP", "port": 53}])), 1);
    assert_eq!(found(json!({"exemptPorts": ["TCP/9090-9099"]}), json!([{"port": 9090, "endPort": 9095}])), 0);
}

#[test]
fn rules_without_effect_are_not_judged() {
    let spec =
        json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{"from": [{"namespaceSelector": {}}]}]});
    assert_eq!(fields(RULE, &Value::Null, &create(&spec)), [""; 0]);
}

#[test]
fn the_message_says_on_which_ports() {
    let outcome = drafts(RULE, &Value::Null, &create(&from(&json!([{"namespaceSelector": {}}])))).expect("judged");
    let [draft] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    assert_eq!(draft.message, "lets in every pod of every namespace on TCP/80");
    assert!(draft.help.contains("`namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}`"));
    assert_eq!(
        (&draft.evidence.directions[..], &draft.evidence.ports[..]),
        (&["Ingress"][..], &["TCP/80".to_owned()][..])
    );
}

#[test]
fn an_update_answers_for_what_it_opens() {
    let bad = from(&json!([{"namespaceSelector": {}}]));
    assert_eq!(levels(RULE, None, Some(&bad)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&bad)), [Level::Warn]);
    let in_parts = from(&json!([by("env", "Exists", &[]), by("env", "DoesNotExist", &[])]));
    assert_eq!(levels(RULE, Some(&bad), Some(&in_parts)), [Level::Warn]);
    let more = json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]});
    assert_eq!(levels(RULE, Some(&bad), Some(&more)), [Level::Deny]);
    let fewer_pods = json!({"podSelector": {"matchLabels": {"app": "x"}}, "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 80}]}]});
    assert_eq!(levels(RULE, Some(&bad), Some(&fewer_pods)), [Level::Warn]);
    assert_eq!(levels(RULE, Some(&fewer_pods), Some(&bad)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&from(&json!([{"podSelector": {}}]))), Some(&bad)), [Level::Deny]);
    assert_eq!(fields(RULE, &Value::Null, &change("x", Some(&bad), None)), [""; 0]);
}

#[rstest]
#[case::no_protocol(json!({"exemptPorts": ["53"]}))]
#[case::no_list(json!({"exemptPorts": "UDP/53"}))]
fn wrong_parameters_are_refused(#[case] params: Value) {
    let rule = find(RULE).expect("the rule");
    assert_eq!(rule.bind(&params, &Groups::builtin()).err().expect("refused").param, "exemptPorts");
}
