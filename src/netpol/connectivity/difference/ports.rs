//! Sets of ports by number: a set that occurs a thousand times is kept, compared and combined once.

use std::collections::HashMap;

use super::{Steps, TooLarge};
use crate::netpol::pod::{NamedPort, Pod};
use crate::netpol::port_set::{PortSet, Protocol};

/// A set of ports; equal numbers are equal sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PortsId(u32);

/// What an end calls its ports; equal numbers are equal lists of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NamesId(u32);

impl PortsId {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(1);
}

impl NamesId {
    /// Nobody knows what they are called: names stay names.
    pub(super) const OPEN: Self = Self(u32::MAX);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Either,
    Both,
    Less,
}

#[derive(Debug)]
pub(super) struct Ports<'a> {
    sets: Vec<PortSet>,
    /// What combining a set costs: its ranges and names.
    sizes: Vec<usize>,
    ids: HashMap<PortSet, PortsId>,
    combined: HashMap<(Operation, PortsId, PortsId), PortsId>,
    unions: HashMap<Vec<PortsId>, PortsId>,
    resolved: HashMap<(PortsId, NamesId), PortsId>,
    /// A pod for each list of names, to resolve by.
    names: Vec<&'a Pod>,
    names_ids: HashMap<Vec<&'a NamedPort>, NamesId>,
}

impl<'a> Ports<'a> {
    pub(super) fn new() -> Self {
        let mut ports = Self {
            sets: Vec::new(),
            sizes: Vec::new(),
            ids: HashMap::new(),
            combined: HashMap::new(),
            unions: HashMap::new(),
            resolved: HashMap::new(),
            names: Vec::new(),
            names_ids: HashMap::new(),
        };
        ports.id(&PortSet::empty());
        ports.id(&PortSet::all());
        ports
    }

    pub(super) fn id(&mut self, set: &PortSet) -> PortsId {
        if let Some(id) = self.ids.get(set) {
            return *id;
        }
        let id = PortsId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        let ranges = Protocol::ALL.iter().map(|protocol| set.ranges(*protocol).count()).sum::<usize>();
        self.sizes.push(1 + ranges + set.names().count());
        self.sets.push(set.clone());
        self.ids.insert(set.clone(), id);
        id
    }

    pub(super) fn set(&self, id: PortsId) -> &PortSet {
        &self.sets[id.0 as usize]
    }

    /// The names a pod gives its ports. Only those count that some policy uses, which `telling` says.
    pub(super) fn names(&mut self, pod: &'a Pod, telling: impl Fn(&NamedPort) -> bool) -> NamesId {
        let mut ports: Vec<&NamedPort> = pod.ports.iter().filter(|port| telling(port)).collect();
        ports.sort_unstable();
        if let Some(id) = self.names_ids.get(&ports) {
            return *id;
        }
        let id = NamesId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(pod);
        self.names_ids.insert(ports, id);
        id
    }

    pub(super) fn union(&mut self, mut of: Vec<PortsId>, steps: &Steps) -> Result<PortsId, TooLarge> {
        of.sort_unstable();
        of.dedup();
        match of.as_slice() {
            [] => return Ok(PortsId::NONE),
            [one] => return Ok(*one),
            _ if of.contains(&PortsId::ALL) => return Ok(PortsId::ALL),
            _ => {}
        }
        if let Some(id) = self.unions.get(&of) {
            return Ok(*id);
        }
        steps.spend(of.iter().map(|id| self.sizes[id.0 as usize]).sum())?;
        let union = PortSet::union_of(of.iter().map(|id| self.set(*id).clone()));
        let id = self.id(&union);
        self.unions.insert(of, id);
        Ok(id)
    }

    pub(super) fn either(&mut self, one: PortsId, two: PortsId, steps: &Steps) -> Result<PortsId, TooLarge> {
        match (one, two) {
            (PortsId::ALL, _) | (_, PortsId::ALL) => Ok(PortsId::ALL),
            (PortsId::NONE, other) | (other, PortsId::NONE) => Ok(other),
            _ if one == two => Ok(one),
            _ => self.combine(Operation::Either, one.min(two), one.max(two), steps),
        }
    }

    pub(super) fn both(&mut self, one: PortsId, two: PortsId, steps: &Steps) -> Result<PortsId, TooLarge> {
        match (one, two) {
            (PortsId::NONE, _) | (_, PortsId::NONE) => Ok(PortsId::NONE),
            (PortsId::ALL, other) | (other, PortsId::ALL) => Ok(other),
            _ if one == two => Ok(one),
            _ => self.combine(Operation::Both, one.min(two), one.max(two), steps),
        }
    }

    pub(super) fn less(&mut self, one: PortsId, two: PortsId, steps: &Steps) -> Result<PortsId, TooLarge> {
        match (one, two) {
            (PortsId::NONE, _) | (_, PortsId::ALL) => Ok(PortsId::NONE),
            (_, PortsId::NONE) => Ok(one),
            _ if one == two => Ok(PortsId::NONE),
            _ => self.combine(Operation::Less, one, two, steps),
        }
    }

    fn combine(&mut self, what: Operation, one: PortsId, two: PortsId, steps: &Steps) -> Result<PortsId, TooLarge> {
        if let Some(id) = self.combined.get(&(what, one, two)) {
            return Ok(*id);
        }
        steps.spend(self.sizes[one.0 as usize] + self.sizes[two.0 as usize])?;
        let set = match what {
            Operation::Either => self.set(one).union(self.set(two)),
            Operation::Both => self.set(one).intersection(self.set(two)),
            Operation::Less => self.set(one).difference(self.set(two)),
        };
        let id = self.id(&set);
        self.combined.insert((what, one, two), id);
        Ok(id)
    }

    /// A set as an end sees it that calls its ports so.
    pub(super) fn resolve(&mut self, id: PortsId, names: NamesId) -> PortsId {
        if names == NamesId::OPEN || self.set(id).names().next().is_none() {
            return id;
        }
        if let Some(id) = self.resolved.get(&(id, names)) {
            return *id;
        }
        let set = self.names[names.0 as usize].resolve(self.set(id));
        let resolved = self.id(&set);
        self.resolved.insert((id, names), resolved);
        resolved
    }

    /// A set as an address sees it, which has no names.
    pub(super) fn numbers(&mut self, id: PortsId) -> PortsId {
        let set = self.set(id).resolve(|_, _| None);
        self.id(&set)
    }
}
