//! What changes between two states, told: pure functions from a [`Difference`] to text.
//!
//! ```text
//! Difference ── text::render ──> for people, + and -
//!            ├─ json::render ──> for tools, every list complete
//!            ├─ markdown::render ──> for a pull request
//!            └─ dot::render ──> for Graphviz
//! ```

use crate::netpol::connectivity::difference::{Change, Difference, Row};

pub mod dot;
pub mod json;
pub mod markdown;
#[cfg(test)]
mod tests;
pub mod text;

/// The rows of one kind.
fn rows(difference: &Difference, change: Change) -> impl Iterator<Item = &Row> + Clone {
    difference.rows.iter().filter(move |row| row.change == change)
}

/// `3 kinds of connections open, 1 closes`, or that none does.
fn summary(difference: &Difference) -> String {
    let count = |change| rows(difference, change).count();
    let noun = |count: usize| if count == 1 { "connection" } else { "connections" };
    let verb = |count: usize, verb: &str| if count == 1 { format!("{verb}s") } else { verb.to_owned() };
    match (count(Change::Appears), count(Change::Vanishes)) {
        (0, 0) => "no connection opens or closes".to_owned(),
        (open, 0) => format!("{open} {} {}, none closes", noun(open), verb(open, "open")),
        (0, close) => format!("no connection opens, {close} {}", verb(close, "close")),
        (open, close) => format!("{open} {} {}, {close} {}", noun(open), verb(open, "open"), verb(close, "close")),
    }
}
