//! `yaml` and `explain` blocks.

use std::net::IpAddr;

use portcullis::inventory::from_files::{self, Loaded};
use portcullis::manifest::{self, Reading};
use portcullis::netpol::connectivity::{End, Outcome, Question, Side, World};
use portcullis::netpol::pod::{Pod, PodKind};
use portcullis::netpol::port_set::Protocol;
use serde_json::Value;

use crate::literate::Section;
use crate::naive::{self, Naive, Verdict};

/// How many answers were held to what is written, or what is wrong and on which line.
pub(crate) type Result = std::result::Result<usize, Vec<(usize, String)>>;

/// The manifests above a block, read as one file.
fn read(section: &Section, until: usize) -> Reading {
    manifest::parse("", &section.manifests(until, |info| info.starts_with("yaml")))
}

/// Whether a block of manifests is what its first line says it is.
pub(crate) fn loads(section: &Section, index: usize) -> Result {
    let block = &section.blocks[index];
    if block.has_run {
        return Ok(0);
    }
    let failed = |line, what: &str| Err(vec![(line, what.to_owned())]);
    let own = manifest::parse("", &block.text);
    if own.documents.is_empty() && own.problems.is_empty() {
        return failed(block.line, "no manifests in this block");
    }
    let count = |until| from_files::load(&read(section, until), "default").problems;
    let (before, now) = (count(index), count(index + 1));
    match (block.info.ends_with("faulty"), now.get(before.len())) {
        (false, Some(problem)) => {
            let (place, what) = problem.split_once(": ").unwrap_or(("", problem));
            let line = place.split(':').nth(1).and_then(|line| line.parse().ok()).unwrap_or(block.line);
            failed(line, what)
        }
        (true, None) => failed(block.line, "nothing is wrong with these manifests"),
        _ => Ok(0),
    }
}

/// Asks what a block asks.
pub(crate) fn run(section: &Section, index: usize, ip_blocks_match_pods: bool) -> Result {
    let block = &section.blocks[index];
    if block.has_run {
        return Ok(0);
    }
    let reading = read(section, index);
    if reading.documents.is_empty() {
        return Err(vec![(block.line, "there are no manifests above to ask about".to_owned())]);
    }
    let values: Vec<Value> = reading.documents.iter().map(|document| document.value.clone()).collect();
    let Loaded { inventory, problems } = from_files::load(&reading, "default");
    let world = inventory.world(ip_blocks_match_pods);
    // What the crate cannot read, the naive one does not look for.
    let naive = problems.is_empty().then(|| Naive::new(&values, ip_blocks_match_pods));
    let (mut answers, mut failures) = (0, Vec::new());
    for (number, line) in (block.line..).zip(block.text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        answers += 1;
        match answer(&world, naive.as_ref(), line.trim()) {
            Ok(got) if got == line.trim() => {}
            Ok(got) => failures.push((number, format!("expected {}\n     got {got}", line.trim()))),
            Err(what) => failures.push((number, what)),
        }
    }
    if answers == 0 {
        failures.push((block.line, "this block asks nothing".to_owned()));
    }
    if failures.is_empty() { Ok(answers) } else { Err(failures) }
}

/// The line as it would be right.
fn answer(world: &World<'_>, naive: Option<&Naive<'_>>, line: &str) -> std::result::Result<String, String> {
    let shape = || format!("`{line}` is not FROM -> TO PROTOCOL/PORT: VERDICT (egress: …; ingress: …)");
    let (from, rest) = line.split_once(" -> ").ok_or_else(shape)?;
    let (to, rest) = rest.split_once(' ').ok_or_else(shape)?;
    let (port, expected) = rest.split_once(": ").ok_or_else(shape)?;
    let (protocol, number) = port.split_once('/').ok_or_else(shape)?;
    let protocol: Protocol = protocol.parse().map_err(|_| shape())?;
    let number: u16 = number.parse().map_err(|_| shape())?;
    let (one, other) = (find(world, from)?, find(world, to)?);
    let answer = world.ask(Question { from: one, to: other, protocol, port: number });
    let verdict = match answer.outcome {
        Outcome::Allowed | Outcome::Itself => Verdict::Allow,
        Outcome::Denied => Verdict::Deny,
        Outcome::HostNetwork(_) | Outcome::Unread { .. } => Verdict::Unknown,
    };
    if let Some(naive) = naive {
        let question = naive::Question { from: id(one), to: id(other), protocol: protocol.as_str(), port: number };
        let (other, sides) = (naive.ask(&question), [&answer.egress, &answer.ingress].map(told));
        let naives = [&other.egress, &other.ingress].map(|side| shown(&side.isolated_by, &side.allowed_by));
        if other.verdict != verdict || (verdict != Verdict::Unknown && naives != sides) {
            return Err(format!("the naive evaluator does not agree with the crate on {line}: {other:?}"));
        }
    }
    let word = match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Unknown => "unknown",
    };
    let sides = format!(" (egress: {}; ingress: {})", told(&answer.egress), told(&answer.ingress));
    let sides = if expected.contains('(') { sides.as_str() } else { "" };
    Ok(format!("{from} -> {to} {port}: {word}{sides}"))
}

fn told(side: &Side<'_>) -> String {
    let isolated: Vec<_> = side.isolated_by.iter().map(|one| format!("{}/{}", one.namespace, one.name)).collect();
    let allowed: Vec<_> = side.allowed_by.iter().map(ToString::to_string).collect();
    shown(&isolated, &allowed)
}

fn shown(isolated_by: &[String], allowed_by: &[String]) -> String {
    match (isolated_by, allowed_by) {
        ([], _) => "not isolated".to_owned(),
        (policies, []) => format!("no rule of {}", policies.join(", ")),
        (_, rules) => rules.join(", "),
    }
}

/// An address, `namespace/name` or `namespace/Kind/name`.
fn find<'a>(world: &World<'a>, text: &str) -> std::result::Result<End<'a>, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(End::Address(address));
    }
    let pods = || world.spaces().flat_map(|space| space.pods.iter().copied());
    let found: Vec<&'a Pod> = match text.split('/').collect::<Vec<_>>()[..] {
        [namespace, name] => pods().filter(|pod| pod.namespace == namespace && pod.name == name).collect(),
        [namespace, kind, name] => {
            pods().filter(|pod| (&*pod.namespace, pod.kind.as_str(), &*pod.name) == (namespace, kind, name)).collect()
        }
        _ => Vec::new(),
    };
    let pod = found.iter().find(|pod| pod.kind == PodKind::Pod);
    match (pod, &found[..]) {
        (Some(pod), _) | (None, [pod]) => Ok(End::Pod(pod)),
        (None, []) => Err(format!("there is no {text}")),
        (None, _) => {
            Err(format!("{text} may be {}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")))
        }
    }
}

fn id(end: End<'_>) -> naive::End {
    match end {
        End::Pod(pod) => naive::End::Pod(format!("{}/{}/{}", pod.namespace, pod.kind, pod.name)),
        End::Address(address) => naive::End::Address(address),
    }
}
