//! For people: what a compiler would print.
//!
//! ```text
//! deny[egress-private-cidr]: reaches private addresses 192.168.0.0/16 on TCP/443
//!   --> external.yaml:12:9  NetworkPolicy production/x  spec.egress[0].to[0].ipBlock
//!    |
//! 12 |         - ipBlock: {cidr: 192.168.0.0/15}
//!    = help: add 192.168.0.0/16 to its `except`, or narrow its `cidr`
//!    = decided by rules[1]
//! ```

use std::fmt::Write as _;

use super::{CheckReport, Location, Placed, Summary};
use crate::finding::{Finding, Level, ObjectRef, Unjudged};

/// How much of a source line is shown.
const SHOWN: usize = 120;
/// How much of that stands before the column that is pointed at.
const LEAD: usize = 60;

pub(super) const RED: &str = "\x1b[1;31m";
pub(super) const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
pub(super) const GREEN: &str = "\x1b[1;32m";
pub(super) const MAGENTA: &str = "\x1b[1;35m";
const BLUE: &str = "\x1b[1;34m";
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const PLAIN: &str = "\x1b[0m";

/// The report as text, with colours or without.
#[must_use]
pub fn render(report: &CheckReport, coloured: bool) -> String {
    let mut entries: Vec<Entry<'_>> = report.findings.iter().map(Entry::of_finding).collect();
    entries.extend(report.cannot_judge.iter().map(Entry::of_unjudged));
    // Stable: what stands in one place keeps its order.
    entries.sort_by_key(|entry| entry.location);
    let mut text = String::new();
    for entry in &entries {
        entry.write(&mut text, if coloured { |code| code } else { |_| "" });
        text.push('\n');
    }
    let Summary { objects, deny, warn, audit, exempted, cannot_judge } = report.summary();
    let s = if objects == 1 { "" } else { "s" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{objects} object{s}: {deny} deny, {warn} warn, {audit} audit, {exempted} exempted, {cannot_judge} not judged"
    );
    text
}

/// A line of a manifest as it is quoted: on one line of a terminal, with what is pointed at in sight.
pub(super) fn excerpt(line: &str, column: usize) -> String {
    let skipped = if after(line, SHOWN).is_empty() { 0 } else { column.saturating_sub(1).saturating_sub(LEAD) };
    let rest = after(line, skipped);
    let mut shown: String = rest.chars().take(SHOWN).map(printable).collect();
    if skipped > 0 {
        shown.insert(0, '…');
    }
    if !after(rest, SHOWN).is_empty() {
        shown.push('…');
    }
    shown.truncate(shown.trim_end().len());
    shown
}

/// What comes after so many characters. A file of JSON may be one line of a megabyte with a thousand findings, and is
/// mostly ASCII: there nothing has to be counted.
fn after(line: &str, characters: usize) -> &str {
    let at = if line.is_ascii() { Some(characters) } else { line.char_indices().nth(characters).map(|(at, _)| at) };
    at.and_then(|at| line.get(at..)).unwrap_or_default()
}

/// What a terminal obeys is kept from it: control characters, and those that turn the writing around.
fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

/// A text as one line that a terminal only shows.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(printable).collect()
}

struct Entry<'a> {
    colour: &'static str,
    title: &'static str,
    rule: Option<&'static str>,
    message: &'a str,
    location: &'a Location,
    object: Option<&'a ObjectRef>,
    field: &'a str,
    source: Option<&'a str>,
    notes: Vec<String>,
}

impl<'a> Entry<'a> {
    fn of_finding(placed: &'a Placed<Finding>) -> Self {
        let Placed { what, location, source } = placed;
        let (colour, title) = match (&what.exempted, what.level) {
            (Some(_), _) => (GREEN, "exempted"),
            (None, Level::Deny) => (RED, "deny"),
            (None, Level::Warn) => (YELLOW, "warn"),
            (None, Level::Audit) => (CYAN, "audit"),
        };
        let mut notes = Vec::new();
        if !what.help.is_empty() {
            notes.push(format!("help: {}", what.help));
        }
        if !what.decided_by.is_empty() {
            notes.push(format!("decided by {}", what.decided_by));
        }
        notes.extend(what.exempted.iter().map(|exempted| format!("exempted by {}: {}", exempted.by, exempted.reason)));
        Self {
            colour,
            title,
            rule: Some(what.rule),
            message: &what.message,
            location,
            object: Some(&what.object),
            field: &what.field,
            source: source.as_deref(),
            notes,
        }
    }

    fn of_unjudged(placed: &'a Placed<Unjudged>) -> Self {
        let Placed { what, location, source } = placed;
        Self {
            colour: MAGENTA,
            title: "cannot judge",
            rule: what.rule,
            message: &what.reason,
            location,
            object: what.object.as_ref(),
            field: "",
            source: source.as_deref(),
            notes: Vec::new(),
        }
    }

    fn write(&self, text: &mut String, paint: fn(&'static str) -> &'static str) {
        let Self { title, location, .. } = self;
        let [colour, bold, blue, plain] = [self.colour, BOLD, BLUE, PLAIN].map(paint);
        let number = location.line.map(|line| line.to_string()).unwrap_or_default();
        let width = number.len().max(1);
        let rule = self.rule.map(|rule| format!("[{rule}]")).unwrap_or_default();
        let _ = writeln!(text, "{colour}{title}{rule}{plain}{bold}: {}{plain}", clean(self.message));
        let _ = write!(text, "{:width$}{blue}-->{plain} {}", "", clean(&location.file));
        for position in [location.line, location.column].into_iter().flatten() {
            let _ = write!(text, ":{position}");
        }
        let object = self.object.map(ObjectRef::to_string).unwrap_or_default();
        for part in [&object, self.field].into_iter().filter(|part| !part.is_empty()) {
            let _ = write!(text, "  {}", clean(part));
        }
        text.push('\n');
        if let Some(source) = self.source {
            let _ = writeln!(text, "{:width$} {blue}|{plain}", "");
            let _ = writeln!(text, "{blue}{number:>width$} |{plain} {source}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "{:width$} {blue}={plain} {}", "", clean(note));
        }
    }
}
