//! Everybody who may be at an end of a connection, in both worlds under one number.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::SIDES;
use super::owners::{self, Kept, Key};
use super::party::{Member, Namespace, Presence, Who};
use crate::netpol::METADATA_NAME;
use crate::netpol::connectivity::{Space, World};
use crate::netpol::pod::{NamedPort, Pod, PodKind};
use crate::netpol::policy::{Direction, NetworkPolicy, Peer};
use crate::netpol::port_set::Protocol;
use crate::netpol::selector::{Labels, Selector};

/// The number of an end.
pub(super) type EndId = u32;
/// The number of a namespace.
pub(super) type PlaceId = usize;

/// A namespace in both worlds.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) namespace: Namespace,
    /// Its labels before and after.
    pub(super) labels: [Cow<'a, Labels>; 2],
    /// Its policies before and after.
    pub(super) policies: [Vec<&'a NetworkPolicy>; 2],
    /// Who is there.
    pub(super) ends: Vec<EndId>,
    /// Pods that take no part, for they are in the network of their node.
    pub(super) host: Vec<&'a Pod>,
}

/// An end as one of the worlds has it.
#[derive(Clone, Debug)]
pub(super) struct Look<'a> {
    /// `None` for one that is assumed.
    pub(super) pod: Option<&'a Pod>,
    pub(super) labels: Cow<'a, Labels>,
    pub(super) addresses: Vec<IpAddr>,
}

#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    pub(super) place: PlaceId,
    pub(super) member: Arc<Member>,
    /// Before and after.
    pub(super) looks: [Option<Look<'a>>; 2],
}

/// What policies can tell pods by: a label that no selector names, or a port name no rule does, makes no difference.
#[derive(Debug, Default)]
pub(super) struct Telling<'a> {
    keys: HashSet<&'a str>,
    ports: HashSet<(Protocol, &'a str)>,
}

#[derive(Debug)]
pub(super) struct Ends<'a> {
    pub(super) places: Vec<Place<'a>>,
    pub(super) all: Vec<Endpoint<'a>>,
    /// Objects that another one stands for.
    pub(super) aliases: BTreeMap<(String, PodKind, String), Arc<Member>>,
    by_name: HashMap<String, PlaceId>,
}

impl Endpoint<'_> {
    /// Whether both worlds share it.
    pub(super) fn is_same(&self) -> bool {
        match &self.looks {
            [Some(before), Some(after)] => match (before.pod, after.pod) {
                (Some(before), Some(after)) => std::ptr::eq(before, after),
                (None, None) => true,
                _ => false,
            },
            _ => false,
        }
    }
}

impl<'a> Telling<'a> {
    pub(super) fn of(worlds: [&'a World<'a>; 2]) -> Self {
        let mut telling = Self::default();
        let policies = |world: &'a World<'a>| world.spaces().flat_map(|space| space.policies.iter().copied());
        let [before, after] = worlds;
        // What both share is read once.
        let old: HashSet<*const NetworkPolicy> = policies(before).map(std::ptr::from_ref).collect();
        let new = policies(after).filter(|policy| !old.contains(&std::ptr::from_ref(*policy)));
        for policy in policies(before).chain(new) {
            telling.select(&policy.spec.pod_selector);
            for rule in Direction::ALL.into_iter().flat_map(|direction| policy.spec.rules(direction)) {
                telling.ports.extend(rule.ports.names());
                for peer in &rule.peers {
                    if let Peer::Pods { pod: Some(selector), .. } = peer {
                        telling.select(selector);
                    }
                }
            }
        }
        telling
    }

    fn select(&mut self, selector: &'a Selector) {
        self.keys.extend(selector.requirements().iter().map(|requirement| requirement.key.as_str()));
    }

    pub(super) fn labels<'b>(&self, labels: &'b Labels) -> Vec<(&'b String, &'b String)> {
        labels.iter().filter(|(key, _)| self.keys.contains(key.as_str())).collect()
    }

    pub(super) fn port(&self, port: &NamedPort) -> bool {
        self.ports.contains(&(port.protocol, port.name.as_str()))
    }

    fn ports<'b>(&self, pod: &'b Pod) -> BTreeSet<&'b NamedPort> {
        pod.ports.iter().filter(|port| self.port(port)).collect()
    }

    /// Whether no policy can tell these pods apart, but by their addresses.
    pub(super) fn alike(&self, one: &Pod, two: &Pod) -> bool {
        one.host_network == two.host_network
            && self.labels(&one.labels) == self.labels(&two.labels)
            && self.ports(one) == self.ports(two)
    }
}

impl<'a> Ends<'a> {
    /// Everybody in either of the worlds.
    pub(super) fn of(worlds: [&'a World<'a>; 2], telling: &Telling<'_>) -> Self {
        let mut ends = Self { places: Vec::new(), all: Vec::new(), aliases: BTreeMap::new(), by_name: HashMap::new() };
        let names: BTreeSet<&str> = worlds.iter().flat_map(|world| world.spaces()).map(|space| space.name).collect();
        for name in names {
            let spaces = worlds.map(|world| world.space(name));
            let labels = spaces.map(|space| {
                space.map_or_else(|| Cow::Owned(labels_by_name(name)), |space| Cow::Borrowed(space.labels))
            });
            let policies = spaces.map(|space| space.map_or_else(Vec::new, |space| space.policies.clone()));
            let place = ends.add_place(Namespace::Named(name.to_owned()), labels, policies);
            ends.add_pods(place, spaces, telling);
        }
        ends
    }

    pub(super) fn add_place(
        &mut self,
        namespace: Namespace,
        labels: [Cow<'a, Labels>; 2],
        policies: [Vec<&'a NetworkPolicy>; 2],
    ) -> PlaceId {
        if let Namespace::Named(name) = &namespace {
            self.by_name.insert(name.clone(), self.places.len());
        }
        self.places.push(Place { namespace, labels, policies, ends: Vec::new(), host: Vec::new() });
        self.places.len() - 1
    }

    pub(super) fn place_named(&self, name: &str) -> Option<PlaceId> {
        self.by_name.get(name).copied()
    }

    fn add_pods(&mut self, place: PlaceId, spaces: [Option<&Space<'a>>; 2], telling: &Telling<'_>) {
        let mut found: BTreeMap<Key, [Option<Kept<'a>>; 2]> = BTreeMap::new();
        let shared = spaces[0].zip(spaces[1]).is_some_and(|(one, two)| same(&one.pods, &two.pods));
        for (side, space) in SIDES.into_iter().zip(spaces) {
            if shared && side == 1 {
                found.values_mut().for_each(|sides| sides[1] = sides[0].clone());
                continue;
            }
            for kept in space.map_or_else(Vec::new, |space| owners::fold(space, telling)) {
                let key = kept.key.clone();
                found.entry(key).or_default()[side] = Some(kept);
            }
        }
        for ((kind, name), sides) in found {
            let host = sides.iter().flatten().find(|kept| kept.pod.host_network);
            if let Some(kept) = host {
                self.places[place].host.push(kept.pod);
                continue;
            }
            let also: Vec<&Pod> = sides.iter().flatten().flat_map(|kept| kept.also.iter().copied()).collect();
            let looks = sides.map(|kept| {
                kept.map(|Kept { pod, addresses, .. }| Look {
                    pod: Some(pod),
                    labels: Cow::Borrowed(&pod.labels),
                    addresses,
                })
            });
            let member = self.add(place, Who::Workload { kind, name }, looks);
            let aliases = also.into_iter().map(|pod| (pod.namespace.clone(), pod.kind, pod.name.clone()));
            self.aliases.extend(aliases.map(|alias| (alias, Arc::clone(&member))));
        }
    }

    /// An end that no manifest has, and that both worlds may have.
    pub(super) fn assume(&mut self, place: PlaceId, who: Who, labels: &Labels) {
        let look = Look { pod: None, labels: Cow::Owned(labels.clone()), addresses: Vec::new() };
        self.add(place, who, [Some(look.clone()), Some(look)]);
    }

    fn add(&mut self, place: PlaceId, who: Who, looks: [Option<Look<'a>>; 2]) -> Arc<Member> {
        let presence = match &looks {
            [None, _] => Presence::New,
            [_, None] => Presence::Gone,
            _ => Presence::Both,
        };
        let member = Arc::new(Member { namespace: self.places[place].namespace.clone(), who, presence });
        let id = self.ids().end;
        self.all.push(Endpoint { place, member: Arc::clone(&member), looks });
        self.places[place].ends.push(id);
        member
    }

    /// The numbers of all ends.
    pub(super) fn ids(&self) -> std::ops::Range<EndId> {
        0..EndId::try_from(self.all.len()).unwrap_or(EndId::MAX)
    }

    pub(super) fn end(&self, id: EndId) -> &Endpoint<'a> {
        &self.all[id as usize]
    }

    pub(super) fn look(&self, id: EndId, side: usize) -> Option<&Look<'a>> {
        self.end(id).looks[side].as_ref()
    }
}

/// Whether these are the very same, as they are where one world is made from the other.
pub(super) fn same<T>(one: &[&T], two: &[&T]) -> bool {
    one.len() == two.len() && one.iter().zip(two).all(|(one, two)| std::ptr::eq(*one, *two))
}

/// The labels of a namespace that nothing is known of.
pub(super) fn labels_by_name(name: &str) -> Labels {
    Labels::from([(METADATA_NAME.to_owned(), name.to_owned())])
}
