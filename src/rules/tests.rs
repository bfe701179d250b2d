//! Helpers for the rules' own cases, and what holds for the registry as a whole.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::object::{Metadata, NamespaceObject, Operation, PolicyObject, Requester, Written};

/// The namespace in which the cases play.
pub(crate) const NAMESPACE: &str = "shop";

/// A policy `name` with that spec.
pub(crate) fn policy(name: &str, spec: &Value) -> Arc<NetworkPolicy> {
    Arc::new(NetworkPolicy::parse(NAMESPACE, name, spec).expect("a valid spec"))
}

/// A change of policy `name` from one spec to another.
pub(crate) fn change(name: &str, old: Option<&Value>, new: Option<&Value>) -> Subject {
    let object = |spec: &Value| PolicyObject {
        metadata: Metadata { name: name.to_owned(), namespace: Some(NAMESPACE.to_owned()), ..Metadata::default() },
        policy: policy(name, spec),
        written: Written::in_spec(spec),
    };
    Subject {
        operation: operation(old.is_some(), new.is_some()),
        requester: Requester::default(),
        change: Change::NetworkPolicy { old: old.map(object), new: new.map(object) },
        name: name.to_owned(),
        namespace: NAMESPACE.to_owned(),
    }
}

fn operation(old: bool, new: bool) -> Operation {
    match (old, new) {
        (false, _) => Operation::Create,
        (true, true) => Operation::Update,
        (true, false) => Operation::Delete,
    }
}

/// The metadata of the namespace with these labels.
pub(crate) fn labelled(labels: &[(&str, &str)]) -> Metadata {
    let labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    Metadata { name: NAMESPACE.to_owned(), labels, ..Metadata::default() }
}

/// A change of the namespace's metadata.
pub(crate) fn namespace_from_to(old: Option<Metadata>, new: Option<Metadata>, requester: &str) -> Subject {
    let name = new.as_ref().or(old.as_ref()).map(|metadata| metadata.name.clone()).unwrap_or_default();
    let operation = operation(old.is_some(), new.is_some());
    let object = |metadata| NamespaceObject { metadata };
    Subject {
        operation,
        requester: Requester { username: requester.to_owned(), groups: vec!["system:authenticated".to_owned()] },
        change: Change::Namespace { old: old.map(object), new: new.map(object) },
        namespace: name.clone(),
        name,
    }
}

/// What the labels of a namespace were and become.
pub(crate) type Pairs<'a> = Option<&'a [(&'a str, &'a str)]>;

/// These labels. In cases, where the compiler does not see what kind of list is meant.
pub(crate) const fn at<'a>(pairs: &'a [(&'a str, &'a str)]) -> Pairs<'a> {
    Some(pairs)
}

/// A change of the namespace's labels; a creation without old ones, a deletion without new ones.
pub(crate) fn namespace_change(old: Pairs<'_>, new: Pairs<'_>, requester: &str) -> Subject {
    namespace_from_to(old.map(labelled), new.map(labelled), requester)
}

/// The creation of a policy `x`.
pub(crate) fn create(spec: &Value) -> Subject {
    change("x", None, Some(spec))
}

/// An inventory with these policies.
pub(crate) fn inventory(policies: &[(&str, Value)]) -> Inventory {
    let mut inventory = Inventory::default();
    inventory.update(NAMESPACE, |namespace| {
        namespace.policies = policies.iter().map(|(name, spec)| ((*name).to_owned(), policy(name, spec))).collect();
    });
    inventory
}

/// What a rule says of a request in an empty cluster.
pub(crate) fn drafts(rule: &str, params: &Value, subject: &Subject) -> Result<Outcome, CannotTell> {
    drafts_in(&Inventory::default(), rule, params, subject)
}

/// What a rule says of a request in that cluster.
pub(crate) fn drafts_in(
    inventory: &Inventory,
    rule: &str,
    params: &Value,
    subject: &Subject,
) -> Result<Outcome, CannotTell> {
    let check = find(rule).expect("a rule of that name").bind(params, &Groups::builtin()).expect("valid parameters");
    let around = inventory.overlay(subject);
    check.check(&Context { subject, around: &around, inventory, now: Timestamp::UNIX_EPOCH, bundle: false })
}

/// The fields a rule finds fault with.
pub(crate) fn fields(rule: &str, params: &Value, subject: &Subject) -> Vec<String> {
    drafts(rule, params, subject).expect("judged").drafts.into_iter().map(|draft| draft.field).collect()
}

#[test]
fn names_are_kebab_case_sorted_and_unique() {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.meta().name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    for name in names {
        let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        assert!(name.split('-').all(word), "{name}");
    }
}

#[test]
fn documentation_is_complete() {
    for meta in RULES.iter().map(|rule| rule.meta()) {
        for text in [meta.summary, meta.what, meta.why, meta.rejected, meta.accepted] {
            assert!(!text.trim().is_empty() && !text.contains("  \n"), "{}", meta.name);
        }
        // A cell of a table, and the middle of a sentence.
        assert!(!meta.summary.contains(['|', '\n']) && !meta.summary.ends_with('.'), "{}: {}", meta.name, meta.summary);
        for text in meta.params.iter().map(|param| param.about).chain([meta.what, meta.why]) {
            let heading = text.lines().any(|line| line.starts_with('#'));
            assert!(text.ends_with('.') && !heading, "{}: {text}", meta.name);
        }
        for yaml in [meta.example_params, meta.rejected, meta.accepted] {
            assert!(yaml.is_empty() || (yaml.ends_with('\n') && !yaml.contains("```")), "{}: {yaml}", meta.name);
        }
        assert!(["NetworkPolicy", "Namespace"].contains(&meta.kind), "{}: {}", meta.name, meta.kind);
        assert!(!meta.references.is_empty() && meta.references.iter().all(|url| url.starts_with("https://")));
        // An item of a list, and a comment in `config default`.
        let one_line = |text: &str| !text.is_empty() && !text.contains('\n');
        assert!(meta.params.iter().all(|param| one_line(param.default) && one_line(param.about)), "{}", meta.name);
    }
}

#[test]
fn the_documented_parameters_are_those_that_are_taken() {
    for rule in RULES {
        let meta = rule.meta();
        assert!(rule.bind(&Value::Null, &Groups::builtin()).is_ok(), "{}", meta.name);
        let refused = rule.bind(&serde_json::json!({"noSuchParameter": 1}), &Groups::builtin()).err();
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        // It names the parameters there are: "unknown field `noSuchParameter`, expected `a` or `b`".
        let named: Vec<&str> = refused.split('`').skip(1).step_by(2).collect();
        assert_eq!(named.first(), Some(&"noSuchParameter"), "{}: {refused}", meta.name);
        let mut taken = named[1..].to_vec();
        let mut documented: Vec<&str> = meta.params.iter().map(|param| param.name).collect();
        taken.sort_unstable();
        documented.sort_unstable();
        assert_eq!(documented, taken, "{}: left what is documented, right what is taken", meta.name);
        for param in documented {
            // A value of no type that any parameter has.
            let params = serde_json::json!({param: 0.5});
            assert!(rule.bind(&params, &Groups::builtin()).is_err(), "{} {param}", meta.name);
        }
    }
}
