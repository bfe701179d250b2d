//! `portcullis template namespace NAME`.

use std::process::ExitCode;

use super::input::namespace;
use super::print;
use crate::manifest;

/// Arguments of `portcullis template`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// A namespace that is closed from its first moment: default deny, DNS, traffic inside of it
    Namespace {
        /// Name of the namespace
        #[arg(value_parser = namespace)]
        name: String,
    },
}

/// What every namespace starts from. `NAME` stands for its name.
const ISOLATED: &str = "\
# A namespace that is closed from its first moment. Open it by adding policies of your own:
# policies only add, so none of these has to change for that.
apiVersion: v1
kind: Namespace
metadata:
  name: NAME
---
# Default deny: with no policy every pod may talk to everything. This one selects all pods, those to come
# included, and allows nothing in either direction.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: NAME
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
---
# DNS: without it every name lookup fails. Both protocols, as long answers come over TCP. No `to`, so that it holds
# wherever the cluster's resolver runs, a cache on the node included.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-dns
  namespace: NAME
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - ports:
        - protocol: UDP
          port: 53
        - protocol: TCP
          port: 53
---
# Traffic between the pods of this namespace, on any port. Both ends have to allow it. Leave it out
# where the tiers of an application are to be kept apart.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-same-namespace
  namespace: NAME
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector: {}
  egress:
    - to:
        - podSelector: {}
";

pub(super) fn run(args: &Args) -> ExitCode {
    let Command::Namespace { name } = &args.command;
    print(&isolated(name))
}

/// The template for a namespace of that name. Names such as `on` and `0644` need quotes to stay text.
fn isolated(name: &str) -> String {
    let read = manifest::parse("", name);
    let is_text = read.documents.first().is_some_and(|document| document.value == name);
    ISOLATED.replace("NAME", &if is_text { name.to_owned() } else { format!("\"{name}\"") })
}
