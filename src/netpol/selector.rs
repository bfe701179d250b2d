//! Label selectors (`metav1.LabelSelector`), and what can be proved about them.
//!
//! A selector is an AND of requirements, each on one key, so it is a box: for each key a side, the part of
//! {absent, value, value, …} it lets through, independent of the other keys. Whether one box lies in another, or
//! misses it, is decided key by key; whether a *union* of boxes covers one is a search, [`uncovered`].
//!
//! What is proved ranges over the label sets an object can have. An API server admits no object with a label value
//! that is none ([`is_label_value`]), while old stored selectors may name such values: they reach nothing.
//!
//! Source: `LabelSelector` and `LabelSelectorRequirement` of the `meta/v1` API reference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

mod cover;
mod domain;
mod problem;
mod search;
mod table;
#[cfg(test)]
mod tests;

pub use cover::{Cover, MAX_NODES, uncovered, union_covers_everything};
use domain::Domain;

/// The labels of an object: key to value.
pub type Labels = BTreeMap<String, String>;

/// How a requirement tests the label with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The object has the key, with one of the values.
    In,
    /// The object has the key with none of the values, or does not have the key.
    NotIn,
    /// The object has the key.
    Exists,
    /// The object does not have the key.
    DoesNotExist,
}

impl Operator {
    /// All operators, in the order of the API reference.
    pub const ALL: [Self; 4] = [Self::In, Self::NotIn, Self::Exists, Self::DoesNotExist];

    /// The API's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }

    /// Whether requirements of this operator have values. The others ignore them.
    #[must_use]
    pub const fn takes_values(self) -> bool {
        matches!(self, Self::In | Self::NotIn)
    }

    /// Whether only an object with a label of the key can meet it.
    #[must_use]
    pub const fn needs_a_label(self) -> bool {
        matches!(self, Self::In | Self::Exists)
    }
}

/// A text that is no operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operator must be In, NotIn, Exists or DoesNotExist")]
pub struct UnknownOperator;

impl FromStr for Operator {
    type Err = UnknownOperator;

    fn from_str(text: &str) -> Result<Self, UnknownOperator> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == text).ok_or(UnknownOperator)
    }
}

/// One condition on one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The test.
    pub operator: Operator,
    /// What `In` and `NotIn` compare with. The API server refuses these two without values; here such an `In`
    /// matches nothing and such a `NotIn` everything, so a parser has to refuse them.
    pub values: BTreeSet<String>,
}

impl Requirement {
    /// A requirement from its parts.
    pub fn new<V: Into<String>>(
        key: impl Into<String>,
        operator: Operator,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self { key: key.into(), operator, values: values.into_iter().map(Into::into).collect() }
    }

    /// Whether an object with these labels meets the condition.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.admits(labels.get(&self.key).map(String::as_str))
    }

    /// Whether an object meets the condition whose label with this key has that value, or which has no such label.
    #[must_use]
    pub fn admits(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// A label selector in canonical form: requirements sorted and without duplicates, `matchLabels` as `In` with one
/// value. Equal selectors select the same; selectors that select the same need not be equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

impl Selector {
    /// `{}`: the selector without requirements, which selects every object.
    #[must_use]
    pub const fn everything() -> Self {
        Self { requirements: Vec::new() }
    }

    /// The selector of all these requirements together.
    #[must_use]
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        for requirement in &mut requirements {
            if !requirement.operator.takes_values() {
                requirement.values.clear();
            }
        }
        requirements.sort_unstable();
        requirements.dedup();
        Self { requirements }
    }

    /// The selector of a `matchLabels`: each key has its value.
    pub fn labels<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        let requirements = labels.into_iter().map(|(key, value)| Requirement::new(key, Operator::In, [value]));
        Self::new(requirements.collect())
    }

    /// The requirements, sorted by key, operator, values.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether every object is selected.
    ///
    /// That is so without requirements only: `In` and `Exists` each leave out the objects without the key,
    /// `DoesNotExist` those with it, `NotIn` those with one of its values. The exception is a `NotIn` none of whose
    /// values an object could have.
    #[must_use]
    pub fn selects_everything(&self) -> bool {
        self.requirements.is_empty() || self.domains().iter().all(|(_, domain)| domain.is_full())
    }

    /// Whether no object can be selected: `app in (a)` with `app in (b)`, or `app` with `!app`.
    #[must_use]
    pub fn is_contradiction(&self) -> bool {
        self.groups().any(|group| match group {
            // Nearly all are of this kind, and nothing has to be put together.
            [Requirement { operator: Operator::In, values, .. }] => !values.iter().any(|value| is_label_value(value)),
            [_] => false,
            several => Domain::of(several).is_empty(),
        })
    }

    /// The labels of an object that is selected, with no label more than needed; `None` when none can be selected.
    #[must_use]
    pub fn witness(&self) -> Option<Labels> {
        let domains = self.domains();
        let needed = domains.iter().filter(|(_, domain)| !domain.absent);
        needed.map(|(key, domain)| Some(((*key).to_owned(), domain.example()?))).collect()
    }

    /// Whether no object is selected by both. Exact.
    #[must_use]
    pub fn disjoint(&self, other: &Self) -> bool {
        let misses = |mine| other.group_like(mine).is_some_and(|it| Domain::of(mine).is_disjoint(&Domain::of(it)));
        self.is_contradiction() || other.is_contradiction() || self.groups().any(misses)
    }

    /// Whether every object this selects is selected by `other` too. Exact.
    #[must_use]
    pub fn implies(&self, other: &Self) -> bool {
        // Boxes that are not empty lie in each other exactly when their sides do, key by key.
        let holds = |theirs| match self.group_like(theirs) {
            Some(mine) => Domain::of(mine).is_subset(&Domain::of(theirs)),
            None => Domain::of(theirs).is_full(),
        };
        self.is_contradiction() || other.groups().all(holds)
    }

    /// The sides of the box: what each key that is named lets through, sorted by key.
    fn domains(&self) -> Vec<(&str, Domain<'_>)> {
        self.groups().filter_map(|group| Some((group.first()?.key.as_str(), Domain::of(group)))).collect()
    }

    /// The requirements by key, each group of which makes a side of the box.
    fn groups(&self) -> impl Iterator<Item = &[Requirement]> {
        self.requirements.chunk_by(|one, next| one.key == next.key)
    }

    /// The group with the key of that one.
    fn group_like(&self, other: &[Requirement]) -> Option<&[Requirement]> {
        let key = &other.first()?.key;
        let from = self.requirements.get(self.requirements.partition_point(|requirement| requirement.key < *key)..)?;
        let group = from.get(..from.partition_point(|requirement| requirement.key == *key))?;
        (!group.is_empty()).then_some(group)
    }
}

/// Whether an API server accepts the text as the value of a label: at most 63 ASCII letters, digits, `-`, `_`, `.`,
/// beginning and ending with a letter or digit; or nothing at all.
///
/// Source: `IsValidLabelValue`, `k8s.io/apimachinery/pkg/util/validation`.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return true;
    };
    bytes.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// kubectl's syntax: `app=web,tier in (a, b),zone notin (x),old!=yes,has,!hasnot`; `{}` for everything.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.requirements.is_empty() {
            return f.write_str("{}");
        }
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

/// As one part of a [`Selector`].
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, many) = match self.operator {
            Operator::Exists => return f.write_str(&self.key),
            Operator::DoesNotExist => return write!(f, "!{}", self.key),
            Operator::In => ("=", "in"),
            Operator::NotIn => ("!=", "notin"),
        };
        let mut values = self.values.iter();
        if let (Some(value), None) = (values.next(), values.next()) {
            return write!(f, "{}{one}{value}", self.key);
        }
        write!(f, "{} {many} (", self.key)?;
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(value)?;
        }
        f.write_str(")")
    }
}
