use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::netpol::policy::NetworkPolicy;
use crate::object::{Metadata, Requester, Written};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn mk_policy(name: &str) -> PolicyObject {
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    let policy = Arc::new(NetworkPolicy::parse("a", name, &spec).unwrap());
    let metadata = Metadata { name: name.to_owned(), namespace: Some("a".to_owned()), ..Metadata::default() };
    PolicyObject { metadata, policy, written: Written::default() }
}

fn mk_subject(operation: Operation, name: &str, change: Change) -> Subject {
    let namespace = if matches!(change, Change::Namespace { .. }) { name } else { "a" };
    Subject {
        operation,
        requester: Requester::default(),
        change,
        name: name.to_owned(),
        namespace: namespace.to_owned(),
    }
}

fn policy(operation: Operation, name: &str, new: Option<PolicyObject>) -> Subject {
    mk_subject(operation, name, Change::NetworkPolicy { old: None, new })
}

fn namespace(operation: Operation, name: &str, labels: &[(&str, &str)]) -> Subject {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let metadata = Metadata { name: name.to_owned(), labels, creation_timestamp: Some(NOW), ..Metadata::default() };
    let new = (operation != Operation::Delete).then_some(NamespaceObject { metadata });
    mk_subject(operation, name, Change::Namespace { old: None, new })
}

fn names(memory: &Memory, namespace: &str) -> Vec<String> {
    memory.snapshot(NOW).namespace(namespace).policies.keys().cloned().collect()
}

#[test]
fn starts_empty_and_without_age() {
    let memory = Memory::new();
    assert_eq!(memory.snapshot(NOW), Inventory::default().taken_for_whole());
    assert!(memory.live("a").is_none());
    let unseen = NamespaceState { known: true, ..NamespaceState::unseen("a") };
    assert_eq!(*memory.snapshot(NOW).namespace("a"), unseen);
}

#[test]
fn policies_come_and_go() {
    let memory = Memory::new();
    memory.admitted(&policy(Operation::Create, "x", Some(mk_policy("x"))));
    memory.admitted(&policy(Operation::Update, "y", Some(mk_policy("y"))));
    let snapshot = memory.snapshot(NOW);
    assert_eq!(names(&memory, "a"), ["x", "y"]);
    assert!(snapshot.namespace("a").known, "what is not there bears no other label than its name");

    memory.admitted(&policy(Operation::Update, "x", None));
    assert_eq!(names(&memory, "a"), ["x", "y"], "an update whose spec was not read leaves things as they are");
    let mut going = mk_policy("x");
    going.metadata.deletion_timestamp = Some(NOW);
    memory.admitted(&policy(Operation::Update, "x", Some(going)));
    assert_eq!(names(&memory, "a"), ["y"]);
    memory.admitted(&policy(Operation::Delete, "y", None));
    assert_eq!(memory.snapshot(NOW), Inventory::default().taken_for_whole());
    assert_eq!(snapshot.namespace("a").policies.len(), 2, "a snapshot does not change");
}

#[test]
fn a_namespace_that_goes_lets_its_policies_go_and_may_come_back() {
    let memory = Memory::new();
    memory.admitted(&namespace(Operation::Create, "a", &[("team", "one")]));
    memory.admitted(&policy(Operation::Create, "x", Some(mk_policy("x"))));
    memory.admitted(&namespace(Operation::Update, "a", &[("team", "two")]));
    let state = memory.snapshot(NOW).namespace("a");
    assert_eq!((state.labels["team"].as_str(), state.known, state.created), ("two", true, Some(NOW)));
    assert_eq!(names(&memory, "a"), ["x"]);

    memory.admitted(&namespace(Operation::Delete, "a", &[]));
    let state = memory.snapshot(NOW).namespace("a");
    assert!(state.terminating && state.policies.is_empty());
    memory.admitted(&policy(Operation::Delete, "x", None));

    memory.admitted(&namespace(Operation::Create, "a", &[("team", "three")]));
    let state = memory.snapshot(NOW).namespace("a");
    assert!(!state.terminating && state.policies.is_empty() && state.labels["team"] == "three");
}

#[test]
fn a_create_that_may_yet_fail_drops_no_policies() {
    let memory = Memory::new();
    memory.admitted(&namespace(Operation::Create, "a", &[]));
    memory.admitted(&policy(Operation::Create, "x", Some(mk_policy("x"))));
    memory.admitted(&namespace(Operation::Create, "a", &[]));
    assert_eq!(names(&memory, "a"), ["x"]);
}

#[test]
fn a_full_memory_learns_nothing_new_but_keeps_up_with_the_old() {
    let memory = Memory::limited(3);
    memory.admitted(&namespace(Operation::Create, "a", &[]));
    memory.admitted(&namespace(Operation::Create, "going", &[]));
    memory.admitted(&policy(Operation::Create, "x", Some(mk_policy("x"))));
    memory.admitted(&namespace(Operation::Delete, "going", &[]));
    memory.admitted(&policy(Operation::Create, "y", Some(mk_policy("y"))));
    assert_eq!(names(&memory, "a"), ["x", "y"], "what is terminating makes room");
    memory.admitted(&policy(Operation::Create, "z", Some(mk_policy("z"))));
    memory.admitted(&namespace(Operation::Create, "b", &[]));
    assert_eq!(names(&memory, "a"), ["x", "y"]);
    assert_eq!(memory.snapshot(NOW).len(), 1);
    memory.admitted(&namespace(Operation::Update, "a", &[("k", "v")]));
    assert_eq!(memory.snapshot(NOW).namespace("a").labels["k"], "v");
    memory.admitted(&policy(Operation::Delete, "x", None));
    memory.admitted(&policy(Operation::Create, "z", Some(mk_policy("z"))));
    assert_eq!(names(&memory, "a"), ["y", "z"]);
}
