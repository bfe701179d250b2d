use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::finding::Level;
use crate::rules::tests::policy;

fn first(spec: &Value) -> (Peer, PortSet) {
    let policy = policy("x", spec);
    let rule = &policy.spec.ingress[0];
    (rule.peers[0].clone(), rule.ports.clone())
}

/// What is written is what the API reads.
#[rstest]
#[case::pods(json!({"podSelector": {"matchLabels": {"app": "web"}}}))]
#[case::everything(json!({"namespaceSelector": {}}))]
#[case::both(json!({"namespaceSelector": {"matchLabels": {"a.b/c": "true", "n": "1"}},
    "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x", "0644"]},
        {"key": "no", "operator": "Exists"}]}}))]
#[case::block(json!({"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}}))]
#[case::block_without_except(json!({"ipBlock": {"cidr": "192.0.2.0/24"}}))]
fn fragments_mean_what_they_say(#[case] peer: Value) {
    let ports =
        json!([{"port": 80}, {"protocol": "UDP", "port": 5, "endPort": 9}, {"protocol": "SCTP"}, {"port": "on"}]);
    let written = first(&json!({"podSelector": {}, "ingress": [{"from": [peer], "ports": ports}]}));
    let text = format!(
        "podSelector: {{}}\ningress: [{{from: [{}], ports: {}}}]\n",
        peer_yaml(&written.0),
        ports_yaml(&written.1)
    );
    let reading = crate::manifest::parse("fragment.yaml", &text);
    assert!(reading.problems.is_empty(), "{text}: {:?}", reading.problems);
    assert_eq!(first(&reading.documents[0].value), written, "{text}");
}

#[test]
fn openings_are_compared_at_both_ends() {
    use crate::netpol::extent::contained;
    let extent = |pods: Value, direction: &str, peer: Value, ports: Value| {
        let (list, peers) = if direction == "Ingress" { ("ingress", "from") } else { ("egress", "to") };
        let spec = json!({"podSelector": pods, "policyTypes": [direction], list: [{peers: [peer], "ports": ports}]});
        let policy = policy("x", &spec);
        let direction = if direction == "Ingress" { Direction::Ingress } else { Direction::Egress };
        let rule = &policy.spec.rules(direction)[0];
        Place { policy: &policy, direction, index: 0, rule }.opens(&rule.peers[0])
    };
    let all = || json!({});
    let namespaces = |team: &str| json!({"namespaceSelector": {"matchLabels": {"team": team}}});
    let old = extent(all(), "Ingress", namespaces("a"), json!([{"port": 80}, {"port": 443}]));
    let within = |new: Extent| contained(&[new], std::slice::from_ref(&old));
    let port = || json!([{"port": 80}]);
    assert_eq!(within(extent(json!({"matchLabels": {"app": "x"}}), "Ingress", namespaces("a"), port())), Some(true));
    let narrower = json!({"namespaceSelector": {"matchLabels": {"team": "a", "env": "x"}}, "podSelector": {"matchLabels": {"app": "y"}}});
    assert_eq!(within(extent(all(), "Ingress", narrower, port())), Some(true));
    for new in [
        extent(all(), "Ingress", namespaces("b"), port()),
        extent(all(), "Egress", namespaces("a"), port()),
        extent(all(), "Ingress", namespaces("a"), json!([{"port": 81}])),
        extent(all(), "Ingress", json!({"namespaceSelector": {}}), port()),
        extent(all(), "Ingress", json!({"podSelector": {"matchLabels": {"team": "a"}}}), port()),
        extent(all(), "Ingress", json!({"ipBlock": {"cidr": "10.0.0.0/8"}}), port()),
    ] {
        assert_eq!(within(new), Some(false));
    }
}

/// Levels of a rule's findings, entry at `deny`, when a policy is changed so.
pub(in crate::rules) fn levels(rule: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<Level> {
    use crate::config::valid::{Entry, Matcher, RuleSet};
    let entry = Entry {
        rule: rule.to_owned(),
        place: "rules[0]".to_owned(),
        level: Some(Level::Deny),
        matcher: Matcher::default(),
        params: Value::Null,
    };
    let bound = crate::engine::bind(RuleSet { rules: vec![entry], ..RuleSet::builtin([]) }, crate::rules::RULES);
    let bound = bound.unwrap_or_else(|errors| panic!("{errors:?}"));
    let subject = crate::rules::tests::change("x", old, new);
    let (inventory, now) = (crate::inventory::Inventory::default(), jiff::Timestamp::UNIX_EPOCH);
    let report = crate::engine::evaluate(&subject, &inventory, &bound, now, crate::engine::Origin::Request);
    assert!(report.cannot_judge.is_empty(), "{report:?}");
    report.findings.iter().map(|finding| finding.level).collect()
}
