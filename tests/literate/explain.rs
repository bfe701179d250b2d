//! `yaml` and `explain` blocks.

use std::fs;
use std::net::IpAddr;
use std::process::Command;

use portcullis::inventory::from_files::{self, Loaded};
use portcullis::manifest::{self, Reading};
use portcullis::netpol::connectivity::{End, Outcome, Question, Side, World};
use portcullis::netpol::pod::{Pod, PodKind};
use portcullis::netpol::port_set::Protocol;
use serde_json::{Value, json};

use crate::literate::Section;
use crate::naive::{self, Naive, Verdict};

/// How many answers were held to what is written, or what is wrong and on which line.
pub(crate) type Result = std::result::Result<usize, Vec<(usize, String)>>;

fn manifests(section: &Section, until: usize) -> String {
    section.manifests(until, |info| matches!(info, "yaml" | "yaml faulty"))
}

/// The manifests above a block, read as one file.
fn read(section: &Section, until: usize) -> Reading {
    manifest::parse("", &manifests(section, until))
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
    let lines = (block.line..).zip(block.text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty());
    let lines: Vec<(usize, &str)> = lines.collect();
    if lines.is_empty() {
        return Err(vec![(block.line, "this block asks nothing".to_owned())]);
    }
    let parsed: std::result::Result<Vec<Line<'_>>, _> =
        lines.iter().map(|(number, line)| parse(line).map_err(|what| vec![(*number, what)])).collect();
    let parsed = parsed?;
    let of_binary = ask_binary(section, index, &parsed, ip_blocks_match_pods);
    let mut failures = Vec::new();
    for (((number, line), parsed), of_binary) in lines.iter().zip(&parsed).zip(of_binary) {
        match answer(&world, naive.as_ref(), parsed, &of_binary) {
            Ok(got) if got == *line => {}
            Ok(got) => failures.push((*number, format!("expected {line}\n     got {got}"))),
            Err(what) => failures.push((*number, what)),
        }
    }
    if failures.is_empty() { Ok(lines.len()) } else { Err(failures) }
}

struct Line<'a> {
    from: &'a str,
    to: &'a str,
    protocol: Protocol,
    port: u16,
    /// Whether it says by which rules.
    with_sides: bool,
}

fn parse(line: &str) -> std::result::Result<Line<'_>, String> {
    let shape = || format!("`{line}` is not FROM -> TO PROTOCOL/PORT: VERDICT (egress: …; ingress: …)");
    let (from, rest) = line.split_once(" -> ").ok_or_else(shape)?;
    let (to, rest) = rest.split_once(' ').ok_or_else(shape)?;
    let (port, expected) = rest.split_once(": ").ok_or_else(shape)?;
    let (protocol, port) = port.split_once('/').ok_or_else(shape)?;
    let protocol = protocol.parse().map_err(|_| shape())?;
    let port = port.parse().map_err(|_| shape())?;
    Ok(Line { from, to, protocol, port, with_sides: expected.contains('(') })
}

/// What `portcullis explain` answers, one object a line.
fn ask_binary(section: &Section, index: usize, lines: &[Line<'_>], ip_blocks_match_pods: bool) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let query = |line: &Line<'_>| {
        json!({"from": line.from, "to": line.to, "protocol": line.protocol.as_str(), "port": line.port}).to_string()
    };
    let queries: Vec<String> = lines.iter().map(query).collect();
    fs::write(path("queries.jsonl"), queries.join("\n")).expect("written");
    fs::write(path("cluster.yaml"), manifests(section, index)).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["explain", "cluster.yaml", "--queries", "queries.jsonl", "-o", "jsonl", "--ipblock-matches-pods"])
        .arg(ip_blocks_match_pods.to_string())
        .current_dir(folder.path())
        .output()
        .expect("started");
    let answers = String::from_utf8(output.stdout).expect("text");
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), lines.len(), "{}", String::from_utf8_lossy(&output.stderr));
    answers
}

/// The line as it would be right, when all three agree on that.
fn answer(
    world: &World<'_>,
    naive: Option<&Naive<'_>>,
    line: &Line<'_>,
    of_binary: &Value,
) -> std::result::Result<String, String> {
    let Line { from, to, protocol, port, with_sides } = *line;
    let (one, other) = (find(world, from)?, find(world, to)?);
    let answer = world.ask(Question { from: one, to: other, protocol, port });
    let verdict = match answer.outcome {
        Outcome::Allowed | Outcome::Itself => Verdict::Allow,
        Outcome::Denied => Verdict::Deny,
        Outcome::HostNetwork(_) | Outcome::Unread { .. } => Verdict::Unknown,
    };
    let sides = [&answer.egress, &answer.ingress].map(told);
    if let Some(naive) = naive {
        let question = naive::Question { from: id(one), to: id(other), protocol: protocol.as_str(), port };
        let other = naive.ask(&question);
        let naives = [&other.egress, &other.ingress].map(|side| shown(&side.isolated_by, &side.allowed_by));
        if other.verdict != verdict || (verdict != Verdict::Unknown && naives != sides) {
            return Err(format!("the crate says {verdict:?} {sides:?}, the naive evaluator {other:?}"));
        }
    }
    let word = match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Unknown => "unknown",
    };
    let of_binary_sides = [&of_binary["egress"], &of_binary["ingress"]].map(told_by_binary);
    if of_binary["verdict"] != word || (verdict != Verdict::Unknown && of_binary_sides != sides) {
        return Err(format!("the crate says {verdict:?} {sides:?}, portcullis explain {of_binary}"));
    }
    let sides = if with_sides { format!(" (egress: {}; ingress: {})", sides[0], sides[1]) } else { String::new() };
    Ok(format!("{from} -> {to} {protocol}/{port}: {word}{sides}"))
}

fn told_by_binary(side: &Value) -> String {
    let texts = |field: &str| -> Vec<String> {
        let list = side[field].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    shown(&texts("isolatedBy"), &texts("allowedBy"))
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
