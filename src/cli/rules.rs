//! `portcullis rules [NAME]`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::{cannot, print};
use crate::engine::nearest;
use crate::rules::page::page;
use crate::rules::{RULES, find};

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

fn list() -> String {
    let width = RULES.iter().map(|rule| rule.meta().name.len()).max().unwrap_or_default();
    let mut text = format!("{:width$}  {:5}  {:13}  FINDS\n", "RULE", "LEVEL", "KIND");
    for meta in RULES.iter().map(|rule| rule.meta()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:width$}  {:5}  {:13}  {}", meta.name, meta.builtin_level(), meta.kind, meta.summary);
    }
    text.push_str("\nLEVEL is that of the built-in rule set. `portcullis rules NAME` explains a rule.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_listed() {
        let list = list();
        for meta in RULES.iter().map(|rule| rule.meta()) {
            assert!(list.contains(meta.name) && list.contains(meta.summary), "{}", meta.name);
        }
    }
}
