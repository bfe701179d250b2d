//! `portcullis certs generate`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{cannot, print};
use crate::server::cert_store::{self, StoreError};
use crate::server::certs::{self, Spec};
use crate::server::{clock, install_provider};

/// Arguments of `portcullis certs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a CA and a serving certificate signed by it: ca.crt, ca.key, tls.crt, tls.key
    Generate(Generate),
}

#[derive(Debug, clap::Args)]
struct Generate {
    /// The folder they are written to; it is made where there is none
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// A DNS name of the server; may be given again [default without --dns and --ip: localhost,
    /// portcullis.portcullis.svc, 127.0.0.1 and ::1]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    dns: Vec<String>,

    /// An address of the server; may be given again
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    ip: Vec<IpAddr>,

    /// Replace what is there; clients that trust the old CA have to be given the new one
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: Args) -> ExitCode {
    let Command::Generate(args) = args.command;
    install_provider();
    match generate(args) {
        Ok(told) => print(&told),
        Err(StoreError::Exists(first)) => cannot(exists(&first)),
        Err(error) => cannot(error),
    }
}

fn generate(args: Generate) -> Result<String, StoreError> {
    let Generate { out, dns, ip, force } = args;
    let spec = if dns.is_empty() && ip.is_empty() { Spec::default() } else { Spec { dns, ips: ip } };
    let bundle = certs::generate(&spec, clock::now())?;
    let paths = cert_store::save(&out, &bundle, force)?;
    let names: Vec<String> = spec.dns.into_iter().chain(spec.ips.iter().map(ToString::to_string)).collect();
    Ok(format!(
        "{}  the CA: what clients trust, the caBundle of a webhook registration\n{}  its key: keep it away from the \
         server\n{}  the serving certificate, for {}\n{}  its key\n",
        paths.ca_cert.display(),
        paths.ca_key.display(),
        paths.cert.display(),
        names.join(", "),
        paths.key.display(),
    ))
}

/// Everything that is in the way, not only the first of it.
fn exists(first: &std::path::Path) -> String {
    let paths = first.parent().map(cert_store::Paths::of);
    let there: Vec<String> = paths
        .into_iter()
        .flat_map(|paths| [paths.ca_cert, paths.ca_key, paths.cert, paths.key])
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    let exist = if there.len() == 1 { "exists" } else { "exist" };
    format!("{} {exist} already: give another folder, or --force to replace", there.join(", "))
}
