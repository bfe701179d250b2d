//! `portcullis check PATH… | -`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::input::{self, namespace};
use super::{CANNOT, cannot, note, print, rule_set, wants_colour};
use crate::finding::Level;
use crate::inventory::Inventory;
use crate::inventory::from_files::{DEFAULT_NAMESPACE, Fixed};
use crate::report::{CheckReport, json, text};
use crate::server::clock;

mod judge;

use judge::{Judged, World, judge};

/// Arguments of `portcullis check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Manifests: files, folders, `-` for the standard input; all of them together are one bundle
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The rule set, a file or a folder [default: the built-in one]
    #[arg(long, value_name = "FILE|DIR", env = "PORTCULLIS_CONFIG")]
    config: Option<PathBuf>,

    /// What is not among the manifests may exist elsewhere: a missing default deny is only noted
    #[arg(long)]
    partial: bool,

    /// What the cluster has beside these manifests: a file or a folder, such as a dump of it
    #[arg(long, value_name = "PATH")]
    inventory: Option<PathBuf>,

    /// The namespace of manifests that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = DEFAULT_NAMESPACE, value_parser = namespace)]
    namespace: String,

    /// The level of findings from which on the exit code is 1
    #[arg(long, value_name = "LEVEL", default_value = "deny")]
    fail_on: FailOn,

    /// How the result is written
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// From which level on findings are a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Denials
    Deny,
    /// Denials and warnings
    Warn,
    /// Any finding
    Audit,
    /// No finding
    Never,
}

impl FailOn {
    const fn level(self) -> Option<Level> {
        match self {
            Self::Deny => Some(Level::Deny),
            Self::Warn => Some(Level::Warn),
            Self::Audit => Some(Level::Audit),
            Self::Never => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// One JSON document a finding, one a line
    Jsonl,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let loaded = match rule_set::load(args.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(problems) => return cannot(problems),
    };
    loaded.warnings.iter().for_each(note);
    let base = match args.inventory.as_deref().map(Fixed::load).transpose() {
        Ok(fixed) => fixed.map_or_else(Inventory::default, Fixed::into_inventory),
        Err(error) => return cannot(error),
    };
    let reading = input::read(&args.paths);
    let world = World { base, namespace: &args.namespace, partial: args.partial };
    let Judged { mut report, notes } = judge(&reading, &world, &loaded.bound, clock::now());
    notes.iter().for_each(note);
    // An upstream command that failed leaves nothing behind, and that must not look like a pass.
    if report.objects == 0 && report.cannot_judge.is_empty() {
        note("there is no NetworkPolicy and no Namespace among the manifests");
    }
    report.sort();
    let rendered = match args.output {
        Output::Text => {
            report.quote(&reading.texts);
            Ok(text::render(&report, wants_colour()))
        }
        Output::Json => json::render(&report),
        Output::Jsonl => json::render_lines(&report),
    };
    let printed = match rendered {
        Ok(text) => print(&text),
        Err(error) => cannot(error),
    };
    if printed == ExitCode::SUCCESS { exit_code(&report, args.fail_on) } else { printed }
}

/// What could not be judged outweighs what was found.
fn exit_code(report: &CheckReport, fail_on: FailOn) -> ExitCode {
    if !report.cannot_judge.is_empty() {
        ExitCode::from(CANNOT)
    } else if fail_on.level().is_some_and(|level| report.fails_at(level)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
