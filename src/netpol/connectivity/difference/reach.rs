//! Who reaches whom on which ports in either world, one end with all others at a time.

use std::collections::HashMap;
use std::rc::Rc;

use super::ends::{EndId, Ends, PlaceId, Telling, same};
use super::peers::{PeerId, Peers};
use super::ports::{NamesId, Ports, PortsId};
use super::{SIDES, Steps, TooLarge};
use crate::netpol::connectivity::World;
use crate::netpol::policy::{Direction, NetworkPolicy, Peer};

type PolicyId = u32;

/// A set of policies that isolate an end; equal numbers are equal sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SetId(u32);

impl SetId {
    /// Nobody isolates.
    pub(super) const NONE: Self = Self(0);
}

/// What decides of an end's connections with addresses, before and after: which policies isolate it in a direction and
/// what it calls its ports. `None` where it is not there.
pub(super) type Exposure = [Option<(SetId, NamesId)>; 2];

/// A rule with everything by number.
#[derive(Debug)]
struct Rule<'a> {
    /// `None`: every peer.
    peers: Option<Vec<PeerId>>,
    written: &'a [Peer],
    ports: PortsId,
}

#[derive(Debug)]
struct Numbered<'a> {
    policy: &'a NetworkPolicy,
    /// By direction.
    rules: [Vec<Rule<'a>>; 2],
}

/// What an end is to policies. Ends of equal roles have equal connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Role {
    /// Which isolate it, by direction.
    isolated_by: [SetId; 2],
    is_peer_of: Rc<[PeerId]>,
    names: NamesId,
}

pub(super) struct Reach<'a> {
    pub(super) ends: Ends<'a>,
    pub(super) ports: Ports<'a>,
    peers: Peers<'a>,
    policies: Vec<Numbered<'a>>,
    sets: Vec<Vec<PolicyId>>,
    sets_ids: HashMap<Vec<PolicyId>, SetId>,
    /// By end, side and direction.
    isolated_by: Vec<[[SetId; 2]; 2]>,
    /// By end and side.
    names: Vec<[NamesId; 2]>,
    steps: &'a Steps,
}

impl<'a> Reach<'a> {
    pub(super) fn new(
        worlds: [&'a World<'a>; 2],
        ends: Ends<'a>,
        telling: &Telling<'a>,
        steps: &'a Steps,
    ) -> Result<Self, TooLarge> {
        let mut ports = Ports::new();
        let mut names = Vec::with_capacity(ends.all.len());
        for end in &ends.all {
            names.push(SIDES.map(|side| match end.looks[side].as_ref().and_then(|look| look.pod) {
                Some(pod) if !worlds[side].port_names_open => ports.names(pod, |port| telling.port(port)),
                _ => NamesId::OPEN,
            }));
        }
        let mut reach = Self {
            isolated_by: vec![[[SetId::NONE; 2]; 2]; ends.all.len()],
            ends,
            ports,
            peers: Peers::new(worlds.map(|world| world.ip_blocks_match_pods)),
            policies: Vec::new(),
            sets: vec![Vec::new()],
            sets_ids: HashMap::from([(Vec::new(), SetId::NONE)]),
            names,
            steps,
        };
        for place in 0..reach.ends.places.len() {
            reach.isolate(place)?;
        }
        Ok(reach)
    }

    /// Finds who isolates whom in a namespace.
    fn isolate(&mut self, place: PlaceId) -> Result<(), TooLarge> {
        let numbers = self.number(place);
        let ends = self.ends.places[place].ends.clone();
        let same_policies = numbers[0] == numbers[1];
        for side in SIDES {
            for end in &ends {
                let Some(look) = self.ends.look(*end, side) else { continue };
                if side == 1 && same_policies && self.ends.end(*end).is_same() {
                    self.isolated_by[*end as usize][1] = self.isolated_by[*end as usize][0];
                    continue;
                }
                self.steps.spend(numbers[side].len())?;
                let mut sets = [Vec::new(), Vec::new()];
                for id in &numbers[side] {
                    let spec = &self.policies[*id as usize].policy.spec;
                    if spec.pod_selector.matches(&look.labels) {
                        let directions = Direction::ALL.into_iter().filter(|direction| spec.isolates(*direction));
                        directions.for_each(|direction| sets[direction as usize].push(*id));
                    }
                }
                self.isolated_by[*end as usize][side] = sets.map(|set| self.set(set));
            }
        }
        Ok(())
    }

    /// The policies of a namespace by number, before and after; one that stays as it is keeps its number.
    fn number(&mut self, place: PlaceId) -> [Vec<PolicyId>; 2] {
        let [before, after] = self.ends.places[place].policies.clone();
        if same(&before, &after) {
            let numbers: Vec<PolicyId> = before.into_iter().map(|policy| self.add(place, policy)).collect();
            return [numbers.clone(), numbers];
        }
        let mut known: HashMap<&str, (PolicyId, &NetworkPolicy)> = HashMap::with_capacity(before.len());
        let mut numbers = [Vec::new(), Vec::new()];
        for policy in before {
            let id = self.add(place, policy);
            known.insert(&policy.name, (id, policy));
            numbers[0].push(id);
        }
        for policy in after {
            let same = known.get(policy.name.as_str());
            let same = same.filter(|(_, old)| std::ptr::eq(*old, policy) || old.spec == policy.spec);
            let id = same.map_or_else(|| self.add(place, policy), |(id, _)| *id);
            numbers[1].push(id);
        }
        // Sets are told apart by their lists.
        numbers.iter_mut().for_each(|numbers| numbers.sort_unstable());
        numbers
    }

    fn add(&mut self, place: PlaceId, policy: &'a NetworkPolicy) -> PolicyId {
        let rules = Direction::ALL.map(|direction| {
            let rules = policy.spec.rules(direction).iter();
            rules
                .map(|rule| Rule {
                    peers: (!rule.peers.is_empty())
                        .then(|| rule.peers.iter().map(|peer| self.peers.id(place, peer)).collect()),
                    written: &rule.peers,
                    ports: self.ports.id(&rule.ports),
                })
                .collect()
        });
        self.policies.push(Numbered { policy, rules });
        PolicyId::try_from(self.policies.len() - 1).unwrap_or(PolicyId::MAX)
    }

    fn set(&mut self, policies: Vec<PolicyId>) -> SetId {
        if let Some(id) = self.sets_ids.get(&policies) {
            return *id;
        }
        let id = SetId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        self.sets.push(policies.clone());
        self.sets_ids.insert(policies, id);
        id
    }

    /// The ends whose connections may differ between the worlds, by their roles before and after.
    pub(super) fn changed(&mut self, telling: &Telling<'_>) -> Result<Vec<Vec<EndId>>, TooLarge> {
        let mut classes: HashMap<[Option<Role>; 2], Vec<EndId>> = HashMap::new();
        for id in self.ends.ids() {
            if self.may_change(id, telling) {
                let roles = [self.role(id, 0)?, self.role(id, 1)?];
                if roles[0] != roles[1] {
                    classes.entry(roles).or_default().push(id);
                }
            }
        }
        let mut classes: Vec<Vec<EndId>> = classes.into_values().collect();
        classes.sort_unstable();
        Ok(classes)
    }

    /// What is cheap to tell, before its role is looked up.
    fn may_change(&self, id: EndId, telling: &Telling<'_>) -> bool {
        let end = self.ends.end(id);
        let [Some(before), Some(after)] = &end.looks else { return true };
        let (sets, names) = (&self.isolated_by[id as usize], &self.names[id as usize]);
        let labels = &self.ends.places[end.place].labels;
        sets[0] != sets[1]
            || names[0] != names[1]
            || labels[0] != labels[1]
            || self.peers.blocks_differ(before, after)
            || telling.labels(&before.labels) != telling.labels(&after.labels)
    }

    fn role(&mut self, id: EndId, side: usize) -> Result<Option<Role>, TooLarge> {
        if self.ends.look(id, side).is_none() {
            return Ok(None);
        }
        Ok(Some(Role {
            isolated_by: self.isolated_by[id as usize][side],
            is_peer_of: self.peers.of(id, side, &self.ends, self.steps)?,
            names: self.names[id as usize][side],
        }))
    }

    /// The ports on which an end and each other one are connected: towards the others as `Egress` of the end, from
    /// them as its `Ingress`.
    pub(super) fn cells(&mut self, end: EndId, direction: Direction, side: usize) -> Result<Vec<PortsId>, TooLarge> {
        let count = self.ends.all.len();
        self.steps.spend(count)?;
        if self.ends.look(end, side).is_none() {
            return Ok(vec![PortsId::NONE; count]);
        }
        let mut cells = self.allowed_here(end, direction, side)?;
        let mut there: HashMap<SetId, PortsId> = HashMap::new();
        let opposite = opposite(direction);
        for other in self.ends.ids() {
            let cell = cells[other as usize];
            if cell == PortsId::NONE || self.ends.look(other, side).is_none() {
                cells[other as usize] = PortsId::NONE;
                continue;
            }
            let set = self.isolated_by[other as usize][side][opposite as usize];
            let allowed = match there.get(&set) {
                Some(allowed) => *allowed,
                None => *there.entry(set).or_insert(self.allowed_there(set, opposite, end, side)?),
            };
            let called = if direction == Direction::Egress { other } else { end };
            let names = self.names[called as usize][side];
            let [here, there] = [cell, allowed].map(|ports| self.ports.resolve(ports, names));
            cells[other as usize] = self.ports.both(here, there, self.steps)?;
        }
        Ok(cells)
    }

    /// What the policies of an end allow it with each other end.
    fn allowed_here(&mut self, end: EndId, direction: Direction, side: usize) -> Result<Vec<PortsId>, TooLarge> {
        let count = self.ends.all.len();
        let set = self.isolated_by[end as usize][side][direction as usize];
        if set == SetId::NONE {
            return Ok(vec![PortsId::ALL; count]);
        }
        let mut with_all: Vec<PortsId> = Vec::new();
        let mut with = vec![PortsId::NONE; count];
        for policy in self.sets[set.0 as usize].clone() {
            let rules = std::mem::take(&mut self.policies[policy as usize].rules[direction as usize]);
            for rule in &rules {
                let Some(peers) = &rule.peers else {
                    with_all.push(rule.ports);
                    continue;
                };
                for peer in peers {
                    for member in self.peers.members(*peer, side, &self.ends, self.steps)?.iter() {
                        let ports = &mut with[*member as usize];
                        *ports = self.ports.either(*ports, rule.ports, self.steps)?;
                    }
                }
            }
            self.policies[policy as usize].rules[direction as usize] = rules;
        }
        let with_all = self.ports.union(with_all, self.steps)?;
        for ports in &mut with {
            *ports = self.ports.either(*ports, with_all, self.steps)?;
        }
        Ok(with)
    }

    /// What a set of policies allows with an end.
    fn allowed_there(
        &mut self,
        set: SetId,
        direction: Direction,
        end: EndId,
        side: usize,
    ) -> Result<PortsId, TooLarge> {
        if set == SetId::NONE {
            return Ok(PortsId::ALL);
        }
        let mine = self.peers.of(end, side, &self.ends, self.steps)?;
        let mut allowed = Vec::new();
        for policy in &self.sets[set.0 as usize] {
            for rule in &self.policies[*policy as usize].rules[direction as usize] {
                self.steps.spend(rule.peers.as_ref().map_or(1, Vec::len))?;
                let admits = |peers: &Vec<PeerId>| peers.iter().any(|peer| mine.binary_search(peer).is_ok());
                if rule.peers.as_ref().is_none_or(admits) {
                    allowed.push(rule.ports);
                }
            }
        }
        self.ports.union(allowed, self.steps)
    }

    pub(super) fn exposure(&self, end: EndId, direction: Direction) -> Exposure {
        let index = end as usize;
        SIDES.map(|side| {
            self.ends.look(end, side)?;
            Some((self.isolated_by[index][side][direction as usize], self.names[index][side]))
        })
    }

    /// The ports of one set that are not in another.
    pub(super) fn less(&mut self, one: PortsId, two: PortsId) -> Result<PortsId, TooLarge> {
        self.ports.less(one, two, self.steps)
    }

    /// The rules of a set of policies: peers, where they are not all, and ports.
    pub(super) fn rules(&self, set: SetId, direction: Direction) -> impl Iterator<Item = (&'a [Peer], PortsId)> {
        let policies = self.sets[set.0 as usize].iter();
        let rules = policies.flat_map(move |policy| &self.policies[*policy as usize].rules[direction as usize]);
        rules.map(|rule| (rule.written, rule.ports))
    }
}

pub(super) const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}
