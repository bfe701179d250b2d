use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::config::valid::{ExplainChanges, RuleSet};
use crate::engine::{Bound, Origin, bind, changes};
use crate::netpol::pod::{Pod, PodKind};
use crate::rules::RULES;
use crate::rules::tests::{change, create, inventory, namespace_change};

fn pod(namespace: &str, name: &str, app: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        kind: PodKind::Pod,
        name: name.to_owned(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        ports: Vec::new(),
        host_network: false,
        addresses: Vec::new(),
        controller: None,
    }
}

fn populate(inventory: &mut Inventory, pods: &[(&str, &str, &str)]) {
    for (namespace, name, app) in pods {
        inventory.update(namespace, |state| {
            state.known = true;
            state.pods.insert(((*name).to_owned(), PodKind::Pod), Arc::new(pod(namespace, name, app)));
        });
    }
}

fn default_deny() -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
}

/// `shop`, isolated and with a database, and `front` beside it.
fn cluster() -> Inventory {
    let mut inventory = inventory(&[("default-deny", default_deny())]);
    populate(&mut inventory, &[("shop", "db-1", "db"), ("shop", "api-1", "api"), ("front", "web-1", "web")]);
    inventory
}

fn ingress(from: &Value) -> Value {
    let rule = json!({"from": [from], "ports": [{"port": 5432}]});
    json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"], "ingress": [rule]})
}

fn namespaced(name: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}})
}

const TO_DB: &str = "opens ingress to shop/db-1 from front/web-1: TCP/5432";

#[test]
fn what_a_new_policy_opens_is_told_by_the_pods_there_are() {
    assert_eq!(lines(&create(&ingress(&namespaced("front"))), &cluster()), [TO_DB]);
    let egress = json!({"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": [{"port": 443}]});
    let spec = json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"], "egress": [egress]});
    assert_eq!(lines(&create(&spec), &cluster()), ["opens egress from shop/db-1 to 198.51.100.0/24: TCP/443"]);
}

/// Nobody knows what pods call their ports when only their metadata is watched.
#[test]
fn a_port_name_stays_a_name_where_nobody_knows_better() {
    let mut spec = ingress(&namespaced("front"));
    spec["ingress"][0]["ports"] = json!([{"port": "postgres"}]);
    let told = lines(&create(&spec), &cluster().with_pods_by_metadata());
    assert_eq!(told, ["opens ingress to shop/db-1 from front/web-1: TCP/postgres"]);
    assert_eq!(lines(&create(&spec), &cluster()), [""; 0], "these call none of their ports so");
}

/// Without any pods, those that the selectors mean are spoken of.
#[test]
fn without_pods_it_goes_by_labels() {
    let empty = inventory(&[("default-deny", default_deny())]);
    let told = lines(&create(&ingress(&namespaced("front"))), &empty);
    assert_eq!(told, ["opens ingress to any pod of shop with app=db from any pod of front: TCP/5432"]);
}

#[rstest]
#[case::a_default_deny(None, Some(default_deny()))]
#[case::within_the_namespace(None, Some(ingress(&json!({"podSelector": {}}))))]
#[case::the_same(Some(ingress(&namespaced("front"))), Some(ingress(&namespaced("front"))))]
#[case::less(Some(ingress(&json!({"namespaceSelector": {}}))), Some(ingress(&namespaced("front"))))]
#[case::what_only_allowed(Some(ingress(&namespaced("front"))), None)]
fn what_opens_nothing_is_not_worth_a_word(#[case] old: Option<Value>, #[case] new: Option<Value>) {
    let subject = change("x", old.as_ref(), new.as_ref());
    assert_eq!(lines(&subject, &cluster()), [""; 0]);
    // Not even that pods are not known.
    assert_eq!(lines(&subject, &cluster().with_pods_in_doubt("forbidden".to_owned())), [""; 0]);
}

#[test]
fn an_update_is_told_by_what_it_adds() {
    let mut inventory = cluster();
    populate(&mut inventory, &[("back", "job-1", "job")]);
    let (old, mut new) = (ingress(&namespaced("front")), ingress(&namespaced("front")));
    new["ingress"][0]["from"].as_array_mut().expect("peers").push(namespaced("back"));
    let told = lines(&change("x", Some(&old), Some(&new)), &inventory);
    assert_eq!(told, ["opens ingress to shop/db-1 from back/job-1: TCP/5432"]);
}

#[test]
fn without_a_default_deny_the_world_comes_first() {
    let mut inventory = cluster();
    populate(&mut inventory, &[("back", "job-1", "job"), ("kube-system", "dns-1", "dns")]);
    let told = lines(&change("default-deny", Some(&default_deny()), None), &inventory);
    let expected = [
        "opens egress from all pods of shop to any address: all ports",
        "opens ingress to all pods of shop from any address: all ports",
        "opens egress from all pods of shop to any pod of any namespace: all ports",
        "opens ingress to all pods of shop from any pod of any namespace but shop: all ports",
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_rest_is_counted() {
    let mut inventory = cluster();
    let rules: Vec<Value> = (0..14)
        .map(|i| {
            let name = format!("team-{i}");
            populate(&mut inventory, &[(&name, "web", "web")]);
            json!({"from": [namespaced(&name)], "ports": [{"port": 8000 + i}]})
        })
        .collect();
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules});
    let told = lines(&create(&spec), &inventory);
    assert_eq!((told.len(), told[10].as_str()), (11, "and 4 more; see `portcullis diff`"));
    assert!(told[..10].iter().all(|line| line.starts_with("opens ingress to all pods of shop from team-")), "{told:?}");
}

#[test]
fn long_lines_keep_their_ports() {
    let mut inventory = cluster();
    let name = |i: usize| format!("an-application-with-a-rather-long-name-{i}");
    for i in 0..4 {
        populate(&mut inventory, &[("front", &name(i), "other")]);
    }
    let from = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "other"}}});
    populate(&mut inventory, &[("other", "x", "x")]);
    let mut spec = ingress(&from);
    spec["podSelector"] = json!({});
    let told = lines(&create(&spec), &inventory);
    assert!(told.iter().all(|line| line.chars().count() <= LINE && line.ends_with(": TCP/5432")), "{told:#?}");
}

#[test]
fn pods_in_doubt_are_told_of_last() {
    let told = lines(&create(&ingress(&namespaced("front"))), &cluster().with_pods_in_doubt("forbidden".to_owned()));
    assert_eq!(told, [TO_DB, "pods are not known here: forbidden"]);
}

#[test]
fn what_takes_too_much_says_so() {
    let told = lines_within(Limit(0), &create(&ingress(&namespaced("front"))), &cluster());
    assert!(told.len() == 1 && told[0].starts_with("what this opens is too much") && told[0].len() <= LINE, "{told:?}");
}

#[test]
fn namespaces_on_their_way_out_open_nothing() {
    let mut inventory = cluster();
    inventory.update("shop", |state| state.terminating = true);
    assert_eq!(lines(&change("default-deny", Some(&default_deny()), None), &inventory), [""; 0]);
    assert_eq!(lines(&namespace_change(Some(&[]), Some(&[("a", "b")]), "dev"), &cluster()), [""; 0]);
}

#[test]
fn it_is_told_where_it_is_asked_for() {
    let subject = create(&ingress(&namespaced("front")));
    let bound = |explain_changes| -> Bound {
        bind(RuleSet { explain_changes, ..RuleSet::builtin([]) }, RULES).unwrap_or_else(|errors| panic!("{errors:?}"))
    };
    let told = |bound: &Bound, origin| changes(&subject, &cluster(), bound, origin).len();
    let (warn, off) = (bound(ExplainChanges::Warn), bound(ExplainChanges::Off));
    assert_eq!([Origin::Request, Origin::Labels, Origin::Bundle].map(|origin| told(&warn, origin)), [1, 0, 0]);
    assert_eq!(told(&off, Origin::Request), 0);
    assert!(warn.needs_pods() && !off.needs_pods());
}
