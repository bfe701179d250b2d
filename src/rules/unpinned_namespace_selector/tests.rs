use rstest::rstest;
use serde_json::{Value, json};

use crate::finding::Level;
use crate::netpol::groups::Groups;
use crate::rules::peers::tests::levels;
use crate::rules::tests::{change, create, drafts, fields};
use crate::rules::{find, protected_labels};

const RULE: &str = "unpinned-namespace-selector";
const PEER: &str = "spec.ingress[0].from[0].namespaceSelector";
const NAME: &str = "kubernetes.io/metadata.name";

fn from(peer: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer], "ports": [{"port": 80}]}]})
}

fn labels(key: &str, value: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {key: value}}})
}

fn by(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({"namespaceSelector": {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}})
}

fn params() -> Value {
    json!({"protectedKeys": ["team", "firewall.example.com/*"]})
}

#[rstest]
#[case::another_label(labels("env", "prod"))]
#[case::a_label_stock_clusters_lack(labels("name", "kube-system"))]
#[case::not_in(by(NAME, "NotIn", &["kube-system"]))]
#[case::any_name_and_more(json!({"namespaceSelector": {"matchLabels": {"env": "prod"},
    "matchExpressions": [{"key": NAME, "operator": "Exists"}]}}))]
#[case::protected_but_not_in(by("team", "NotIn", &["a"]))]
#[case::protected_but_absent(by("team", "DoesNotExist", &[]))]
#[case::almost_protected(labels("team2", "a"))]
#[case::outside_the_prefix(labels("firewall.example.org/x", "a"))]
#[case::pods_of_every_namespace(json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}))]
#[case::with_pods(json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}, "podSelector": {"matchLabels": {"app": "x"}}}))]
fn is_found(#[case] peer: Value) {
    assert_eq!(fields(RULE, &params(), &create(&from(&peer))), [PEER]);
}

#[rstest]
#[case::by_name(labels(NAME, "monitoring"))]
#[case::by_names(by(NAME, "In", &["a", "b"]))]
#[case::by_name_and_more(json!({"namespaceSelector": {"matchLabels": {NAME: "a", "env": "prod"}}}))]
#[case::protected(labels("team", "a"))]
#[case::protected_and_there(by("team", "Exists", &[]))]
#[case::by_prefix(labels("firewall.example.com/clients", "yes"))]
#[case::protected_beside_others(json!({"namespaceSelector": {"matchLabels": {"env": "prod"},
    "matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}]}}))]
#[case::nobody(json!({"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "Exists"},
    {"key": "env", "operator": "DoesNotExist"}]}}))]
#[case::every_pod_of_every_namespace(json!({"namespaceSelector": {}}))]
#[case::own_namespace(json!({"podSelector": {"matchLabels": {"env": "prod"}}}))]
#[case::addresses(json!({"ipBlock": {"cidr": "192.0.2.0/24"}}))]
fn is_not_found(#[case] peer: Value) {
    assert_eq!(fields(RULE, &params(), &create(&from(&peer))), [""; 0]);
}

#[rstest]
#[case::name(by(NAME, "NotIn", &["kube-system"]), false)]
#[case::value(by("env", "NotIn", &["prod"]), false)]
#[case::absence(by("env", "DoesNotExist", &[]), false)]
#[case::one_of_two(json!({"namespaceSelector": {"matchLabels": {"env": "prod"},
    "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}}), true)]
#[case::presence(by("env", "Exists", &[]), true)]
fn it_says_whether_labels_are_needed_to_get_in(#[case] peer: Value, #[case] needed: bool) {
    let draft = drafts(RULE, &Value::Null, &create(&from(&peer))).expect("judged").drafts.remove(0);
    let says = |text: &str| [&draft.message, &draft.brief].map(|message| message.contains(text));
    assert_eq!((says("may label"), says("no label")[0]), ([needed; 2], !needed), "{}", draft.message);
}

#[test]
fn without_protected_keys_only_the_name_is_trusted() {
    assert_eq!(fields(RULE, &Value::Null, &create(&from(&labels("team", "a")))), [PEER]);
    assert_eq!(fields(RULE, &Value::Null, &create(&from(&labels(NAME, "a")))), [""; 0]);
    let egress = json!({"podSelector": {}, "egress": [{}, {"to": [{"podSelector": {}}, labels("team", "a")]}]});
    assert_eq!(fields(RULE, &Value::Null, &create(&egress)), ["spec.egress[1].to[1].namespaceSelector"]);
    let no_effect = json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"to": [labels("team", "a")]}]});
    assert_eq!(fields(RULE, &Value::Null, &create(&no_effect)), [""; 0]);
}

#[test]
fn the_keys_are_those_the_rule_set_protects() {
    let protected = json!({"keys": [{"key": "team"}, {"prefix": "firewall.example.com/"}]});
    let keys = protected_labels("protected-namespace-labels", &protected);
    assert_eq!(keys, ["team", "firewall.example.com/*"]);
    assert_eq!(protected_labels("webhook-exemption", &protected), [""; 0]);
    assert_eq!(protected_labels("protected-namespace-labels", &Value::Null), [""; 0]);
}

#[rstest]
#[case::in_force("warn", Value::Null, 0)]
#[case::audit_is_in_force("audit", Value::Null, 0)]
#[case::off("off", Value::Null, 1)]
#[case::named_here("warn", json!({"protectedKeys": []}), 1)]
fn entries_that_protect_labels_count(#[case] level: &str, #[case] params: Value, #[case] found: usize) {
    use crate::config::valid::{Entry, Matcher, RuleSet};
    let entry = |rule: &str, level: Option<Level>, params| Entry {
        rule: rule.to_owned(),
        place: "rules[0]".to_owned(),
        level,
        matcher: Matcher::default(),
        params,
    };
    let level = Level::ALL.into_iter().find(|known| known.as_str() == level);
    let rules = vec![
        entry(RULE, Some(Level::Warn), params),
        entry("protected-namespace-labels", level, json!({"keys": [{"key": "team"}]})),
    ];
    let bound = crate::engine::bind(RuleSet { rules, ..RuleSet::builtin([]) }, crate::rules::RULES);
    let bound = bound.unwrap_or_else(|errors| panic!("{errors:?}"));
    let (inventory, now) = (crate::inventory::Inventory::default(), jiff::Timestamp::UNIX_EPOCH);
    let subject = create(&from(&labels("team", "a")));
    let report = crate::engine::evaluate(&subject, &inventory, &bound, now, crate::engine::Origin::Request);
    assert_eq!(report.findings.len(), found, "{report:?}");
}

#[rstest]
#[case::no_name(json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}, "podSelector": {"matchLabels": {"app": "x"}}}),
    "lets in namespaces env=prod, and whoever may label a namespace can make it one of those",
    "name the namespaces: `- {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}, \
     podSelector: {matchLabels: {app: x}}}`")]
#[case::a_name(
    labels("name", "kube-system"),
    "lets in namespaces name=kube-system, and whoever may label a namespace can make it one of those",
    "name the namespaces: `- {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}`"
)]
#[case::every_namespace(json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "x"}}}),
    "lets in pods app=x of every namespace, and whoever may create a namespace can have such pods",
    "name the namespaces: `- {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}, \
     podSelector: {matchLabels: {app: x}}}`")]
fn messages(#[case] peer: Value, #[case] message: &str, #[case] help: &str) {
    let outcome = drafts(RULE, &Value::Null, &create(&from(&peer))).expect("judged");
    let [draft] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    assert_eq!((draft.message.as_str(), draft.help.as_str()), (message, help));
    let outcome = drafts(RULE, &params(), &create(&from(&peer))).expect("judged");
    assert!(outcome.drafts[0].help.ends_with(", or go by a protected label: team, firewall.example.com/*"));
}

#[test]
fn an_update_answers_for_what_it_opens() {
    let bad = from(&labels("env", "prod"));
    assert_eq!(levels(RULE, None, Some(&bad)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&bad)), [Level::Warn]);
    let narrower = from(&json!({"namespaceSelector": {"matchLabels": {"env": "prod", "team": "a"}}}));
    assert_eq!(levels(RULE, Some(&bad), Some(&narrower)), [Level::Warn]);
    assert_eq!(levels(RULE, Some(&narrower), Some(&bad)), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&from(&labels("env", "test")))), [Level::Deny]);
    assert_eq!(levels(RULE, Some(&bad), Some(&from(&labels(NAME, "a")))), []);
    assert_eq!(fields(RULE, &Value::Null, &change("x", Some(&bad), None)), [""; 0]);
}

#[rstest]
#[case::no_key(json!({"protectedKeys": ["team", "a b"]}), "protectedKeys[1]")]
#[case::every_key(json!({"protectedKeys": ["*"]}), "protectedKeys[0]")]
#[case::odd_prefix(json!({"protectedKeys": ["a/b/*"]}), "protectedKeys[0]")]
#[case::no_list(json!({"protectedKeys": "team"}), "protectedKeys")]
fn wrong_parameters_are_refused(#[case] params: Value, #[case] param: &str) {
    let rule = find(RULE).expect("the rule");
    assert_eq!(rule.bind(&params, &Groups::builtin()).err().expect("refused").param, param);
}
