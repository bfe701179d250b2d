//! What the engine is held to: a made-up cluster, a rule set with every rule, and requests that between them give every
//! rule something to find.

use std::iter;

use jiff::Timestamp;
use jiff::civil::date;
use portcullis::admission::review::{Task, envelope};
use portcullis::config::load::load;
use portcullis::config::valid::RuleSet;
use portcullis::engine::{Bound, Origin, bind, evaluate};
use portcullis::finding::Report;
use portcullis::inventory::from_files::Builder;
use portcullis::inventory::{Inventory, from_files};
use portcullis::manifest;
use portcullis::object::Subject;
use portcullis::rules::RULES;
use serde_json::{Value, json};

mod cluster;

/// The namespace that the requests are about. It has the same policies and pods in clusters of any size.
const NAMESPACE: &str = "ns-0003";

/// A cluster with ten pods and ten policies in every namespace.
pub(crate) fn cluster_of(namespaces: usize) -> Inventory {
    let size = cluster::Size { namespaces, pods: 10 * namespaces, policies: 10 * namespaces, changed: 0 };
    let readings: Vec<_> =
        (0..namespaces).map(|i| manifest::parse("cluster.yaml", &cluster::manifests(i, &size))).collect();
    let mut builder = Builder::new(from_files::DEFAULT_NAMESPACE);
    readings.iter().for_each(|reading| builder.add(reading));
    let loaded = builder.finish();
    assert_eq!(loaded.problems, [""; 0]);
    assert_eq!(loaded.inventory.len(), namespaces);
    loaded.inventory.taken_for_whole()
}

/// Every rule at level `deny`, and none without the parameters that it does nothing without.
pub(crate) fn all_rules() -> RuleSet {
    let reading = manifest::parse("all-rules.yaml", include_str!("all-rules.yaml"));
    let loaded = load("all-rules.yaml", reading, &RuleSet::builtin([]), date(2026, 1, 1));
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let mut named: Vec<&str> = loaded.rule_set.rules.iter().map(|entry| entry.rule.as_str()).collect();
    named.sort_unstable();
    let all: Vec<&str> = RULES.iter().map(|rule| rule.meta().name).collect();
    assert_eq!(named, all, "left what benches/made_up/all-rules.yaml has, right what there is");
    loaded.rule_set
}

/// The same, of one rule only.
pub(crate) fn only(rule: &str) -> Bound {
    let mut rule_set = all_rules();
    rule_set.rules.retain(|entry| entry.rule == rule);
    bound(rule_set)
}

/// With its parameters typed.
pub(crate) fn bound(rule_set: RuleSet) -> Bound {
    bind(rule_set, RULES).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// What is measured.
pub(crate) fn judge(subject: &Subject, inventory: &Inventory, bound: &Bound) -> Report {
    evaluate(subject, inventory, bound, Timestamp::UNIX_EPOCH, Origin::Request)
}

/// A request as the API server sends it.
pub(crate) struct Review {
    pub(crate) name: &'static str,
    pub(crate) body: String,
}

impl Review {
    /// What there is to judge in it.
    pub(crate) fn subject(&self) -> Subject {
        let request = envelope(self.body.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        match request.task() {
            Task::Judge(subject) => subject,
            task => panic!("{}: {task:?}", self.name),
        }
    }
}

/// The requests, those that the bar is set for first.
pub(crate) fn reviews() -> Vec<Review> {
    let three = spec(3, 8000);
    let web = |spec: &Value| policy("web", &json!({"app.kubernetes.io/name": "web", "team": "shop"}), spec);
    let deny = policy("default-deny-0", &json!({}), &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    let dns = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}});
    let dns = json!([{"to": [dns], "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}]);
    let dns = policy("dns-1", &json!({}), &json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": dns}));
    let one_sided = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [], "egress": three["egress"]});
    let labelled = |team: &str, stage: &str| namespace(NAMESPACE, &json!({"team": team, "stage": stage}));
    let exempt = namespace("kube-tools", &json!({"portcullis.dev/exempt": "true", "team": "team-000"}));
    let kept = namespace(NAMESPACE, &json!({"team": "team-000", "portcullis.dev/protected": "true"}));
    vec![
        review("create", &Value::Null, &web(&three)),
        review("update", &web(&spec(3, 9000)), &web(&three)),
        review("create-faulty", &Value::Null, &applied("Faulty", faulty())),
        review("create-one-sided", &Value::Null, &policy("one-sided", &json!({}), &one_sided)),
        review("delete-default-deny", &deny, &Value::Null),
        review("delete-dns", &dns, &Value::Null),
        review("relabel-namespace", &labelled("none", "test"), &labelled("team-000", "prod")),
        review("create-namespace", &Value::Null, &exempt),
        review("delete-namespace", &kept, &Value::Null),
    ]
}

fn review(name: &'static str, old: &Value, new: &Value) -> Review {
    let (operation, object) = match (old, new) {
        (Value::Null, new) => ("CREATE", new),
        (old, Value::Null) => ("DELETE", old),
        (_, new) => ("UPDATE", new),
    };
    let (group, kind) = match object["kind"].as_str() {
        Some("Namespace") => ("", "Namespace"),
        _ => ("networking.k8s.io", "NetworkPolicy"),
    };
    let resource = if kind == "Namespace" { "namespaces" } else { "networkpolicies" };
    let kind = json!({"group": group, "version": "v1", "kind": kind});
    let resource = json!({"group": group, "version": "v1", "resource": resource});
    let body = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": object["metadata"]["name"],
            "namespace": NAMESPACE,
            "operation": operation,
            "userInfo": {"username": "anna@example.com", "groups": ["developers", "system:authenticated"]},
            "object": new,
            "oldObject": old,
            "dryRun": true,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-client-side-apply"},
        },
    });
    Review { name, body: body.to_string() }
}

fn policy(name: &str, labels: &Value, spec: &Value) -> Value {
    let created = "2026-01-01T00:00:00Z";
    let metadata = json!({"name": name, "namespace": NAMESPACE, "creationTimestamp": created, "labels": labels});
    json!({"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": metadata, "spec": spec})
}

fn namespace(name: &str, labels: &Value) -> Value {
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}})
}

/// A policy whose author left out `policyTypes`, as `kubectl apply` sends it.
fn applied(name: &str, mut spec: Value) -> Value {
    let text = json!({"spec": spec}).to_string();
    spec["policyTypes"] = json!(["Ingress", "Egress"]);
    let mut policy = policy(name, &json!({}), &spec);
    policy["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": text});
    policy
}

/// As many rules in, from pods of other namespaces, and as many out, to public addresses and back to pods: the policy of
/// `compare.sh`.
fn spec(rules: usize, first_port: usize) -> Value {
    let ingress = |i: usize| {
        let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": format!("team-{i}")}});
        let tiers = json!([{"key": "tier", "operator": "In", "values": [format!("a{i}"), "b"]}]);
        json!({
            "from": [{"namespaceSelector": namespace, "podSelector": {"matchExpressions": tiers}}],
            "ports": [{"protocol": "TCP", "port": first_port + i}],
        })
    };
    let egress = |i: usize| {
        let block = json!({"cidr": format!("203.0.{i}.0/24"), "except": [format!("203.0.{i}.128/25")]});
        let pods = json!({"matchLabels": {"app": format!("db-{i}")}});
        json!({"to": [{"ipBlock": block}, {"podSelector": pods}], "ports": [{"protocol": "TCP", "port": 443}]})
    };
    let dns = json!({"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]});
    json!({
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": (0..rules).map(ingress).collect::<Vec<_>>(),
        "egress": iter::once(dns).chain((0..rules).map(egress)).collect::<Vec<_>>(),
    })
}

/// What most rules find fault with.
fn faulty() -> Value {
    let prometheus = json!([
        {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}},
        {"podSelector": {"matchLabels": {"app": "prometheus"}}},
    ]);
    json!({
        "podSelector": {},
        "ingress": [
            {},
            {"from": [{"namespaceSelector": {}}]},
            {"from": prometheus, "ports": [{"protocol": "TCP", "port": 5432}]},
            {"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"protocol": "TCP", "port": 1024, "endPort": 65535}]},
            {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]},
            {"ports": [{"protocol": "TCP", "port": 8080}]},
        ],
        "egress": [
            {},
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/9"]}}]},
            {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"protocol": "TCP", "port": 80}]},
            {"to": [{"ipBlock": {"cidr": "10.0.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 443}]},
        ],
    })
}
