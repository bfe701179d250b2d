//! What one selector lets through of one key.

use std::collections::BTreeSet;

use super::{Operator, Requirement, is_label_value};

/// A subset of {absent} and all label values. The values are always either a finite set or the rest of one, so the
/// algebra is closed, and as there are more label values than anyone can list, the rest of a finite set is never
/// empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Domain<'a> {
    /// An object without the key passes.
    pub(super) absent: bool,
    /// Every value passes but `values`; otherwise none does but `values`.
    pub(super) others: bool,
    /// Sorted, distinct, and label values only.
    pub(super) values: Vec<&'a str>,
}

impl<'a> Domain<'a> {
    /// Everything passes.
    pub(super) const FULL: Domain<'static> = Domain { absent: true, others: true, values: Vec::new() };

    /// What requirements on the same key let through together.
    pub(super) fn of(group: &'a [Requirement]) -> Self {
        let mut absent = true;
        let mut allowed: Option<Vec<&str>> = None;
        let mut denied: Vec<&str> = Vec::new();
        for requirement in group {
            match requirement.operator {
                Operator::In => {
                    absent = false;
                    allowed = Some(narrowed(allowed, &requirement.values));
                }
                Operator::NotIn => denied.extend(label_values(&requirement.values)),
                Operator::Exists => absent = false,
                Operator::DoesNotExist => allowed = Some(Vec::new()),
            }
        }
        denied.sort_unstable();
        denied.dedup();
        match allowed {
            Some(mut values) => {
                values.retain(|value| denied.binary_search(value).is_err());
                Self { absent, others: false, values }
            }
            None => Self { absent, others: true, values: denied },
        }
    }

    /// Whether everything passes.
    pub(super) fn is_full(&self) -> bool {
        self.absent && self.others && self.values.is_empty()
    }

    /// Whether nothing passes.
    pub(super) fn is_empty(&self) -> bool {
        !self.absent && !self.others && self.values.is_empty()
    }

    /// Whether this value passes. It must be a label value.
    pub(super) fn has(&self, value: &str) -> bool {
        self.values.binary_search(&value).is_ok() != self.others
    }

    /// A value that passes, where any does.
    pub(super) fn example(&self) -> Option<String> {
        if !self.others {
            return self.values.first().map(|value| (*value).to_owned());
        }
        // One of as many texts as there are values left out, and one more, is not among them.
        (0..=self.values.len()).map(|number| format!("x{number}")).find(|text| self.has(text))
    }

    /// Whether `other` lets through all that this does.
    pub(super) fn is_subset(&self, other: &Self) -> bool {
        (!self.absent || other.absent)
            && match (self.others, other.others) {
                (false, false) => subset(&self.values, &other.values),
                (false, true) => !overlap(&self.values, &other.values),
                (true, true) => subset(&other.values, &self.values),
                (true, false) => false,
            }
    }

    /// Whether nothing passes both.
    pub(super) fn is_disjoint(&self, other: &Self) -> bool {
        !(self.absent && other.absent)
            && match (self.others, other.others) {
                (false, false) => !overlap(&self.values, &other.values),
                (false, true) => subset(&self.values, &other.values),
                (true, false) => subset(&other.values, &self.values),
                (true, true) => false,
            }
    }
}

fn label_values(values: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    values.iter().map(String::as_str).filter(|value| is_label_value(value))
}

/// The values in both, at the cost of the smaller, so that many requirements on one key cost no more than their sum.
fn narrowed<'a>(allowed: Option<Vec<&'a str>>, values: &'a BTreeSet<String>) -> Vec<&'a str> {
    match allowed {
        None => label_values(values).collect(),
        Some(mut allowed) if allowed.len() <= values.len() => {
            allowed.retain(|value| values.contains(*value));
            allowed
        }
        Some(allowed) => label_values(values).filter(|value| allowed.binary_search(value).is_ok()).collect(),
    }
}

/// Both sorted and distinct; at the cost of `part`, and nothing when it is the longer one.
fn subset(part: &[&str], whole: &[&str]) -> bool {
    part.len() <= whole.len() && part.iter().all(|value| whole.binary_search(value).is_ok())
}

/// Both sorted and distinct; at the cost of the shorter one.
fn overlap(one: &[&str], two: &[&str]) -> bool {
    let (short, long) = if one.len() <= two.len() { (one, two) } else { (two, one) };
    short.iter().any(|value| long.binary_search(value).is_ok())
}
