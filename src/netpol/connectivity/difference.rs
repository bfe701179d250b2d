//! What becomes reachable and what stops being reachable between two worlds.
//!
//! ```text
//! World, World ── ends: everybody in either, and whom policies speak of ── owners, assumed
//!              ── reach: who isolates whom, who is whose peer           ── peers, ports by number
//!              ── changed: the few whose role differs ── cells: each of them with all others
//!              ── fold: rectangles ── describe: selectors ──> Difference { rows, notes }
//! ```
//!
//! Nothing goes over all pairs: only an end whose isolation, labels, ports or presence differ can have connections that
//! do, and all other ends are looked at once for each class of such ends that are alike.
//!
//! A pod reaches itself, whatever the policies say. Rows leave that out and speak of two pods that are alike, so that
//! "all pods to all pods" has no holes; [`Difference::changes`] knows.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::{End, World};
use crate::netpol::ip_set::IpSet;
use crate::netpol::pod::{Pod, PodKind};
use crate::netpol::policy::Direction;
use crate::netpol::port_set::{PortSet, Protocol};

mod addresses;
mod assumed;
mod describe;
mod ends;
mod fold;
mod owners;
mod party;
mod peers;
mod ports;
mod reach;
#[cfg(test)]
mod tests;

use describe::Describe;
use ends::{EndId, Ends, Telling};
use fold::{Column, Set};
pub use party::{Member, Namespace, Party, Pods, Presence, Term, Who, ports_text};
use ports::PortsId;
use reach::{Exposure, Reach};

/// Before and after, as indexes.
const SIDES: [usize; 2] = [0, 1];

/// How much work a difference may take, in comparisons of a pod with a peer; a count and no time, so that the answer
/// is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub u64);

impl Limit {
    /// For a request that somebody waits for. One policy among 10,000 of them and 10,000 pods takes half of it; what is
    /// made to take more is given up after some tens of milliseconds.
    pub const REQUEST: Self = Self(750_000);
    /// For a command: a minute at worst.
    pub const COMMAND: Self = Self(1_000_000_000);
}

/// The difference would take more work than was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the states differ in too many ways to be compared within the limit")]
pub struct TooLarge;

/// Which way a connection changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was not allowed, and will be.
    Appears,
    /// It was allowed, and will not be.
    Vanishes,
}

/// Everything in `from` to everything in `to`, on all of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which way.
    pub change: Change,
    /// Who opens the connections.
    pub from: Party,
    /// Who is called.
    pub to: Party,
    /// The ports, as numbers; by name only where pods are assumed, of which nobody knows what they call so.
    pub ports: PortSet,
}

/// What changes in connectivity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The changes, folded: what coincides is one row. Disjoint, those that appear first.
    pub rows: Vec<Row>,
    /// What the rows do not tell, a sentence each.
    pub notes: Vec<String>,
    /// Policies could not be read, so that there may be more or less than the rows tell.
    pub unknown: bool,
    /// What stands for an object: a Deployment for its Pods.
    aliases: BTreeMap<(String, PodKind, String), Arc<Member>>,
}

/// The steps that are left.
#[derive(Debug)]
struct Steps(Cell<u64>);

impl Steps {
    fn spend(&self, steps: usize) -> Result<(), TooLarge> {
        let left = self.0.get().checked_sub(u64::try_from(steps).unwrap_or(u64::MAX)).ok_or(TooLarge)?;
        self.0.set(left);
        Ok(())
    }
}

/// The connections that appear and vanish from one world to the other.
///
/// # Errors
/// [`TooLarge`] when it would take more than `limit`.
pub fn difference(before: &World<'_>, after: &World<'_>, limit: Limit) -> Result<Difference, TooLarge> {
    let (worlds, steps) = ([before, after], Steps(Cell::new(limit.0)));
    let telling = Telling::of(worlds);
    let mut ends = Ends::of(worlds, &telling);
    assumed::assume(&mut ends, &steps)?;
    let notes = notes(worlds, &ends);
    let unknown = worlds.iter().flat_map(|world| world.spaces()).any(|space| !space.unread.is_empty());
    let mut reach = Reach::new(worlds, ends, &telling, &steps)?;
    let classes = reach.changed(&telling)?;
    let mut rows = with_pods(&mut reach, &classes)?;
    rows.append(&mut with_addresses(&mut reach, &classes, &steps)?);
    rows.sort_by_cached_key(|row| (row.change, row.from.to_string(), row.to.to_string(), row.ports.items()));
    Ok(Difference { rows, notes, unknown, aliases: reach.ends.aliases })
}

fn with_pods(reach: &mut Reach<'_>, classes: &[Vec<EndId>]) -> Result<Vec<Row>, TooLarge> {
    let mut is_column = vec![false; reach.ends.all.len()];
    let mut columns = Vec::with_capacity(classes.len());
    for class in classes {
        class.iter().for_each(|end| is_column[*end as usize] = true);
        if let Some(first) = class.first() {
            let (out, into) =
                (changing(reach, *first, Direction::Egress)?, changing(reach, *first, Direction::Ingress)?);
            columns.push(Column { class: class.clone().into(), out, into });
        }
    }
    let rectangles = fold::fold(&columns, |end| is_column[end as usize]);
    let mut describe = Describe::new(&reach.ends);
    let rows = rectangles.iter().map(|rectangle| Row {
        change: rectangle.change,
        from: Party::Pods(describe.pods(&rectangle.from)),
        to: Party::Pods(describe.pods(&rectangle.to)),
        ports: reach.ports.set(rectangle.ports).clone(),
    });
    Ok(rows.collect())
}

/// Whose connections with an end change, and on which ports.
fn changing(
    reach: &mut Reach<'_>,
    end: EndId,
    direction: Direction,
) -> Result<BTreeMap<(Change, PortsId), Vec<EndId>>, TooLarge> {
    let [before, after] = [reach.cells(end, direction, 0)?, reach.cells(end, direction, 1)?];
    let mut found: BTreeMap<(Change, PortsId), Vec<EndId>> = BTreeMap::new();
    for (other, (before, after)) in reach.ends.ids().zip(before.into_iter().zip(after)) {
        for (change, more, less) in [(Change::Appears, after, before), (Change::Vanishes, before, after)] {
            let ports = reach.less(more, less)?;
            if ports != PortsId::NONE {
                found.entry((change, ports)).or_default().push(other);
            }
        }
    }
    Ok(found)
}

fn with_addresses(reach: &mut Reach<'_>, classes: &[Vec<EndId>], steps: &Steps) -> Result<Vec<Row>, TooLarge> {
    let mut alike: BTreeMap<(Exposure, Direction), Vec<EndId>> = BTreeMap::new();
    for class in classes {
        for direction in Direction::ALL {
            let Some(first) = class.first() else { continue };
            alike.entry((reach.exposure(*first, direction), direction)).or_default().extend(class);
        }
    }
    let mut rows: HashMap<(Change, Direction, PortsId, IpSet), Vec<Set>> = HashMap::new();
    for ((exposure, direction), ends) in alike {
        let ends: Set = ends.into();
        for (change, ports, addresses) in addresses::changes(reach, exposure, direction, steps)? {
            rows.entry((change, direction, ports, addresses)).or_default().push(Rc::clone(&ends));
        }
    }
    let mut describe = Describe::new(&reach.ends);
    let rows = rows.into_iter().map(|((change, direction, ports, addresses), ends)| {
        let (pods, addresses) = (Party::Pods(describe.pods(&fold::union(&ends))), Party::Addresses(addresses));
        let (from, to) = if direction == Direction::Egress { (pods, addresses) } else { (addresses, pods) };
        Row { change, from, to, ports: reach.ports.set(ports).clone() }
    });
    Ok(rows.collect())
}

/// What is not in the rows: pods that policies do not govern, and policies that nobody could read.
fn notes(worlds: [&World<'_>; 2], ends: &Ends<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let host: Vec<String> = ends.places.iter().flat_map(|place| &place.host).map(ToString::to_string).collect();
    if !host.is_empty() {
        let take = if host.len() == 1 { "takes" } else { "take" };
        notes.push(format!("{} {take} no part: policies do not apply in the network of a node", party::few(&host)));
    }
    let mut unread: BTreeMap<(&str, &str, &str), [bool; 2]> = BTreeMap::new();
    for (side, world) in SIDES.into_iter().zip(worlds) {
        for space in world.spaces() {
            for (policy, reason) in &space.unread {
                unread.entry((space.name, policy, reason)).or_default()[side] = true;
            }
        }
    }
    for ((namespace, policy, reason), sides) in unread {
        let when = match sides {
            [true, false] => " before",
            [false, true] => " after",
            _ => "",
        };
        notes.push(format!(
            "policy {namespace}/{policy} could not be read{when}, and what it does is not told: {reason}"
        ));
    }
    notes
}

impl Difference {
    /// How this connection changes, if it does.
    #[must_use]
    pub fn changes(&self, from: End<'_>, to: End<'_>, protocol: Protocol, port: u16) -> Option<Change> {
        // A pod reaches itself, before and after.
        if let (End::Pod(from), End::Pod(to)) = (from, to)
            && from.kind == PodKind::Pod
            && (&from.namespace, from.kind, &from.name) == (&to.namespace, to.kind, &to.name)
        {
            return None;
        }
        let holds =
            |row: &&Row| row.ports.contains(protocol, port) && self.holds(&row.from, from) && self.holds(&row.to, to);
        self.rows.iter().find(holds).map(|row| row.change)
    }

    fn holds(&self, party: &Party, end: End<'_>) -> bool {
        match (party, end) {
            (Party::Addresses(addresses), End::Address(address)) => addresses.contains(address),
            (Party::Pods(pods), End::Pod(pod)) => {
                let alias = self.aliases.get(&(pod.namespace.clone(), pod.kind, pod.name.clone()));
                pods.members.iter().any(|member| match alias {
                    Some(alias) => alias == member,
                    None => is_member(member, pod),
                })
            }
            _ => false,
        }
    }
}

fn is_member(member: &Member, pod: &Pod) -> bool {
    let named = matches!(&member.namespace, Namespace::Named(name) if *name == pod.namespace);
    let who = |who: &Who| matches!(who, Who::Workload { kind, name } if kind == pod.kind.as_str() && *name == pod.name);
    named && who(&member.who)
}
