//! The log, on stderr.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// For collectors: one JSON object a line.
    Json,
}

/// The client's own errors are told by whoever asked, once and with what it was about.
const DEFAULT: &str = "info,kube_client=off";

/// Starts logging at `info`, or as `PORTCULLIS_LOG` says (`debug`, `portcullis=debug,kube=info`, …).
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("PORTCULLIS_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process, as in tests, leaves the first in place.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(wants_colour()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
}

fn wants_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}
