//! A manifest as the API server hands it to the webhook.

use serde_json::{Map, Value, json};

use crate::inventory::from_files::DEFAULT_NAMESPACE;
use crate::inventory::from_files::object::{Fault, Named, Read, read};
use crate::manifest::Document;
use crate::object::{Change, Metadata, Subject};

/// A NetworkPolicy or Namespace of a request.
#[derive(Debug)]
pub(super) struct Object {
    /// `NetworkPolicy` or `Namespace`.
    pub(super) kind: &'static str,
    /// Its namespace; empty for a Namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// As a request carries it.
    pub(super) value: Value,
    /// As the inventory has it; `None` where the webhook cannot read it.
    pub(super) subject: Option<Box<Subject>>,
}

/// Reads a manifest. The error has everything wrong with it, each with its field.
pub(super) fn object(document: &Document) -> Result<Object, Vec<(String, String)>> {
    match read(document, DEFAULT_NAMESPACE) {
        Read::Subject(subject) => Ok(of_subject(document, subject)),
        // The API server may know what this version of ours does not, and the webhook has to say something to that.
        Read::Faulty { object: Some(named), faults } if faults.iter().all(|fault| !fault.refused) => {
            Ok(of_named(document, named))
        }
        Read::Faulty { faults, .. } => Err(faults.into_iter().map(told).collect()),
        Read::Other => {
            let message = format!("a request is about a NetworkPolicy or a Namespace, not a {}", document.kind());
            Err(vec![("kind".to_owned(), message)])
        }
    }
}

fn told(Fault { field, message, help, refused }: Fault) -> (String, String) {
    let at = if field.is_empty() { String::new() } else { format!("{field}: ") };
    let why = if refused { "the API server refuses this object, so that no rule sees it: " } else { "" };
    let message = format!("{why}{at}{message}; {help}");
    (field, message)
}

fn of_subject(document: &Document, subject: Box<Subject>) -> Object {
    let reference = subject.object_ref();
    let mut value = document.value.clone();
    if let (Some(known), Some(metadata)) = (entry(&mut value, "metadata"), metadata(&subject)) {
        known.insert("name".to_owned(), metadata.name.clone().into());
        known.insert("labels".to_owned(), json!(metadata.labels));
        known.insert("annotations".to_owned(), json!(metadata.annotations));
    }
    let namespace = reference.namespace.unwrap_or_default();
    fill_in(&mut value, reference.kind, &namespace);
    Object { kind: reference.kind, namespace, name: reference.name, value, subject: Some(subject) }
}

fn of_named(document: &Document, Named { kind, namespace, name, .. }: Named) -> Object {
    let mut value = document.value.clone();
    let namespace = namespace.unwrap_or_default();
    if let Some(metadata) = entry(&mut value, "metadata") {
        metadata.insert("name".to_owned(), name.clone().into());
    }
    fill_in(&mut value, kind, &namespace);
    Object { kind, namespace, name, value, subject: None }
}

fn metadata(subject: &Subject) -> Option<&Metadata> {
    match &subject.change {
        Change::NetworkPolicy { new, .. } => new.as_ref().map(|new| &new.metadata),
        Change::Namespace { new, .. } => new.as_ref().map(|new| &new.metadata),
    }
}

/// Adds what the API server adds. Source: API reference, NetworkPolicySpec and NetworkPolicyPort; well-known labels,
/// `kubernetes.io/metadata.name`, which [`read`] has put among the labels of a Namespace.
fn fill_in(value: &mut Value, kind: &str, namespace: &str) {
    if let Some(metadata) = entry(value, "metadata") {
        if kind == "Namespace" {
            metadata.remove("namespace");
            return;
        }
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    let Some(spec) = entry(value, "spec") else { return };
    let has = |spec: &Map<String, Value>, key| {
        spec.get(key).is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()))
    };
    if !has(spec, "policyTypes") {
        let types = if has(spec, "egress") { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
    for direction in ["ingress", "egress"] {
        let rules = spec.get_mut(direction).and_then(Value::as_array_mut).into_iter().flatten();
        let ports = rules.filter_map(|rule| rule.get_mut("ports").and_then(Value::as_array_mut)).flatten();
        for port in ports.filter_map(Value::as_object_mut) {
            let protocol = port.entry("protocol").or_insert(Value::Null);
            if protocol.is_null() {
                *protocol = "TCP".into();
            }
        }
    }
}

/// A mapping inside an object, which springs into being where there is none; `None` where something else is there.
fn entry<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Map<String, Value>> {
    let inside = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    if inside.is_null() {
        *inside = Value::Object(Map::new());
    }
    inside.as_object_mut()
}
