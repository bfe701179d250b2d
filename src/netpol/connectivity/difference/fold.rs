//! From who changes with whom to as few rows as tell it.
//!
//! A row is a rectangle: all of `from` with all of `to`. Those that share a side and the ports are put together, along
//! one side first and then along the other; the order that leaves fewer rows wins.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::Change;
use super::ends::EndId;
use super::ports::PortsId;

/// Some ends, sorted.
pub(super) type Set = Rc<[EndId]>;

/// All of `from` with all of `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rectangle {
    pub(super) change: Change,
    pub(super) ports: PortsId,
    pub(super) from: Set,
    pub(super) to: Set,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Along {
    From,
    To,
}

/// What changes with one class of ends: each of `class` with each of the sets.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) class: Set,
    /// Whom the class calls.
    pub(super) out: BTreeMap<(Change, PortsId), Vec<EndId>>,
    /// Who calls the class.
    pub(super) into: BTreeMap<(Change, PortsId), Vec<EndId>>,
}

/// The fewest rows that were found.
///
/// What changes between two ends of the columns is in both, in the `out` of one and the `into` of the other; it is
/// taken from one or the other, whichever folds better. `is_column` says whether an end is of a column.
pub(super) fn fold(columns: &[Column], is_column: impl Fn(EndId) -> bool) -> Vec<Rectangle> {
    let mut best: Option<Vec<Rectangle>> = None;
    for inner in [Along::From, Along::To] {
        let rectangles = rectangles(columns, inner, &is_column);
        for first in [Along::From, Along::To] {
            let folded = merged(rectangles.clone(), first);
            if best.as_ref().is_none_or(|best| folded.len() < best.len()) {
                best = Some(folded);
            }
        }
    }
    best.unwrap_or_default()
}

fn rectangles(columns: &[Column], inner: Along, is_column: impl Fn(EndId) -> bool) -> Vec<Rectangle> {
    let mut found = Vec::new();
    for Column { class, out, into } in columns {
        for (along, sets) in [(Along::From, out), (Along::To, into)] {
            for ((change, ports), ends) in sets {
                let others = ends.iter().copied().filter(|end| along == inner || !is_column(*end));
                let others: Set = others.collect();
                if others.is_empty() {
                    continue;
                }
                let (from, to) = match along {
                    Along::From => (Rc::clone(class), others),
                    Along::To => (others, Rc::clone(class)),
                };
                found.push(Rectangle { change: *change, ports: *ports, from, to });
            }
        }
    }
    found
}

/// Merges as long as something does.
fn merged(mut rectangles: Vec<Rectangle>, first: Along) -> Vec<Rectangle> {
    let second = if first == Along::From { Along::To } else { Along::From };
    loop {
        let count = rectangles.len();
        rectangles = merge(merge(rectangles, first), second);
        if rectangles.len() == count {
            rectangles.sort_unstable();
            return rectangles;
        }
    }
}

/// Puts together what differs along one side only.
fn merge(rectangles: Vec<Rectangle>, along: Along) -> Vec<Rectangle> {
    let mut groups: HashMap<(Change, PortsId, Set), Vec<Set>> = HashMap::new();
    for Rectangle { change, ports, from, to } in rectangles {
        let (fixed, free) = if along == Along::From { (to, from) } else { (from, to) };
        groups.entry((change, ports, fixed)).or_default().push(free);
    }
    let merged = groups.into_iter().map(|((change, ports, fixed), free)| {
        let free = match free.as_slice() {
            [one] => Rc::clone(one),
            _ => union(&free),
        };
        let (from, to) = if along == Along::From { (free, fixed) } else { (fixed, free) };
        Rectangle { change, ports, from, to }
    });
    merged.collect()
}

pub(super) fn union(sets: &[Set]) -> Set {
    let mut union: Vec<EndId> = sets.iter().flat_map(|set| set.iter().copied()).collect();
    union.sort_unstable();
    union.dedup();
    union.into()
}
