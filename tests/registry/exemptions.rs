//! Exemptions, for every rule: what lets a finding pass, and what only looks like it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cases::{Case, Suite, config_test, portcullis, write};

/// What becomes of a denial.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Exempted,
    Denied,
    /// The rule does not look.
    Nothing,
}

/// A rule set that differs from the suite's, and what it makes of a case that is denied by that. Without an exemption,
/// the entries' own match is meant.
type Variant = (&'static str, fn(&Suite, &Case) -> Value, Then);

const VARIANTS: [Variant; 17] = [
    ("its rule", |suite, _| json!({"rules": [suite.meta.name]}), Then::Exempted),
    (
        "its rule among others",
        |suite, _| json!({"rules": ["wide-port-range", "allow-all-egress", suite.meta.name]}),
        Then::Exempted,
    ),
    (
        "its namespace and its name",
        |suite, case| {
            let name = &case.about()["metadata"]["name"];
            json!({"rules": [suite.meta.name], "match": {"namespaces": [case.namespace()], "names": [name]}})
        },
        Then::Exempted,
    ),
    (
        "patterns",
        |suite, _| json!({"rules": [suite.meta.name], "match": {"namespaces": ["*"], "names": ["?*"]}}),
        Then::Exempted,
    ),
    (
        "its operation",
        |suite, case| json!({"rules": [suite.meta.name], "match": {"operations": [case.operation()]}}),
        Then::Exempted,
    ),
    (
        "its requester",
        |suite, _| json!({"rules": [suite.meta.name], "subjects": {"groups": ["system:authenticated"]}}),
        Then::Exempted,
    ),
    (
        "labels of its namespace",
        |suite, case| json!({"rules": [suite.meta.name], "match": {"namespaceSelector": named("In", case)}}),
        Then::Exempted,
    ),
    (
        "labels of other namespaces",
        |suite, case| json!({"rules": [suite.meta.name], "match": {"namespaceSelector": named("NotIn", case)}}),
        Then::Denied,
    ),
    (
        "other operations",
        |suite, case| {
            let others = ["CREATE", "UPDATE", "DELETE"].into_iter().filter(|other| *other != case.operation());
            json!({"rules": [suite.meta.name], "match": {"operations": others.collect::<Vec<_>>()}})
        },
        Then::Denied,
    ),
    ("another name", |suite, _| json!({"rules": [suite.meta.name], "match": {"names": ["elsewhere-*"]}}), Then::Denied),
    ("a day to come", |suite, _| json!({"rules": [suite.meta.name], "expires": "2999-12-31"}), Then::Exempted),
    (
        "another rule",
        |suite, _| {
            let other = if suite.meta.name == "split-peer" { "split-rule" } else { "split-peer" };
            json!({"rules": [other]})
        },
        Then::Denied,
    ),
    (
        "another namespace",
        |suite, _| json!({"rules": [suite.meta.name], "match": {"namespaces": ["elsewhere"]}}),
        Then::Denied,
    ),
    (
        "a namespace that is excluded again",
        |suite, case| json!({"rules": [suite.meta.name], "match": {"namespaces": ["*"], "excludeNamespaces": [case.namespace()]}}),
        Then::Denied,
    ),
    (
        "another requester",
        |suite, _| json!({"rules": [suite.meta.name], "subjects": {"users": ["nobody"]}}),
        Then::Denied,
    ),
    ("a day gone by", |suite, _| json!({"rules": [suite.meta.name], "expires": "2020-01-31"}), Then::Denied),
    ("excludeNamespaces", |_, _| Value::Null, Then::Nothing),
];

/// Namespaces by the label that each of them has.
fn named(operator: &str, case: &Case) -> Value {
    let requirement = json!({"key": "kubernetes.io/metadata.name", "operator": operator, "values": [case.namespace()]});
    json!({"matchExpressions": [requirement]})
}

/// The rule set of a suite with an exemption, or with a namespace left out.
fn rule_set(suite: &Suite, case: &Case, mut exemption: Value) -> Value {
    let mut rules = suite.rules.clone();
    if exemption.is_null() {
        for entry in rules["spec"]["rules"].as_array_mut().expect("rules") {
            let mut excluded = entry["match"]["excludeNamespaces"].as_array().cloned().unwrap_or_default();
            excluded.push(json!(case.namespace()));
            entry["match"]["excludeNamespaces"] = excluded.into();
        }
    } else {
        exemption["reason"] = json!("TICKET-1, until it is mended");
        rules["spec"]["exemptions"] = json!([exemption]);
    }
    rules
}

fn right(told: &Value, then: Then) -> bool {
    let findings = told["findings"].as_array().expect("findings");
    let exempted = |finding: &Value| {
        finding["exempted"] == json!({"by": "exemptions[0]", "reason": "TICKET-1, until it is mended"})
    };
    match then {
        Then::Exempted => told["verdict"] == "exempted" && told["allowed"] == true && findings.iter().all(exempted),
        Then::Denied => told["verdict"] == "denied" && findings.iter().all(|finding| finding["exempted"].is_null()),
        Then::Nothing => told["verdict"] == "allowed" && findings.is_empty(),
    }
}

#[test]
fn exemptions_hold_for_every_rule_and_only_where_they_are_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut files, mut thens): (Vec<PathBuf>, Vec<Then>) = Default::default();
    for suite in Suite::all() {
        for (how, exemption, then) in VARIANTS {
            // Cases of one rule set go into one file.
            let mut by_rules: BTreeMap<String, Vec<Case>> = BTreeMap::new();
            for case in suite.cases.iter().filter(|case| case.verdict() == "denied") {
                let rules = rule_set(&suite, case, exemption(&suite, case)).to_string();
                let name = format!("{}: {}: {how}", suite.meta.name, case.name());
                by_rules.entry(rules).or_default().push(case.derived(&name, &[]));
            }
            for (rules, cases) in by_rules {
                let [rules_file, file] =
                    ["rules", "cases"].map(|what| folder.path().join(format!("{}-{what}.json", files.len())));
                fs::write(&rules_file, rules).expect("written");
                thens.extend(cases.iter().map(|_| then));
                write(&file, &suite.with(rules_file.to_str().expect("text"), cases));
                files.push(file);
            }
        }
    }
    let (_, told) = config_test(&files);
    assert_eq!(told.len(), thens.len());
    assert!(told.len() > 2_000, "{}", told.len());
    let wrong = thens.iter().zip(&told).filter(|(then, told)| !right(told, **then));
    let wrong: Vec<String> = wrong.map(|(then, told)| format!("not {then:?}: {told}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Whoever is denied because an exemption has gone by is told so.
    let gone_by =
        told.iter().filter(|told| told["name"].as_str().is_some_and(|name| name.ends_with(": a day gone by")));
    for told in gone_by {
        assert!(told["notes"][0].as_str().is_some_and(|note| note.contains("2020-01-31")), "{told}");
    }
}

#[test]
fn exemptions_hold_in_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tried = 0;
    for suite in Suite::all() {
        let denied =
            |case: &&Case| case.operation() == "CREATE" && case.verdict() == "denied" && case.path() == "/validate";
        let Some(case) = suite.cases.iter().find(denied) else { continue };
        let [object, given, rules] = ["object.json", "given.json", "rules.json"].map(|file| folder.path().join(file));
        write(&object, &case.0["object"]);
        write(&given, &json!({"apiVersion": "v1", "kind": "List", "items": suite.given(case)}));
        let texts = [&object, &given, &rules].map(|path| path.to_str().expect("text"));
        let check = |exemption: Value| {
            write(&rules, &rule_set(&suite, case, exemption));
            let output = portcullis(&["check", texts[0], "--inventory", texts[1], "--config", texts[2], "-o", "json"]);
            serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["summary"].take()
        };
        let summary = check(json!({"rules": [suite.meta.name]}));
        let found = summary["exempted"].as_u64().expect("a number");
        assert_eq!((&summary["deny"], &summary["warn"]), (&json!(0), &json!(0)), "{}", suite.meta.name);
        // Manifests are nobody's, so an exemption of somebody is none.
        let theirs = check(json!({"rules": [suite.meta.name], "subjects": {"groups": ["system:authenticated"]}}));
        assert_eq!(theirs["exempted"], 0, "{}: {theirs}", suite.meta.name);
        tried += found.min(1);
    }
    assert!(tried > 20, "{tried}");
}
