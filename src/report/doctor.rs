//! What the doctor says, for people and for tools.

use std::fmt::Write as _;

use serde::Serialize;

use super::text::{BOLD, GREEN, MAGENTA, PLAIN, RED, YELLOW, clean};
use crate::doctor::{Check, Diagnosis, Status, Summary};

#[cfg(test)]
mod tests;

/// Version of the JSON.
const VERSION: &str = "v1";

#[derive(Serialize)]
struct Whole<'a> {
    version: &'static str,
    cluster: Cluster<'a>,
    checks: &'a [Check],
    summary: Summary,
}

#[derive(Serialize)]
struct Cluster<'a> {
    version: &'a str,
}

/// As one JSON document.
///
/// # Errors
/// None that is known: every part can be written as JSON.
pub fn json(diagnosis: &Diagnosis) -> serde_json::Result<String> {
    let cluster = Cluster { version: &diagnosis.cluster };
    let whole = Whole { version: VERSION, cluster, checks: &diagnosis.checks, summary: diagnosis.summary() };
    serde_json::to_string_pretty(&whole).map(|text| text + "\n")
}

/// As text, a line a check, and the repair below it.
#[must_use]
pub fn text(diagnosis: &Diagnosis, coloured: bool) -> String {
    let paint = |code: &'static str| if coloured { code } else { "" };
    let mut text = String::new();
    for Check { id, status, about, what, repair } in &diagnosis.checks {
        let colour = match status {
            Status::Ok => GREEN,
            Status::Unknown => MAGENTA,
            Status::Warning => YELLOW,
            Status::Error => RED,
        };
        let (colour, bold, plain) = (paint(colour), paint(BOLD), paint(PLAIN));
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{colour}{:<8}{plain}{bold}{id}{plain}: {}{}", status.as_str(), clean(what), clean(&about));
        if let Some(repair) = repair {
            let _ = writeln!(text, "        = {}", clean(repair));
        }
    }
    let Summary { ok, unknown, warning, error } = diagnosis.summary();
    let _ = writeln!(
        text,
        "\n{} checks: {ok} ok, {unknown} unknown, {warning} warning, {error} error",
        diagnosis.checks.len()
    );
    text
}
