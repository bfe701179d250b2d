use serde_json::json;

use super::object::object;
use crate::admission::decide::Decision;
use crate::config::cases::VERDICTS;
use crate::manifest::parse;

#[test]
fn verdicts_are_called_as_in_the_log() {
    use Decision::{Allowed, CannotJudge, Denied, Exempted, Warned};
    assert_eq!([Allowed, Warned, Exempted, Denied, CannotJudge].map(Decision::as_str), VERDICTS);
}

#[test]
fn objects_are_as_the_api_server_hands_them_on() {
    let of = |text: &str| object(&parse("x.yaml", text).documents[0]).expect("an object").value;
    let policy = of("apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {generateName: a-}
spec: {podSelector: {}, egress: [{ports: [{port: 53}, {port: 53, protocol: UDP}]}]}
");
    assert_eq!(policy["metadata"]["namespace"], "default");
    assert_eq!(policy["metadata"]["name"], "a-3x12");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let ports = json!([{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]);
    assert_eq!(policy["spec"]["egress"][0]["ports"], ports);
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n";
    assert_eq!(
        of(&format!("{head}spec: {{podSelector: {{}}, egress: []}}"))["spec"]["policyTypes"],
        json!(["Ingress"])
    );
    let written = of(&format!("{head}spec: {{podSelector: {{}}, policyTypes: [Egress], ingress: [{{}}]}}"));
    assert_eq!(written["spec"]["policyTypes"], json!(["Egress"]));
    let namespace = of("{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: b, labels: {x: }}}");
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "a", "x": ""}));
    assert_eq!(namespace["metadata"].get("namespace"), None);
}

#[test]
fn what_the_api_server_refuses_never_gets_to_a_rule_and_what_is_new_does() {
    let of = |text: &str| object(&parse("x.yaml", text).documents[0]);
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n";
    let faults = of(&format!("{head}spec: {{podSelector: 1}}")).expect_err("refused");
    assert!(faults[0].1.starts_with("the API server refuses this object, so that no rule sees it: spec.podSelector: "));
    let new = of(&format!("{head}spec: {{podSelector: {{}}, tomorrow: 1}}")).expect("an object");
    assert!(new.subject.is_none() && new.value["spec"]["tomorrow"] == 1, "{new:?}");
    let pod = of("{apiVersion: v1, kind: Pod, metadata: {name: a}}").expect_err("no such request");
    assert_eq!(pod, [("kind".to_owned(), "a request is about a NetworkPolicy or a Namespace, not a Pod".to_owned())]);
}
