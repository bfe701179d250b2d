use super::*;
use crate::inventory::METADATA_NAME;

fn load(text: &str) -> Result<Inventory, Vec<String>> {
    match Fixed::from_reading(&manifest::parse("x.yaml", text)) {
        Ok(fixed) => Ok(fixed.snapshot(Timestamp::UNIX_EPOCH)),
        Err(Error::Problems(problems)) => Err(problems),
    }
}

#[test]
fn takes_policies_and_namespaces_and_nothing_else() {
    let inventory = load(
        "\
apiVersion: v1
kind: Namespace
metadata:
  name: a
  labels: {team: one}
  creationTimestamp: 2026-01-02T03:04:05Z
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x}
spec: {podSelector: {}}
---
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: z, namespace: a}
  spec: {podSelector: {}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: going, namespace: a, deletionTimestamp: 2026-01-02T03:04:05Z}
  spec: {podSelector: {}}
- {apiVersion: v1, kind: Namespace, metadata: {name: b, deletionTimestamp: 2026-01-02T03:04:05Z}}
- {apiVersion: cilium.io/v2, kind: NetworkPolicy, metadata: {name: z}}
- {apiVersion: v1, kind: Service, metadata: {name: z}}
",
    )
    .unwrap();
    assert_eq!(inventory.len(), 3);
    let a = inventory.namespace("a");
    assert!(a.known && !a.terminating);
    assert_eq!((a.labels["team"].as_str(), a.labels[METADATA_NAME].as_str()), ("one", "a"));
    assert_eq!(a.created, "2026-01-02T03:04:05Z".parse().ok());
    assert_eq!(a.policies.keys().collect::<Vec<_>>(), ["z"]);
    assert!(inventory.namespace("b").terminating);
    let default = inventory.namespace(DEFAULT_NAMESPACE);
    assert_eq!((default.known, default.labels[METADATA_NAME].as_str()), (true, DEFAULT_NAMESPACE));
    assert_eq!(default.policies["x"].namespace, DEFAULT_NAMESPACE);
}

#[test]
fn tells_every_problem_with_its_place() {
    let problems = load(
        "\
a: [
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x}
spec:
  podSelector: {}
  egress:
  - to:
    - fqdns: [example.com]
---
kind: NetworkPolicy
---
apiVersion: v1
kind: Namespace
metadata: {labels: {a: b}}
---
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {a: yes}}
",
    )
    .unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["x.yaml:1:4", "x.yaml:10:7", "x.yaml:12:1", "x.yaml:16:1", "x.yaml:20:30"], "{problems:#?}");
    assert!(problems[1].contains("spec.egress[0].to[0].fqdns: "), "{problems:#?}");
    let told = Error::Problems(problems.clone()).to_string();
    assert!(problems.iter().all(|problem| told.contains(problem)));
}

#[test]
fn an_object_may_come_twice_but_not_in_two_versions() {
    let namespace =
        |value: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, labels: {{k: {value}}}}}\n---\n");
    assert!(load(&(namespace("v") + &namespace("v"))).is_ok());
    let problems = load(&(namespace("v") + &namespace("w"))).unwrap_err();
    assert_eq!(problems, ["x.yaml:5:1: Namespace a is already given otherwise at x.yaml:1"]);
}

#[test]
fn a_path_that_is_not_there_is_an_error() {
    let error = Fixed::load(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.contains("/nowhere: cannot be read"), "{error}");
}
