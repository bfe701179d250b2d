//! A fixed inventory from manifests: `--inventory PATH`, a folder of them or a dump of a cluster.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Inventory, NamespaceState, Source};
use crate::manifest::{self, Document, Reading};
use crate::object::{Change, Subject};

pub mod cidrs;
pub mod names;
pub mod object;

use object::{Fault, Read};

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

struct Builder<'a> {
    inventory: Inventory,
    /// Kind, namespace and name of everything taken, with where it was.
    seen: HashMap<(&'static str, String, String), &'a Document>,
    problems: Vec<String>,
}

impl<'a> Builder<'a> {
    fn add(&mut self, document: &'a Document) {
        match object::read(document, DEFAULT_NAMESPACE) {
            Read::Subject(subject) if self.is_new(&subject, document) => lay(&mut self.inventory, &subject),
            Read::Subject(_) | Read::Other => {}
            Read::Faulty { faults, .. } => {
                for Fault { field, message, .. } in faults {
                    let message = if field.is_empty() { message } else { format!("{field}: {message}") };
                    self.problem(document, &field, &message);
                }
            }
        }
    }

    /// Several folders may well bring the same Namespace, but two texts for one object contradict
    /// each other: which of them the cluster has is anybody's guess.
    fn is_new(&mut self, subject: &Subject, document: &'a Document) -> bool {
        let object = (subject.object_ref().kind, subject.namespace.clone(), subject.name.clone());
        let Some(first) = self.seen.get(&object) else {
            self.seen.insert(object, document);
            return true;
        };
        if first.value != document.value {
            let (file, line) = (&first.file, first.line);
            let message = format!("{} is already given otherwise at {file}:{line}", subject.object_ref());
            self.problem(document, "", &message);
        }
        false
    }

    fn problem(&mut self, document: &Document, field: &str, message: &str) {
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

#[cfg(test)]
mod tests;
