use serde_json::json;

use super::*;
use crate::manifest;

#[test]
fn a_policy_as_yaml_is_read_back_as_the_same_policy() {
    let spec = json!({
        "podSelector": {"matchLabels": {"app": "web", "n": "on", "build": "1e3", "empty": ""},
                        "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a", "0x1"]},
                                             {"key": "y", "operator": "Exists"}]},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{}, {"from": [{"podSelector": {}}, {"namespaceSelector": {}, "podSelector": {"matchLabels": {"null": "~"}}}]}],
        "egress": [
            {"to": [{"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}}],
             "ports": [{"protocol": "UDP"}, {"port": 1, "endPort": 7}, {"port": "on"}, {"port": 443, "protocol": "SCTP"}]}],
    });
    // A label's value may not be `~`; what the writer does with it is what counts here.
    let spec: serde_json::Value = serde_json::from_str(&spec.to_string().replace('~', "2024-01-01")).expect("JSON");
    for name in ["web", "yes", "0123", "1.5"] {
        let policy = NetworkPolicy::parse("off", name, &spec).expect("a valid spec");
        let text = yaml::render(&policy);
        let read = manifest::parse("x.yaml", &text);
        let value = &read.documents.first().unwrap_or_else(|| panic!("{:?} {text}", read.problems)).value;
        let (namespace, told) = (value["metadata"]["namespace"].as_str(), value["metadata"]["name"].as_str());
        let back = NetworkPolicy::parse(namespace.expect("text"), told.expect("text"), &value["spec"]);
        assert_eq!(back, Ok(policy), "{text}");
    }
}

#[test]
fn many_names_are_told_by_the_first_and_how_many_more() {
    let names = |count: usize| some((0..count).map(|number| number.to_string()).collect::<Vec<_>>().into_iter());
    assert_eq!(names(1), "0");
    assert_eq!(names(3), "0, 1, 2");
    assert_eq!(names(5), "0, 1, 2 and 2 more");
}
