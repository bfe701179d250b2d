//! A set of ends in few words: by a selector that means exactly them, where there is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::SIDES;
use super::ends::{EndId, Ends, PlaceId};
use super::fold::Set;
use super::party::{Member, Namespace, Pods, Term};
use crate::netpol::policy::{Direction, Peer};
use crate::netpol::selector::{Labels, Operator, Requirement, Selector};

/// How many selectors of a namespace are tried: those of real ones are few.
const MAX_TRIED: usize = 64;
/// How many values a selector may name that no policy has.
const MAX_VALUES: usize = 4;
/// How many namespaces may be left out of "any namespace".
const MAX_BUT: usize = 4;

pub(super) struct Describe<'e, 'a> {
    ends: &'e Ends<'a>,
    done: HashMap<Set, Pods>,
    tried: HashMap<PlaceId, Vec<&'a Selector>>,
}

impl<'e, 'a> Describe<'e, 'a> {
    pub(super) fn new(ends: &'e Ends<'a>) -> Self {
        Self { ends, done: HashMap::new(), tried: HashMap::new() }
    }

    pub(super) fn pods(&mut self, set: &Set) -> Pods {
        if let Some(pods) = self.done.get(set) {
            return pods.clone();
        }
        let mut members: Vec<Arc<Member>> = set.iter().map(|end| Arc::clone(&self.ends.end(*end).member)).collect();
        members.sort();
        let pods = Pods { terms: self.terms(set), members: members.into() };
        self.done.insert(Set::clone(set), pods.clone());
        pods
    }

    fn terms(&mut self, set: &Set) -> Vec<Term> {
        let single = |end: &EndId| Term::Single(Arc::clone(&self.ends.end(*end).member));
        if let [end] = &**set {
            return vec![single(end)];
        }
        let mut by_place: BTreeMap<PlaceId, Vec<EndId>> = BTreeMap::new();
        for end in set.iter() {
            by_place.entry(self.ends.end(*end).place).or_default().push(*end);
        }
        let mut terms = Vec::new();
        let whole = |place: PlaceId, ends: &[EndId]| self.ends.places[place].ends.len() == ends.len();
        let inhabited = (0..self.ends.places.len()).filter(|place| !self.ends.places[*place].ends.is_empty());
        let is_whole = |place: &PlaceId| by_place.get(place).is_some_and(|ends| whole(*place, ends));
        let (wholes, but): (Vec<PlaceId>, Vec<PlaceId>) = inhabited.partition(is_whole);
        if but.len() <= MAX_BUT && wholes.len() > but.len() + 1 {
            terms.push(Term::Everywhere { but: self.namespaces(&but) });
        } else if wholes.len() > 1 || wholes.iter().any(|place| by_place[place].len() > 1) {
            terms.push(Term::Selected { selector: Selector::everything(), namespaces: self.namespaces(&wholes) });
        } else {
            terms.extend(wholes.iter().flat_map(|place| &by_place[place]).map(single));
        }
        let mut selected: BTreeMap<Selector, Vec<PlaceId>> = BTreeMap::new();
        let mut singles: Vec<Term> = Vec::new();
        for (place, ends) in by_place.iter().filter(|(place, ends)| !whole(**place, ends)) {
            match self.selector(*place, ends) {
                Some(selector) => selected.entry(selector).or_default().push(*place),
                None => singles.extend(ends.iter().map(|end| Term::Single(Arc::clone(&self.ends.end(*end).member)))),
            }
        }
        for (selector, places) in selected {
            terms.push(Term::Selected { namespaces: self.namespaces(&places), selector });
        }
        terms.append(&mut singles);
        terms
    }

    fn namespaces(&self, places: &[PlaceId]) -> Vec<Namespace> {
        let mut namespaces: Vec<Namespace> =
            places.iter().map(|place| self.ends.places[*place].namespace.clone()).collect();
        namespaces.sort();
        namespaces
    }

    /// A selector that selects these ends of a namespace and no other there.
    fn selector(&mut self, place: PlaceId, wanted: &[EndId]) -> Option<Selector> {
        let [_, _, ..] = wanted else { return None };
        let wanted: BTreeSet<EndId> = wanted.iter().copied().collect();
        let ends = self.ends;
        let all = &ends.places[place].ends;
        let exact =
            |selector: &&&Selector| all.iter().all(|end| wanted.contains(end) == selector.matches(labels(ends, *end)));
        let tried = self.tried.entry(place).or_insert_with(|| tried(ends, place));
        if let Some(selector) = tried.iter().find(exact) {
            return Some((*selector).clone());
        }
        let (inside, outside): (Vec<&Labels>, Vec<&Labels>) = {
            let (inside, outside): (Vec<EndId>, Vec<EndId>) = all.iter().partition(|end| wanted.contains(end));
            let labels = |of: Vec<EndId>| of.into_iter().map(|end| labels(ends, end)).collect();
            (labels(inside), labels(outside))
        };
        let keys: BTreeSet<&String> = inside.iter().chain(&outside).flat_map(|labels| labels.keys()).collect();
        keys.into_iter().take(MAX_TRIED).find_map(|key| by_label(key, &inside, &outside))
    }
}

/// A selector on this label alone that selects those inside and none outside.
fn by_label(key: &str, inside: &[&Labels], outside: &[&Labels]) -> Option<Selector> {
    let values = |of: &[&'_ Labels]| of.iter().map(|labels| labels.get(key).cloned()).collect::<BTreeSet<_>>();
    let (inside, outside) = (values(inside), values(outside));
    if !inside.is_disjoint(&outside) {
        return None;
    }
    // Without the label there is no value to name.
    let named = |values: BTreeSet<Option<String>>| values.into_iter().collect::<Option<BTreeSet<String>>>();
    let shorter = if inside.len() <= outside.len() { Operator::In } else { Operator::NotIn };
    let requirement = |operator| {
        let values = named(if operator == Operator::In { inside.clone() } else { outside.clone() });
        let values = values.filter(|values| values.len() <= MAX_VALUES)?;
        Some(Selector::new(vec![Requirement::new(key, operator, values)]))
    };
    let other = if shorter == Operator::In { Operator::NotIn } else { Operator::In };
    requirement(shorter).or_else(|| requirement(other))
}

/// As they will be, or as they were last.
fn labels<'e>(ends: &'e Ends<'_>, end: EndId) -> &'e Labels {
    static NONE: Labels = Labels::new();
    let looks = &ends.end(end).looks;
    looks.iter().rev().flatten().next().map_or(&NONE, |look| &look.labels)
}

/// The selectors that policies of a namespace have for its pods.
fn tried<'a>(ends: &Ends<'a>, place: PlaceId) -> Vec<&'a Selector> {
    let policies = SIDES.iter().rev().flat_map(|side| ends.places[place].policies[*side].iter().copied());
    let mut found: BTreeSet<&'a Selector> = BTreeSet::new();
    for policy in policies {
        let rules = Direction::ALL.into_iter().flat_map(|direction| policy.spec.rules(direction));
        let peers = rules.flat_map(|rule| &rule.peers).filter_map(|peer| match peer {
            Peer::Pods { namespace: None, pod } => pod.as_ref(),
            Peer::Pods { .. } | Peer::IpBlock { .. } => None,
        });
        for selector in std::iter::once(&policy.spec.pod_selector).chain(peers) {
            if found.len() == MAX_TRIED {
                break;
            }
            found.insert(selector);
        }
    }
    // The shortest first.
    let mut found: Vec<&Selector> = found.into_iter().collect();
    found.sort_by_key(|selector| selector.requirements().len());
    found
}
