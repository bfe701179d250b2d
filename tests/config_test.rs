//! `portcullis config test` through the real binary: cases that pass, cases that fail, and every kind of mistake.
#![expect(clippy::expect_used, reason = "the helpers of this file are test code as well")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const HEAD: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSetTest\nspec:\n";
const RULES: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec:\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("written");
    }
    dir
}

/// Exit code, stdout and stderr of `config test`, run in that folder.
fn test(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().env("NO_COLOR", "1").current_dir(dir).args(["config", "test"]).args(arguments);
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The same of one file of cases, as JSON.
fn judged(spec: &str, rules: &str) -> (Option<i32>, Value) {
    let dir = folder(&[("cases.yaml", &format!("{HEAD}  ruleSet: rules.yaml\n{spec}")), ("rules.yaml", rules)]);
    let (code, out, err) = test(dir.path(), &["cases.yaml", "-o", "json"]);
    assert_eq!(err, "");
    (code, serde_json::from_str(&out).expect("JSON"))
}

/// The blocks of that language in a section of the documentation.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let after = section.split(&fence).skip(1);
    after.map(|block| block.split("```").next().expect("an end").to_owned()).collect()
}

#[test]
fn the_example_of_the_documentation_is_true() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rule-sets.md");
    let docs = fs::read_to_string(docs).expect("text");
    let section = docs.split("\n## ").find(|section| section.starts_with("Tests of your rules\n")).expect("a section");
    let yaml = blocks(section, "yaml");
    assert_eq!(yaml.len(), 2);
    let dir = folder(&[("rules.yaml", &yaml[0]), ("rules-test.yaml", &yaml[1])]);
    let console = blocks(section, "console").concat();
    let told = console.strip_prefix("$ portcullis config test rules-test.yaml\n").expect("the command");
    assert_eq!(test(dir.path(), &["rules-test.yaml"]), (Some(0), told.to_owned(), String::new()));
    // From elsewhere, its paths are still those of the file.
    let file = dir.path().join("rules-test.yaml");
    assert_eq!(test(Path::new("/"), &[file.to_str().expect("a path")]).0, Some(0));

    // Each case can fail.
    let others = yaml[1]
        .replace("verdict: exempted", "verdict: allowed")
        .replace("2099-02-01", "2099-01-31")
        .replace("operation: DELETE\n      oldObject", "operation: CREATE\n      object")
        .replace("groups: [team-shop]", "groups: [platform]")
        .replace("user: bob, groups: [platform]", "user: bob");
    fs::write(&file, others).expect("written");
    let (code, out, _) = test(dir.path(), &["rules-test.yaml"]);
    assert_eq!(code, Some(1));
    assert!(out.ends_with("5 cases, 5 failed\n"), "{out}");
    for wanted in [
        "rules-test.yaml:16: FAILED: payments may go on using the VPN\n  expected verdict allowed, got exempted\n  found: deny \
         [egress-private-cidr] spec.egress[0].to[0].ipBlock: reaches private addresses 10.8.0.0/16 on TCP/443 (builtin rules[",
        "  expected verdict denied, got allowed\n  expected, not found: [missing-default-deny]\n",
        "  found, not expected: deny [protected-namespace-labels] metadata.labels[team.example.com/firewall]: bob ",
    ] {
        assert!(out.contains(wanted), "{wanted}\n{out}");
    }
}

const POLICY: &str = "apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, namespace: shop}";

#[test]
fn an_update_is_judged_by_what_it_makes_worse_and_findings_are_exact() {
    let rules = format!("{RULES}  rules: [{{rule: egress-private-cidr, level: deny}}]\n");
    let policy = |cidrs: &[&str]| {
        let peers: Vec<String> = cidrs.iter().map(|cidr| format!("{{ipBlock: {{cidr: {cidr}}}}}")).collect();
        format!("{{{POLICY}, spec: {{podSelector: {{}}, egress: [{{to: [{}]}}]}}}}", peers.join(", "))
    };
    let (one, two) = (policy(&["10.8.0.0/16"]), policy(&["10.8.0.0/16", "10.9.0.0/16"]));
    let case = |name: &str, old: &str, new: &str, expect: &str| {
        format!("    - {{name: {name}, operation: UPDATE, oldObject: {old}, object: {new}, expect: {{{expect}}}}}\n")
    };
    let to = |i: usize, level: &str| {
        format!("{{rule: egress-private-cidr, level: {level}, field: 'spec.egress[0].to[{i}].ipBlock'}}")
    };
    let both = format!("findings: [{}, {}]", to(0, "warn"), to(1, "deny"));
    let spec = [
        "  cases:\n".to_owned(),
        case("worse", &one, &two, &format!("verdict: denied, allowed: false, {both}")),
        case("better", &two, &one, &format!("verdict: warned, allowed: true, findings: [{}]", to(0, "warn"))),
        case("by rule alone", &one, &two, "findings: [{rule: egress-private-cidr}]"),
        case("one too few", &one, &two, &format!("findings: [{}]", to(1, "deny"))),
        case("one too many", &two, &one, &both),
        case("none", &two, &one, "findings: []"),
        // The API server writes policyTypes out, so nothing changes.
        case("same", &one, &one.replace("egress:", "policyTypes: [Ingress, Egress], egress:"), "findings: []"),
    ];
    let (code, told) = judged(&spec.concat(), &rules);
    let passed: Vec<&Value> = told["cases"].as_array().expect("cases").iter().map(|case| &case["passed"]).collect();
    assert_eq!(passed, [true, true, true, false, false, false, true], "{told:#}");
    assert_eq!((code, &told["summary"]), (Some(1), &json!({"cases": 7, "failed": 3})));
    assert_eq!(told["version"], "v1");
    let first = &told["cases"][0];
    assert_eq!((&first["verdict"], &first["allowed"], &first["line"]), (&json!("denied"), &json!(false), &json!(6)));
    assert_eq!(first["findings"][0]["evidence"]["cidrs"], json!(["10.9.0.0/16"]));
    let failures = told["cases"][4]["failures"].as_array().expect("failures");
    assert_eq!(failures, &["expected, not found: deny [egress-private-cidr] spec.egress[0].to[1].ipBlock"]);
}

#[test]
fn what_is_given_holds_for_its_case_and_the_clock_is_that_of_the_case() {
    let rules =
        format!("{RULES}  rules: [{{rule: missing-default-deny, level: deny, params: {{gracePeriod: 10m}}}}]\n");
    let policy = format!("{{{POLICY}, spec: {{podSelector: {{}}, policyTypes: [Ingress], ingress: [{{}}]}}}}");
    let deny = policy
        .replace("name: a", "name: deny")
        .replace(", ingress: [{}]", "")
        .replace("[Ingress]", "[Ingress, Egress]");
    let namespace =
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop, creationTimestamp: 2026-01-01T00:00:00Z}}";
    let spec = format!(
        "  given: [{namespace}]
  cases:
    - {{name: young, now: 2026-01-01T00:05:00Z, object: {policy}, expect: {{verdict: warned}}}}
    - {{name: old, now: 2026-01-01T00:15:00Z, object: {policy}, expect: {{verdict: denied}}}}
    - {{name: present, object: {policy}, expect: {{verdict: denied}}}}
    - {{name: denied before, given: [{deny}], object: {policy}, expect: {{verdict: allowed, findings: []}}}}
    - {{name: on the guard path, path: /validate/labels, object: {policy}, expect: {{verdict: allowed, findings: []}}}}
"
    );
    let (code, told) = judged(&spec, &rules);
    assert_eq!((code, &told["summary"]["cases"]), (Some(0), &json!(5)), "{told:#}");
}

#[test]
fn what_cannot_be_judged_has_to_be_expected() {
    let policy = format!("{{{POLICY}, spec: {{podSelector: {{}}, tomorrow: 1}}}}");
    let spec = format!(
        "  cases:
    - {{name: told, object: {policy}, expect: {{verdict: cannot_judge, allowed: true}}}}
    - {{name: untold, object: {policy}, expect: {{allowed: true, findings: []}}}}
"
    );
    let (code, told) = judged(&spec, &format!("{RULES}  extends: builtin\n  onCannotJudge: Allow\n"));
    assert_eq!(code, Some(1));
    assert_eq!((&told["cases"][0]["passed"], &told["cases"][1]["passed"]), (&json!(true), &json!(false)), "{told:#}");
    assert_eq!(told["cases"][1]["failures"], json!(["got cannot_judge, which has to be expected by name"]));
    assert!(told["cases"][1]["cannotJudge"][0]["reason"].as_str().expect("text").contains("tomorrow"), "{told:#}");
}

/// All of it is wanted in what is told of these files, and nothing on stdout.
fn refused(dir: &Path, files: &[&str], wanted: &[&str]) -> String {
    let (code, out, err) = test(dir, files);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    for wanted in wanted {
        assert!(err.contains(wanted), "{wanted}\n{err}");
    }
    err
}

#[test]
fn every_mistake_in_the_cases_is_told_with_its_place_and_nothing_is_tried() {
    let cases = format!(
        "{HEAD}  ruleSet: rulez.yaml
  nov: 1
  given: [nowhere]
  cases:
    - name: a
      object: {{{POLICY}, spec: {{podSelector: {{}}}}}}
      expect: {{findings: [{{rule: egress-privat-cidr}}]}}
"
    );
    let fine = format!("{HEAD}  cases: [{{name: a, object: one.yaml, expect: {{allowed: true}}}}]\n");
    let rules = format!("{RULES}  extends: builtin\n  zzz: 1\n");
    let dir = folder(&[
        ("cases.yaml", &cases),
        ("fine.yaml", &fine),
        ("one.yaml", NAMESPACE),
        ("empty.yaml", "# nothing\n"),
        ("rules.yaml", &rules),
        ("syntax.yaml", "a: [\n"),
    ]);
    assert_eq!(test(dir.path(), &["fine.yaml"]).0, Some(0));
    let files = ["fine.yaml", "cases.yaml", "empty.yaml", "rules.yaml", "one.yaml", "syntax.yaml", "nowhere.yaml"];
    let wanted = [
        "cases.yaml:4:3: error: the rule set rulez.yaml cannot be used:\n",
        "cases.yaml:5:3: error: unknown field `nov`; did you mean `now`?\n  |\n5 |   nov: 1\n  |   ^^^\n",
        "cases.yaml:6:11: error: nowhere cannot be read: ",
        "cases.yaml:10:28: error: there is no rule `egress-privat-cidr`; did you mean `egress-private-cidr`?\n",
        "empty.yaml: error: holds no cases: no document of kind RuleSetTest\n",
        "rules.yaml:2:1: error: `kind` must be RuleSetTest, not `RuleSet`",
        "one.yaml:2:1: error: this is a `Namespace` of `v1`, no RuleSetTest\n",
        "syntax.yaml:1:4: error: not valid YAML or JSON: ",
        "nowhere.yaml: error: cannot be read: ",
    ];
    let err = refused(dir.path(), &files, &wanted);
    // Of a rule set nothing more is said than that it is one.
    assert_eq!(err.matches("\nrules.yaml:").count(), 1, "{err}");
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n";

#[test]
fn every_mistake_in_the_manifests_is_told_with_its_place() {
    let cases = format!(
        "{HEAD}  cases:
    - {{name: missing, object: nowhere.yaml, expect: {{allowed: true}}}}
    - {{name: several, object: two.yaml, expect: {{allowed: true}}}}
    - {{name: pod, object: {{apiVersion: v1, kind: Pod, metadata: {{name: x}}}}, expect: {{allowed: true}}}}
    - name: refused
      object: {{{POLICY}, spec: {{podSelector: {{}}, policyTypes: [Both]}}}}
      expect: {{allowed: true}}
    - name: another
      operation: UPDATE
      oldObject: {{{POLICY}, spec: {{podSelector: {{}}}}}}
      object: {{apiVersion: v1, kind: Namespace, metadata: {{name: shop}}}}
      expect: {{allowed: true}}
    - name: two states
      given:
        - {{apiVersion: v1, kind: Namespace, metadata: {{name: x, labels: {{a: b}}}}}}
        - {{apiVersion: v1, kind: Namespace, metadata: {{name: x}}}}
      object: two.yaml
      expect: {{allowed: true}}
"
    );
    let dir = folder(&[("cases.yaml", &cases), ("two.yaml", &format!("{NAMESPACE}---\n{NAMESPACE}"))]);
    let wanted = [
        "cases.yaml:5:23: error: nowhere.yaml cannot be read: ",
        "cases.yaml:6:23: error: a request is about one object, not about 2\n",
        "cases.yaml:7:44: error: a request is about a NetworkPolicy or a Namespace, not a Pod\n",
        "cases.yaml:9:147: error: the API server refuses this object, so that no rule sees it: spec.policyTypes[0]: ",
        "cases.yaml:13:7: error: an UPDATE is of one object, not of NetworkPolicy shop/a to Namespace shop\n",
        "cases.yaml:19:11: Namespace x is already given otherwise at cases.yaml:18\n",
    ];
    refused(dir.path(), &["cases.yaml"], &wanted);
}

#[test]
fn a_file_that_names_no_rule_set_is_held_to_that_of_the_command_line() {
    let policy = format!("{{{POLICY}, spec: {{podSelector: {{}}, egress: [{{}}], ingress: [{{}}]}}}}");
    let cases = format!("{HEAD}  cases: [{{name: a, object: {policy}, expect: {{verdict: denied}}}}]\n");
    let none = format!("{RULES}  rules: []\n");
    let dir = folder(&[("cases.yaml", &cases), ("none.yaml", &none), ("broken.yaml", &format!("{none}  zzz: 1\n"))]);
    assert_eq!(test(dir.path(), &["cases.yaml"]).0, Some(0));
    let (code, out, _) = test(dir.path(), &["--config", "none.yaml", "cases.yaml"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("cases.yaml:4: FAILED: a\n  expected verdict denied, got allowed\n"), "{out}");
    let (code, out, err) = test(dir.path(), &["--config", "broken.yaml", "cases.yaml", "cases.yaml"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_eq!(
        err.matches("error: the rule set broken.yaml cannot be used:\nbroken.yaml:5:3: error: ").count(),
        1,
        "{err}"
    );
}
