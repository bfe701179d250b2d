//! `portcullis config check|default|schema|test`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{CANNOT, cannot, complain, print, rule_set};
use crate::config::problem::Severity;

mod default;
mod schema;
mod test;

/// Arguments of `portcullis config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say everything that is wrong with a rule set, each with its line and column
    Check {
        /// A rule set each: a file, a folder whose files are read together, `-` for the standard input
        #[arg(required = true, value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
    },
    /// Print the built-in rule set, commented, to start one's own from
    Default,
    /// Print the JSON Schema of rule sets, for editors
    Schema,
    /// Hold a rule set to cases: requests, and what is to be said of them
    Test(test::Args),
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Check { paths } => check(paths),
        Command::Default => print(&default::text()),
        Command::Schema => match serde_json::to_string_pretty(&schema::schema()) {
            Ok(text) => print(&(text + "\n")),
            Err(error) => cannot(error),
        },
        Command::Test(args) => test::run(args),
    }
}

/// Each path is a rule set of its own; all of them are checked.
fn check(paths: &[PathBuf]) -> ExitCode {
    let mut broken = false;
    for path in paths {
        let reading = rule_set::read(path);
        let texts = reading.texts.clone();
        let (bound, problems) = rule_set::bound(path, reading, rule_set::today());
        for problem in &problems {
            complain(&format!("{problem}\n{}", problem.excerpt(&texts)));
        }
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        let warnings = problems.len() - errors;
        let path = path.display();
        let printed = match bound {
            Some(bound) => {
                let entries = counted(bound.rule_set.rules.len(), "entry", "entries");
                let exemptions = counted(bound.rule_set.exemptions.len(), "exemption", "exemptions");
                let warnings = counted(warnings, "warning", "warnings");
                print(&format!("{path}: ok: {entries}, {exemptions}, {warnings}, hash {}\n", bound.hash))
            }
            None => {
                broken = true;
                let (errors, warnings) = (counted(errors, "error", "errors"), counted(warnings, "warning", "warnings"));
                complain(&format!("{path}: not usable: {errors}, {warnings}\n"));
                ExitCode::SUCCESS
            }
        };
        if printed != ExitCode::SUCCESS {
            return printed;
        }
    }
    if broken { ExitCode::from(CANNOT) } else { ExitCode::SUCCESS }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
