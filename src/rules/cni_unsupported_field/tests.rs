use rstest::rstest;
use serde_json::{Value, json};

use super::plugins::PLUGINS;
use super::{CniUnsupportedField, Rule};
use crate::netpol::extent::contained;
use crate::netpol::groups::Groups;
use crate::rules::tests::{change, create, drafts, fields};

const RULE: &str = "cni-unsupported-field";

fn params(cni: &str) -> Value {
    json!({"cni": cni, "clusterCidrs": ["10.244.0.0/16"]})
}

fn spec(rule: &Value) -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [rule]})
}

/// What some plugin or other ignores.
fn everything() -> Value {
    json!({"from": [{"ipBlock": {"cidr": "10.244.3.17/32"}}, {"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}}],
        "ports": [{"protocol": "SCTP", "port": 8080, "endPort": 8089}, {"port": "http"}]})
}

fn found(cni: &str, rule: &Value) -> Vec<String> {
    fields(RULE, &params(cni), &create(&spec(rule)))
}

#[rstest]
#[case::a_range("cilium-before-1.16", json!({"ports": [{"port": 80}, {"port": 8080, "endPort": 8089}]}),
    &["spec.ingress[0].ports[1].endPort"])]
#[case::a_range_of_one("cilium-before-1.16", json!({"ports": [{"port": 80, "endPort": 80}]}),
    &["spec.ingress[0].ports[0].endPort"])]
#[case::sctp("cilium-before-1.16", json!({"ports": [{"protocol": "SCTP", "port": 3868}]}), &["spec.ingress[0].ports"])]
#[case::a_pod("cilium", json!({"from": [{"ipBlock": {"cidr": "10.244.3.17/32"}}]}),
    &["spec.ingress[0].from[0].ipBlock"])]
#[case::some_pods("cilium", json!({"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8",
    "except": ["10.244.0.0/17"]}}]}), &["spec.ingress[0].from[1].ipBlock"])]
#[case::v6("azure-npm", json!({"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}),
    &["spec.ingress[0].from[0].ipBlock"])]
#[case::a_name("azure-npm-windows", json!({"ports": [{"port": "http"}]}), &["spec.ingress[0].ports"])]
#[case::except("azure-npm-windows", json!({"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.7/32"]}}]}),
    &["spec.ingress[0].from[0].ipBlock"])]
#[case::sctp_beside_other_ports("kube-router", json!({"ports": [{"port": 80}, {"protocol": "SCTP", "port": 3868}]}),
    &["spec.ingress[0].ports"])]
#[case::a_range_and_a_name("weave-net", json!({"ports": [{"port": "http"}, {"port": 8080, "endPort": 8089}]}),
    &["spec.ingress[0].ports[1].endPort", "spec.ingress[0].ports"])]
#[case::all_of_it("flannel", json!({"from": [{"podSelector": {}}]}), &["spec"])]
fn is_found(#[case] cni: &str, #[case] rule: Value, #[case] expected: &[&str]) {
    assert_eq!(found(cni, &rule), expected);
}

#[rstest]
#[case::neighbours_are_no_range("cilium-before-1.16", json!({"ports": [{"port": 80}, {"port": 81}]}))]
#[case::all_ports_ask_for_nothing("cilium-before-1.16", json!({"from": [{"podSelector": {}}]}))]
#[case::a_range_that_is_supported("cilium", json!({"ports": [{"port": 8080, "endPort": 8089}]}))]
#[case::a_plugin_that_does_all("calico", everything())]
#[case::another("antrea", everything())]
#[case::a_third("ovn-kubernetes", everything())]
#[case::a_range_by_iptables("kube-router", json!({"ports": [{"port": 8080, "endPort": 8089}, {"port": "http"}]}))]
#[case::outside_of_the_cluster("cilium", json!({"from": [{"ipBlock": {"cidr": "198.51.100.0/24"}}]}))]
#[case::pods_excepted("cilium", json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.244.0.0/16"]}}]}))]
#[case::mapped_is_v4("azure-npm", json!({"from": [{"ipBlock": {"cidr": "::ffff:192.0.2.0/120"}}]}))]
#[case::a_name_on_linux("azure-npm", json!({"ports": [{"port": "http"}]}))]
#[case::numbers("azure-npm-windows", json!({"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 80}]}))]
fn is_not_found(#[case] cni: &str, #[case] rule: Value) {
    assert_eq!(found(cni, &rule), [""; 0]);
}

#[test]
fn it_does_nothing_until_a_plugin_is_named() {
    let range = create(&spec(&json!({"ports": [{"protocol": "SCTP", "port": 1, "endPort": 2}]})));
    assert_eq!(fields(RULE, &Value::Null, &range), [""; 0]);
    // Without the blocks of the cluster nobody knows which addresses are pods.
    let pod = create(&spec(&json!({"from": [{"ipBlock": {"cidr": "10.244.3.17/32"}}]})));
    assert_eq!(fields(RULE, &json!({"cni": "cilium"}), &pod), [""; 0]);
}

#[test]
fn only_rules_in_effect_count_in_either_direction() {
    let range = json!({"ports": [{"port": 1, "endPort": 2}]});
    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [range], "egress": [range]});
    let found = fields(RULE, &params("cilium-before-1.16"), &create(&spec));
    assert_eq!(found, ["spec.egress[0].ports[0].endPort"]);
}

#[test]
fn the_list_is_closed_sorted_and_documented() {
    assert!(PLUGINS.windows(2).all(|pair| pair[0].name < pair[1].name));
    let about = CniUnsupportedField.meta().params[0].about;
    for plugin in PLUGINS {
        assert!(about.contains(&format!("`{}`", plugin.name)), "{}", plugin.name);
    }
    let unknown = CniUnsupportedField.bind(&json!({"cni": "calicoo"}), &Groups::builtin()).err();
    assert!(unknown.is_some_and(|error| error.to_string().contains("cilium-before-1.16")));
    let cidr = json!({"cni": "cilium", "clusterCidrs": ["10.244.0.0"]});
    assert!(CniUnsupportedField.bind(&cidr, &Groups::builtin()).is_err());
}

#[test]
fn an_update_answers_for_what_it_adds() {
    let extents = |ports: Value| -> Vec<_> {
        let subject = create(&spec(&json!({"ports": ports})));
        let outcome = drafts(RULE, &params("cilium-before-1.16"), &subject).expect("judged");
        outcome.drafts.into_iter().flat_map(|draft| draft.extents).collect()
    };
    let range = json!({"port": 8080, "endPort": 8089});
    let sctp = json!({"protocol": "SCTP", "port": 3868});
    assert_eq!(contained(&extents(json!([range])), &extents(json!([range, sctp]))), Some(true));
    assert_eq!(contained(&extents(json!([range, sctp])), &extents(json!([range]))), Some(false));
    let gone = change("x", Some(&spec(&json!({"ports": [range]}))), None);
    assert_eq!(drafts(RULE, &params("flannel"), &gone).expect("judged").drafts, []);
}

#[test]
fn the_message_names_the_plugin() {
    let subject = create(&spec(&json!({"ports": [{"port": 8080, "endPort": 8089}]})));
    let outcome = drafts(RULE, &params("cilium-before-1.16"), &subject).expect("judged");
    assert_eq!(outcome.drafts[0].message, "Cilium before 1.16 does not enforce `endPort` (TCP/8080-8089)");
    let evidence = &outcome.drafts[0].evidence;
    assert_eq!((&evidence.ports[..], &evidence.directions[..]), (&["TCP/8080-8089".to_owned()][..], &["Ingress"][..]));
}
