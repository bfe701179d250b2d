//! What was found, told: pure functions from a [`CheckReport`] to text, and in [`diff`] from a difference.
//!
//! ```text
//! CheckReport ── text::render ──> for people, as a compiler would say it
//!             └─ json::render ──> for tools, as the contract has it; or one line each
//! ```
//!
//! [`explain`] tells answers about connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::finding::{Finding, Level, Unjudged};

pub mod diff;
pub mod doctor;
pub mod explain;
pub mod json;
#[cfg(test)]
mod tests;
pub mod text;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The file as it was named; `<stdin>` for the standard input.
    #[serde(serialize_with = "as_str")]
    pub file: Arc<str>,
    /// Its line, counted from one; `None` when it is about the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its column, counted from one in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

fn as_str<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Something to tell, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// What.
    pub what: T,
    /// Where.
    pub location: Location,
    /// The line that stands there, where it is to be quoted.
    pub source: Option<String>,
}

impl<T> Placed<T> {
    /// With nothing quoted yet.
    pub const fn new(what: T, location: Location) -> Self {
        Self { what, location, source: None }
    }
}

/// What `check` came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// How many objects the rules are about.
    pub objects: usize,
    /// Everything found.
    pub findings: Vec<Placed<Finding>>,
    /// Everything that could not be judged.
    pub cannot_judge: Vec<Placed<Unjudged>>,
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Objects that the rules are about.
    pub objects: usize,
    /// Findings of level deny that stand.
    pub deny: usize,
    /// Of level warn.
    pub warn: usize,
    /// Of level audit.
    pub audit: usize,
    /// Findings that an exemption lets pass.
    pub exempted: usize,
    /// What could not be judged.
    pub cannot_judge: usize,
}

impl CheckReport {
    /// How many there are of each.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary =
            Summary { objects: self.objects, cannot_judge: self.cannot_judge.len(), ..Summary::default() };
        for Placed { what, .. } in &self.findings {
            match (&what.exempted, what.level) {
                (Some(_), _) => summary.exempted += 1,
                (None, Level::Deny) => summary.deny += 1,
                (None, Level::Warn) => summary.warn += 1,
                (None, Level::Audit) => summary.audit += 1,
            }
        }
        summary
    }

    /// Whether a finding stands at this level or above.
    #[must_use]
    pub fn fails_at(&self, level: Level) -> bool {
        self.findings.iter().any(|finding| finding.what.counts_at(level))
    }

    /// Puts everything in the order of the files.
    pub fn sort(&mut self) {
        self.findings
            .sort_by(|a, b| (&a.location, a.what.rule, &a.what.field).cmp(&(&b.location, b.what.rule, &b.what.field)));
        self.cannot_judge.sort_by(|a, b| (&a.location, a.what.rule).cmp(&(&b.location, b.what.rule)));
    }

    /// Quotes the lines that are pointed at, each text being gone through once.
    pub fn quote(&mut self, texts: &BTreeMap<Arc<str>, Arc<str>>) {
        let mut wanted: BTreeMap<Arc<str>, BTreeSet<usize>> = BTreeMap::new();
        let locations = self.findings.iter().map(|placed| &placed.location);
        for location in locations.chain(self.cannot_judge.iter().map(|placed| &placed.location)) {
            wanted.entry(Arc::clone(&location.file)).or_default().extend(location.line);
        }
        let mut lines: BTreeMap<(Arc<str>, usize), &str> = BTreeMap::new();
        for (file, numbers) in wanted {
            let text = texts.get(&file).map(|text| &**text).unwrap_or_default();
            let found = text.lines().zip(1..).filter(|(_, number)| numbers.contains(number));
            lines.extend(found.map(|(line, number)| ((Arc::clone(&file), number), line)));
        }
        let line = |location: &Location| {
            let found = lines.get(&(Arc::clone(&location.file), location.line?))?;
            Some(text::excerpt(found, location.column.unwrap_or(1)))
        };
        self.findings.iter_mut().for_each(|placed| placed.source = line(&placed.location));
        self.cannot_judge.iter_mut().for_each(|placed| placed.source = line(&placed.location));
    }
}
