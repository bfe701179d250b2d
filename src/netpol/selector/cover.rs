//! Does a union of selectors cover another?
//!
//! That is the validity of a formula in disjunctive normal form, so it is hard in the worst case, and the worst case
//! can be written by a tenant. The answer is therefore exact within a budget and [`Cover::Unknown`] beyond it. The
//! budget counts steps and never time: the same question has the same answer on every machine.
//!
//! ```text
//! selectors --problem.rs--> rows (selectors) x columns (keys), easy columns settled in linear time
//!           --search.rs---> depth-first over the rest, bitsets of rows for each class of equivalent values
//!           --cover.rs----> a label set nobody covers, with no label more than needed
//! ```

use super::problem::{Problem, Setup};
use super::search::{Outcome, search};
use super::{Labels, Selector};

/// How many nodes the search visits before it gives up.
///
/// Six keys, each absent, with one of four values, or with another, have `6^0 + … + 6^6 = 55,987` nodes if nothing
/// is ever pruned, so this bound never stops such a question. Nor does the one on the search's work while there are
/// fewer than about 300 selectors: see `MAX_WORK`.
pub const MAX_NODES: usize = 200_000;

/// How many requirements and values are read of all selectors together before the question is given up: about ten
/// milliseconds' worth.
const MAX_READ: usize = 100_000;

/// How many tests of a requirement against a label set may go into trying and shrinking witnesses.
const MAX_TESTS: usize = 50_000;

/// Whether a union of selectors covers another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cover {
    /// Every object is selected by one of them.
    Covered,
    /// An object with these labels is selected by none of them. No label of it can be left out, except of a witness so
    /// large that trying would take too long.
    Uncovered(Labels),
    /// The question is too large to be decided within the budget.
    Unknown,
}

/// Steps that are left to spend.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) const fn new(steps: usize) -> Self {
        Self(steps)
    }

    /// Takes the steps off; `None` when there are not as many left.
    pub(super) fn spend(&mut self, steps: usize) -> Option<()> {
        self.0 = self.0.checked_sub(steps)?;
        Some(())
    }

    pub(super) const fn left(&self) -> usize {
        self.0
    }
}

/// Looks for a label set that `within` matches and none of `covers` does.
///
/// The plainest label set is tried first: without any label, where `within` allows that.
#[must_use]
pub fn uncovered(within: &Selector, covers: &[&Selector]) -> Cover {
    decide(within, covers).0
}

/// Whether every object is selected by one of `covers`; if not, the labels of one that is not.
#[must_use]
pub fn union_covers_everything(covers: &[&Selector]) -> Cover {
    uncovered(&Selector::everything(), covers)
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effort {
    /// Nodes visited.
    pub(super) nodes: usize,
    /// Words of bitsets touched.
    pub(super) work: usize,
}

/// [`uncovered`], with what it cost.
pub(super) fn decide(within: &Selector, covers: &[&Selector]) -> (Cover, Effort) {
    let mut effort = Effort::default();
    // Answered whatever else there is: a `{}` covers, however hostile its neighbours.
    if covers.iter().any(|cover| cover.requirements().is_empty()) {
        return (Cover::Covered, effort);
    }
    let cover = try_decide(within, covers, &mut effort).unwrap_or(Cover::Unknown);
    (cover, effort)
}

/// `None`: a budget ran out.
fn try_decide(within: &Selector, covers: &[&Selector], effort: &mut Effort) -> Option<Cover> {
    let mut tests = Budget::new(MAX_TESTS);
    // The usual question and its usual answer, before anything else is read.
    let within_everything = within.requirements().is_empty();
    if within_everything && !any_matches(covers, &Labels::new(), &mut tests)? {
        return Some(Cover::Uncovered(Labels::new()));
    }
    let problem = match Problem::read(within, covers, &mut Budget::new(MAX_READ))? {
        Setup::Covered => return Some(Cover::Covered),
        Setup::Open(problem) => problem,
    };
    if !within_everything && !any_matches(covers, problem.plainest(), &mut tests)? {
        return Some(Cover::Uncovered(problem.plainest().clone()));
    }
    let reduced = problem.reduce();
    match search(&problem, &reduced, effort)? {
        Outcome::Covered => Some(Cover::Covered),
        Outcome::Witness(choices) => {
            let mut labels = problem.labels(reduced.settled().chain(choices));
            shrink(&mut labels, within, covers, &mut tests);
            Some(Cover::Uncovered(labels))
        }
    }
}

/// Leaves out labels until none can be, as long as the budget lasts.
pub(super) fn shrink(labels: &mut Labels, within: &Selector, covers: &[&Selector], tests: &mut Budget) {
    // Over again after each success: a label needed beside another may not be needed without it.
    let mut keys: Vec<String> = labels.keys().cloned().collect();
    while let Some(index) = keys.iter().position(|key| {
        let mut fewer = labels.clone();
        fewer.remove(key);
        let free = tests.spend(fewer.len()).is_some() && within.matches(&fewer);
        let unneeded = free && any_matches(covers, &fewer, tests) == Some(false);
        if unneeded {
            *labels = fewer;
        }
        unneeded
    }) {
        keys.remove(index);
    }
}

/// Whether one of the selectors matches; `None` when the budget ran out.
fn any_matches(selectors: &[&Selector], labels: &Labels, tests: &mut Budget) -> Option<bool> {
    for selector in selectors {
        let requirements = selector.requirements();
        let failing = requirements.iter().position(|requirement| !requirement.matches(labels));
        tests.spend(1 + failing.unwrap_or(requirements.len()))?;
        if failing.is_none() {
            return Some(true);
        }
    }
    Some(false)
}
