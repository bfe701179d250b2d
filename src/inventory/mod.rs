//! The cluster as values: namespaces, their policies and pods at one moment, with the age of that knowledge.
//!
//! ```text
//! Source (memory | files | cluster) ── snapshot() ──> Inventory ── overlay(subject) ──> Around { before, after }
//!                                    └ live(ns) ───> NamespaceState, read uncached
//! ```
//!
//! A snapshot is immutable and costs a few pointers: the maps are persistent, so writers share
//! with readers all that did not change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::netpol::connectivity::{Space, World};
use crate::netpol::pod::{Pod, PodKind};
use crate::netpol::policy::NetworkPolicy;
use crate::netpol::selector::{Labels, Selector};
use crate::object::{Change, Subject};

mod bearers;
pub mod from_cluster;
pub mod from_files;
pub mod memory;
mod selectors;

pub use crate::netpol::METADATA_NAME;
use bearers::Bearers;
use selectors::NamespaceSelectors;
pub use selectors::Turned;

/// One namespace and the policies in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceState {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// When it was created, where that is known.
    pub created: Option<Timestamp>,
    /// It is being deleted, or is gone: its policies may go as well.
    pub terminating: bool,
    /// Whether the inventory has seen the Namespace object itself.
    pub known: bool,
    /// Policies by name. Those with a deletionTimestamp count as absent and are not here. Persistent,
    /// since each review lays its object over a copy of it.
    pub policies: imbl::OrdMap<String, Arc<NetworkPolicy>>,
    /// Policies that exist but could not be read, by name, with the reason.
    pub odd: BTreeMap<String, String>,
    /// Pods and workloads by name and kind, as far as the source tells of them.
    pub pods: imbl::OrdMap<(String, PodKind), Arc<Pod>>,
}

impl NamespaceState {
    /// A namespace nothing is known of: it exists, bears its name as a label and has no policies.
    #[must_use]
    pub fn unseen(name: &str) -> Self {
        let labels = Labels::from([(METADATA_NAME.to_owned(), name.to_owned())]);
        Self { name: name.to_owned(), labels, ..Self::default() }
    }

    /// The namespace as policies see it.
    #[must_use]
    pub fn space(&self) -> Space<'_> {
        Space {
            name: &self.name,
            labels: &self.labels,
            policies: self.policies.values().map(|policy| &**policy).collect(),
            pods: self.pods.values().map(|pod| &**pod).collect(),
            unread: self.odd.iter().map(|(name, reason)| (name.as_str(), reason.as_str())).collect(),
        }
    }

    /// A namespace that is gone.
    #[must_use]
    pub fn gone(name: &str) -> Self {
        Self { terminating: true, ..Self::unseen(name) }
    }
}

/// The cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    namespaces: imbl::HashMap<String, Arc<NamespaceState>>,
    /// Of the policies in `namespaces`, always.
    selectors: NamespaceSelectors,
    /// Of the labels in `namespaces`, always.
    bearers: Bearers,
    age: Duration,
    whole: bool,
    pods_by_metadata: bool,
    pods_in_doubt: Option<String>,
}

impl Inventory {
    /// How old this knowledge is: time since the last event, bookmark or list of the least fresh kind.
    #[must_use]
    pub const fn age(&self) -> Duration {
        self.age
    }

    /// The same knowledge with its age told.
    #[must_use]
    pub fn aged(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// The same knowledge, said to know pods by their metadata alone, so that what they call their ports is open.
    #[must_use]
    pub fn with_pods_by_metadata(mut self) -> Self {
        self.pods_by_metadata = true;
        self
    }

    /// The same knowledge, with the reason why its pods are missing or old.
    #[must_use]
    pub fn with_pods_in_doubt(mut self, reason: String) -> Self {
        self.pods_in_doubt = Some(reason);
        self
    }

    /// Why the pods are missing or old, where they should be known and are not. No verdict rests on them.
    #[must_use]
    pub fn pods_in_doubt(&self) -> Option<&str> {
        self.pods_in_doubt.as_deref()
    }

    /// The same knowledge, said to be all there is: a namespace that is not in it bears no other
    /// label than its name.
    #[must_use]
    pub fn taken_for_whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Whether a namespace that is not in it bears no other label than its name.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The namespace of that name; one that was never seen exists and is empty.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Arc<NamespaceState> {
        let unseen = || NamespaceState { known: self.whole, ..NamespaceState::unseen(name) };
        let mut state = self.namespaces.get(name).cloned().unwrap_or_else(|| Arc::new(unseen()));
        if self.whole && !state.known {
            Arc::make_mut(&mut state).known = true;
        }
        state
    }

    /// Every namespace seen, in no particular order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<NamespaceState>> {
        self.namespaces.values()
    }

    /// Whether pods are known by their metadata alone.
    #[must_use]
    pub const fn has_pods_by_metadata(&self) -> bool {
        self.pods_by_metadata
    }

    /// All namespaces as policies see them. `ip_blocks_match_pods`: whether an ipBlock also means the pods whose
    /// addresses lie in it.
    #[must_use]
    pub fn world(&self, ip_blocks_match_pods: bool) -> World<'_> {
        self.world_of(ip_blocks_match_pods, |_| true)
    }

    /// The same of some namespaces only.
    pub fn world_of(&self, ip_blocks_match_pods: bool, wanted: impl Fn(&NamespaceState) -> bool) -> World<'_> {
        let states = self.namespaces.values().filter(|state| wanted(state));
        let world = World::new(states.map(|state| state.space()), ip_blocks_match_pods);
        if self.pods_by_metadata { world.with_open_port_names() } else { world }
    }

    /// Puts a namespace in the place of what was known of it.
    pub fn insert(&mut self, state: Arc<NamespaceState>) {
        let old = self.namespaces.get(&state.name);
        let (policies, labels) = old.map(|old| (old.policies.clone(), old.labels.clone())).unwrap_or_default();
        self.selectors.replace(&state.name, &policies, &state.policies);
        self.bearers.replace(&state.name, &labels, &state.labels);
        self.namespaces.insert(state.name.clone(), state);
    }

    /// Changes what is known of one namespace, which springs into being where it was not seen before.
    pub fn update(&mut self, name: &str, change: impl FnOnce(&mut NamespaceState)) {
        let labels = self.namespaces.get(name).map(|state| state.labels.clone()).unwrap_or_default();
        let state = self.namespaces.entry(name.to_owned()).or_insert_with(|| Arc::new(NamespaceState::unseen(name)));
        let policies = state.policies.clone();
        change(Arc::make_mut(state));
        self.selectors.replace(name, &policies, &state.policies);
        self.bearers.replace(name, &labels, &state.labels);
    }

    /// Forgets a namespace.
    pub fn remove(&mut self, name: &str) {
        if let Some(state) = self.namespaces.remove(name) {
            self.selectors.replace(name, &state.policies, &imbl::OrdMap::new());
            self.bearers.replace(name, &state.labels, &Labels::new());
        }
    }

    /// The namespaces seen whose labels satisfy a selector, by an index. `None` where it asks for no label or more than
    /// `most` namespaces bear those it asks for.
    #[must_use]
    pub fn selected_by<'a>(&'a self, selector: &'a Selector, most: usize) -> Option<Vec<&'a Arc<NamespaceState>>> {
        let candidates = self.bearers.candidates(selector, most)?;
        let states = candidates.into_iter().filter_map(|name| self.namespaces.get(name));
        Some(states.filter(|state| selector.matches(&state.labels)).collect())
    }

    /// The namespaceSelectors of policies that a namespace meets with one of these sets of labels and not with the
    /// other, sorted. By an index: the cost grows with the policies that name a label which changes, and not with
    /// the number of namespaces.
    #[must_use]
    pub fn turned(&self, before: &Labels, after: &Labels) -> Vec<Turned> {
        self.selectors.turned(before, after)
    }

    /// How many namespaces were seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.namespaces.len()
    }

    /// Whether no namespace was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// The subject's namespace before and after the request.
    ///
    /// The request itself says what the object was and becomes, whatever the watch cache has of it:
    /// it may be behind. An object with a deletionTimestamp counts as absent.
    #[must_use]
    pub fn overlay(&self, subject: &Subject) -> Around {
        let base = self.namespace(&subject.namespace);
        let (mut before, mut after) = ((*base).clone(), (*base).clone());
        match &subject.change {
            Change::NetworkPolicy { old, new } => {
                for (state, object) in [(&mut before, old), (&mut after, new)] {
                    state.policies.remove(&subject.name);
                    if let Some(object) = object.as_ref().filter(|object| object.metadata.deletion_timestamp.is_none())
                    {
                        state.policies.insert(subject.name.clone(), Arc::clone(&object.policy));
                    }
                }
                // The request carries the object, so a copy that could not be read no longer matters.
                if old.is_some() {
                    before.odd.remove(&subject.name);
                }
                after.odd.remove(&subject.name);
            }
            Change::Namespace { old, new } => {
                for (state, object) in [(&mut before, old), (&mut after, new)] {
                    if let Some(object) = object {
                        state.known = true;
                        state.created = object.metadata.creation_timestamp;
                        state.labels.clone_from(&object.metadata.labels);
                        state.terminating |= object.metadata.deletion_timestamp.is_some();
                    }
                }
            }
        }
        Around { before, after }
    }
}

/// A namespace on both sides of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Around {
    /// As it is.
    pub before: NamespaceState,
    /// As the request would leave it.
    pub after: NamespaceState,
}

/// Where an inventory comes from.
pub trait Source: Send + Sync {
    /// What is known at `now`.
    fn snapshot(&self, now: Timestamp) -> Inventory;

    /// One namespace and its policies read from the API server, past every cache; `None` where
    /// there is no API server to ask, so that the snapshot is all there is to know.
    ///
    /// The future fails with a one-line reason. The caller sets the deadline.
    fn live(&self, namespace: &str) -> Option<BoxFuture<'static, Result<NamespaceState, String>>>;

    /// Told of every change that was admitted for good (no dry run).
    fn admitted(&self, subject: &Subject);
}
