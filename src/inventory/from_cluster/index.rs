//! What lists and watch events add up to. Pure: no client, no clock, no log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::wire::{Kind, Raw};
use crate::inventory::{Inventory, NamespaceState};
use crate::netpol::pod::PodKind;

/// What a list or a watch brings.
#[derive(Debug)]
pub(super) enum Event {
    /// Everything of a kind there is: what is not in it is gone.
    Listed(Kind, Vec<Raw>),
    /// An object that is new or changed.
    Applied(Kind, Raw),
    /// An object that is gone.
    Deleted(Kind, Raw),
}

impl Event {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Listed(kind, _) | Self::Applied(kind, _) | Self::Deleted(kind, _) => *kind,
        }
    }
}

/// An object that exists and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Oddity {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) reason: String,
}

/// The inventory, and the Namespaces and Pods that could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    inventory: Inventory,
    odd_namespaces: BTreeMap<String, String>,
    /// By namespace and name.
    odd_pods: BTreeMap<(String, String), String>,
}

impl Index {
    pub(super) const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Objects of a kind that count, and those that could not be read.
    pub(super) fn count(&self, kind: Kind) -> (usize, usize) {
        let states = self.inventory.namespaces();
        match kind {
            Kind::Namespace => (states.filter(|state| state.known).count(), self.odd_namespaces.len()),
            Kind::NetworkPolicy => {
                states.fold((0, 0), |(objects, odd), state| (objects + state.policies.len(), odd + state.odd.len()))
            }
            Kind::Pod => (states.map(|state| state.pods.len()).sum(), self.odd_pods.len()),
        }
    }

    /// Takes an event in. Returns what it brought that could not be read and was not known as such before.
    pub(super) fn apply(&mut self, event: Event) -> Vec<Oddity> {
        match event {
            Event::Listed(Kind::Namespace, objects) => self.list_namespaces(&objects),
            Event::Listed(Kind::NetworkPolicy, objects) => self.list_policies(&objects),
            Event::Listed(Kind::Pod, objects) => self.list_pods(&objects),
            Event::Applied(Kind::Namespace, object) => self.apply_namespace(&object).into_iter().collect(),
            Event::Applied(Kind::NetworkPolicy, object) => self.apply_policy(&object).into_iter().collect(),
            Event::Applied(Kind::Pod, object) => self.apply_pod(&object).into_iter().collect(),
            Event::Deleted(Kind::Namespace, object) => {
                self.delete_namespace(object.name());
                Vec::new()
            }
            Event::Deleted(Kind::NetworkPolicy, object) => {
                self.delete_policy(&object);
                Vec::new()
            }
            Event::Deleted(Kind::Pod, object) => {
                self.delete_pod(&object);
                Vec::new()
            }
        }
    }

    fn list_namespaces(&mut self, objects: &[Raw]) -> Vec<Oddity> {
        let before = std::mem::take(&mut self.inventory);
        let known = std::mem::take(&mut self.odd_namespaces);
        // Policies and pods are the other lists' business. Namespaces that only they speak of are unknown.
        for state in before.namespaces().filter(|state| holds_something(state)) {
            self.inventory.insert(Arc::new(holding_what(NamespaceState::unseen(&state.name), state)));
        }
        let odd = objects.iter().filter_map(|object| self.apply_namespace(object));
        let odd: Vec<Oddity> = odd.collect();
        odd.into_iter().filter(|odd| known.get(&odd.name) != Some(&odd.reason)).collect()
    }

    fn list_policies(&mut self, objects: &[Raw]) -> Vec<Oddity> {
        let before = std::mem::take(&mut self.inventory);
        for state in before.namespaces() {
            let mut bare = NamespaceState::clone(state);
            bare.policies.clear();
            bare.odd.clear();
            self.inventory.insert(Arc::new(bare));
            self.forget_if_empty(&state.name);
        }
        let odd = objects.iter().filter_map(|object| self.apply_policy(object));
        let odd: Vec<Oddity> = odd.collect();
        odd.into_iter().filter(|odd| before.namespace(&odd.namespace).odd.get(&odd.name) != Some(&odd.reason)).collect()
    }

    fn list_pods(&mut self, objects: &[Raw]) -> Vec<Oddity> {
        let known = std::mem::take(&mut self.odd_pods);
        self.forget_pods();
        let odd: Vec<Oddity> = objects.iter().filter_map(|object| self.apply_pod(object)).collect();
        let told = |odd: &Oddity| known.get(&(odd.namespace.clone(), odd.name.clone())) == Some(&odd.reason);
        odd.into_iter().filter(|odd| !told(odd)).collect()
    }

    /// As if no pod had been seen.
    pub(super) fn forget_pods(&mut self) {
        self.odd_pods.clear();
        let with = self.inventory.namespaces().filter(|state| !state.pods.is_empty());
        for name in with.map(|state| state.name.clone()).collect::<Vec<_>>() {
            self.inventory.update(&name, |state| state.pods.clear());
            self.forget_if_empty(&name);
        }
    }

    fn apply_namespace(&mut self, object: &Raw) -> Option<Oddity> {
        let name = object.name();
        let old = self.inventory.namespace(name);
        match put_namespace(&old, object) {
            Ok(state) => {
                self.odd_namespaces.remove(name);
                self.inventory.insert(Arc::new(state));
                None
            }
            Err(reason) => {
                // It exists, and its labels are anybody's guess: as if it had not been seen.
                self.inventory.insert(Arc::new(holding_what(NamespaceState::unseen(name), &old)));
                self.forget_if_empty(name);
                let known = self.odd_namespaces.insert(name.to_owned(), reason.clone());
                (known.as_ref() != Some(&reason)).then(|| Oddity {
                    namespace: String::new(),
                    name: name.to_owned(),
                    reason,
                })
            }
        }
    }

    /// Its policies and pods go by events of their own, which may come later: until then they keep it,
    /// as something that is gone.
    fn delete_namespace(&mut self, name: &str) {
        self.odd_namespaces.remove(name);
        let old = self.inventory.namespace(name);
        self.inventory.insert(Arc::new(holding_what(NamespaceState::gone(name), &old)));
        self.forget_if_empty(name);
    }

    fn apply_policy(&mut self, object: &Raw) -> Option<Oddity> {
        let (namespace, name) = (object.namespace(), object.name());
        let known = self.inventory.namespace(namespace).odd.get(name).cloned();
        self.inventory.update(namespace, |state| put_policy(state, object));
        self.forget_if_empty(namespace);
        let reason = self.inventory.namespace(namespace).odd.get(name).cloned();
        reason.filter(|reason| known.as_ref() != Some(reason)).map(|reason| Oddity {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            reason,
        })
    }

    fn delete_policy(&mut self, object: &Raw) {
        let namespace = object.namespace();
        self.inventory.update(namespace, |state| {
            state.policies.remove(object.name());
            state.odd.remove(object.name());
        });
        self.forget_if_empty(namespace);
    }

    /// One that is being deleted runs on until it is gone.
    fn apply_pod(&mut self, object: &Raw) -> Option<Oddity> {
        let key = (object.namespace().to_owned(), object.name().to_owned());
        match object.pod() {
            Ok(pod) => {
                self.odd_pods.remove(&key);
                // Most events are about the status of a pod.
                if self
                    .inventory
                    .namespace(&key.0)
                    .pods
                    .get(&(key.1.clone(), PodKind::Pod))
                    .is_none_or(|old| **old != pod)
                {
                    self.inventory.update(&key.0, |state| _ = state.pods.insert((key.1, PodKind::Pod), Arc::new(pod)));
                }
                None
            }
            Err(reason) => {
                self.delete_pod(object);
                let known = self.odd_pods.insert(key.clone(), reason.clone());
                (known.as_ref() != Some(&reason)).then_some(Oddity { namespace: key.0, name: key.1, reason })
            }
        }
    }

    fn delete_pod(&mut self, object: &Raw) {
        let (namespace, name) = (object.namespace(), object.name());
        self.odd_pods.remove(&(namespace.to_owned(), name.to_owned()));
        self.inventory.update(namespace, |state| _ = state.pods.remove(&(name.to_owned(), PodKind::Pod)));
        self.forget_if_empty(namespace);
    }

    fn forget_if_empty(&mut self, name: &str) {
        let state = self.inventory.namespace(name);
        if !state.known && !holds_something(&state) {
            self.inventory.remove(name);
        }
    }
}

fn holds_something(state: &NamespaceState) -> bool {
    !state.policies.is_empty() || !state.odd.is_empty() || !state.pods.is_empty()
}

fn holding_what(state: NamespaceState, of: &NamespaceState) -> NamespaceState {
    NamespaceState { policies: of.policies.clone(), odd: of.odd.clone(), pods: of.pods.clone(), ..state }
}

/// A namespace with the policies and pods it had and the rest from its object, or why that cannot be read.
pub(super) fn put_namespace(old: &NamespaceState, object: &Raw) -> Result<NamespaceState, String> {
    let metadata = object.metadata()?;
    let state = NamespaceState {
        name: object.name().to_owned(),
        labels: metadata.labels,
        created: metadata.creation_timestamp,
        terminating: object.is_terminating(),
        known: true,
        ..NamespaceState::default()
    };
    Ok(holding_what(state, old))
}

/// Puts a policy where it belongs: among those that count, among the odd, or, while it is being
/// deleted, nowhere.
pub(super) fn put_policy(state: &mut NamespaceState, object: &Raw) {
    let name = object.name();
    state.policies.remove(name);
    state.odd.remove(name);
    if object.is_terminating() {
        return;
    }
    match object.policy() {
        Ok(policy) => {
            state.policies.insert(name.to_owned(), Arc::new(policy));
        }
        Err(reason) => {
            state.odd.insert(name.to_owned(), reason);
        }
    }
}

#[cfg(test)]
mod tests;
