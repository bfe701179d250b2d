//! A fixed inventory from manifests: `--inventory PATH`, a folder of them or a dump of a cluster.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use super::{Inventory, METADATA_NAME, NamespaceState, Source};
use crate::manifest::{self, Document, Reading};
use crate::netpol::policy::NetworkPolicy;
use crate::object::{Metadata, Subject};

/// The namespace of a manifest that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// Why manifests cannot serve as an inventory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Half an inventory would give wrong verdicts, so every problem is told and nothing is used.
    #[error("the manifests cannot serve as an inventory; mend or leave out:\n{}", .0.join("\n"))]
    Problems(Vec<String>),
}

/// A snapshot that never changes. It is all there is to know, so its age is zero.
#[derive(Clone, Debug)]
pub struct Fixed {
    inventory: Inventory,
}

impl Fixed {
    /// Reads a manifest, or all manifests of a folder.
    ///
    /// # Errors
    /// When anything cannot be read: with every problem, one a line, as `file:line:column: what`.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_reading(&manifest::read(&[path.to_owned()]))
    }

    /// The inventory that a set of manifests makes.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_reading(reading: &Reading) -> Result<Self, Error> {
        let mut builder = Builder {
            inventory: Inventory::default(),
            seen: HashMap::new(),
            problems: reading.problems.iter().map(ToString::to_string).collect(),
        };
        for document in &reading.documents {
            builder.add(document);
        }
        if builder.problems.is_empty() {
            Ok(Self { inventory: builder.inventory })
        } else {
            Err(Error::Problems(builder.problems))
        }
    }
}

impl Source for Fixed {
    fn snapshot(&self, _now: Timestamp) -> Inventory {
        self.inventory.clone().taken_for_whole()
    }

    fn live(&self, _namespace: &str) -> Option<BoxFuture<'static, Result<NamespaceState, String>>> {
        None
    }

    fn admitted(&self, _subject: &Subject) {}
}

struct Builder<'a> {
    inventory: Inventory,
    /// Kind, namespace and name of everything taken, with where it was.
    seen: HashMap<(&'static str, String, String), &'a Document>,
    problems: Vec<String>,
}

impl<'a> Builder<'a> {
    fn add(&mut self, document: &'a Document) {
        match (document.api_version(), document.kind()) {
            ("networking.k8s.io/v1", "NetworkPolicy") => self.add_policy(document),
            ("v1", "Namespace") => self.add_namespace(document),
            // A misspelt `kind` would drop a policy without a word.
            ("", _) | (_, "") => {
                self.problem(document, "", "is no Kubernetes object: it needs apiVersion and kind");
            }
            _ => {}
        }
    }

    fn add_policy(&mut self, document: &'a Document) {
        let Some(metadata) = self.metadata(document) else { return };
        let namespace =
            metadata.namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        if !self.is_new("NetworkPolicy", &namespace, &metadata.name, document) {
            return;
        }
        let spec = document.value.get("spec").unwrap_or(&Value::Null);
        match NetworkPolicy::parse(&namespace, &metadata.name, spec) {
            Ok(policy) if metadata.deletion_timestamp.is_none() => {
                self.inventory.update(&namespace, |state| {
                    state.policies.insert(metadata.name, Arc::new(policy));
                });
            }
            Ok(_) => {}
            Err(problems) => {
                for problem in problems {
                    self.problem(document, &problem.field, &problem.to_string());
                }
            }
        }
    }

    fn add_namespace(&mut self, document: &'a Document) {
        let Some(metadata) = self.metadata(document) else { return };
        if !self.is_new("Namespace", "", &metadata.name, document) {
            return;
        }
        self.inventory.update(&metadata.name, |state| {
            state.labels.clone_from(&metadata.labels);
            // A manifest rarely says so, but the API server sets it.
            state.labels.insert(METADATA_NAME.to_owned(), metadata.name.clone());
            state.created = metadata.creation_timestamp;
            state.terminating = metadata.deletion_timestamp.is_some();
            state.known = true;
        });
    }

    fn metadata(&mut self, document: &Document) -> Option<Metadata> {
        if let Some((field, value)) = not_text(document) {
            self.problem(document, &field, &format!("{field}: must be text, not {value}; put it in quotes"));
            return None;
        }
        let metadata = document.value.get("metadata").cloned().unwrap_or_default();
        match serde_json::from_value::<Option<Metadata>>(metadata) {
            Ok(Some(metadata)) if !metadata.name.is_empty() => Some(metadata),
            Ok(_) => {
                self.problem(document, "metadata", "metadata.name: is missing");
                None
            }
            Err(error) => {
                self.problem(document, "metadata", &format!("metadata: {error}"));
                None
            }
        }
    }

    /// Several folders may well bring the same Namespace, but two texts for one object contradict
    /// each other: which of them the cluster has is anybody's guess.
    fn is_new(&mut self, kind: &'static str, namespace: &str, name: &str, document: &'a Document) -> bool {
        let identity = (kind, namespace.to_owned(), name.to_owned());
        let Some(first) = self.seen.get(&identity) else {
            self.seen.insert(identity, document);
            return true;
        };
        if first.value != document.value {
            let (file, line) = (&first.file, first.line);
            let message = format!("{kind} {name} is already given otherwise at {file}:{line}");
            self.problem(document, "", &message);
        }
        false
    }

    fn problem(&mut self, document: &Document, field: &str, message: &str) {
        let place = document.place(field);
        self.problems.push(format!("{}:{}:{}: {message}", document.file, place.line, place.column));
    }
}

/// The first name or label that YAML has made a boolean or a number of, as in `app: on`.
fn not_text(document: &Document) -> Option<(String, &Value)> {
    let metadata = document.value.get("metadata")?;
    let names = ["name", "namespace"].into_iter();
    let names = names.filter_map(|key| Some((format!("metadata.{key}"), metadata.get(key)?)));
    let labels = metadata.get("labels").and_then(Value::as_object).into_iter().flatten();
    let labels = labels.map(|(key, value)| (format!("metadata.labels[{key}]"), value));
    names.chain(labels).find(|(_, value)| value.is_boolean() || value.is_number())
}

#[cfg(test)]
mod tests;
