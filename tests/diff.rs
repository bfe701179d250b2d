//! `portcullis diff` as its users see it: the real binary, its output and exit codes.
#![expect(clippy::expect_used, reason = "the helpers of this file are test code as well")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const DENY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec: {template: {metadata: {labels: {app: db}}}}
";

const ALLOW: &str = "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
";

/// A field that no version knows: what the policy does is open.
const UNREADABLE: &str = "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: odd, namespace: shop}
spec: {podSelector: {}, ingress: [{fromEverywhere: true}]}
";

/// `before.yaml` and `after/` with one policy more in a file of its own.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    fs::create_dir(folder.path().join("after")).expect("made");
    write("before.yaml", DENY);
    write("after/base.yaml", DENY);
    write("after/allow.yaml", ALLOW);
    folder
}

struct Done {
    code: i32,
    out: String,
    err: String,
}

fn run(at: &Path, args: &[&str], input: &str) -> Done {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("diff")
        .args(args)
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    // One that gives up before it reads leaves nobody to write to.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("ended");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Done { code: status.code().expect("ended by itself"), out: text(stdout), err: text(stderr) }
}

#[test]
fn a_file_and_a_folder_differ_by_a_policy() {
    let folder = folder();
    let done = run(folder.path(), &["before.yaml", "after"], "");
    assert_eq!(
        (done.code, done.out.as_str(), done.err.as_str()),
        (0, "+ shop/Deployment/web -> shop/StatefulSet/db  TCP/5432\n1 connection opens, none closes\n", "")
    );
    let done = run(folder.path(), &["after", "before.yaml"], "");
    assert!(done.code == 0 && done.out.starts_with("- shop/Deployment/web"), "{}", done.out);
    let done = run(folder.path(), &["after", "after"], "");
    assert_eq!((done.code, done.out.as_str()), (0, "no connection opens or closes\n"));
}

#[test]
fn the_standard_input_is_one_of_the_two() {
    let folder = folder();
    let done = run(folder.path(), &["-", "after"], DENY);
    assert!(done.code == 0 && done.out.contains("TCP/5432"), "{}", done.err);
    let done = run(folder.path(), &["before.yaml", "-"], &[DENY, ALLOW].concat());
    assert!(done.code == 0 && done.out.contains("TCP/5432"), "{}", done.err);
    let done = run(folder.path(), &["-", "-"], DENY);
    assert_eq!((done.code, done.err.as_str()), (2, "error: BEFORE and AFTER cannot both be the standard input\n"));
}

#[test]
fn every_format_tells_it() {
    let folder = folder();
    let of = |format: &str| run(folder.path(), &["before.yaml", "after", "-o", format], "");
    let found: Value = serde_json::from_str(&of("json").out).expect("JSON");
    assert_eq!((found["version"].as_str(), found["vanishes"].as_array().map(Vec::len)), (Some("v1"), Some(0)));
    assert_eq!(found["appears"][0]["ports"], serde_json::json!(["TCP/5432"]));
    assert_eq!(found["appears"][0]["to"]["workloads"][0]["kind"], "StatefulSet");
    assert!(of("md").out.contains("| shop/Deployment/web | shop/StatefulSet/db | TCP/5432 |"));
    assert!(of("dot").out.contains("color=darkgreen"));
    assert_eq!(of("yaml").code, 2);
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_answered() {
    let folder = folder();
    let done = run(folder.path(), &["before.yaml", "-"], &[DENY, ALLOW, UNREADABLE].concat());
    assert_eq!(done.code, 2);
    assert!(done.err.starts_with("warning: <stdin>:"), "{}", done.err);
    assert!(done.out.contains("+ shop/Deployment/web -> shop/StatefulSet/db"), "{}", done.out);
    assert!(done.out.contains("note: policy shop/odd could not be read after"), "{}", done.out);
    let done = run(folder.path(), &["before.yaml", "nowhere"], "");
    assert!(done.code == 2 && done.err.contains("nowhere"), "{}", done.err);
    assert_eq!(run(folder.path(), &["before.yaml"], "").code, 2);
}

#[test]
fn the_default_namespace_and_the_meaning_of_blocks_can_be_set() {
    let folder = folder();
    let base = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
---
apiVersion: v1
kind: Pod
metadata: {name: peer, namespace: other}
status: {podIP: 10.0.0.1}
";
    let allow = "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: net}
spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}
";
    fs::write(folder.path().join("base.yaml"), base).expect("written");
    let with = |args: &[&str]| run(folder.path(), &[&["base.yaml", "-"], args].concat(), &[base, allow].concat()).out;
    assert_eq!(
        with(&["-n", "team"]),
        "+ 10.0.0.0/8 -> team/web  all ports\n+ other/peer -> team/web  all ports\n2 connections open, none closes\n"
    );
    assert_eq!(
        with(&["--ipblock-matches-pods", "false"]),
        "+ 10.0.0.0/8 -> default/web  all ports\n1 connection opens, none closes\n"
    );
}
