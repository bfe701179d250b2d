//! A manifest as the object it describes, held to what the API server takes.
//!
//! ```text
//! Document ── read() ──> Subject                    a CREATE of it
//!                    ├─> Faulty { object, faults }  refused by the API server, or not to be understood
//!                    └─> Other                      something that no rule is about
//! ```
//!
//! Key sets are closed, as they are in a spec: a misspelt `labels` or `spec` would else be an object
//! of another meaning than its author's.

use std::fmt;

use serde_json::{Map, Value};

use super::names;
use crate::inventory::METADATA_NAME;
use crate::manifest::Document;
use crate::netpol::policy::{NetworkPolicy, SpecProblem};
use crate::netpol::selector::is_label_value;
use crate::object::{Change, Metadata, NamespaceObject, Operation, PolicyObject, Requester, Subject, Written};

const POLICY_VERSION: &str = "networking.k8s.io/v1";
const KEYS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Fields of `metadata`. Source: API reference, `ObjectMeta`; `clusterName` was one until 1.24.
const METADATA_KEYS: [&str; 16] = [
    "annotations",
    "clusterName",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What a document is.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// An object that the rules judge, as a request to create it.
    Subject(Box<Subject>),
    /// Meant to be such an object, but it cannot be read as one.
    Faulty {
        /// Which object; `None` where that is not known.
        object: Option<Named>,
        /// What is wrong with it; never empty.
        faults: Vec<Fault>,
    },
    /// Something else.
    Other,
}

/// Which object a faulty document was meant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Group and version as written, where they once were right, else as they should be.
    pub api_version: &'static str,
    /// `NetworkPolicy` or `Namespace`.
    pub kind: &'static str,
    /// Its namespace, for a policy.
    pub namespace: Option<String>,
    /// Its name; empty where it has none.
    pub name: String,
}

/// One thing wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field; empty for the document as a whole.
    pub field: String,
    /// What is wrong, in one line.
    pub message: String,
    /// The repair, in one line.
    pub help: String,
    /// The API server refuses the object. Otherwise what it would make of it is open.
    pub refused: bool,
}

/// `spec.ingress[0]: what`, or what alone where it is about the whole.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl Fault {
    pub(super) fn refused(field: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into(), help: help.into(), refused: true }
    }

    fn unknown(field: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { refused: false, ..Self::refused(field, message, help) }
    }
}

/// Reads a document; a policy without a namespace is in `default_namespace`.
#[must_use]
pub fn read(document: &Document, default_namespace: &str) -> Read {
    let (version, kind) = (document.api_version(), document.kind());
    match (version, kind) {
        // A misspelt `kind:` would drop a policy without a word.
        ("", _) | (_, "") => Read::Faulty {
            object: None,
            faults: vec![Fault::unknown(
                "",
                "is no Kubernetes object: it needs apiVersion and kind",
                "give both as text, or leave the file out",
            )],
        },
        (POLICY_VERSION, "NetworkPolicy") => policy(document, default_namespace),
        ("v1", "Namespace") => namespace(document),
        (_, "List" | "NetworkPolicyList" | "NamespaceList") => match document.value.get("items") {
            None | Some(Value::Null | Value::Array(_)) => Read::Other,
            Some(_) => Read::Faulty {
                object: None,
                faults: vec![Fault::unknown("items", "must be a list", "begin each item with a dash")],
            },
        },
        _ => match misnamed(version, kind) {
            Some((meant, fault)) => {
                Read::Faulty { object: Some(named(document, meant, default_namespace)), faults: vec![fault] }
            }
            None => Read::Other,
        },
    }
}

/// A NetworkPolicy or Namespace under a version or a name that no API server knows it by. Groups of
/// others, such as Calico's and Cilium's, have a dot in them and policies of their own.
fn misnamed(version: &str, kind: &str) -> Option<(&'static str, Fault)> {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let of_kubernetes = !group.contains('.') || group == "networking.k8s.io";
    let no_such = |meant, right| {
        let message = format!("{} has no {kind}", shown(version));
        Some((meant, Fault::refused("apiVersion", message, format!("write apiVersion: {right}"))))
    };
    match kind {
        "NetworkPolicy" if version == "extensions/v1beta1" => {
            let message = "Kubernetes serves no NetworkPolicy of extensions/v1beta1 since 1.16";
            Some(("NetworkPolicy", Fault::refused("apiVersion", message, "write apiVersion: networking.k8s.io/v1")))
        }
        "NetworkPolicy" if of_kubernetes => no_such("NetworkPolicy", POLICY_VERSION),
        "Namespace" if of_kubernetes => no_such("Namespace", "v1"),
        _ => {
            let meant = match version {
                POLICY_VERSION => "NetworkPolicy",
                "v1" => "Namespace",
                _ => return None,
            };
            let alike = strsim::jaro_winkler(&kind.to_lowercase(), &meant.to_lowercase()) > 0.9;
            let message = format!("{version} has no kind {}", shown(kind));
            alike.then(|| (meant, Fault::refused("kind", message, format!("perhaps kind: {meant}"))))
        }
    }
}

fn policy(document: &Document, default_namespace: &str) -> Read {
    let mut faults = Vec::new();
    closed(&mut faults, "", &document.value, &KEYS);
    let mut metadata = metadata(document, &mut faults);
    check_name(&mut faults, &metadata, "a DNS subdomain", names::is_subdomain);
    let namespace = metadata.namespace.take().filter(|name| !name.is_empty());
    if let Some(name) = namespace.as_deref().filter(|name| !names::is_label(name)) {
        let message = format!("{} is no namespace's name: it must be a DNS label", shown(name));
        faults.push(Fault::refused("metadata.namespace", message, NAME_HELP));
    }
    let namespace = namespace.unwrap_or_else(|| default_namespace.to_owned());
    let spec = document.value.get("spec").unwrap_or(&Value::Null);
    match NetworkPolicy::parse(&namespace, &metadata.name, spec) {
        Ok(policy) if faults.is_empty() => {
            metadata.namespace = Some(namespace.clone());
            let name = metadata.name.clone();
            let managed_fields = document.value.get("metadata").and_then(|metadata| metadata.get("managedFields"));
            let written = Written::in_manifest(&metadata, managed_fields, spec, &policy.spec);
            let new = Some(PolicyObject { metadata, policy: policy.into(), written });
            created(Change::NetworkPolicy { old: None, new }, name, namespace)
        }
        parsed => {
            faults.extend(parsed.err().map(spec_faults).unwrap_or_default());
            Read::Faulty { object: Some(named(document, "NetworkPolicy", default_namespace)), faults }
        }
    }
}

/// Of a peer with a field that is not known, it is not known either whether it names nobody.
fn spec_faults(problems: Vec<SpecProblem>) -> Vec<Fault> {
    let unknown: Vec<String> =
        problems.iter().filter(|problem| problem.unknown).map(|problem| problem.field.clone()).collect();
    let in_doubt = |problem: &SpecProblem| {
        let inside = format!("{}.", problem.field);
        !problem.unknown
            && unknown.iter().any(|field| field.strip_prefix(&inside).is_some_and(|key| !key.contains('.')))
    };
    problems
        .into_iter()
        .filter(|problem| !in_doubt(problem))
        .map(|SpecProblem { field, message, unknown }| {
            let help = if unknown { UNKNOWN_HELP } else { "mend it: the API server refuses the object as it is" };
            Fault { field, message, help: help.to_owned(), refused: !unknown }
        })
        .collect()
}

fn namespace(document: &Document) -> Read {
    let mut faults = Vec::new();
    closed(&mut faults, "", &document.value, &KEYS);
    let mut metadata = metadata(document, &mut faults);
    check_name(&mut faults, &metadata, "a DNS label", names::is_label);
    if !faults.is_empty() {
        return Read::Faulty { object: Some(named(document, "Namespace", "")), faults };
    }
    let name = metadata.name.clone();
    // The API server takes no notice of it.
    metadata.namespace = None;
    // A manifest rarely says so, but the API server sets it.
    metadata.labels.insert(METADATA_NAME.to_owned(), name.clone());
    let new = Some(NamespaceObject { metadata });
    created(Change::Namespace { old: None, new }, name.clone(), name)
}

fn created(change: Change, name: String, namespace: String) -> Read {
    let requester = Requester::default();
    Read::Subject(Box::new(Subject { operation: Operation::Create, requester, change, name, namespace }))
}

fn named(document: &Document, kind: &'static str, default_namespace: &str) -> Named {
    let text = |key| document.value.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Value::as_str);
    let api_version = match (kind, document.api_version()) {
        ("Namespace", _) => "v1",
        (_, "extensions/v1beta1") => "extensions/v1beta1",
        (_, "networking.k8s.io/v1beta1") => "networking.k8s.io/v1beta1",
        _ => POLICY_VERSION,
    };
    let namespace = || text("namespace").filter(|name| !name.is_empty()).unwrap_or(default_namespace).to_owned();
    let name = text("name").or_else(|| text("generateName")).unwrap_or_default().to_owned();
    Named { api_version, kind, namespace: (kind == "NetworkPolicy").then(namespace), name }
}

const NAME_HELP: &str = "use lower-case letters, digits and `-`, with a letter or digit at either end";
const UNKNOWN_HELP: &str = "check its spelling and place; kubectl refuses fields that the API server does not know";

fn check_name(faults: &mut Vec<Fault>, metadata: &Metadata, wanted: &str, fits: fn(&str) -> bool) {
    let field = "metadata.name";
    if faults.iter().any(|fault| fault.field == field || fault.field == "metadata") {
        return; // It is no text, and has been told of.
    }
    if metadata.name.is_empty() {
        faults.push(Fault::refused(field, "the object has no name", "give it a metadata.name"));
    } else if !fits(&metadata.name) {
        let message = format!("{} is no valid name: it must be {wanted}", shown(&metadata.name));
        faults.push(Fault::refused(field, message, NAME_HELP));
    }
}

/// The metadata, with everything wrong with it told. What is wrong is left out.
fn metadata(document: &Document, faults: &mut Vec<Fault>) -> Metadata {
    let mut cleaned = match document.value.get("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => {
            closed(faults, "metadata", document.value.get("metadata").unwrap_or(&Value::Null), &METADATA_KEYS);
            map.clone()
        }
        Some(_) => {
            faults.push(Fault::refused("metadata", "must be an object", "give at least metadata.name"));
            Map::new()
        }
    };
    for key in ["name", "namespace", "generateName"] {
        let is_text = cleaned.get(key).is_none_or(|value| value.is_string() || value.is_null());
        if !is_text && let Some(value) = cleaned.remove(key) {
            faults.push(no_text(&format!("metadata.{key}"), &value));
        }
    }
    // kubectl create makes up the rest of the name; here it is only told apart from fixed ones.
    if let (None | Some(Value::Null), Some(prefix)) =
        (cleaned.get("name"), cleaned.get("generateName").and_then(Value::as_str).map(str::to_owned))
    {
        let place = document.place("metadata.generateName");
        cleaned.insert("name".to_owned(), format!("{prefix}{}x{}", place.line, place.column).into());
    } else if cleaned.get("name").is_some_and(Value::is_null) {
        cleaned.remove("name");
    }
    texts(faults, &mut cleaned, "labels", |value| {
        (!is_label_value(value))
            .then(|| "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at either end".to_owned())
    });
    texts(faults, &mut cleaned, "annotations", |_| None);
    for key in ["creationTimestamp", "deletionTimestamp"] {
        let is_time = |value: &Value| {
            value.is_null() || value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
        };
        if cleaned.get(key).is_some_and(|value| !is_time(value)) {
            cleaned.remove(key);
            let help = "write it as 2026-01-31T12:00:00Z, or leave it out";
            faults.push(Fault::refused(&format!("metadata.{key}"), "is no time", help));
        }
    }
    serde_json::from_value(Value::Object(cleaned)).unwrap_or_else(|error| {
        faults.push(Fault::refused(
            "metadata",
            error.to_string(),
            "mend it: the API server refuses the object as it is",
        ));
        Metadata::default()
    })
}

/// Holds `metadata.labels` or `.annotations` to keys and texts. Go reads a `null` among them as the empty text.
fn texts(faults: &mut Vec<Fault>, metadata: &mut Map<String, Value>, key: &str, odd: fn(&str) -> Option<String>) {
    let whole = format!("metadata.{key}");
    let entries = match metadata.get_mut(key) {
        None | Some(Value::Null) => return,
        Some(Value::Object(entries)) => entries,
        Some(_) => {
            metadata.remove(key);
            return faults.push(Fault::refused(&whole, "must be an object", "write it as `key: value`, one a line"));
        }
    };
    for (name, value) in entries.iter_mut() {
        let field = format!("{whole}[{name}]");
        // Those of annotations are compared in lower case.
        let lower = name.to_lowercase();
        if !names::is_qualified(if key == "labels" { name } else { &lower }) {
            let help =
                "use [PREFIX/]NAME, PREFIX a DNS subdomain and NAME at most 63 letters, digits, `-`, `_` and `.`";
            faults.push(Fault::refused(&field, format!("{} is no valid key", shown(name)), help));
        }
        match value {
            Value::Null => *value = Value::from(""),
            Value::String(text) => {
                if let Some(help) = odd(text) {
                    faults.push(Fault::refused(&field, format!("{} is no valid value", shown(text)), help));
                }
            }
            other => {
                faults.push(no_text(&field, other));
                *other = Value::from("");
            }
        }
    }
}

/// YAML has made something else of a text, as of `app: on`.
fn no_text(field: &str, value: &Value) -> Fault {
    let (found, help) = match value {
        Value::Bool(value) => (format!("the boolean {value}"), "put it in quotes"),
        Value::Number(value) => (format!("the number {value}"), "put it in quotes"),
        Value::Array(_) => ("a list".to_owned(), "write a single text"),
        _ => ("an object".to_owned(), "write a single text"),
    };
    Fault::refused(field, format!("must be text, and kubectl reads {found} here"), help)
}

/// Holds an object to a set of keys.
fn closed(faults: &mut Vec<Fault>, at: &str, value: &Value, keys: &[&str]) {
    for key in value.as_object().into_iter().flat_map(Map::keys).filter(|key| !keys.contains(&key.as_str())) {
        let field = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        let near = keys.iter().find(|known| strsim::jaro_winkler(&key.to_lowercase(), &known.to_lowercase()) > 0.85);
        let perhaps = near.map(|near| format!(", perhaps `{near}`")).unwrap_or_default();
        faults.push(Fault::unknown(&field, format!("unknown field{perhaps}"), UNKNOWN_HELP));
    }
}

/// A foreign text as a message quotes it: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        short.push('…');
    }
    format!("\"{short}\"")
}

#[cfg(test)]
mod tests;
