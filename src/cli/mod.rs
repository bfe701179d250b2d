//! The command line: one file a subcommand.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 fine, 1 findings, 2 what could not
//! be done.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod certs;
mod check;
mod config;
mod diff;
mod doctor;
mod explain;
mod input;
mod logging;
mod reload;
mod rule_set;
mod rules;
mod serve;
mod template;
mod tls;

/// Judges what a change to a Kubernetes cluster does to connectivity.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the admission webhook
    Serve(Box<serve::Args>),
    /// Judge manifests, all of them together as one bundle
    Check(Box<check::Args>),
    /// Say whether policies allow a connection, and which
    Explain(Box<explain::Args>),
    /// Tell what becomes reachable and what stops being reachable between two sets of manifests
    Diff(diff::Args),
    /// List the rules, or explain one of them
    Rules(rules::Args),
    /// Check or test a rule set, show the built-in one or the schema of both
    Config(config::Args),
    /// Print manifests to start from
    Template(template::Args),
    /// Make certificates for the webhook
    Certs(certs::Args),
    /// Is this cluster fit for Portcullis, and is Portcullis fit in it? Changes nothing
    Doctor(doctor::Args),
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Exit code for what could not be done: bad usage, unreadable input, a server that cannot start.
const CANNOT: u8 = 2;

/// Runs the command that the arguments ask for.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, on stdout; everything else is a mistake, on stderr.
            let code = if error.use_stderr() { ExitCode::from(CANNOT) } else { ExitCode::SUCCESS };
            return error.print().map_or_else(|error| unless_closed(&error), |()| code);
        }
    };
    match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Template(args) => template::run(&args),
        Command::Certs(args) => certs::run(args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Writes a result to stdout. A reader that has gone is no failure: that is how `head` ends.
fn print(text: &str) -> ExitCode {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unless_closed(&error),
    }
}

fn unless_closed(error: &io::Error) -> ExitCode {
    if error.kind() == io::ErrorKind::BrokenPipe { ExitCode::SUCCESS } else { cannot(error) }
}

/// Says on stderr what a result leaves unsaid.
fn note(what: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "note: {what}");
}

/// Says on stderr what could not be read, where the rest is still of use.
fn warn(what: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "warning: {what}");
}

/// Whether what goes to stdout is coloured: on a terminal, unless the user wants none.
fn wants_colour() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Writes to stderr what is complete in itself, line breaks included.
fn complain(text: &str) {
    // Nowhere is left to complain to when stderr is gone.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// Says on stderr why something cannot be done.
fn cannot(reason: impl std::fmt::Display) -> ExitCode {
    // Nowhere is left to complain to when stderr is gone.
    let _ = writeln!(anstream::stderr(), "error: {reason}");
    ExitCode::from(CANNOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
