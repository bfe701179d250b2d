//! Which policies go by the labels of other namespaces: an index of their namespaceSelectors.
//!
//! ```text
//! (team, "a") ─┐                                    ┌─ data/allow-team-a
//! (team, "b") ─┴─> selector `team in (a, b)` ───────┴─ logs/scrape
//! (zone, -)   ───> selector `zone`
//! ```
//!
//! A change of labels turns a selector only if it changes a label with a key that the selector names: for `In` and
//! `NotIn` one that had or gets one of their values, for `Exists` and `DoesNotExist` one that comes or goes. So the
//! lookup is by the labels that change, and no policy is looked at that names none of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::ordmap::DiffItem;

use crate::netpol::policy::{Direction, NetworkPolicy, Peer};
use crate::netpol::selector::{Labels, Requirement, Selector};

/// Policies of one namespace by name.
type Policies = imbl::OrdMap<String, Arc<NetworkPolicy>>;

/// What may turn a selector: the key of a label, and the value it has or had; `None` for its coming or going.
type Trigger = (String, Option<String>, Arc<Selector>);

/// The distinct namespaceSelectors of the rules that have an effect, with the policies that use them. Flat and
/// ordered, since a map of its own for each selector would cost some kB.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NamespaceSelectors {
    /// By selector, namespace and name.
    users: imbl::OrdMap<(Arc<Selector>, String, String), Arc<NetworkPolicy>>,
    triggers: imbl::OrdSet<Trigger>,
}

/// A selector that selects a namespace with one set of labels and not with the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Turned {
    /// The selector.
    pub selector: Arc<Selector>,
    /// Whether it selects the namespace afterwards, and not before.
    pub selects: bool,
    /// The policies with a rule that uses it and has an effect, by namespace and name.
    pub policies: Vec<Arc<NetworkPolicy>>,
}

impl NamespaceSelectors {
    /// Takes in that the policies of a namespace are no longer `old`. Costs as much as they differ.
    pub(super) fn replace(&mut self, namespace: &str, old: &Policies, new: &Policies) {
        if old.ptr_eq(new) {
            return;
        }
        for difference in old.diff(new) {
            match difference {
                DiffItem::Add(name, policy) => self.add(namespace, name, policy),
                DiffItem::Update { old: (name, old), new: (_, new) } => {
                    self.remove(namespace, name, old);
                    self.add(namespace, name, new);
                }
                DiffItem::Remove(name, policy) => self.remove(namespace, name, policy),
            }
        }
    }

    /// The selectors that these two sets of labels tell apart, sorted.
    pub(super) fn turned(&self, before: &Labels, after: &Labels) -> Vec<Turned> {
        let mut candidates = BTreeSet::new();
        for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let values = [before.get(key), after.get(key)];
            if values[0] == values[1] {
                continue;
            }
            for value in values.into_iter().flatten() {
                candidates.extend(self.triggered(key, Some(value)));
            }
            if values.contains(&None) {
                candidates.extend(self.triggered(key, None));
            }
        }
        let turned = candidates.into_iter().filter(|selector| selector.matches(before) != selector.matches(after));
        turned
            .map(|selector| Turned {
                selects: selector.matches(after),
                policies: self.users_of(selector).map(Arc::clone).collect(),
                selector: Arc::clone(selector),
            })
            .collect()
    }

    fn triggered<'a>(&'a self, key: &'a str, value: Option<&'a String>) -> impl Iterator<Item = &'a Arc<Selector>> {
        // No selector sorts before the one without requirements.
        let first = (key.to_owned(), value.cloned(), Arc::new(Selector::everything()));
        let all = self.triggers.range(first..);
        all.take_while(move |(k, v, _)| k == key && v.as_ref() == value).map(|(_, _, selector)| selector)
    }

    fn users_of<'a>(&'a self, selector: &'a Arc<Selector>) -> impl Iterator<Item = &'a Arc<NetworkPolicy>> {
        let all = self.users.range((Arc::clone(selector), String::new(), String::new())..);
        all.take_while(move |((used, _, _), _)| used == selector).map(|(_, policy)| policy)
    }

    fn add(&mut self, namespace: &str, name: &str, policy: &Arc<NetworkPolicy>) {
        for selector in namespace_selectors(policy) {
            let selector = Arc::new(selector.clone());
            self.triggers.extend(triggers(&selector));
            self.users.insert((selector, namespace.to_owned(), name.to_owned()), Arc::clone(policy));
        }
    }

    fn remove(&mut self, namespace: &str, name: &str, policy: &NetworkPolicy) {
        for selector in namespace_selectors(policy) {
            let selector = Arc::new(selector.clone());
            self.users.remove(&(Arc::clone(&selector), namespace.to_owned(), name.to_owned()));
            if self.users_of(&selector).next().is_none() {
                for trigger in triggers(&selector) {
                    self.triggers.remove(&trigger);
                }
            }
        }
    }
}

/// The distinct selectors of namespaces in a policy, of rules that have an effect. One without requirements selects
/// every namespace, and no label turns it.
fn namespace_selectors(policy: &NetworkPolicy) -> BTreeSet<&Selector> {
    let rules = Direction::ALL.into_iter().flat_map(|direction| policy.spec.rules(direction));
    let selectors = rules.flat_map(|rule| &rule.peers).filter_map(|peer| match peer {
        Peer::Pods { namespace, .. } => namespace.as_ref(),
        Peer::IpBlock { .. } => None,
    });
    selectors.filter(|selector| !selector.requirements().is_empty()).collect()
}

fn triggers(selector: &Arc<Selector>) -> impl Iterator<Item = Trigger> + '_ {
    let values = |requirement: &Requirement| -> Vec<Option<String>> {
        if requirement.operator.takes_values() {
            requirement.values.iter().cloned().map(Some).collect()
        } else {
            vec![None]
        }
    };
    selector.requirements().iter().flat_map(move |requirement| {
        values(requirement).into_iter().map(|value| (requirement.key.clone(), value, Arc::clone(selector)))
    })
}

#[cfg(test)]
mod tests;
