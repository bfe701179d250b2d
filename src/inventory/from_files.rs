//! A fixed inventory from manifests: `--inventory PATH`, a folder of them or a dump of a cluster.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Inventory, NamespaceState, Source};
use crate::finding::ObjectRef;
use crate::manifest::{self, Document, Reading};
use crate::netpol::pod::Pod;
use crate::object::{Change, Subject};

pub mod cidrs;
pub mod names;
pub mod object;
pub mod workload;

use object::{Named, Read};

/// The namespace of a manifest that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

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

/// What some manifests amount to, with everything that is wrong with them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What could be read. A policy that could not is among the odd ones of its namespace.
    pub inventory: Inventory,
    /// What could not be read, or contradicts something else, as `file:line:column: what`.
    pub problems: Vec<String>,
}

/// Makes the most of some manifests. What names no namespace is in `default_namespace`.
#[must_use]
pub fn load(reading: &Reading, default_namespace: &str) -> Loaded {
    let mut builder = Builder::new(default_namespace);
    builder.add(reading);
    builder.finish()
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
        let Loaded { inventory, problems } = load(reading, DEFAULT_NAMESPACE);
        if problems.is_empty() { Ok(Self { inventory }) } else { Err(Error::Problems(problems)) }
    }
}

impl Fixed {
    /// What the manifests say, and nothing of what they leave open.
    #[must_use]
    pub fn into_inventory(self) -> Inventory {
        self.inventory
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

/// Manifests as they are taken, set by set. A copy costs a few pointers, to go on in several ways from one beginning.
#[derive(Clone, Debug)]
pub struct Builder<'a> {
    inventory: Inventory,
    default_namespace: &'a str,
    /// Kind, namespace and name of everything taken, with where it was.
    seen: imbl::HashMap<(&'static str, String, String), &'a Document>,
    problems: Vec<String>,
}

impl<'a> Builder<'a> {
    /// Nothing yet. What names no namespace will be in `default_namespace`.
    #[must_use]
    pub fn new(default_namespace: &'a str) -> Self {
        let (inventory, seen) = (Inventory::default(), imbl::HashMap::new());
        Self { inventory, default_namespace, seen, problems: Vec::new() }
    }

    /// Takes some manifests.
    pub fn add(&mut self, reading: &'a Reading) {
        self.problems.extend(reading.problems.iter().map(ToString::to_string));
        reading.documents.iter().for_each(|document| self.take(document));
    }

    /// What it amounts to.
    #[must_use]
    pub fn finish(self) -> Loaded {
        Loaded { inventory: self.inventory, problems: self.problems }
    }

    fn take(&mut self, document: &'a Document) {
        match object::read(document, self.default_namespace) {
            Read::Subject(subject) => {
                let ObjectRef { kind, .. } = subject.object_ref();
                if self.is_new((kind, subject.namespace.clone(), subject.name.clone()), document) {
                    lay(&mut self.inventory, &subject);
                }
            }
            Read::Faulty { object, faults } => {
                if let Some(Named { kind: "NetworkPolicy", namespace: Some(namespace), name, .. }) = object {
                    let reason = faults.first().map(ToString::to_string).unwrap_or_default();
                    self.inventory.update(&namespace, |state| _ = state.odd.insert(name, reason));
                }
                faults.iter().for_each(|fault| self.problem(document, &fault.field, fault));
            }
            Read::Other => match workload::read(document, self.default_namespace) {
                Some(Ok(pod)) => self.add_pod(pod, document),
                Some(Err(fault)) => self.problem(document, &fault.field, &fault),
                None => {}
            },
        }
    }

    fn add_pod(&mut self, pod: Pod, document: &'a Document) {
        if self.is_new((pod.kind.as_str(), pod.namespace.clone(), pod.name.clone()), document) {
            lay_pod(&mut self.inventory, pod);
        }
    }

    /// Several folders may well bring the same object, but two texts for one contradict each other: which of them the
    /// cluster has is anybody's guess. That is told, and the later one taken, as applying them in this order would.
    fn is_new(&mut self, object: (&'static str, String, String), document: &'a Document) -> bool {
        let (kind, namespace, name) = &object;
        let Some(first) = self.seen.get(&object) else {
            self.seen.insert(object, document);
            return true;
        };
        if first.value == document.value {
            return false;
        }
        let namespace = if *kind == "Namespace" { String::new() } else { format!("{namespace}/") };
        let message = format!("{kind} {namespace}{name} is already given otherwise at {}:{}", first.file, first.line);
        self.problem(document, "", message);
        true
    }

    fn problem(&mut self, document: &Document, field: &str, message: impl Display) {
        let place = document.place(field);
        self.problems.push(format!("{}:{}:{}: {message}", document.file, place.line, place.column));
    }
}

/// Lays an object over what is known, as applying its manifest would. One that is on its way out
/// counts as absent.
pub fn lay(inventory: &mut Inventory, subject: &Subject) {
    match &subject.change {
        Change::NetworkPolicy { new: Some(new), .. } if new.metadata.deletion_timestamp.is_none() => {
            inventory.update(&subject.namespace, |state| {
                state.policies.insert(subject.name.clone(), Arc::clone(&new.policy));
            });
        }
        Change::Namespace { new: Some(new), .. } => inventory.update(&subject.name, |state| {
            // Applying a manifest leaves the labels alone that others have set.
            state.labels.extend(new.metadata.labels.clone());
            state.created = new.metadata.creation_timestamp.or(state.created);
            state.terminating = new.metadata.deletion_timestamp.is_some();
            state.known = true;
        }),
        Change::NetworkPolicy { .. } | Change::Namespace { .. } => {}
    }
}

/// Lays a pod, or the pods of a workload, over what is known.
pub fn lay_pod(inventory: &mut Inventory, pod: Pod) {
    let key = (pod.name.clone(), pod.kind);
    inventory.update(&pod.namespace.clone(), |state| _ = state.pods.insert(key, Arc::new(pod)));
}

#[cfg(test)]
mod tests;
