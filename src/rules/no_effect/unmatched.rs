//! Selectors that nothing known satisfies.

use std::cell::Cell;

use super::{Idle, REMOVE_OR_MEND, What, draft};
use crate::inventory::{Inventory, NamespaceState};
use crate::netpol::policy::{Direction, NetworkPolicy, Peer};
use crate::netpol::selector::Selector;

/// Namespaces that a peer selects, beyond which its pods are not looked for.
const MAX_NAMESPACES: usize = 64;

/// Pods that are looked at for one policy; when they are used up, the selectors left are taken to be satisfied.
const MAX_PODS: usize = 100_000;

/// What is known of pods, seen from a namespace.
struct Known<'a> {
    namespace: &'a NamespaceState,
    inventory: &'a Inventory,
    /// How many pods may still be looked at.
    left: Cell<usize>,
}

/// The selectors of a policy that select nothing.
pub(super) fn selectors(policy: &NetworkPolicy, namespace: &NamespaceState, inventory: &Inventory) -> Vec<Idle> {
    let known = Known { namespace, inventory, left: Cell::new(MAX_PODS) };
    let mut found = Vec::new();
    found.extend(known.in_vain(&policy.spec.pod_selector).map(|text| unmatched("spec.podSelector", &text)));
    for direction in Direction::ALL {
        for (i, rule) in policy.spec.rules(direction).iter().enumerate() {
            for (j, peer) in rule.peers.iter().enumerate() {
                let field =
                    |key: &str| format!("spec.{}[{i}].{}[{j}]{key}", direction.field(), direction.peers_field());
                found.extend(known.idle_peer(peer).map(|(key, text)| unmatched(&field(key), &text)));
            }
        }
    }
    found
}

fn unmatched(field: &str, text: &str) -> Idle {
    Idle { what: What::Selector(text.to_owned()), draft: draft(field, text, REMOVE_OR_MEND) }
}

impl Known<'_> {
    /// Which selector of a peer selects nothing, and why.
    fn idle_peer(&self, peer: &Peer) -> Option<(&'static str, String)> {
        let Peer::Pods { namespace: spaces, pod } = peer else { return None };
        if [spaces, pod].into_iter().flatten().any(Selector::is_contradiction) {
            return Some(("", "can be satisfied by no pod".to_owned()));
        }
        match (spaces, pod) {
            (None, Some(pod)) => self.in_vain(pod).map(|text| (".podSelector", text)),
            (Some(spaces), pod) => self.elsewhere(spaces, pod.as_ref()),
            (None, None) => None,
        }
    }

    /// What to say of a selector that no pod of the namespace satisfies.
    fn in_vain(&self, selector: &Selector) -> Option<String> {
        let idle = self.has_pods(self.namespace) && !self.satisfied(selector, self.namespace);
        idle.then(|| format!("no pod known of namespace {} satisfies {selector}", self.namespace.name))
    }

    /// The same for a peer that goes by the labels of namespaces.
    fn elsewhere(&self, spaces: &Selector, pod: Option<&Selector>) -> Option<(&'static str, String)> {
        let selected = self.inventory.selected_by(spaces, MAX_NAMESPACES)?;
        if selected.is_empty() {
            let whole = self.inventory.is_whole() || self.inventory.has_pods_by_metadata();
            let idle = whole && self.has_pods(self.namespace);
            return idle.then(|| (".namespaceSelector", format!("no namespace known satisfies {spaces}")));
        }
        let pod = pod?;
        let idle = selected.iter().all(|state| self.has_pods(state) && !self.satisfied(pod, state));
        idle.then(|| (".podSelector", format!("no pod known satisfies {pod} in namespaces with {spaces}")))
    }

    /// Whether the pods of a namespace are known. Where there are none, the source may not tell of them.
    fn has_pods(&self, namespace: &NamespaceState) -> bool {
        !namespace.pods.is_empty() && self.inventory.pods_in_doubt().is_none()
    }

    fn satisfied(&self, selector: &Selector, namespace: &NamespaceState) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(namespace.pods.len()));
        left < namespace.pods.len() || namespace.pods.values().any(|pod| selector.matches(&pod.labels))
    }
}
