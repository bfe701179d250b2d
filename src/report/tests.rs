use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::text::excerpt;
use super::*;
use crate::finding::{Evidence, Exempted, ObjectRef};

fn object(name: &str) -> ObjectRef {
    let namespace = Some("production".to_owned());
    ObjectRef { api_version: "networking.k8s.io/v1", kind: "NetworkPolicy", namespace, name: name.to_owned() }
}

fn at(line: usize, column: usize) -> Location {
    Location { file: "x.yaml".into(), line: Some(line), column: Some(column) }
}

fn finding(level: Level, location: Location) -> Placed<Finding> {
    let finding = Finding {
        rule: "egress-private-cidr",
        level,
        object: object("x"),
        field: "spec.egress[0].to[0].ipBlock".to_owned(),
        message: "reaches private addresses 192.168.0.0/16 on TCP/443".to_owned(),
        brief: String::new(),
        help: "narrow its `cidr`".to_owned(),
        evidence: Evidence { cidrs: vec!["192.168.0.0/16".parse().unwrap()], ..Evidence::default() },
        decided_by: "rules[1]".to_owned(),
        exempted: None,
    };
    Placed::new(finding, location)
}

fn report() -> CheckReport {
    let mut exempted = finding(Level::Deny, at(1, 1));
    exempted.what.exempted = Some(Exempted { by: "exemptions[0]".to_owned(), reason: "OPS-1".to_owned() });
    exempted.what.decided_by = String::new();
    let file = Location { file: "y.yaml".into(), line: None, column: None };
    let unjudged = Unjudged { rule: None, object: None, reason: "cannot\u{1b}[31m be read".to_owned() };
    let mut report = CheckReport {
        objects: 3,
        findings: vec![finding(Level::Deny, at(12, 9)), exempted],
        cannot_judge: vec![Placed::new(unjudged, file)],
    };
    report.sort();
    report
}

fn texts() -> BTreeMap<Arc<str>, Arc<str>> {
    let text = format!("first\n{}        - ipBlock: {{cidr: 192.168.0.0/15}}\r\n", "\n".repeat(10));
    BTreeMap::from([("x.yaml".into(), text.into())])
}

#[test]
fn text_reads_like_a_compilers() {
    let mut report = report();
    report.quote(&texts());
    let expected = "\
exempted[egress-private-cidr]: reaches private addresses 192.168.0.0/16 on TCP/443
 --> x.yaml:1:1  NetworkPolicy production/x  spec.egress[0].to[0].ipBlock
  |
1 | first
  = help: narrow its `cidr`
  = exempted by exemptions[0]: OPS-1

deny[egress-private-cidr]: reaches private addresses 192.168.0.0/16 on TCP/443
  --> x.yaml:12:9  NetworkPolicy production/x  spec.egress[0].to[0].ipBlock
   |
12 |         - ipBlock: {cidr: 192.168.0.0/15}
   = help: narrow its `cidr`
   = decided by rules[1]

cannot judge: cannot\u{fffd}[31m be read
 --> y.yaml

3 objects: 1 deny, 0 warn, 0 audit, 1 exempted, 1 not judged
";
    assert_eq!(text::render(&report, false), expected);
    let coloured = text::render(&report, true);
    assert!(coloured.contains("\u{1b}[1;31mdeny[egress-private-cidr]\u{1b}[0m"), "{coloured}");
    assert!(!coloured.contains("cannot\u{1b}"), "{coloured}");
}

#[test]
fn nothing_found_is_one_line() {
    let report = CheckReport { objects: 1, ..CheckReport::default() };
    assert_eq!(text::render(&report, true), "1 object: 0 deny, 0 warn, 0 audit, 0 exempted, 0 not judged\n");
}

#[test]
fn json_has_the_fields_of_the_contract() {
    let report = report();
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": "production", "name": "x",
    });
    let deny = json!({
        "rule": "egress-private-cidr", "level": "deny", "object": object, "field": "spec.egress[0].to[0].ipBlock",
        "message": "reaches private addresses 192.168.0.0/16 on TCP/443", "help": "narrow its `cidr`",
        "evidence": {"cidrs": ["192.168.0.0/16"]}, "location": {"file": "x.yaml", "line": 12, "column": 9},
        "decidedBy": "rules[1]", "exempted": null,
    });
    let mut exempted = deny.clone();
    exempted["location"] = json!({"file": "x.yaml", "line": 1, "column": 1});
    exempted["decidedBy"] = Value::Null;
    exempted["exempted"] = json!({"by": "exemptions[0]", "reason": "OPS-1"});
    let unjudged = json!({
        "rule": null, "object": null, "reason": "cannot\u{1b}[31m be read", "location": {"file": "y.yaml"},
    });
    let summary = json!({"objects": 3, "deny": 1, "warn": 0, "audit": 0, "exempted": 1, "cannotJudge": 1});
    let whole: Value = serde_json::from_str(&json::render(&report).unwrap()).unwrap();
    let expected =
        json!({"version": "v1", "findings": [exempted, deny], "cannotJudge": [unjudged], "summary": summary});
    assert_eq!(whole, expected);

    let lines = json::render_lines(&report).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let typed = |kind: &str, value: &Value| {
        let mut value = value.clone();
        value["type"] = kind.into();
        value
    };
    let expected = [
        typed("finding", &exempted),
        typed("finding", &deny),
        typed("cannotJudge", &unjudged),
        typed("summary", &summary),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn only_what_stands_at_the_level_fails() {
    let mut report = CheckReport { findings: vec![finding(Level::Warn, at(1, 1))], ..CheckReport::default() };
    assert!(report.fails_at(Level::Warn) && report.fails_at(Level::Audit) && !report.fails_at(Level::Deny));
    report.findings[0].what.exempted = Some(Exempted { by: String::new(), reason: String::new() });
    assert!(!report.fails_at(Level::Audit));
}

#[test]
fn an_excerpt_fits_a_line_and_shows_what_is_pointed_at() {
    assert_eq!(excerpt("a\tb\u{1b}[31m\u{202e}c  ", 1), "a b\u{fffd}[31m\u{fffd}c");
    let long: String = (0..40).map(|n| format!("{n:<9}|")).collect();
    assert_eq!(excerpt(&long, 1).chars().count(), SHOWN_WITH_MARK);
    assert!(excerpt(&long, 1).starts_with("0 ") && excerpt(&long, 1).ends_with('…'));
    let middle = excerpt(&long, 201);
    assert!(middle.starts_with('…') && middle.ends_with('…') && middle.contains("20       |"), "{middle}");
    assert!(excerpt(&long, 400).contains("39       |"));
}

/// What is shown of a line, and the mark of what is not.
const SHOWN_WITH_MARK: usize = 121;
