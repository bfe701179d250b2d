use serde_json::{Value, json};

use super::*;

fn mk(value: Value) -> Raw {
    serde_json::from_value(value).unwrap()
}

fn mk_namespace(name: &str, team: &str) -> Raw {
    mk(json!({"metadata": {"name": name, "labels": {"team": team}, "creationTimestamp": "2026-01-02T03:04:05Z"}}))
}

fn mk_policy(namespace: &str, name: &str) -> Raw {
    mk(json!({
        "metadata": {"name": name, "namespace": namespace, "managedFields": [{"manager": "x"}]},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }))
}

fn mk_odd_policy(namespace: &str, name: &str) -> Raw {
    mk(json!({
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, "egress": [{"to": [{"fqdns": []}]}]},
    }))
}

fn mk_index(namespaces: &[&str], policies: &[(&str, &str)]) -> Index {
    let mut index = Index::default();
    let namespaces = namespaces.iter().map(|name| mk_namespace(name, "one")).collect();
    let policies = policies.iter().map(|(namespace, name)| mk_policy(namespace, name)).collect();
    assert_eq!(index.apply(Event::Listed(Kind::Namespace, namespaces)), []);
    assert_eq!(index.apply(Event::Listed(Kind::NetworkPolicy, policies)), []);
    index
}

#[test]
fn the_order_of_the_lists_does_not_matter() {
    let mut other = Index::default();
    other.apply(Event::Listed(Kind::NetworkPolicy, vec![mk_policy("a", "x"), mk_policy("b", "z")]));
    let b = other.inventory().namespace("b");
    assert!(!b.known && b.policies.contains_key("z"));
    other.apply(Event::Listed(Kind::Namespace, vec![mk_namespace("a", "one"), mk_namespace("b", "one")]));
    assert_eq!(other, mk_index(&["a", "b"], &[("a", "x"), ("b", "z")]));
    assert_eq!((other.count(Kind::Namespace), other.count(Kind::NetworkPolicy)), ((2, 0), (2, 0)));
}

#[test]
fn events_add_up_to_what_a_list_would_say() {
    let mut index = mk_index(&["a"], &[("a", "x")]);
    index.apply(Event::Applied(Kind::NetworkPolicy, mk_policy("a", "z")));
    index.apply(Event::Applied(Kind::Namespace, mk_namespace("b", "one")));
    index.apply(Event::Deleted(Kind::NetworkPolicy, mk_policy("a", "x")));
    assert_eq!(index, mk_index(&["a", "b"], &[("a", "z")]));
    index.apply(Event::Applied(Kind::Namespace, mk_namespace("a", "two")));
    let a = index.inventory().namespace("a");
    assert_eq!((a.labels["team"].as_str(), a.policies.len(), a.created.is_some()), ("two", 1, true));
}

#[test]
fn a_list_replaces_everything_of_its_kind_and_nothing_of_the_other() {
    let mut index = mk_index(&["a", "b", "empty"], &[("a", "x"), ("a", "z"), ("b", "x")]);
    index.apply(Event::Listed(Kind::NetworkPolicy, vec![mk_policy("a", "z"), mk_policy("c", "x")]));
    let state = |name| index.inventory().namespace(name);
    assert_eq!(state("a").policies.keys().collect::<Vec<_>>(), ["z"]);
    assert!(state("b").known && state("b").policies.is_empty());
    assert!(!state("c").known && state("c").policies.len() == 1);

    let mut index = index;
    index.apply(Event::Listed(Kind::Namespace, vec![mk_namespace("b", "two")]));
    let state = |name| index.inventory().namespace(name);
    assert_eq!(index.inventory().len(), 3, "what vanished and has no policies is forgotten");
    assert_eq!(state("b").labels["team"], "two");
    let a = state("a");
    assert!(!a.known && !a.terminating && a.labels == NamespaceState::unseen("a").labels && a.policies.len() == 1);
}

#[test]
fn what_is_being_deleted_counts_as_absent_or_terminating() {
    let going = "2026-01-02T03:04:05Z";
    let mut index = mk_index(&["a"], &[("a", "x")]);
    let policy = mk(json!({"metadata": {"name": "x", "namespace": "a", "deletionTimestamp": going}, "spec": 5}));
    assert_eq!(index.apply(Event::Applied(Kind::NetworkPolicy, policy)), []);
    let namespace = mk(json!({"metadata": {"name": "a", "deletionTimestamp": going}}));
    index.apply(Event::Applied(Kind::Namespace, namespace));
    let a = index.inventory().namespace("a");
    assert!(a.terminating && a.known && a.policies.is_empty() && a.odd.is_empty());
}

#[test]
fn a_namespace_that_is_gone_stays_until_its_policies_are() {
    let mut index = mk_index(&["a"], &[("a", "x")]);
    index.apply(Event::Deleted(Kind::Namespace, mk_namespace("a", "one")));
    let a = index.inventory().namespace("a");
    assert!(a.terminating && !a.known && a.policies.len() == 1);
    index.apply(Event::Deleted(Kind::NetworkPolicy, mk_policy("a", "x")));
    assert_eq!(index, Index::default());
}

#[test]
fn odd_policies_are_named_counted_and_told_once() {
    let mut index = mk_index(&["a"], &[("a", "x")]);
    let told = index.apply(Event::Applied(Kind::NetworkPolicy, mk_odd_policy("a", "x")));
    assert_eq!((told.len(), told[0].name.as_str()), (1, "x"));
    assert!(told[0].reason.contains("spec.egress[0].to[0].fqdns"), "{}", told[0].reason);
    let a = index.inventory().namespace("a");
    assert!(a.policies.is_empty() && a.odd["x"] == told[0].reason);
    assert_eq!(index.count(Kind::NetworkPolicy), (0, 1));

    assert_eq!(index.apply(Event::Applied(Kind::NetworkPolicy, mk_odd_policy("a", "x"))), []);
    assert_eq!(index.apply(Event::Listed(Kind::NetworkPolicy, vec![mk_odd_policy("a", "x")])), []);
    assert_eq!(index.apply(Event::Applied(Kind::NetworkPolicy, mk_policy("a", "x"))), []);
    assert_eq!(index, mk_index(&["a"], &[("a", "x")]), "a policy that is mended counts again");
    index.apply(Event::Applied(Kind::NetworkPolicy, mk_odd_policy("a", "x")));
    index.apply(Event::Deleted(Kind::NetworkPolicy, mk_odd_policy("a", "x")));
    assert_eq!(index, mk_index(&["a"], &[]));
}

#[test]
fn metadata_that_cannot_be_read_makes_an_object_odd() {
    let mut index = mk_index(&["a"], &[("a", "x")]);
    let odd = || mk(json!({"metadata": {"name": "a", "labels": {"team": 5}}}));
    assert_eq!(index.apply(Event::Applied(Kind::Namespace, odd())).len(), 1);
    assert_eq!(index.apply(Event::Listed(Kind::Namespace, vec![odd()])), []);
    let a = index.inventory().namespace("a");
    assert!(!a.known && a.policies.len() == 1 && a.labels == NamespaceState::unseen("a").labels);
    assert_eq!(index.count(Kind::Namespace), (0, 1));
    index.apply(Event::Deleted(Kind::Namespace, odd()));
    assert_eq!(index.count(Kind::Namespace), (0, 0));
}

#[test]
fn a_snapshot_does_not_change() {
    let mut index = mk_index(&["a"], &[("a", "x")]);
    let snapshot = index.inventory().clone();
    index.apply(Event::Listed(Kind::Namespace, Vec::new()));
    index.apply(Event::Applied(Kind::NetworkPolicy, mk_policy("a", "z")));
    assert_eq!(snapshot, *mk_index(&["a"], &[("a", "x")]).inventory());
}

fn mk_pod(namespace: &str, name: &str) -> Raw {
    mk(json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}, "annotations": {"long": "text"}},
    }))
}

#[test]
fn pods_come_and_go_beside_policies() {
    let mut index = mk_index(&["a"], &[("a", "x")]);
    assert_eq!(index.apply(Event::Listed(Kind::Pod, vec![mk_pod("a", "web"), mk_pod("gone", "left")])), []);
    index.apply(Event::Applied(Kind::Pod, mk_pod("a", "db")));
    assert_eq!((index.count(Kind::Pod), index.count(Kind::Namespace)), ((3, 0), (1, 0)));
    let left = index.inventory().namespace("gone");
    assert!(!left.known && left.pods.len() == 1);
    index.apply(Event::Deleted(Kind::Namespace, mk_namespace("a", "one")));
    assert_eq!(index.inventory().namespace("a").pods.len(), 2, "they run until they are gone");
    index.apply(Event::Listed(Kind::Namespace, vec![mk_namespace("a", "one")]));
    index.apply(Event::Listed(Kind::NetworkPolicy, vec![mk_policy("a", "x")]));
    assert_eq!(index.count(Kind::Pod), (3, 0));
    index.apply(Event::Deleted(Kind::Pod, mk_pod("gone", "left")));
    assert_eq!(index.inventory().len(), 1);
    index.forget_pods();
    assert_eq!(index, mk_index(&["a"], &[("a", "x")]));
}

#[test]
fn pods_whose_labels_cannot_be_read_are_odd() {
    let odd = || mk(json!({"metadata": {"name": "web", "namespace": "a", "labels": {"app": 5}}}));
    let mut index = mk_index(&["a"], &[]);
    index.apply(Event::Listed(Kind::Pod, vec![mk_pod("a", "web")]));
    let told = index.apply(Event::Applied(Kind::Pod, odd()));
    assert!(told.len() == 1 && told[0].reason.contains("metadata.labels"), "{told:?}");
    assert_eq!((index.count(Kind::Pod), index.apply(Event::Listed(Kind::Pod, vec![odd()]))), ((0, 1), Vec::new()));
    index.apply(Event::Applied(Kind::Pod, mk_pod("a", "web")));
    assert_eq!(index.count(Kind::Pod), (1, 0));
}
