//! `portcullis config test FILE…`: a rule set held to cases.
//!
//! ```text
//! FILE ── config::cases ──> as written ── gather ──> Ready { request, rule set, inventory, expected }
//!                                         judge ───> what the webhook would answer, and how that is not as expected
//!                                         told ────> text or JSON
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::super::{CANNOT, cannot, complain, note, print, wants_colour};
use crate::server::clock;

mod gather;
mod judge;
mod object;
#[cfg(test)]
mod tests;
mod told;

use gather::Gathered;
use told::Told;

/// Arguments of `portcullis config test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of kind `RuleSetTest`, `-` for the standard input
    #[arg(required = true, value_name = "FILE")]
    paths: Vec<PathBuf>,

    /// The rule set of files that name none, a file or a folder [default: the built-in one]
    #[arg(long, value_name = "FILE|DIR", env = "PORTCULLIS_CONFIG")]
    config: Option<PathBuf>,

    /// How the result is written
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// Nothing is tried unless everything can be read: half of the cases would look like a pass.
pub(super) fn run(args: &Args) -> ExitCode {
    let mut gathered = Gathered::new(args.config.as_deref());
    args.paths.iter().for_each(|path| gathered.add(path));
    gathered.notes.iter().for_each(note);
    if !gathered.problems.is_empty() {
        gathered.problems.iter().for_each(|problem| complain(problem));
        return ExitCode::from(CANNOT);
    }
    let now = clock::now();
    let mut told = Told::default();
    for ready in &gathered.cases {
        match judge::judge(ready, now) {
            Ok(outcome) => told.add(ready, outcome),
            Err(error) => return cannot(error),
        }
    }
    let rendered = match args.output {
        Output::Text => Ok(told.text(wants_colour())),
        Output::Json => told.json(),
    };
    match rendered.map(|text| print(&text)) {
        Ok(printed) if printed != ExitCode::SUCCESS || told.failed() == 0 => printed,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => cannot(error),
    }
}
