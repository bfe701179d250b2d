//! How far a change of a policy can reach, by the policy alone. Most name a few namespaces, and the thousand others of a
//! large cluster need not be looked at.

use std::collections::BTreeSet;

use crate::inventory::{Around, Inventory, NamespaceState};
use crate::netpol::connectivity::difference::{Namespace, Party, Term};
use crate::netpol::policy::{Direction, NetworkPolicy, Peer};
use crate::netpol::selector::Selector;
use crate::object::{Change, Operation, Subject};

/// Selectors that are tried on each namespace: more of them cost more than they save.
const MAX_SELECTORS: usize = 64;

/// In which namespaces the other end of what opens can be, beside the policy's own.
#[derive(Debug, PartialEq)]
pub(super) enum Reach<'a> {
    /// In any.
    All,
    /// In those that one of these selects.
    Only(Vec<&'a Selector>),
}

impl Reach<'_> {
    pub(super) fn includes(&self, state: &NamespaceState) -> bool {
        match self {
            Self::All => true,
            Self::Only(selectors) => selectors.iter().any(|selector| selector.matches(&state.labels)),
        }
    }

    /// How much there is to look at: pods, policies and their peers in these namespaces and in the policy's own.
    pub(super) fn objects(&self, inventory: &Inventory, around: &Around) -> usize {
        let own = |state: &NamespaceState| state.name == around.after.name;
        let others = inventory.namespaces().filter(|state| !own(state) && self.includes(state));
        let others: usize = others.map(|state| objects(state)).sum();
        others + objects(&around.before).max(objects(&around.after))
    }
}

fn objects(state: &NamespaceState) -> usize {
    let peers = |policy: &NetworkPolicy| -> usize {
        let rules = Direction::ALL.into_iter().flat_map(|way| policy.spec.rules(way));
        rules.map(|rule| rule.peers.len()).sum()
    };
    state.pods.len() + state.policies.values().map(|policy| 1 + peers(policy)).sum::<usize>()
}

/// What opens, opens by a rule of the new policy, and so to its peers; or because the old one isolated pods that nothing
/// isolates any more, and so to everybody.
pub(super) fn of<'a>(subject: &'a Subject, inventory: &Inventory, around: &Around) -> Reach<'a> {
    let Change::NetworkPolicy { old, new } = &subject.change else { return Reach::All };
    let (old, new) = (old.as_ref().map(|object| &*object.policy), new.as_ref().map(|object| &*object.policy));
    // One that could not be read isolated nobody knows whom.
    let unknown = old.is_none() && subject.operation != Operation::Create;
    if unknown || old.is_some_and(|old| frees(old, new, around)) {
        return Reach::All;
    }
    let mut selectors = Vec::new();
    let rules = new.into_iter().flat_map(|new| Direction::ALL.into_iter().flat_map(|way| new.spec.rules(way)));
    for rule in rules {
        if rule.peers.is_empty() {
            return Reach::All;
        }
        for peer in &rule.peers {
            match peer {
                Peer::Pods { namespace: None, .. } => {}
                Peer::Pods { namespace: Some(selector), .. } if selector.selects_everything() => return Reach::All,
                Peer::Pods { namespace: Some(selector), .. } => {
                    if !selectors.contains(&selector) {
                        selectors.push(selector);
                    }
                    if selectors.len() > MAX_SELECTORS {
                        return Reach::All;
                    }
                }
                // Metadata tells no addresses; where they are known, those of pods anywhere may lie in it.
                Peer::IpBlock { .. } if inventory.has_pods_by_metadata() => {}
                Peer::IpBlock { .. } => return Reach::All,
            }
        }
    }
    Reach::Only(selectors)
}

/// Whether some pod may be isolated no more. `false` is certain.
fn frees(old: &NetworkPolicy, new: Option<&NetworkPolicy>, around: &Around) -> bool {
    let still = |way: Direction| {
        let mut others = around.after.policies.values();
        new.is_some_and(|new| new.spec.isolates(way) && new.spec.pod_selector == old.spec.pod_selector)
            || others.any(|policy| policy.spec.isolates(way) && policy.spec.pod_selector.selects_everything())
    };
    Direction::ALL.into_iter().any(|way| old.spec.isolates(way) && !still(way))
}

/// Where only some namespaces were looked at, nobody can speak of all of them.
pub(super) fn name_namespaces(party: &mut Party) {
    let Party::Pods(pods) = party else { return };
    for term in &mut pods.terms {
        if let Term::Everywhere { but } = term {
            let all: BTreeSet<&Namespace> = pods.members.iter().map(|member| &member.namespace).collect();
            let namespaces = all.into_iter().filter(|namespace| !but.contains(namespace)).cloned().collect();
            *term = Term::Selected { selector: Selector::everything(), namespaces };
        }
    }
}
