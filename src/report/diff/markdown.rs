//! For a pull request: a summary, a table of what opens and one of what closes; long ones are folded.

use std::fmt::Write as _;

use super::{rows, summary};
use crate::netpol::connectivity::difference::{Change, Difference, ports_text};
use crate::report::text::clean;

/// How many rows are shown unfolded.
const OPEN: usize = 10;

/// The difference as Markdown, as GitHub and GitLab read it.
#[must_use]
pub fn render(difference: &Difference) -> String {
    let mut text = format!("### Connectivity: {}\n", summary(difference));
    for (change, title) in [(Change::Appears, "Opens"), (Change::Vanishes, "Closes")] {
        let rows = rows(difference, change);
        let count = rows.clone().count();
        if count == 0 {
            continue;
        }
        let long = count > OPEN;
        // Writing to a String cannot fail.
        let _ = if long {
            writeln!(text, "\n<details><summary>{title}: {count} rows</summary>\n")
        } else {
            writeln!(text, "\n**{title}**\n")
        };
        text.push_str("| from | to | ports |\n|---|---|---|\n");
        for row in rows {
            let cells = [row.from.to_string(), row.to.to_string(), ports_text(&row.ports)].map(|text| escape(&text));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        if long {
            text.push_str("\n</details>\n");
        }
    }
    if !difference.notes.is_empty() {
        text.push('\n');
    }
    for note in &difference.notes {
        let _ = writeln!(text, "- Note: {}", escape(note));
    }
    text
}

/// As text and nothing else: neither markup nor the end of a cell, a mention or an image.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in clean(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            '\\' | '|' | '`' | '*' | '_' | '~' | '[' | ']' | '!' | '$' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}
