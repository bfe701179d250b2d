//! For Graphviz: green edges appear, red ones vanish.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::summary;
use crate::netpol::connectivity::difference::{Change, Difference, Party, ports_text};
use crate::report::text::clean;

/// The difference as a graph, for `dot -Tsvg`.
#[must_use]
pub fn render(difference: &Difference) -> String {
    let mut nodes: BTreeMap<String, (usize, &'static str)> = BTreeMap::new();
    for party in difference.rows.iter().flat_map(|row| [&row.from, &row.to]) {
        let next = nodes.len();
        let shape = match party {
            Party::Addresses(_) => "ellipse",
            Party::Pods(_) => "box",
        };
        nodes.entry(party.to_string()).or_insert((next, shape));
    }
    let mut text = format!("digraph connectivity {{\n  rankdir=LR;\n  label={};\n", quoted(&summary(difference)));
    // Writing to a String cannot fail.
    for (name, (number, shape)) in &nodes {
        let _ = writeln!(text, "  n{number} [label={}, shape={shape}];", quoted(name));
    }
    let number = |party: &Party| nodes.get(&party.to_string()).map_or(0, |(number, _)| *number);
    for row in &difference.rows {
        let (colour, style) = match row.change {
            Change::Appears => ("darkgreen", "solid"),
            Change::Vanishes => ("red", "dashed"),
        };
        let _ = writeln!(
            text,
            "  n{} -> n{} [label={}, color={colour}, fontcolor={colour}, style={style}];",
            number(&row.from),
            number(&row.to),
            quoted(&ports_text(&row.ports))
        );
    }
    for note in &difference.notes {
        let _ = writeln!(text, "  // {}", clean(note));
    }
    text.push_str("}\n");
    text
}

/// As a quoted string of the language, in which a backslash may begin an escape.
fn quoted(text: &str) -> String {
    format!("\"{}\"", clean(text).replace('\\', "\\\\").replace('"', "\\\""))
}
