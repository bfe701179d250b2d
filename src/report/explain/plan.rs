//! The commands that try a connection on a cluster.
//!
//! A probe is a Pod that bears the labels of the source, in its namespace, and opens the connection. It leaves out the
//! labels by which a controller knows its pods, so that none takes it for one of its own.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::{Connection, Told, Verdict};
use crate::netpol::connectivity::repair::lasting_labels;
use crate::netpol::connectivity::{End, Outcome, Question, World};
use crate::netpol::pod::{Pod, PodKind};
use crate::netpol::policy::is_label_key;
use crate::netpol::port_set::Protocol;
use crate::netpol::selector::{Labels, is_label_value};
use crate::report::text::clean;

/// Kubernetes' own image for tests: the `nc` of the usual small images knows no SCTP.
const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.53";
/// Seconds until a connection counts as blocked.
const WAIT: u32 = 3;

/// What stands before all probes of a plan.
pub const HEAD: &str = "\
# Each probe is a Pod with the labels of the source: while it lives, Services and controllers whose selectors match
# them may take it for one of theirs. `nc` ends with 0 when it connects. That it does not connect proves something only
# where the port is known to answer somebody else.
";

/// The commands for one question, the `number`th of its plan. `image` holds an `nc` that knows `-z`, `-w` and `-u`.
#[must_use]
pub fn render(told: &Told<'_>, world: &World<'_>, number: usize, image: &str) -> String {
    let Told::Connection(connection) = told else {
        let reason = if let Told::NotAsked { reason } = told { reason } else { "it names no connection" };
        return comment(&format!("{number}. cannot be tried: {reason}"));
    };
    let Connection { from, to, port, answer, .. } = &**connection;
    let Some((protocol, port)) = *port else {
        return comment(&format!("{number}. {from} to {to}: name a port to try"));
    };
    let expected = match connection.verdict() {
        Verdict::Allow => "connects",
        Verdict::Deny => "does not connect",
        Verdict::Unknown => "not known",
    };
    let why = connection.why();
    let mut text = comment(&format!("{number}. {from} to {to} on {protocol}/{port}. Expected: {expected}: {why}"));
    text += &match protocol {
        Protocol::Tcp => String::new(),
        Protocol::Udp => comment(
            "UDP has no connections: nc succeeds unless it is told that nobody listens, so success proves nothing. \
             Ask something that answers.",
        ),
        Protocol::Sctp => comment("SCTP takes a probe that knows it, and nodes with the sctp kernel module."),
    };
    let probe = Probe { number, protocol, port, image };
    text += &match (*from, *to) {
        _ if answer.outcome == Outcome::Itself => {
            comment("It has to be run in that Pod: a probe beside it is another Pod.")
        }
        (End::Pod(pod), _) | (_, End::Pod(pod)) if pod.host_network => {
            comment("A probe with these labels is not in its node's network, so that it would try something else.")
        }
        (End::Address(from), to) => {
            let from = comment(&format!("It has to be run from {from}, with a route to the other end."));
            from + &probe.command(to, None)
        }
        (End::Pod(source), to) => probe.command(to, Some((source, probe_labels(connection, world, source)))),
    };
    text
}

/// The labels of a probe: those that last, unless the answer hangs on the others.
fn probe_labels(connection: &Connection<'_>, world: &World<'_>, source: &Pod) -> Labels {
    let probe = Pod { kind: PodKind::Deployment, labels: lasting_labels(source), ..source.clone() };
    let Some((protocol, port)) = connection.port else { return probe.labels };
    let same = {
        let question = Question { from: End::Pod(&probe), to: connection.to, protocol, port };
        Verdict::from(&world.ask(question).outcome) == connection.verdict()
    };
    let valid = |(key, value): &(&String, &String)| is_label_key(key) && is_label_value(value);
    let all = source.labels.iter().filter(valid).map(|(key, value)| (key.clone(), value.clone()));
    if same { probe.labels } else { all.collect() }
}

struct Probe<'a> {
    number: usize,
    protocol: Protocol,
    port: u16,
    image: &'a str,
}

impl Probe<'_> {
    fn command(&self, to: End<'_>, source: Option<(&Pod, Labels)>) -> String {
        let (mut text, address) = match to {
            End::Address(address) => (String::new(), address.to_canonical().to_string()),
            End::Pod(pod) => match find_address(pod) {
                Ok(found) => (format!("{found} && [ -n \"$address\" ] &&\n"), "\"$address\"".to_owned()),
                Err(reason) => return comment(&reason),
            },
        };
        match source {
            None => {
                let _ = writeln!(text, "{}", self.nc(&address));
            }
            Some((pod, labels)) => {
                let connect =
                    if self.protocol == Protocol::Sctp { self.agnhost(&address, to) } else { self.nc(&address) };
                let image = if self.protocol == Protocol::Sctp { AGNHOST } else { self.image };
                let _ = writeln!(
                    text,
                    "kubectl {} run portcullis-probe-{} --rm --attach --quiet --restart=Never {} {} \\\n  --command -- {connect}",
                    quoted(&format!("--namespace={}", pod.namespace)),
                    self.number,
                    quoted(&format!("--image={image}")),
                    labelled(&labels),
                );
            }
        }
        text
    }

    /// `address` is quoted already.
    fn nc(&self, address: &str) -> String {
        let port = self.port;
        match self.protocol {
            Protocol::Tcp => format!("nc -z -w {WAIT} {address} {port}"),
            Protocol::Udp => format!("nc -u -z -w {WAIT} {address} {port}"),
            Protocol::Sctp => format!("ncat --sctp -z -w {WAIT} {address} {port}"),
        }
    }

    fn agnhost(&self, address: &str, to: End<'_>) -> String {
        let port = self.port;
        let target = match to {
            End::Address(IpAddr::V4(_)) => format!("{address}:{port}"),
            End::Address(IpAddr::V6(_)) => format!("'[{address}]:{port}'"),
            // Of which family a pod's address is, the cluster alone knows.
            End::Pod(_) => {
                format!(r#""$(case {address} in *:*) echo "[$address]";; *) echo {address};; esac):{port}""#)
            }
        };
        format!("/agnhost connect --protocol=sctp --timeout={WAIT}s {target}")
    }
}

/// Puts the address of the pod, or of one of the workload's, into `$address`.
fn find_address(pod: &Pod) -> Result<String, String> {
    let namespace = quoted(&format!("--namespace={}", pod.namespace));
    if pod.kind == PodKind::Pod {
        let name = quoted(&format!("pod/{}", pod.name));
        return Ok(format!("address=$(kubectl {namespace} get {name} --output='jsonpath={{.status.podIP}}')"));
    }
    let labels = lasting_labels(pod);
    if labels.is_empty() {
        return Err(format!("{pod} has no labels to find one of its pods by: name a Pod"));
    }
    let selector = quoted(&format!("--selector={}", joined(&labels)));
    Ok(format!(
        "address=$(kubectl {namespace} get pods {selector} --field-selector=status.phase=Running \
         --output='jsonpath={{.items[0].status.podIP}}')"
    ))
}

/// `kubectl run` gives a Pod without labels one of its own, which policies could select.
fn labelled(labels: &Labels) -> String {
    if labels.is_empty() {
        quoted(r#"--overrides={"apiVersion":"v1","metadata":{"labels":null}}"#)
    } else {
        quoted(&format!("--labels={}", joined(labels)))
    }
}

fn joined(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A comment, on one line whatever stands in it.
fn comment(text: &str) -> String {
    format!("# {}\n", clean(text))
}
