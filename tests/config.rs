//! Rule sets through the real binary: `config check`, `config default`, `config schema`, and the reload of `serve`.
#![expect(clippy::expect_used, reason = "the helpers of this file are test code as well")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const HEAD: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nmetadata: {name: test}\nspec:\n";

fn portcullis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().env("NO_COLOR", "1");
    command
}

fn config(arguments: &[&str]) -> Output {
    portcullis().arg("config").args(arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[test]
fn the_default_checks_and_the_schema_is_json() {
    let dir = tempfile::tempdir().expect("a folder");
    let default = config(&["default"]);
    assert_eq!(default.status.code(), Some(0));
    let file = dir.path().join("default.yaml");
    fs::write(&file, &default.stdout).expect("written");
    let check = config(&["check", path(&file)]);
    assert_eq!((check.status.code(), text(&check.stderr)), (Some(0), String::new()));
    assert!(text(&check.stdout).contains("default.yaml: ok: "), "{check:?}");
    let schema = config(&["schema"]);
    assert_eq!(schema.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn every_problem_is_told_with_its_line_and_column() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rules.yaml");
    let body = "  maxLevl: warn
  rules:
    - rule: egress-privat-cidr
      level: deny
    - rule: egress-private-cidr
      level: deny
      params: {group: [private], cidrs: [10.0.0.0]}
  exemptions:
    - rules: [allow-all-egress]
      reason: ''
";
    fs::write(&file, format!("{HEAD}{body}")).expect("written");
    let check = config(&["check", path(&file)]);
    assert_eq!(check.status.code(), Some(2));
    assert_eq!(text(&check.stdout), "");
    let name = path(&file);
    let stderr = text(&check.stderr);
    for expected in [
        ":5:3: error: unknown field `maxLevl`; did you mean `maxLevel`?",
        ":7:7: error: there is no rule `egress-privat-cidr`; did you mean `egress-private-cidr`?",
        ":11:16: error: egress-private-cidr has no parameter `group`; did you mean `groups`?",
        ":11:34: error: ",
        ":14:7: error: `reason` must not be blank",
    ] {
        assert!(stderr.contains(&format!("{name}{expected}")), "{expected}\n{stderr}");
    }
    assert!(stderr.contains("5 |   maxLevl: warn\n  |   ^^^^^^^\n"), "{stderr}");
    assert!(stderr.ends_with(": not usable: 5 errors, 0 warnings\n"), "{stderr}");
}

#[test]
fn warnings_do_not_fail_and_folders_and_stdin_are_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let expired = "  extends: builtin\n  exemptions: [{rules: [allow-all-egress], reason: x, expires: 2020-01-01}]\n";
    fs::write(dir.path().join("a.yaml"), format!("{HEAD}{expired}")).expect("written");
    fs::write(dir.path().join("b.yaml"), format!("{HEAD}  maxLevel: warn\n")).expect("written");
    let check = config(&["check", path(dir.path())]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(text(&check.stderr).contains("a.yaml:6:55: warning: expired on 2020-01-01"), "{check:?}");
    fs::write(dir.path().join("c.yaml"), format!("{HEAD}  maxLevel: audit\n")).expect("written");
    let check = config(&["check", path(dir.path())]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
    assert!(text(&check.stderr).contains("c.yaml:5:3: error: `maxLevel` is given twice, first at "), "{check:?}");

    let mut child = portcullis()
        .args(["config", "check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("a pipe").write_all(format!("{HEAD}  ratchet: 1\n").as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("<stdin>:5:3: error: `ratchet` must be true or false"), "{output:?}");
    assert_eq!(config(&["check", "/no/such/file"]).status.code(), Some(2));
}

/// A running webhook, ended with the test.
struct Serving {
    child: Child,
    ops: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start(dir: &Path, rules: &Path) -> Self {
        let mut child = serve(dir, rules).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let told = lines.find_map(|line| Some(line.split_once("http://")?.1.split_once(' ')?.0.to_owned()));
        Self { child, ops: told.expect("the address of the operations port") }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.ops).expect("the operations port");
        let request = format!("GET {path} HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("a body")
    }

    /// `/config`, once it is as wanted; that is promised within ten seconds.
    fn config_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let view: Value = serde_json::from_str(&self.get("/config")).expect("JSON");
            if wanted(&view) {
                return view;
            }
            assert!(Instant::now() < until, "not within ten seconds: {view}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn serve(dir: &Path, rules: &Path) -> Command {
    let mut command = portcullis();
    command.arg("serve").args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    command.arg("--cert-dir").arg(dir.join("certs")).arg("--config").arg(rules);
    command
}

#[test]
fn a_changed_rule_set_is_in_force_within_ten_seconds_and_a_bad_one_never() {
    let dir = tempfile::tempdir().expect("a folder");
    let rules = dir.path().join("rules.yaml");
    let write = |body: &str| fs::write(&rules, format!("{HEAD}{body}")).expect("written");
    write("  extends: builtin\n");
    let serving = Serving::start(dir.path(), &rules);
    let first = serving.config_when(|_| true);
    assert_eq!((first["source"].as_str(), &first["lastError"]), (Some(path(&rules)), &Value::Null));

    write("  extends: builtin\n  maxLevel: warn\n");
    let second = serving.config_when(|view| view["hash"] != first["hash"]);
    assert_eq!(second["ruleSet"]["maxLevel"], "warn");

    write("  extends: builtin\n  maxLevel: wran\n");
    let third = serving.config_when(|view| !view["lastError"].is_null());
    assert_eq!((&third["hash"], &third["lastReload"]), (&second["hash"], &second["lastReload"]));
    assert!(third["lastError"].as_str().is_some_and(|error| error.contains(":6:3: error: `maxLevel`")), "{third}");
    assert!(serving.get("/readyz?verbose").contains("[+]config ok"));
    assert!(serving.get("/metrics").contains("portcullis_config_reloads_total{result=\"failure\"} 1"));

    write("  extends: builtin\n  maxLevel: audit\n");
    let fourth = serving.config_when(|view| view["lastError"].is_null());
    assert_eq!(fourth["ruleSet"]["maxLevel"], "audit");
}

#[test]
fn a_bad_rule_set_does_not_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let rules = dir.path().join("rules.yaml");
    fs::write(&rules, format!("{HEAD}  ratchet: 1\n  zzz: 2\n")).expect("written");
    let output = serve(dir.path(), &rules).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains(":5:3: error: `ratchet`") && stderr.contains(":6:3: error: unknown field `zzz`"),
        "{stderr}"
    );
}
