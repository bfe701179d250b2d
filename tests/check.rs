//! `portcullis check`, `template` and `certs` as their users see them: the real binary, its output and exit codes.
#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of this file are test code as well")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

// ---- Helpers ---------------------------------------------------------------------------------------------------------

fn portcullis(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("PORTCULLIS_CONFIG");
    command
}

/// What a command came to.
#[derive(Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by itself"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

fn run(args: &[&str]) -> Done {
    portcullis(args).output().expect("started").into()
}

/// Runs with this on stdin.
fn fed(args: &[&str], input: &[u8]) -> Done {
    let mut child =
        portcullis(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let done = child.wait_with_output().expect("ended").into();
    let written = writer.join().expect("no panic");
    // One that gives up before it reads, for want of an inventory say, leaves nobody to write to.
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
        _ => {}
    }
    done
}

/// `check` of this text, as JSON.
fn judged(args: &[&str], input: &str) -> (i32, Value) {
    let done = fed(&[&["check", "-", "-o", "json"], args].concat(), input.as_bytes());
    (done.code, serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}")))
}

/// Level, rule and line of everything found; what could not be judged has the level `?`.
fn found(report: &Value) -> Vec<(String, String, u64)> {
    let entry = |entry: &Value, level: &str| {
        let rule = entry["rule"].as_str().unwrap_or_default().to_owned();
        (level.to_owned(), rule, entry["location"]["line"].as_u64().unwrap_or_default())
    };
    let findings = report["findings"].as_array().expect("a list").iter();
    let unjudged = report["cannotJudge"].as_array().expect("a list").iter();
    findings
        .map(|finding| entry(finding, finding["level"].as_str().expect("a level")))
        .chain(unjudged.map(|unjudged| entry(unjudged, "?")))
        .collect()
}

fn entry(level: &str, rule: &str, line: u64) -> (String, String, u64) {
    (level.to_owned(), rule.to_owned(), line)
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// With the exception for DNS, without which there would be a warning.
const DEFAULT_DENY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}]}
";

/// Clean beside a default deny.
const ALLOW: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{protocol: TCP, port: 8080}]
";

/// Two findings of level deny: no default deny, and private addresses.
const PRIVATE: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x, namespace: production}
spec:
  podSelector: {matchLabels: {app: x}}
  policyTypes: [Egress]
  egress:
    - to: [{ipBlock: {cidr: 192.168.0.0/16}}]
      ports: [{protocol: TCP, port: 443}]
    - ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
";

fn bundle(documents: &[&str]) -> String {
    documents.join("---\n")
}

// ---- Verdicts and exit codes -----------------------------------------------------------------------------------------

#[test]
fn a_bundle_is_judged_as_one() {
    let apart = folder(&[("a/allow.yaml", ALLOW), ("b/deny.yml", DEFAULT_DENY), ("notes.txt", "no: manifest: this")]);
    let done = run(&["check", text(apart.path())]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    assert_eq!(done.out, "2 objects: 0 deny, 0 warn, 0 audit, 0 exempted, 0 not judged\n");
    // The same from several arguments, one of them stdin, and a file that is named twice is one file.
    let (allow, deny) = (apart.path().join("a/allow.yaml"), apart.path().join("b"));
    assert_eq!(run(&["check", text(&allow), text(&deny), text(&allow)]).out, done.out);
    assert_eq!(fed(&["check", text(&allow), "-"], DEFAULT_DENY.as_bytes()).out, done.out);
    // And alone it has no default deny.
    let done = run(&["check", text(&allow)]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.starts_with("deny[missing-default-deny]: namespace shop has no default deny for"), "{}", done.out);
}

#[test]
fn json_is_that_of_the_contract() {
    let (code, report) = judged(&[], &bundle(&[&DEFAULT_DENY.replace("shop", "production"), PRIVATE]));
    let message = report["findings"][0]["message"].as_str().expect("a message");
    assert!(message.contains("192.168.0.0/16") && message.contains("TCP/443"), "{message}");
    let help = report["findings"][0]["help"].as_str().expect("a repair");
    let decided_by = report["findings"][0]["decidedBy"].as_str().expect("an entry");
    assert!(decided_by.starts_with("rules["), "{decided_by}");
    let expected = json!({
        "version": "v1",
        "findings": [{
            "rule": "egress-private-cidr",
            "level": "deny",
            "object": {
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": "production", "name": "x",
            },
            "field": "spec.egress[0].to[0].ipBlock",
            "message": message,
            "help": help,
            "evidence": {"cidrs": ["192.168.0.0/16"], "ports": ["TCP/443"]},
            "location": {"file": "<stdin>", "line": 13, "column": 13},
            "decidedBy": decided_by,
            "exempted": null,
        }],
        "cannotJudge": [],
        "summary": {"objects": 2, "deny": 1, "warn": 0, "audit": 0, "exempted": 0, "cannotJudge": 0},
    });
    assert_eq!((code, report), (1, expected));
}

#[test]
fn lines_of_json_each_have_a_type() {
    let done = fed(&["check", "-o", "jsonl", "-"], bundle(&[PRIVATE, "a: [\n"]).as_bytes());
    let types: Vec<Value> =
        done.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["type"].clone()).collect();
    assert_eq!(types, ["finding", "finding", "cannotJudge", "summary"]);
}

#[test]
fn text_points_at_the_line() {
    let done = fed(&["check", "-"], bundle(&[&DEFAULT_DENY.replace("shop", "production"), PRIVATE]).as_bytes());
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines[0].starts_with("deny[egress-private-cidr]: reaches private addresses 192.168.0.0/16"), "{lines:?}");
    assert_eq!(lines[1], "  --> <stdin>:13:13  NetworkPolicy production/x  spec.egress[0].to[0].ipBlock");
    assert_eq!(lines[2..4], ["   |", "13 |     - to: [{ipBlock: {cidr: 192.168.0.0/16}}]"]);
    assert!(lines[4].starts_with("   = help: ") && lines[5].starts_with("   = decided by rules["), "{lines:?}");
    assert_eq!(lines.last(), Some(&"2 objects: 1 deny, 0 warn, 0 audit, 0 exempted, 0 not judged"));
}

#[test]
fn a_missing_default_deny_is_told_once_a_namespace() {
    let second = ALLOW.replace("name: api", "name: second").replace("app: api", "app: second");
    let elsewhere = ALLOW.replace("shop", "b");
    let (_, report) = judged(&[], &bundle(&[ALLOW, &elsewhere, &second]));
    assert_eq!(found(&report), [entry("deny", "missing-default-deny", 4), entry("deny", "missing-default-deny", 14)]);
}

#[test]
fn the_failing_level_can_be_chosen() {
    let cases = [("deny", PRIVATE, 1), ("never", PRIVATE, 0), ("never", "a: [\n", 2), ("deny", "a: [\n", 2)];
    for (level, text, code) in cases {
        assert_eq!(judged(&["--fail-on", level], text).0, code, "{level}: {text}");
    }
    // A note of level audit fails nothing unless that is asked for.
    for (level, code) in [("deny", 0), ("warn", 0), ("audit", 1)] {
        assert_eq!(judged(&["--partial", "--fail-on", level], ALLOW).0, code, "{level}");
    }
    let warned = bundle(&[DEFAULT_DENY, &fs::read_to_string("tests/patterns/external-api.yaml").expect("there")]);
    for (level, code) in [("deny", 0), ("warn", 1), ("audit", 1), ("never", 0)] {
        assert_eq!(judged(&["--fail-on", level], &warned).0, code, "{level}");
    }
}

#[test]
fn in_part_of_the_manifests_a_missing_default_deny_is_only_noted() {
    let (code, report) = judged(&["--partial"], ALLOW);
    assert_eq!((code, found(&report)), (0, vec![entry("audit", "missing-default-deny", 4)]));
    // Nothing else is taken lightly.
    assert_eq!(judged(&["--partial"], PRIVATE).0, 1);
}

#[test]
fn what_is_exempted_is_told_and_does_not_fail() {
    let rule_set = "\
apiVersion: portcullis.dev/v1alpha1
kind: RuleSet
metadata: {name: example}
spec:
  rules:
    - {rule: missing-default-deny, level: deny}
  exemptions:
    - {rules: [missing-default-deny], match: {names: [api]}, reason: OPS-1}
    - {rules: [missing-default-deny], match: {names: [x]}, reason: OPS-2, expires: 2020-01-01}
";
    let config = folder(&[("rules.yaml", rule_set)]);
    let args = ["--config", text(config.path())];
    let (code, report) = judged(&args, ALLOW);
    assert_eq!((code, &report["summary"]["exempted"]), (0, &json!(1)), "{report:#}");
    assert_eq!(report["findings"][0]["exempted"], json!({"by": "exemptions[0]", "reason": "OPS-1"}));
    // The next policy of that namespace is not exempted, and an exemption that has expired is none.
    let second = ALLOW.replace("name: api", "name: second");
    assert_eq!(judged(&args, &bundle(&[ALLOW, &second])).0, 1);
    let done = fed(&["check", "-", args[0], args[1]], PRIVATE.as_bytes());
    assert!(done.code == 1 && done.err.contains("expired on 2020-01-01"), "{done:?}");
    // Two versions of an object: what holds beside one need not hold beside the other.
    let open = DEFAULT_DENY.replace("egress: [", "egress: [{}, ");
    assert_ne!(judged(&args, &bundle(&[DEFAULT_DENY, ALLOW, &open, &second])).0, 0);
}

#[test]
fn labels_nobody_knows_leave_an_entry_in_doubt() {
    let rule_set = "\
apiVersion: portcullis.dev/v1alpha1
kind: RuleSet
metadata: {name: example}
spec:
  rules:
    - rule: missing-default-deny
      level: deny
      match: {namespaceSelector: {matchLabels: {env: prod}}}
";
    let config = folder(&[("rules.yaml", rule_set)]);
    let args = ["--config", text(config.path())];
    let second = ALLOW.replace("name: api", "name: second");
    let (code, report) = judged(&args, &bundle(&[ALLOW, &second]));
    assert_eq!((code, found(&report)), (2, vec![entry("?", "missing-default-deny", 1)]), "{report:#}");
    for (labels, code) in [("{env: prod}", 1), ("{env: dev}", 0)] {
        let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {labels}}}}}\n");
        assert_eq!(judged(&args, &bundle(&[&namespace, ALLOW])).0, code, "{labels}");
    }
}

#[test]
fn what_a_bundle_opens_by_its_own_labels_is_for_the_record() {
    let config = "\
apiVersion: portcullis.dev/v1alpha1
kind: RuleSet
metadata: {name: example}
spec:
  rules: [{rule: label-grants-access, level: deny}]
";
    let config = folder(&[("rules.yaml", config)]);
    let allow = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow, namespace: data}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: clients}}}]}]}
";
    for (team, expected) in [("clients", vec![entry("audit", "label-grants-access", 1)]), ("others", vec![])] {
        let namespace =
            format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{team: {team}}}}}}}\n");
        let (code, report) = judged(&["--config", text(config.path())], &bundle(&[&namespace, allow]));
        assert_eq!((code, found(&report)), (0, expected), "{report:#}");
    }
}

/// The findings about selectors that select nothing, in a namespace with a policy and something that makes its pods.
fn idle(args: &[&str], policy: &str, workloads: &[&str]) -> Vec<(String, String, u64)> {
    let (code, report) = judged(args, &bundle(&[&[policy, DEFAULT_DENY], workloads].concat()));
    assert_eq!(code, 0, "{report:#}");
    found(&report).into_iter().filter(|(_, rule, _)| rule == "no-effect").collect()
}

#[test]
fn workloads_tell_which_pods_there_are() {
    let policy = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}]
";
    let deployment = |app: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}, namespace: shop}}\n\
             spec: {{template: {{metadata: {{labels: {{app: {app}}}}}}}}}\n"
        )
    };
    let (api, web) = (deployment("api"), deployment("web"));
    let (dangling, idle_peer) = (entry("audit", "no-effect", 5), entry("audit", "no-effect", 7));
    assert_eq!(idle(&[], policy, &[&api, &web]), []);
    assert_eq!(idle(&[], policy, &[&web]), [dangling]);
    assert_eq!(idle(&[], policy, &[&api]), [idle_peer]);
    // Where there are none, or not only those, nothing is known.
    assert_eq!(idle(&[], policy, &[]), []);
    assert_eq!(idle(&["--partial"], policy, &[&api]), []);
    for other in [
        web.replace("apps/v1", "apps.openshift.io/v1").replace("kind: Deployment", "kind: DeploymentConfig"),
        web.replace("{app: web}}}", "[web]}}"),
    ] {
        assert_eq!(idle(&[], policy, &[&api, &other]), [], "{other}");
    }
}

#[test]
fn the_cluster_may_have_the_default_deny() {
    let cluster = folder(&[("dump.yaml", DEFAULT_DENY)]);
    let (code, report) = judged(&["--inventory", text(cluster.path())], ALLOW);
    assert_eq!((code, report["summary"]["objects"].as_u64()), (0, Some(1)), "{report}");
    // Half of an inventory is none.
    let broken = folder(&[("dump.yaml", "a: [\n")]);
    let done = fed(&["check", "-", "--inventory", text(broken.path())], ALLOW.as_bytes());
    assert_eq!((done.code, done.out.as_str()), (2, ""), "{done:?}");
    assert!(done.err.contains("dump.yaml:1:4: "), "{done:?}");
}

#[test]
fn the_default_namespace_can_be_named() {
    let homeless = ALLOW.replace(", namespace: shop", "");
    let (_, report) = judged(&[], &homeless);
    assert_eq!(report["findings"][0]["object"]["namespace"], "default");
    let (_, report) = judged(&["-n", "team"], &homeless);
    assert_eq!(report["findings"][0]["object"]["namespace"], "team");
    assert_eq!(judged(&["--namespace", "shop"], &bundle(&[&homeless, DEFAULT_DENY])).0, 0);
    assert_eq!(fed(&["check", "-", "-n", "No Namespace"], b"").code, 2);
}

// ---- What is no good manifest ----------------------------------------------------------------------------------------

#[test]
fn broken_documents_are_told_and_the_others_judged() {
    let unknown = ALLOW.replace("name: api", "name: odd").replace("policyTypes", "policyTyps");
    let (code, report) = judged(&[], &bundle(&[DEFAULT_DENY, "a: [\n", ALLOW, &unknown, PRIVATE]));
    let expected = [
        entry("deny", "missing-default-deny", 31),
        entry("deny", "egress-private-cidr", 35),
        entry("?", "", 6),
        entry("?", "", 23),
    ];
    assert_eq!((code, found(&report)), (2, expected.to_vec()), "{report:#}");
    assert_eq!(report["cannotJudge"][0]["location"], json!({"file": "<stdin>", "line": 6, "column": 4}));
    assert_eq!(report["cannotJudge"][1]["object"]["name"], "odd");
    assert_eq!(report["summary"]["objects"], 4);
}

#[test]
fn what_the_api_server_would_refuse_is_denied() {
    let cases = [
        ("Name", ALLOW.replace("name: api", "name: Api"), "metadata.name", 3),
        ("label", ALLOW.replace("name: api", "name: api, labels: {app: yes}"), "metadata.labels[app]", 3),
        ("octal", ALLOW.replace("name: api", "name: api, labels: {mode: 0644}"), "metadata.labels[mode]", 3),
        ("selector", ALLOW.replace("app: api", "app: on"), "spec.podSelector.matchLabels[app]", 5),
        ("port", ALLOW.replace("8080", "80800"), "spec.ingress[0].ports[0].port", 9),
        ("version", ALLOW.replace("networking.k8s.io/v1", "extensions/v1beta1"), "apiVersion", 1),
        ("kind", ALLOW.replace("kind: NetworkPolicy", "kind: NetworkPolcy"), "kind", 2),
    ];
    for (what, text, field, line) in cases {
        let (code, report) = judged(&[], &text);
        assert_eq!((code, found(&report)), (1, vec![entry("deny", "invalid-manifest", line)]), "{what}: {report:#}");
        assert_eq!(report["findings"][0]["field"], field, "{what}");
        assert_eq!(report["findings"][0]["decidedBy"], Value::Null, "{what}");
    }
    // kubectl reads an octal number here, and that is a good port.
    let octal = ALLOW.replace("8080", "0644");
    assert_eq!(judged(&[], &bundle(&[DEFAULT_DENY, &octal])).0, 0);
}

#[test]
fn cidrs_that_newer_servers_refuse_are_judged_and_noted() {
    let odd = bundle(&[&DEFAULT_DENY.replace("shop", "production"), &PRIVATE.replace("192.168.0.0", "192.168.7.1")]);
    let (code, report) = judged(&[], &odd);
    let expected = [entry("deny", "egress-private-cidr", 13), entry("audit", "invalid-manifest", 13)];
    assert_eq!((code, found(&report)), (1, expected.to_vec()), "{report:#}");
    assert_eq!(report["findings"][0]["evidence"]["cidrs"], json!(["192.168.0.0/16"]));
}

#[test]
fn an_object_given_twice_is_told_where_the_two_differ() {
    assert_eq!(found(&judged(&[], &bundle(&[DEFAULT_DENY, ALLOW, ALLOW])).1), []);
    let other = ALLOW.replace("8080", "9090");
    let (code, report) = judged(&[], &bundle(&[DEFAULT_DENY, ALLOW, &other]));
    assert_eq!((code, found(&report)), (0, vec![entry("warn", "invalid-manifest", 18)]), "{report:#}");
}

#[test]
fn a_policy_that_cannot_be_read_may_be_the_default_deny() {
    let odd = DEFAULT_DENY.replace("policyTypes", "policyTyps");
    let (code, report) = judged(&[], &bundle(&[&odd, ALLOW]));
    let expected = [entry("?", "", 4), entry("?", "missing-default-deny", 6)];
    assert_eq!((code, found(&report)), (2, expected.to_vec()), "{report:#}");
}

#[test]
fn what_is_not_there_or_is_no_usage_is_an_error() {
    let done = run(&["check", "/nowhere/at-all.yaml"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.out.contains("/nowhere/at-all.yaml"), "{done:?}");
    for args in [&["check"][..], &["check", "-", "-o", "xml"], &["check", "-", "--fail-on", "error"]] {
        let done = run(args);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{done:?}");
    }
    // An empty input is no failure, but is not passed over either.
    let done = fed(&["check", "-"], b"");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.err.contains("no NetworkPolicy"), "{done:?}");
}

#[test]
fn hostile_input_is_an_error_and_never_a_crash() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (last, next) in ('a'..='y').zip('b'..='z') {
        let aliases = vec![format!("*{last}"); 9].join(", ");
        writeln!(bomb, "{next}: &{next} [{aliases}]").expect("written");
    }
    let inputs: [(&str, Vec<u8>); 9] = [
        ("dashes", "- ".repeat(100_000).into()),
        ("brackets", "[".repeat(100_000).into()),
        ("braces", "{".repeat(100_000).into()),
        ("json", [r#"{"a":"#.repeat(100_000), "}".repeat(100_000)].concat().into()),
        ("bomb", bomb.into()),
        ("junk", (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("zeros", vec![0; 100_000]),
        ("quote", [b"\"".to_vec(), vec![b'x'; 1 << 20]].concat()),
        ("colons", "a: ".repeat(100_000).into()),
    ];
    for (what, input) in inputs {
        let started = Instant::now();
        let done = fed(&["check", "-"], &input);
        let took = started.elapsed();
        assert_eq!(done.code, 2, "{what}: {}", done.err);
        assert!(done.out.starts_with("cannot judge: "), "{what}: {}", done.out);
        assert!(done.out.len() < 2_000, "{what}: {} bytes of output", done.out.len());
        assert!(took < Duration::from_secs(20), "{what} took {took:?}, even for a debug build on a busy machine");
    }
}

// ---- Output and its reader -------------------------------------------------------------------------------------------

#[test]
fn there_is_no_colour_in_a_pipe() {
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "xterm-256color")] {
        let output = portcullis(&["check", "tests/patterns"]).env(name, value).output().expect("started");
        assert!(!output.stdout.contains(&0x1b), "{name}");
    }
}

#[test]
fn colour_is_for_terminals_and_can_be_refused() {
    // A terminal is not to be had everywhere; forced colour takes the same way.
    let check = |name: &str| {
        let mut command = portcullis(&["check", "tests/patterns"]);
        command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").env(name, "1");
        command.output().expect("started").stdout
    };
    assert!(check("CLICOLOR_FORCE").contains(&0x1b));
    assert!(!check("NO_COLOR").contains(&0x1b));
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let mut many = String::new();
    for n in 0..500 {
        many.push_str(&ALLOW.replace("shop", &format!("ns-{n}")));
        many.push_str("---\n");
    }
    let input = folder(&[("many.yaml", &many)]);
    let mut child = portcullis(&["check", text(input.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut line = String::new();
    // Closed after one line, as `head -1` does.
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.starts_with("deny["), "{line}");
    let done: Done = child.wait_with_output().expect("ended").into();
    assert_eq!((done.code, done.err.as_str()), (1, ""));
}

// ---- The patterns ----------------------------------------------------------------------------------------------------

/// Names for every pod, of which the patterns have nothing to say.
const NAMES: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: names, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]
";

/// Level and rule of what is found in a pattern that stands beside a default deny.
fn pattern(name: &str) -> Vec<(String, String)> {
    let pattern = fs::read_to_string(format!("tests/patterns/{name}.yaml")).expect("there");
    let (_, report) = judged(&[], &bundle(&[DEFAULT_DENY, NAMES, &pattern]));
    assert_eq!(report["cannotJudge"], json!([]), "{name}: {report:#}");
    found(&report).into_iter().map(|(level, rule, _)| (level, rule)).collect()
}

/// None of the patterns breaks a rule that has nothing to do with its trap.
fn assert_only(name: &str, traps: &[&str]) {
    for (level, rule) in pattern(name) {
        assert!(level == "audit" || traps.contains(&rule.as_str()), "{name}: {level}[{rule}]");
    }
}

#[test]
fn the_isolation_template_is_clean() {
    let done = run(&["check", "tests/patterns/isolation-template.yaml", "--fail-on", "warn"]);
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn an_external_api_leaves_the_metadata_addresses_and_nothing_private() {
    assert_only("external-api", &["egress-metadata-endpoint"]);
    let warning = ("warn".to_owned(), "egress-metadata-endpoint".to_owned());
    assert!(pattern("external-api").contains(&warning));
}

#[test]
fn each_of_the_other_patterns_has_no_trap_but_its_own() {
    assert_only("database-tier", &["ineffective-section"]);
    assert_only("load-balancer-only", &[]);
    assert_only("monitoring-scrape", &["unpinned-namespace-selector"]);
    assert_only("or-and", &["split-peer", "any-namespace-peer", "unpinned-namespace-selector"]);
    // Alone, each lacks the default deny.
    for name in ["database-tier", "external-api", "load-balancer-only", "monitoring-scrape", "or-and"] {
        let (code, report) = judged(&[], &fs::read_to_string(format!("tests/patterns/{name}.yaml")).expect("there"));
        let missing = |(level, rule, _): &(String, String, u64)| level == "deny" && rule == "missing-default-deny";
        assert!(code == 1 && found(&report).iter().any(missing), "{name}: {report}");
    }
}

#[test]
fn the_patterns_together_have_their_default_deny() {
    let done = run(&["check", "tests/patterns", "-o", "json"]);
    let report: Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!(report["summary"]["objects"], 8);
    assert!(!done.out.contains("missing-default-deny"), "{}", done.out);
}

// ---- The size of a bundle --------------------------------------------------------------------------------------------

/// The bar is 10,000 policies in 2,000 files within two seconds, in a release build; this holds the order of magnitude.
#[test]
fn a_thousand_policies_take_no_time() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in 0..200 {
        let mut text = String::new();
        for n in 0..5 {
            let namespace = format!("ns-{}", file % 2);
            let document = if file < 2 && n == 0 { DEFAULT_DENY } else { ALLOW };
            let named = document.replace("name: api", &format!("name: p{file}-{n}")).replace("shop", &namespace);
            let named = named.replace("8080", &(8000 + file * 5 + n).to_string());
            text.push_str(&named);
            text.push_str("---\n");
        }
        fs::write(folder.path().join(format!("{file}.yaml")), text).expect("written");
    }
    let started = Instant::now();
    let done = run(&["check", text(folder.path())]);
    let took = started.elapsed();
    assert_eq!(done.out, "1000 objects: 0 deny, 0 warn, 0 audit, 0 exempted, 0 not judged\n", "{done:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

// ---- template and certs ----------------------------------------------------------------------------------------------

#[test]
fn the_template_passes_the_check() {
    for name in ["shop", "team-a", "on", "0644", "null", "1e3"] {
        let done = run(&["template", "namespace", name]);
        assert_eq!(done.code, 0, "{done:?}");
        let (code, report) = judged(&["--fail-on", "warn"], &done.out);
        assert_eq!((code, &report["cannotJudge"]), (0, &json!([])), "{name}: {report:#}");
        assert_eq!(report["summary"]["objects"], 4, "{name}");
        // All of it is in that namespace.
        let beside = bundle(&[&done.out, &ALLOW.replace("shop", &format!("'{name}'"))]);
        assert_eq!(judged(&["--fail-on", "warn"], &beside).0, 0, "{name}");
    }
    for name in ["", "Shop", "a.b", "-a", "a\nb: c"] {
        assert_eq!(run(&["template", "namespace", "--", name]).code, 2, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn certificates_are_written_once_and_their_keys_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("made/here");
    let generate = ["certs", "generate", "--out", text(&out), "--dns", "a.example", "b.example", "--ip", "192.0.2.1"];
    let done = run(&generate);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    let read = |name: &str| fs::read_to_string(out.join(name)).expect("written");
    let before = ["ca.crt", "ca.key", "tls.crt", "tls.key"].map(|name| {
        assert!(done.out.contains(text(&out.join(name))), "{}", done.out);
        let mode = fs::metadata(out.join(name)).expect("written").permissions().mode() & 0o777;
        assert_eq!(mode == 0o600, name.ends_with(".key"), "{name}: {mode:o}");
        read(name)
    });

    let done = run(&generate);
    assert_eq!((done.code, done.out.as_str()), (2, ""), "{done:?}");
    assert!(done.err.contains("tls.key") && done.err.contains("--force"), "{done:?}");
    assert_eq!(before, ["ca.crt", "ca.key", "tls.crt", "tls.key"].map(read));

    assert_eq!(run(&[&generate[..], &["--force"]].concat()).code, 0);
    assert!(before.iter().zip(["ca.crt", "ca.key", "tls.crt", "tls.key"]).all(|(before, name)| *before != read(name)));
    assert_eq!(run(&["certs", "generate", "--out", text(&out), "--ip", "nowhere"]).code, 2);
}

#[test]
fn a_section_without_effect_is_found_in_the_manifest_itself() {
    let manifest = |spec: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: x, namespace: shop}}\nspec:\n{spec}"
        )
    };
    let of_interest = |text: &str| {
        let (_, report) = judged(&[], text);
        let all = found(&report).into_iter();
        all.filter(|(_, rule, _)| ["ineffective-section", "implicit-policy-types"].contains(&rule.as_str())).collect()
    };
    let (section, types) = ("ineffective-section", "implicit-policy-types");
    let found: Vec<_> = of_interest(&manifest("  podSelector: {}\n  egress: []\n"));
    assert_eq!(found, [entry("audit", types, 4), entry("deny", section, 6)]);
    let found: Vec<_> = of_interest(&manifest("  podSelector: {}\n  policyTypes: [Egress]\n  ingress:\n    - {}\n"));
    assert_eq!(found, [entry("deny", section, 7)]);
    let found: Vec<_> = of_interest(&manifest("  podSelector: {}\n  policyTypes: [Egress]\n  egress: []\n"));
    assert_eq!(found, []);
    // A default deny anywhere in the bundle keeps the pods isolated.
    let bundle =
        format!("{}---\n{DEFAULT_DENY}", manifest("  podSelector: {}\n  policyTypes: [Ingress]\n  egress: []\n"));
    let found: Vec<_> = of_interest(&bundle);
    assert_eq!(found, [entry("audit", section, 7)]);
}
