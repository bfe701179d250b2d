//! The rule set a command judges by: the built-in one, or that of `--config`.

use std::io;
use std::path::Path;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::config::load::{self, Loaded};
use crate::config::problem::{Problem, Severity};
use crate::config::valid::RuleSet;
use crate::engine::{BindError, Bound, bind};
use crate::manifest::{self, Reading};
use crate::rules::RULES;
use crate::server::clock;

/// What messages call the standard input.
const STDIN: &str = "<stdin>";

/// A rule set ready for use.
pub(super) struct LoadedBound {
    /// With typed parameters.
    pub(super) bound: Bound,
    /// `builtin`, or the path it was read from.
    pub(super) source: String,
    /// What is odd about it and no reason to refuse it, one line each.
    pub(super) warnings: Vec<String>,
}

/// Loads and binds. The error has every problem, one a line.
pub(super) fn load(config: Option<&Path>) -> Result<LoadedBound, String> {
    match config {
        Some(path) => usable(path, read(path)).map_err(|problems| refused(path, &problems)),
        None => {
            let bound = bind(builtin(), RULES).map_err(|errors| lines(&errors))?;
            Ok(LoadedBound { bound, source: "builtin".to_owned(), warnings: Vec::new() })
        }
    }
}

/// The rule set of what was read, if nothing is wrong with it.
pub(super) fn usable(path: &Path, reading: Reading) -> Result<LoadedBound, String> {
    let (bound, problems) = bound(path, reading, today());
    let bound = bound.ok_or_else(|| lines(problems.iter().filter(|problem| problem.severity == Severity::Error)))?;
    let warnings = problems.iter().map(ToString::to_string).collect();
    Ok(LoadedBound { bound, source: path.display().to_string(), warnings })
}

/// For a message of its own: a line about the whole, so that each problem begins its line with its place.
pub(super) fn refused(path: &Path, problems: &str) -> String {
    format!("the rule set {} cannot be used:\n{problems}", path.display())
}

fn lines(problems: impl IntoIterator<Item = impl ToString>) -> String {
    problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("\n")
}

/// The texts of a file, of a folder, or for `-` of the standard input.
pub(super) fn read(path: &Path) -> Reading {
    if path == Path::new("-") { manifest::read_from(STDIN, io::stdin().lock()) } else { manifest::read(&[path.into()]) }
}

/// The built-in rule set, not bound yet.
pub(super) fn builtin() -> RuleSet {
    let metas = RULES.iter().map(|rule| rule.meta());
    RuleSet::builtin(metas.filter_map(|meta| Some((meta.name, meta.builtin?))))
}

/// Today, as exemptions expire.
pub(super) fn today() -> Date {
    clock::now().to_zoned(TimeZone::UTC).date()
}

/// Everything wrong with a rule set, its parameters included, and the rule set if none of it is an error.
pub(super) fn bound(path: &Path, reading: Reading, today: Date) -> (Option<Bound>, Vec<Problem>) {
    let file = if path == Path::new("-") { STDIN.to_owned() } else { path.display().to_string() };
    let mut loaded: Loaded = load::load(&file, reading, &builtin(), today);
    match bind(loaded.rule_set.clone(), RULES) {
        Ok(bound) => (Some(bound).filter(|_| !loaded.is_broken()), loaded.problems),
        Err(errors) => {
            for BindError { field, message } in errors {
                loaded.refuse(&field, message);
            }
            (None, loaded.problems)
        }
    }
}
