//! `portcullis doctor`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::{cannot, print};
use crate::doctor::gather::{Access, GatherError, Question};
use crate::doctor::{Diagnosis, Status, diagnose};
use crate::report::doctor::{json, text};
use crate::server::{clock, install_provider};

/// Arguments of `portcullis doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The cluster of this kubeconfig [default: that of kubectl, else the cluster this runs in]
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// The kubeconfig's context to use [default: the current one]
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,

    /// The ValidatingWebhookConfiguration, besides those that are known by label or webhook names
    #[arg(long, value_name = "NAME", default_value = "portcullis")]
    webhook_configuration: String,

    /// The namespace that Portcullis runs in
    #[arg(short, long, value_name = "NAMESPACE", default_value = "portcullis")]
    namespace: String,

    /// The ServiceAccount that it runs as
    #[arg(long, value_name = "NAME", default_value = "portcullis")]
    service_account: String,

    /// Where the webhook's Service can be reached from here, such as the end of a `kubectl port-forward`
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    connect: Option<String>,

    /// Prove it: ask for a dry run of a policy that allows all, in this namespace [default: default]
    #[arg(long, value_name = "NAMESPACE", num_args = 0..=1, require_equals = true, default_missing_value = "default", value_parser = super::input::namespace)]
    probe: Option<String>,

    /// From which status on the exit code is 1
    #[arg(long, value_name = "STATUS", default_value = "error")]
    fail_on: FailOn,

    /// How the result is written
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Errors
    Error,
    /// Errors and warnings
    Warning,
    /// All that is not ok, what could not be looked at included
    Unknown,
    /// Nothing
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
}

fn host_and_port(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no HOST:PORT, such as 127.0.0.1:8443");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    port.parse::<u16>().map_err(|_| wrong())?;
    if host.is_empty() { Err(wrong()) } else { Ok(text.to_owned()) }
}

pub(super) fn run(args: &Args) -> ExitCode {
    install_provider();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot(format!("the runtime cannot start: {error}")),
    };
    let diagnosis = match runtime.block_on(look(args)) {
        Ok(diagnosis) => diagnosis,
        Err(error) => return cannot(error),
    };
    let rendered = match args.output {
        Output::Text => Ok(text(&diagnosis, wants_colour())),
        Output::Json => json(&diagnosis),
    };
    let printed = match rendered {
        Ok(text) => print(&text),
        Err(error) => cannot(error),
    };
    if printed == ExitCode::SUCCESS { exit_code(&diagnosis, args.fail_on) } else { printed }
}

async fn look(args: &Args) -> Result<Diagnosis, GatherError> {
    let access = Access::find(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
    let question = Question {
        configuration: args.webhook_configuration.clone(),
        namespace: args.namespace.clone(),
        service_account: args.service_account.clone(),
        connect: args.connect.clone(),
        probe: args.probe.clone(),
    };
    Ok(diagnose(&access.facts(&question).await?, clock::now()))
}

fn exit_code(diagnosis: &Diagnosis, fail_on: FailOn) -> ExitCode {
    let status = match fail_on {
        FailOn::Error => Status::Error,
        FailOn::Warning => Status::Warning,
        FailOn::Unknown => Status::Unknown,
        FailOn::Never => return ExitCode::SUCCESS,
    };
    if diagnosis.reaches(status) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn wants_colour() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}
