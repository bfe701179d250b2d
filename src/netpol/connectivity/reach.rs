//! On which ports one end reaches another, and what one end may reach or be reached from.
//!
//! ```text
//! World ── ports_between(from, to) ──> Passage { ports, answer }
//!       └─ reach(end, direction)   ──> Reach { pods by namespace and ports, addresses by ports }
//! ```
//!
//! All of it exact. Between pods both ends count; names of ports are what the called pod calls so, and an address
//! calls none.

use std::collections::{BTreeMap, HashMap};

use super::{Answer, Direction, End, NetworkPolicy, Outcome, Pod, PodKind, PolicyRule, RuleRef, Side, World, apart};
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::addresses_of;
use crate::netpol::port_set::PortSet;

#[cfg(test)]
mod tests;

/// What passes between two ends when no port is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage<'a> {
    /// The ports that surely pass, as numbers.
    pub ports: PortSet,
    /// Allowed when some port passes; with the rules that let one pass at each end, be it not the same at both.
    pub answer: Answer<'a>,
}

/// What one end may reach, or be reached from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach<'a> {
    /// Why it cannot be told for sure, where that is so for the end itself: `HostNetwork` or `Unread`.
    pub doubt: Option<Outcome<'a>>,
    /// The policies that isolate the end in this direction.
    pub isolated_by: Vec<&'a NetworkPolicy>,
    /// Pods at the other end, by namespace; the end itself is left out where it is a Pod.
    pub pods: Vec<Pods<'a>>,
    /// Addresses outside the cluster, as disjoint sets; none where the end is an address itself.
    pub addresses: Vec<(IpSet, PortSet)>,
    /// Sets of ports whose addresses are not in `addresses`, because there are too many of them to be told apart.
    pub untold: usize,
    /// Pods of which it cannot be told, with the reason.
    pub unsettled: Vec<(&'a Pod, Outcome<'a>)>,
}

/// Pods of one namespace that share their ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pods<'a> {
    /// Their namespace.
    pub namespace: &'a str,
    /// Whether these are all pods known there.
    pub all: bool,
    /// Which.
    pub pods: Vec<&'a Pod>,
    /// The ports, as numbers.
    pub ports: PortSet,
}

/// A rule of a policy that isolates an end, and what it lacks to allow a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss<'a> {
    /// The rule.
    pub rule: RuleRef<'a>,
    /// What it lacks.
    pub lacks: Lack,
}

/// Half of what it takes to allow a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It has the port, and not the other end among its peers.
    Peer,
    /// It has the other end among its peers, and not the port.
    Port,
}

/// What governs one end in one direction.
struct Governed<'a> {
    isolated_by: Vec<&'a NetworkPolicy>,
    rules: Vec<(RuleRef<'a>, &'a PolicyRule)>,
    unread: Option<Outcome<'a>>,
}

/// What one end lets pass: at least, and at most.
struct Bounds<'a> {
    sure: PortSet,
    possible: PortSet,
    side: Side<'a>,
}

impl<'a> World<'a> {
    /// The ports among `wanted`, which are numbers, on which one end reaches the other.
    #[must_use]
    pub fn ports_between(&self, from: End<'a>, to: End<'a>, wanted: &PortSet) -> Passage<'a> {
        let (egress, ingress) = (self.governed(from, Direction::Egress), self.governed(to, Direction::Ingress));
        self.passage((from, &egress), (to, &ingress), wanted)
    }

    /// What an end may reach (`Egress`), or be reached from (`Ingress`).
    #[must_use]
    pub fn reach(&self, end: End<'a>, direction: Direction) -> Reach<'a> {
        let mine = self.governed(end, direction);
        let host = match end {
            End::Pod(pod) if pod.host_network => Some(Outcome::HostNetwork(pod)),
            End::Pod(_) | End::Address(_) => None,
        };
        let mut reach = Reach {
            doubt: host.or(mine.unread),
            isolated_by: mine.isolated_by.clone(),
            pods: Vec::new(),
            addresses: Vec::new(),
            untold: 0,
            unsettled: Vec::new(),
        };
        if host.is_some() {
            return reach;
        }
        let all = PortSet::all();
        for space in self.spaces() {
            let mut groups: Vec<Pods<'a>> = Vec::new();
            for &pod in &space.pods {
                let theirs = self.governed(End::Pod(pod), opposite(direction));
                let Passage { ports, answer } = match direction {
                    Direction::Egress => self.passage((end, &mine), (End::Pod(pod), &theirs), &all),
                    Direction::Ingress => self.passage((End::Pod(pod), &theirs), (end, &mine), &all),
                };
                match answer.outcome {
                    Outcome::Allowed => match groups.iter_mut().find(|group| group.ports == ports) {
                        Some(group) => group.pods.push(pod),
                        None => groups.push(Pods { namespace: space.name, all: false, pods: vec![pod], ports }),
                    },
                    Outcome::Itself | Outcome::Denied => {}
                    Outcome::HostNetwork(_) | Outcome::Unread { .. } => reach.unsettled.push((pod, answer.outcome)),
                }
            }
            let others = space.pods.iter().filter(|pod| apart(end, End::Pod(pod)) != Some(Outcome::Itself)).count();
            groups.iter_mut().for_each(|group| group.all = group.pods.len() == others);
            reach.pods.extend(groups);
        }
        if let End::Pod(pod) = end {
            (reach.addresses, reach.untold) = addresses(pod, direction, &mine);
        }
        reach
    }

    /// The rules that would nearly allow what an end blocks. `holds`: whether some ports, as a rule gives them, are
    /// those asked for.
    pub fn misses(
        &self,
        side: &Side<'a>,
        direction: Direction,
        other: End<'a>,
        holds: impl Fn(&PortSet) -> bool,
    ) -> impl Iterator<Item = Miss<'a>> {
        let rules = rules(&side.isolated_by, direction);
        rules.into_iter().filter_map(move |(found, rule)| {
            match (self.admits(&found.policy.namespace, rule, other), holds(&rule.ports)) {
                (true, false) => Some(Miss { rule: found, lacks: Lack::Port }),
                (false, true) => Some(Miss { rule: found, lacks: Lack::Peer }),
                _ => None,
            }
        })
    }

    fn governed(&self, end: End<'a>, direction: Direction) -> Governed<'a> {
        let isolated_by: Vec<&NetworkPolicy> = match end {
            End::Pod(pod) => self.isolating(pod, direction).collect(),
            End::Address(_) => Vec::new(),
        };
        Governed { rules: rules(&isolated_by, direction), unread: self.unread_at(end), isolated_by }
    }

    fn passage(&self, from: (End<'a>, &Governed<'a>), to: (End<'a>, &Governed<'a>), wanted: &PortSet) -> Passage<'a> {
        let egress = self.bounds(from.1, to.0, to.0, wanted);
        let ingress = self.bounds(to.1, from.0, to.0, wanted);
        let sure = egress.sure.intersection(&ingress.sure);
        let possible = egress.possible.intersection(&ingress.possible);
        let outcome = apart(from.0, to.0).unwrap_or_else(|| match from.1.unread.or(to.1.unread) {
            Some(unread) if sure != possible => unread,
            _ if sure.is_empty() => Outcome::Denied,
            _ => Outcome::Allowed,
        });
        let ports = match outcome {
            Outcome::Itself => wanted.clone(),
            Outcome::HostNetwork(_) => PortSet::empty(),
            Outcome::Allowed | Outcome::Denied | Outcome::Unread { .. } => sure,
        };
        Passage { ports, answer: Answer { outcome, egress: egress.side, ingress: ingress.side } }
    }

    /// What an end lets pass to or from `other`, `called` being the end whose ports are meant.
    fn bounds(&self, governed: &Governed<'a>, other: End<'a>, called: End<'a>, wanted: &PortSet) -> Bounds<'a> {
        let admitting = governed.rules.iter().filter(|(found, rule)| self.admits(&found.policy.namespace, rule, other));
        let with_ports = admitting.map(|(found, rule)| (*found, called.numbers(&rule.ports).intersection(wanted)));
        let (allowed_by, ports): (Vec<_>, Vec<_>) = with_ports.filter(|(_, ports)| !ports.is_empty()).unzip();
        let by_rules = PortSet::union_of(ports);
        let (sure, possible) = match (governed.unread, governed.isolated_by.is_empty()) {
            // What a rule allows stays allowed; anything else is possible.
            (Some(_), _) => (by_rules, wanted.clone()),
            (None, true) => (wanted.clone(), wanted.clone()),
            (None, false) => (by_rules.clone(), by_rules),
        };
        Bounds { sure, possible, side: Side { isolated_by: governed.isolated_by.clone(), allowed_by } }
    }
}

impl End<'_> {
    /// A set of ports as this end sees it when it is called.
    #[must_use]
    pub fn numbers(&self, ports: &PortSet) -> PortSet {
        match self {
            Self::Pod(pod) => pod.resolve(ports),
            Self::Address(_) => ports.resolve(|_, _| None),
        }
    }
}

impl<'a> Pods<'a> {
    /// The pods with those of one controller told once: `Pod` by itself, others with how many there are.
    #[must_use]
    pub fn folded(&self) -> Vec<(String, usize)> {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for pod in &self.pods {
            let name = match (&pod.controller, pod.kind) {
                (Some(controller), PodKind::Pod) => format!("{}/{}", controller.kind, controller.name),
                (_, PodKind::Pod) => pod.name.clone(),
                (_, kind) => format!("{kind}/{}", pod.name),
            };
            *names.entry(name).or_default() += 1;
        }
        names.into_iter().collect()
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

fn rules<'a>(policies: &[&'a NetworkPolicy], direction: Direction) -> Vec<(RuleRef<'a>, &'a PolicyRule)> {
    let of = |policy: &'a NetworkPolicy| {
        let rules = policy.spec.rules(direction).iter().enumerate();
        rules.map(move |(index, rule)| (RuleRef { policy, direction, index }, rule))
    };
    policies.iter().copied().flat_map(of).collect()
}

/// Sets of ports that are told apart for addresses. Telling them apart takes their square, and no policy that people
/// write has a hundred.
const MAX_PORT_SETS: usize = 1_000;

/// The addresses a pod exchanges traffic with, cut into sets that share their ports; and how many sets of ports are left
/// out.
fn addresses(pod: &Pod, direction: Direction, governed: &Governed<'_>) -> (Vec<(IpSet, PortSet)>, usize) {
    if governed.isolated_by.is_empty() {
        // An unread policy may isolate it: then nothing is sure.
        let open = governed.unread.is_none();
        return (if open { vec![(IpSet::all(), PortSet::all())] } else { Vec::new() }, 0);
    }
    let ports = |ports: &PortSet| match direction {
        Direction::Egress => ports.resolve(|_, _| None),
        Direction::Ingress => pod.resolve(ports),
    };
    let mut rules = Merged::default();
    for (_, rule) in &governed.rules {
        rules.add(addresses_of(&rule.peers), ports(&rule.ports));
    }
    let rules = rules.sets();
    let untold = rules.len().saturating_sub(MAX_PORT_SETS);
    let mut parts = Merged::default();
    for (mut set, ports) in rules.into_iter().take(MAX_PORT_SETS) {
        let mut next = Merged::default();
        for (part, held) in parts.sets() {
            let shared = part.intersection(&set);
            if !shared.is_empty() {
                set = set.difference(&shared);
                next.add(part.difference(&shared), held.clone());
                next.add(shared, held.union(&ports));
            } else {
                next.add(part, held);
            }
        }
        next.add(set, ports);
        parts = next;
    }
    (parts.sets(), untold)
}

/// Sets of addresses by their ports, none of them empty, in the order in which the ports first came.
#[derive(Default)]
struct Merged {
    by_ports: Vec<(Vec<IpSet>, PortSet)>,
    places: HashMap<PortSet, usize>,
}

impl Merged {
    fn add(&mut self, set: IpSet, ports: PortSet) {
        if set.is_empty() || ports.is_empty() {
            return;
        }
        match self.places.get(&ports) {
            Some(place) => self.by_ports[*place].0.push(set),
            None => {
                self.places.insert(ports.clone(), self.by_ports.len());
                self.by_ports.push((vec![set], ports));
            }
        }
    }

    fn sets(self) -> Vec<(IpSet, PortSet)> {
        let united = |mut sets: Vec<IpSet>| match sets.pop() {
            Some(only) if sets.is_empty() => only,
            last => IpSet::union_of(sets.into_iter().chain(last)),
        };
        self.by_ports.into_iter().map(|(sets, ports)| (united(sets), ports)).collect()
    }
}
