//! `portcullis rules [NAME]`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::{cannot, print};
use crate::engine::nearest;
use crate::finding::Level;
use crate::rules::{Meta, RULES, find};

/// Arguments of `portcullis rules`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rule to explain; all are listed without it
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let Some(name) = &args.name else { return print(&list()) };
    match find(name) {
        Some(rule) => print(&page(rule.meta())),
        None => {
            let names = RULES.iter().map(|rule| rule.meta().name);
            let perhaps = nearest(name, names).map(|near| format!(", perhaps `{near}`")).unwrap_or_default();
            cannot(format!("there is no rule `{name}`{perhaps}; `portcullis rules` lists them"))
        }
    }
}

fn level(meta: &Meta) -> &'static str {
    meta.builtin.map_or("off", Level::as_str)
}

fn list() -> String {
    let width = RULES.iter().map(|rule| rule.meta().name.len()).max().unwrap_or_default();
    let mut text = format!("{:width$}  {:5}  {:13}  FINDS\n", "RULE", "LEVEL", "KIND");
    for meta in RULES.iter().map(|rule| rule.meta()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:width$}  {:5}  {:13}  {}", meta.name, level(meta), meta.kind, meta.summary);
    }
    text.push_str("\nLEVEL is that of the built-in rule set. `portcullis rules NAME` explains a rule.\n");
    text
}

/// The documentation of a rule, as Markdown under fixed headings.
fn page(meta: &Meta) -> String {
    let mut text = format!(
        "# {}\n\nJudges: {}. Built-in level: {}.\n\n## What it does\n\n{}\n\n## Why it is bad\n\n{}\n\n",
        meta.name,
        meta.kind,
        level(meta),
        meta.what,
        meta.why
    );
    if !meta.example_params.is_empty() {
        let _ = write!(text, "## Examples' parameters\n\n```yaml\n{}```\n\n", meta.example_params);
    }
    let _ = write!(
        text,
        "## Rejected\n\n```yaml\n{}```\n\n## Accepted\n\n```yaml\n{}```\n\n",
        meta.rejected, meta.accepted
    );
    text.push_str("## Parameters\n\n");
    if meta.params.is_empty() {
        text.push_str("None.\n");
    }
    for param in meta.params {
        let _ = writeln!(text, "- `{}` (default `{}`): {}", param.name, param.default, param.about);
    }
    text.push_str("\n## References\n\n");
    for url in meta.references {
        let _ = writeln!(text, "- <{url}>");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_listed_and_has_its_page() {
        let list = list();
        for meta in RULES.iter().map(|rule| rule.meta()) {
            assert!(list.contains(meta.name) && list.contains(meta.summary), "{}", meta.name);
            let page = page(meta);
            for heading in ["What it does", "Why it is bad", "Rejected", "Accepted", "Parameters", "References"] {
                assert!(page.contains(&format!("## {heading}\n")), "{}: {heading}", meta.name);
            }
            assert!(meta.params.iter().all(|param| page.contains(&format!("`{}`", param.name))), "{}", meta.name);
        }
    }
}
