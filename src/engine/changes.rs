//! What a change of a NetworkPolicy newly opens to other namespaces and outside the cluster, in a few lines.
//!
//! ```text
//! Inventory ── world of the namespaces it can reach ──> before ┐
//!           └─ overlay(subject).after, put in its place > after ┴ difference ──> rows that matter ──> lines
//! ```
//!
//! Told and never judged: nothing here decides a verdict.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::reach::Reach;
use crate::inventory::{Around, Inventory};
use crate::netpol::connectivity::difference::{
    Change as Way, Difference, Limit, Namespace, Party, Pods, Row, Term, TooLarge, difference, ports_text,
};
use crate::netpol::ip_set::IpSet;
use crate::object::{Change, Subject};

mod reach;

/// How many rows are told before the rest is counted: more than that nobody reads above a prompt.
const TOLD: usize = 10;

/// Characters of a line: what the API server asks webhooks to keep to. Source: API reference, AdmissionResponse.
const LINE: usize = 120;

/// How much work a review may put into this.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Pods, policies and their peers in the namespaces that are looked at.
    objects: usize,
    /// For all of these namespaces.
    steps: Limit,
    /// For the policy's own one, where all are too many.
    alone: Limit,
}

/// Together about 50 ms at the worst. Measured: 0.4 µs a step, 0.6 µs with selectors made to be slow, and before the
/// first step 5 µs an object, 19 µs a peer that selects namespaces of its own.
const BOUNDS: Bounds = Bounds { objects: 3_000, steps: Limit(60_000), alone: Limit(20_000) };

/// The lines, most important first; none where nothing opens.
///
/// They are about `subject`'s policy alone, so there are none for a Namespace, and none where the namespace is on its
/// way out: its policies go with its pods.
#[must_use]
pub(super) fn lines(subject: &Subject, inventory: &Inventory) -> Vec<String> {
    lines_within(BOUNDS, subject, inventory)
}

fn lines_within(bounds: Bounds, subject: &Subject, inventory: &Inventory) -> Vec<String> {
    let Change::NetworkPolicy { .. } = subject.change else { return Vec::new() };
    let around = inventory.overlay(subject);
    if around.before.terminating {
        return Vec::new();
    }
    // It is told beside the verdict, so a fault in it must not become one.
    let mut lines = match catch_unwind(AssertUnwindSafe(|| within(bounds, subject, inventory, &around))) {
        Ok(Ok(lines)) => lines,
        Ok(Err(TooLarge)) => vec![
            "what this opens is too much to be summed up within a review; `portcullis diff` takes its time".to_owned(),
        ],
        Err(_) => vec!["what this opens could not be summed up: an internal error, which the log tells".to_owned()],
    };
    if let Some(reason) = inventory.pods_in_doubt().filter(|_| !lines.is_empty()) {
        lines.push(format!("pods are not known here: {reason}"));
    }
    lines
}

/// By both ends of what opens; in a large cluster, where everybody may be the other end, by one of them.
fn within(bounds: Bounds, subject: &Subject, inventory: &Inventory, around: &Around) -> Result<Vec<String>, TooLarge> {
    let namespace = &subject.namespace;
    let reached = reach::of(subject, inventory, around);
    if reached.objects(inventory, around) <= bounds.objects
        && let Ok(difference) = opened(&reached, inventory, around, bounds.steps)
    {
        return Ok(told(&difference, namespace));
    }
    let alone = Reach::Only(Vec::new());
    if alone.objects(inventory, around) > bounds.objects {
        return Err(TooLarge);
    }
    let mut lines = told(&opened(&alone, inventory, around, bounds.alone)?, namespace);
    if !lines.is_empty() {
        lines.push(format!(
            "this goes by the policies of {namespace} alone; `portcullis diff` looks at other namespaces too"
        ));
    }
    Ok(lines)
}

/// What appears between the namespace and anybody outside of it, most important first.
fn opened(reached: &Reach<'_>, inventory: &Inventory, around: &Around, limit: Limit) -> Result<Difference, TooLarge> {
    let mut before = inventory.world_of(true, |state| reached.includes(state));
    before.replace(around.before.space());
    let mut after = before.clone();
    after.replace(around.after.space());
    let namespace = around.after.name.as_str();
    let mut difference = difference(&before, &after, limit)?;
    let rows = &mut difference.rows;
    rows.retain(|row| row.change == Way::Appears && outside(row, namespace).is_some());
    if matches!(reached, Reach::Only(_)) {
        rows.iter_mut().flat_map(|row| [&mut row.from, &mut row.to]).for_each(reach::name_namespaces);
    }
    rows.sort_by_key(|row| outside(row, namespace).map(|party| (weight(party), !row.ports.is_all())));
    Ok(difference)
}

/// The end of a row that is not of the namespace alone.
fn outside<'r>(row: &'r Row, namespace: &str) -> Option<&'r Party> {
    [&row.from, &row.to].into_iter().find(|party| party.is_outside(namespace))
}

/// The smaller, the more it matters: the world, every namespace, other addresses, namespaces nobody has named, others;
/// of these, the more of them first.
fn weight(party: &Party) -> (u8, Reverse<usize>) {
    match party {
        Party::Addresses(addresses) => {
            let whole = [IpSet::v4_all(), IpSet::v6_all()].iter().any(|family| family.is_subset(addresses));
            (if whole { 0 } else { 2 }, Reverse(0))
        }
        Party::Pods(Pods { terms, members }) => {
            let everywhere = terms.iter().any(|term| matches!(term, Term::Everywhere { .. }));
            let assumed = members.iter().any(|member| matches!(member.namespace, Namespace::Assumed(_)));
            let class = match (everywhere, assumed) {
                (true, _) => 1,
                (false, true) => 3,
                (false, false) => 4,
            };
            (class, Reverse(members.len()))
        }
    }
}

fn told(Difference { rows, unknown, .. }: &Difference, namespace: &str) -> Vec<String> {
    let mut lines: Vec<String> = rows.iter().take(TOLD).map(|row| line(row, namespace)).collect();
    if let Some(more) = rows.len().checked_sub(TOLD).filter(|more| *more > 0) {
        lines.push(format!("and {more} more; see `portcullis diff`"));
    }
    if *unknown && !lines.is_empty() {
        lines.push("policies that cannot be read are left out of this; the log names them".to_owned());
    }
    lines
}

/// Whole where there is room for it; else with the first of each list, so that the ports are still there.
fn line(row: &Row, namespace: &str) -> String {
    let ports = ports_text(&row.ports);
    let put = |from: &str, to: &str| {
        if row.to.is_outside(namespace) {
            format!("opens egress from {from} to {to}: {ports}")
        } else {
            format!("opens ingress to {to} from {from}: {ports}")
        }
    };
    let whole = put(&row.from.to_string(), &row.to.to_string());
    if whole.chars().count() <= LINE { whole } else { put(&shortened(&row.from), &shortened(&row.to)) }
}

fn shortened(party: &Party) -> String {
    let (first, more) = match party {
        Party::Addresses(addresses) => {
            let blocks = addresses.cidrs();
            (blocks.first().map(ToString::to_string), blocks.len().saturating_sub(1))
        }
        Party::Pods(pods) => (pods.terms.first().map(ToString::to_string), pods.terms.len().saturating_sub(1)),
    };
    match (first, more) {
        (Some(first), 0) => first,
        (Some(first), more) => format!("{first} and {more} more"),
        (None, _) => party.to_string(),
    }
}

#[cfg(test)]
mod tests;
