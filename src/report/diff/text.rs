//! For people: what appears with `+`, what vanishes with `-`.
//!
//! ```text
//! + shop/Deployment/web -> shop/db     TCP/5432
//! - any address         -> shop/admin  all ports
//! 1 connection opens, 1 closes
//! ```

use std::fmt::Write as _;

use super::summary;
use crate::netpol::connectivity::difference::{Change, Difference, ports_text};
use crate::report::text::{GREEN, PLAIN, RED, YELLOW, clean};

/// How far a column is aligned; what is longer stands out.
const WIDEST: usize = 48;

/// The difference as text, with colours or without.
#[must_use]
pub fn render(difference: &Difference, coloured: bool) -> String {
    let paint = |code: &'static str| if coloured { code } else { "" };
    let rows: Vec<(Change, [String; 3])> = difference
        .rows
        .iter()
        .map(|row| {
            (row.change, [row.from.to_string(), row.to.to_string(), ports_text(&row.ports)].map(|text| clean(&text)))
        })
        .collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|(_, texts)| texts[column].chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or_default()
    };
    let (from_width, to_width) = (width(0), width(1));
    let mut text = String::new();
    for (change, [from, to, ports]) in &rows {
        let (colour, sign) = match change {
            Change::Appears => (GREEN, '+'),
            Change::Vanishes => (RED, '-'),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}{sign} {from:from_width$} -> {to:to_width$}  {ports}{}", paint(colour), paint(PLAIN));
    }
    for note in &difference.notes {
        let _ = writeln!(text, "{}note:{} {}", paint(YELLOW), paint(PLAIN), clean(note));
    }
    let _ = writeln!(text, "{}", summary(difference));
    text
}
