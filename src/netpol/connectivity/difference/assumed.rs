//! Whom policies speak of and no manifest has: a change to policies alone, too, opens and closes something.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::ends::{Ends, PlaceId, labels_by_name};
use super::party::{Namespace, Who};
use super::{Steps, TooLarge};
use crate::netpol::METADATA_NAME;
use crate::netpol::policy::{Direction, NetworkPolicy, Peer};
use crate::netpol::selector::{Labels, Operator, Selector};

/// In how many namespaces a pod is assumed one by one. Beyond, one namespace is assumed instead that stands for them.
const MAX_PLACES: usize = 8;

static EVERYTHING: Selector = Selector::everything();

/// Adds the pods and namespaces that selectors mean and the manifests do not have.
pub(super) fn assume(ends: &mut Ends<'_>, steps: &Steps) -> Result<(), TooLarge> {
    let mut assuming = Assuming {
        known: ends.places.len(),
        matching: HashMap::new(),
        places: HashMap::new(),
        pods: HashSet::new(),
        far: HashSet::new(),
        ends,
        steps,
    };
    assuming.run()
}

struct Assuming<'e, 'a> {
    ends: &'e mut Ends<'a>,
    /// How many namespaces the manifests have.
    known: usize,
    /// Which of them a selector matches.
    matching: HashMap<&'a Selector, Rc<[PlaceId]>>,
    /// The namespaces assumed.
    places: HashMap<Selector, PlaceId>,
    /// The pods assumed, or found not to need it.
    pods: HashSet<(PlaceId, &'a Selector)>,
    /// Peers already seen to.
    far: HashSet<(&'a Selector, &'a Selector, bool)>,
    steps: &'e Steps,
}

impl<'a> Assuming<'_, 'a> {
    fn run(&mut self) -> Result<(), TooLarge> {
        for place in 0..self.known {
            let [before, after] = self.ends.places[place].policies.clone();
            let unchanged: HashSet<*const NetworkPolicy> =
                before.iter().map(|policy| std::ptr::from_ref(*policy)).collect();
            let new = after.into_iter().filter(|policy| !unchanged.contains(&std::ptr::from_ref(*policy)));
            for policy in before.iter().copied().chain(new) {
                self.policy(place, policy)?;
            }
        }
        if self.known == 1 {
            self.far(0, &EVERYTHING, &EVERYTHING)?;
        }
        for place in 0..self.ends.places.len() {
            let known = self.ends.places[place].ends.iter().any(|end| {
                let end = self.ends.end(*end);
                end.looks.iter().flatten().any(|look| look.pod.is_some() || look.labels.is_empty())
            });
            if !known && matches!(self.ends.places[place].namespace, Namespace::Named(_)) {
                let alone = self.ends.places[place].ends.is_empty();
                let who = if alone { Who::Assumed(Selector::everything()) } else { Who::Other };
                self.ends.assume(place, who, &Labels::new());
            }
        }
        Ok(())
    }

    fn policy(&mut self, place: PlaceId, policy: &'a NetworkPolicy) -> Result<(), TooLarge> {
        self.local(place, &policy.spec.pod_selector)?;
        for rule in Direction::ALL.into_iter().flat_map(|direction| policy.spec.rules(direction)) {
            for peer in &rule.peers {
                match peer {
                    Peer::IpBlock { .. } | Peer::Pods { namespace: None, pod: None } => {}
                    Peer::Pods { namespace: None, pod: Some(pod) } => self.local(place, pod)?,
                    Peer::Pods { namespace: Some(namespace), pod } => {
                        self.far(place, namespace, pod.as_ref().unwrap_or(&EVERYTHING))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A pod in a namespace.
    fn local(&mut self, place: PlaceId, selector: &'a Selector) -> Result<(), TooLarge> {
        if !selector.requirements().is_empty()
            && !self.anybody(place, selector)?
            && self.pods.insert((place, selector))
            && let Some(labels) = selector.witness()
        {
            self.ends.assume(place, Who::Assumed(selector.clone()), &labels);
        }
        Ok(())
    }

    /// Whether the manifests have a pod there that is selected.
    fn anybody(&self, place: PlaceId, selector: &Selector) -> Result<bool, TooLarge> {
        let place = &self.ends.places[place];
        self.steps.spend(place.ends.len() + place.host.len())?;
        let looks = place.ends.iter().flat_map(|end| self.ends.end(*end).looks.iter().flatten());
        let mut real = looks.filter(|look| look.pod.is_some());
        Ok(real.any(|look| selector.matches(&look.labels))
            || place.host.iter().any(|pod| selector.matches(&pod.labels)))
    }

    /// Pods in the namespaces that a policy of `own` selects.
    fn far(&mut self, own: PlaceId, namespaces: &'a Selector, pods: &'a Selector) -> Result<(), TooLarge> {
        let matching = self.matching(namespaces)?;
        let elsewhere = matching.iter().any(|place| *place != own) || pinned(namespaces).is_some();
        if !self.far.insert((namespaces, pods, elsewhere)) {
            return Ok(());
        }
        if !elsewhere {
            self.elsewhere(namespaces, pods);
        }
        if pods.requirements().is_empty() {
            return Ok(());
        }
        for place in matching.iter() {
            if self.anybody(*place, pods)? {
                return Ok(());
            }
        }
        if matching.len() > MAX_PLACES {
            self.elsewhere(namespaces, pods);
            return Ok(());
        }
        matching.iter().try_for_each(|place| self.local(*place, pods))
    }

    /// A pod of a namespace that no manifest has.
    fn elsewhere(&mut self, namespaces: &'a Selector, pods: &'a Selector) {
        let (Some(of_place), Some(of_pod)) = (namespaces.witness(), pods.witness()) else { return };
        let place = *self.places.entry(namespaces.clone()).or_insert_with(|| {
            let labels = [Cow::Owned(of_place.clone()), Cow::Owned(of_place)];
            self.ends.add_place(Namespace::Assumed(namespaces.clone()), labels, [Vec::new(), Vec::new()])
        });
        if self.pods.insert((place, pods)) {
            self.ends.assume(place, Who::Assumed(pods.clone()), &of_pod);
        }
    }

    /// The namespaces that a selector matches in either world. Those it gives a name to are among them, known or not.
    fn matching(&mut self, selector: &'a Selector) -> Result<Rc<[PlaceId]>, TooLarge> {
        if let Some(found) = self.matching.get(selector) {
            return Ok(Rc::clone(found));
        }
        let found: Rc<[PlaceId]> = if let Some(names) = pinned(selector) {
            self.steps.spend(names.len())?;
            names.iter().filter_map(|name| self.place_named(name, selector)).collect()
        } else {
            self.steps.spend(self.known)?;
            let fits = |place: &PlaceId| self.ends.places[*place].labels.iter().any(|labels| selector.matches(labels));
            (0..self.known).filter(fits).collect()
        };
        self.matching.insert(selector, Rc::clone(&found));
        Ok(found)
    }

    fn place_named(&mut self, name: &str, selector: &Selector) -> Option<PlaceId> {
        if let Some(place) = self.ends.place_named(name) {
            let fits = self.ends.places[place].labels.iter().any(|labels| selector.matches(labels));
            return fits.then_some(place);
        }
        let mut labels = selector.witness()?;
        labels.extend(labels_by_name(name));
        let labels = [Cow::Owned(labels.clone()), Cow::Owned(labels)];
        selector
            .matches(&labels[0])
            .then(|| self.ends.add_place(Namespace::Named(name.to_owned()), labels, [Vec::new(), Vec::new()]))
    }
}

/// The names to which a selector restricts itself.
fn pinned(selector: &Selector) -> Option<&BTreeSet<String>> {
    let mut requirements = selector.requirements().iter();
    let named =
        requirements.find(|requirement| requirement.key == METADATA_NAME && requirement.operator == Operator::In);
    named.map(|requirement| &requirement.values)
}
