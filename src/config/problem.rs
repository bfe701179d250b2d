//! What is wrong with a rule set, and where.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::manifest::Place;

/// Whether a rule set can be used all the same. Ordered by weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It can, and does not do what it seems to.
    Warning,
    /// It cannot.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing wrong with a rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Where in it; `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
}

/// `file:line:column: error: message`, which editors and pipelines know how to follow.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, severity, message } = self;
        match place {
            Some(Place { line, column }) => write!(f, "{file}:{line}:{column}: {severity}: {message}"),
            None => write!(f, "{file}: {severity}: {message}"),
        }
    }
}

/// Longer lines are not worth quoting: they are generated, and nobody reads them.
const QUOTED: usize = 160;

impl Problem {
    /// The line in question with a mark under what is meant; empty where there is nothing to show.
    #[must_use]
    pub fn excerpt(&self, texts: &BTreeMap<Arc<str>, Arc<str>>) -> String {
        let line_at = |place: Place| texts.get(&self.file)?.lines().nth(place.line.checked_sub(1)?);
        let Some((place, line)) = self.place.and_then(|place| Some((place, line_at(place)?))) else {
            return String::new();
        };
        let line: String = line.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        let before = place.column.saturating_sub(1);
        if line.chars().count() > QUOTED || line.chars().nth(before).is_none() {
            return String::new();
        }
        let ends = |char: &char| char.is_whitespace() || ":,]}".contains(*char);
        let marked = line.chars().skip(before).take_while(|char| !ends(char)).count().max(1);
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        format!("{margin} |\n{number} | {}\n{margin} | {}{}\n", line.trim_end(), " ".repeat(before), "^".repeat(marked))
    }
}
