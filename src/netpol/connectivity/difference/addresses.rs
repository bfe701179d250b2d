//! What changes with addresses outside the cluster: exact, in both dimensions.

use std::collections::{BTreeMap, HashMap};

use super::ports::{NamesId, PortsId};
use super::reach::{Exposure, Reach, SetId};
use super::{Change, SIDES, Steps, TooLarge};
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, Peer, addresses_of};
use crate::netpol::port_set::{PortSet, Protocol};

/// Some ports, and to which of the sets of addresses they belong, before and after.
struct Atom {
    ports: PortSet,
    of: [Vec<usize>; 2],
}

/// The connections with addresses that appear and vanish for an end of this exposure.
pub(super) fn changes(
    reach: &mut Reach<'_>,
    exposure: Exposure,
    direction: Direction,
    steps: &Steps,
) -> Result<Vec<(Change, PortsId, IpSet)>, TooLarge> {
    let allowed = exposure.map(|end| end.map_or_else(Vec::new, |(set, names)| allowed(reach, set, names, direction)));
    for (_, addresses) in allowed.iter().flatten() {
        steps.spend(addresses.cidrs().len())?;
    }
    let mut found: HashMap<(Change, IpSet), PortSet> = HashMap::new();
    for Atom { ports, of } in atoms(reach, &allowed, steps)? {
        let union = |side: usize| {
            of[side].iter().try_fold(IpSet::empty(), |union, index| {
                let addresses = &allowed[side][*index].1;
                steps.spend(addresses.cidrs().len())?;
                Ok(union.union(addresses))
            })
        };
        let (before, after) = (union(0)?, union(1)?);
        for (change, addresses) in
            [(Change::Appears, after.difference(&before)), (Change::Vanishes, before.difference(&after))]
        {
            if !addresses.is_empty() {
                let entry = found.entry((change, addresses)).or_default();
                *entry = entry.union(&ports);
            }
        }
    }
    Ok(found.into_iter().map(|((change, addresses), ports)| (change, reach.ports.id(&ports), addresses)).collect())
}

/// The addresses that a set of policies allows, by ports.
fn allowed(reach: &mut Reach<'_>, set: SetId, names: NamesId, direction: Direction) -> Vec<(PortsId, IpSet)> {
    if set == SetId::NONE {
        return vec![(PortsId::ALL, IpSet::all())];
    }
    let rules: Vec<(&[Peer], PortsId)> = reach.rules(set, direction).collect();
    let mut by_ports: HashMap<PortsId, Vec<IpSet>> = HashMap::new();
    for (peers, ports) in rules {
        // Towards an address a name means nothing; from one it means what the end calls so.
        let ports = match direction {
            Direction::Egress => reach.ports.numbers(ports),
            Direction::Ingress => reach.ports.resolve(ports, names),
        };
        let addresses = addresses_of(peers);
        if ports != PortsId::NONE && !addresses.is_empty() {
            by_ports.entry(ports).or_default().push(addresses);
        }
    }
    by_ports.into_iter().map(|(ports, sets)| (ports, IpSet::union_of(sets))).collect()
}

/// The coarsest division of all ports in which each part lies in a set or outside of it. A name that nobody resolves
/// is a part of its own, beside all numbers.
fn atoms(reach: &Reach<'_>, allowed: &[Vec<(PortsId, IpSet)>; 2], steps: &Steps) -> Result<Vec<Atom>, TooLarge> {
    let mut atoms = vec![Atom { ports: PortSet::all(), of: [Vec::new(), Vec::new()] }];
    let mut names: BTreeMap<(Protocol, &str), Atom> = BTreeMap::new();
    let sets = SIDES.iter().flat_map(|side| allowed[*side].iter().map(|(ports, _)| reach.ports.set(*ports)));
    for (protocol, name) in sets.flat_map(PortSet::names) {
        let atom = || Atom { ports: PortSet::named(protocol, name), of: [Vec::new(), Vec::new()] };
        names.entry((protocol, name)).or_insert_with(atom);
    }
    for (side, allowed) in allowed.iter().enumerate() {
        for (index, (ports, _)) in allowed.iter().enumerate() {
            let ports = reach.ports.set(*ports);
            // Each is cut by the set, which takes as long as so many comparisons.
            steps.spend((atoms.len() + names.len()).saturating_mul(64))?;
            let named = names.values_mut().filter(|atom| atom.ports.is_subset(ports));
            named.for_each(|atom| atom.of[side].push(index));
            split(&mut atoms, &ports.resolve(|_, _| None), side, index);
        }
    }
    atoms.extend(names.into_values());
    Ok(atoms)
}

/// Divides what lies partly in a set, and notes what lies in it.
fn split(atoms: &mut Vec<Atom>, ports: &PortSet, side: usize, index: usize) {
    let mut rest = Vec::new();
    for atom in atoms.iter_mut() {
        let inside = atom.ports.intersection(ports);
        if inside.is_empty() {
            continue;
        }
        let outside = atom.ports.difference(ports);
        if !outside.is_empty() {
            rest.push(Atom { ports: outside, of: atom.of.clone() });
        }
        atom.ports = inside;
        atom.of[side].push(index);
    }
    atoms.append(&mut rest);
}
