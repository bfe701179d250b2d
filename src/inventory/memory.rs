//! An inventory that starts empty and learns from what was admitted: for trying the webhook out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Inventory, NamespaceState, Source};
use crate::object::{Change, NamespaceObject, Operation, PolicyObject, Subject};

/// How many objects are remembered. At about 2 kB each that is 200 MB, and far more than anybody
/// tries out by hand; beyond it nothing new is learned.
const MAX_OBJECTS: usize = 100_000;

/// What was admitted so far. Never older than the last request, so its age is zero.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<Learned>,
}

#[derive(Debug)]
struct Learned {
    inventory: Inventory,
    /// Known namespaces and policies.
    objects: usize,
    limit: usize,
    full: bool,
}

impl Default for Learned {
    fn default() -> Self {
        Self { inventory: Inventory::default(), objects: 0, limit: MAX_OBJECTS, full: false }
    }
}

impl Memory {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    fn limited(limit: usize) -> Self {
        Self { state: Mutex::new(Learned { limit, ..Learned::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        // Every change leaves the inventory whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Memory {
    fn snapshot(&self, _now: Timestamp) -> Inventory {
        self.lock().inventory.clone().taken_for_whole()
    }

    fn live(&self, _namespace: &str) -> Option<BoxFuture<'static, Result<NamespaceState, String>>> {
        None
    }

    fn admitted(&self, subject: &Subject) {
        let mut learned = self.lock();
        match (&subject.change, subject.operation) {
            (Change::NetworkPolicy { .. }, Operation::Delete) => learned.policy_gone(subject),
            (Change::NetworkPolicy { new: Some(new), .. }, _) => learned.policy(subject, new),
            (Change::Namespace { .. }, Operation::Delete) => learned.namespace_gone(subject),
            (Change::Namespace { new: Some(new), .. }, operation) => learned.namespace(subject, new, operation),
            // An update that was admitted without reading the spec changes nothing that is known here.
            (Change::NetworkPolicy { new: None, .. } | Change::Namespace { new: None, .. }, _) => {}
        }
    }
}

impl Learned {
    fn policy(&mut self, subject: &Subject, new: &PolicyObject) {
        if new.metadata.deletion_timestamp.is_some() {
            return self.policy_gone(subject);
        }
        let namespace = self.inventory.namespace(&subject.namespace);
        if namespace.policies.contains_key(&subject.name) || self.has_room() {
            self.edit(&subject.namespace, |state| {
                state.policies.insert(subject.name.clone(), Arc::clone(&new.policy));
            });
        }
    }

    fn policy_gone(&mut self, subject: &Subject) {
        let namespace = self.inventory.namespace(&subject.namespace);
        if namespace.policies.contains_key(&subject.name) {
            self.edit(&subject.namespace, |state| {
                state.policies.remove(&subject.name);
            });
        }
    }

    fn namespace(&mut self, subject: &Subject, new: &NamespaceObject, operation: Operation) {
        if !self.inventory.namespace(&subject.namespace).known && !self.has_room() {
            return;
        }
        let metadata = &new.metadata;
        self.edit(&subject.namespace, |state| {
            // A CREATE may still fail because the namespace exists, so only one that was seen to
            // go starts afresh.
            if operation == Operation::Create && state.terminating {
                *state = NamespaceState::unseen(&state.name);
            }
            state.labels.clone_from(&metadata.labels);
            state.created = metadata.creation_timestamp.or(state.created);
            state.known = true;
            state.terminating |= metadata.deletion_timestamp.is_some();
        });
    }

    /// Its policies are deleted next, by the namespace controller: they are forgotten at once, and
    /// the namespace is kept as terminating so that those deletions pass.
    fn namespace_gone(&mut self, subject: &Subject) {
        if !self.inventory.namespace(&subject.namespace).known && !self.has_room() {
            return;
        }
        self.edit(&subject.namespace, |state| {
            state.known = true;
            state.terminating = true;
            state.policies.clear();
        });
    }

    /// Changes one namespace and keeps count.
    fn edit(&mut self, name: &str, change: impl FnOnce(&mut NamespaceState)) {
        let before = objects(&self.inventory.namespace(name));
        self.inventory.update(name, change);
        let after = objects(&self.inventory.namespace(name));
        self.objects = (self.objects + after).saturating_sub(before);
        if after == 0 {
            self.inventory.remove(name);
        }
    }

    /// Whether one more object fits. Namespaces that are on their way out make room first.
    fn has_room(&mut self) -> bool {
        if self.objects >= self.limit && !self.full {
            let going: Vec<String> =
                self.inventory.namespaces().filter(|state| state.terminating).map(|state| state.name.clone()).collect();
            for name in &going {
                self.objects = self.objects.saturating_sub(objects(&self.inventory.namespace(name)));
                self.inventory.remove(name);
            }
            if self.objects >= self.limit {
                self.full = true;
                tracing::warn!(
                    limit = self.limit,
                    "the inventory in memory is full and learns no new objects; it is meant for trials, \
                     use --inventory cluster"
                );
            }
        }
        self.objects < self.limit
    }
}

fn objects(state: &NamespaceState) -> usize {
    usize::from(state.known) + state.policies.len()
}

#[cfg(test)]
mod tests;
