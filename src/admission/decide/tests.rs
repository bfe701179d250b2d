use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::finding::Evidence;

fn finding(level: Level, rule: &'static str, message: &str) -> Finding {
    Finding {
        rule,
        level,
        object: object(),
        field: "spec.egress[0]".to_owned(),
        message: message.to_owned(),
        brief: message.to_owned(),
        help: "mend it".to_owned(),
        evidence: Evidence::default(),
        decided_by: "rules[0]".to_owned(),
        exempted: None,
    }
}

fn object() -> ObjectRef {
    ObjectRef {
        api_version: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        namespace: Some("shop".to_owned()),
        name: "x".to_owned(),
    }
}

fn rule_set() -> RuleSet {
    RuleSet::builtin([])
}

fn answer(report: &Report, rule_set: &RuleSet) -> (Value, Decision) {
    let object = object();
    let about =
        Circumstances { uid: "u-1", object: Some(&object), inventory_age: Duration::from_millis(1_500), config: "abc" };
    let (review, decision) = decide(report, rule_set, about);
    (serde_json::to_value(review).expect("JSON"), decision)
}

fn of(findings: Vec<Finding>) -> Report {
    Report { findings, ..Report::default() }
}

#[test]
fn an_admission_is_short() {
    let (answer, decision) = answer(&Report::default(), &rule_set());
    let expected = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": "u-1", "allowed": true, "status": {}, "auditAnnotations": {
            "decision": "allowed", "rules": "", "inventory-age-ms": "1500", "config": "abc"}},
    });
    assert_eq!((answer, decision), (expected, Decision::Allowed));
}

#[test]
fn what_a_request_opens_is_told_and_counts_for_nothing() {
    let changes = vec!["opens egress from all pods of shop to any address: all ports".to_owned(), "second".to_owned()];
    let opens = |findings| Report { changes: changes.clone(), ..of(findings) };
    let (admitted, decision) = answer(&opens(Vec::new()), &rule_set());
    assert_eq!((&admitted["response"]["warnings"], decision), (&json!(changes), Decision::Allowed));
    assert_eq!(admitted["response"]["auditAnnotations"]["decision"], "allowed");

    let (warned, decision) = answer(&opens(vec![finding(Level::Warn, "b-rule", "is odd")]), &rule_set());
    let told = [&["[b-rule] spec.egress[0]: is odd".to_owned()], &changes[..]].concat();
    assert_eq!((&warned["response"]["warnings"], decision), (&json!(told), Decision::Warned));

    let (denied, decision) = answer(&opens(vec![finding(Level::Deny, "a-rule", "is wrong")]), &rule_set());
    assert_eq!((&denied["response"]["warnings"], decision), (&json!(changes), Decision::Denied));
}

#[test]
fn a_denial_names_rule_field_and_repair() {
    let report = of(vec![finding(Level::Deny, "a-rule", "is wrong"), finding(Level::Warn, "b-rule", "is odd")]);
    let (answer, decision) = answer(&report, &rule_set());
    let response = &answer["response"];
    assert_eq!(decision, Decision::Denied);
    assert_eq!(response["allowed"], json!(false));
    assert_eq!(response["status"]["code"], json!(403));
    assert_eq!(response["status"]["reason"], json!("Forbidden"));
    assert_eq!(response["status"]["message"], json!("[a-rule] spec.egress[0]: is wrong; mend it"));
    let cause = json!({"reason": "a-rule", "message": "is wrong; mend it", "field": "spec.egress[0]"});
    let details = json!({"name": "x", "group": "networking.k8s.io", "kind": "NetworkPolicy", "causes": [cause]});
    assert_eq!(response["status"]["details"], details);
    assert_eq!(response["warnings"], json!(["[b-rule] spec.egress[0]: is odd"]));
    assert_eq!(response["auditAnnotations"]["rules"], json!("a-rule,b-rule"));
}

#[test]
fn at_most_twenty_findings_are_told_and_then_how_many_more() {
    let (answer, _) = answer(&of(vec![finding(Level::Deny, "a-rule", "is wrong"); 23]), &rule_set());
    let message = answer["response"]["status"]["message"].as_str().expect("a message").to_owned();
    assert_eq!(message.lines().count(), 21);
    assert_eq!(message.lines().last(), Some("and 3 more"));
}

#[test]
fn the_last_line_says_whom_to_ask() {
    let rule_set = RuleSet {
        contact: Some("#network".to_owned()),
        docs_url: Some("https://wiki.example.com/{rule}".to_owned()),
        ..rule_set()
    };
    let (answer, _) = answer(&of(vec![finding(Level::Deny, "a-rule", "is wrong")]), &rule_set);
    let message = answer["response"]["status"]["message"].as_str().expect("a message").to_owned();
    assert_eq!(message.lines().last(), Some("contact: #network; see https://wiki.example.com/a-rule"));
}

#[test]
fn what_cannot_be_judged_is_denied_or_allowed_as_configured_and_always_said() {
    let report = Report::unjudged(None, None, "spec.x: unknown field");
    let (denied, decision) = answer(&report, &rule_set());
    assert_eq!(decision, Decision::CannotJudge);
    assert_eq!(denied["response"]["allowed"], json!(false));
    assert_eq!(denied["response"]["status"]["message"], json!("cannot judge: spec.x: unknown field"));
    assert_eq!(denied["response"]["status"]["details"]["causes"][0]["reason"], json!("CannotJudge"));
    let lenient = RuleSet { on_cannot_judge: OnCannotJudge::Allow, ..rule_set() };
    let (allowed, decision) = answer(&report, &lenient);
    assert_eq!(decision, Decision::CannotJudge);
    assert_eq!(allowed["response"]["allowed"], json!(true));
    for answer in [denied, allowed] {
        assert_eq!(answer["response"]["warnings"], json!(["cannot judge: spec.x: unknown field"]));
        assert_eq!(answer["response"]["auditAnnotations"]["decision"], json!("cannot_judge"));
    }
}

#[test]
fn warnings_that_do_not_fit_are_counted() {
    let (answer, decision) = answer(&of(vec![finding(Level::Warn, "a-rule", &"word ".repeat(60)); 100]), &rule_set());
    assert_eq!(decision, Decision::Warned);
    let warnings = answer["response"]["warnings"].as_array().expect("warnings").clone();
    let last = warnings.last().and_then(Value::as_str).expect("one");
    assert_eq!(last, format!("and {} more warnings were left out", 100 - (warnings.len() - 1)));
    assert!(warnings.iter().all(|warning| warning.as_str().is_some_and(|text| text.chars().count() <= WARNING)));
    let total: usize = warnings.iter().filter_map(Value::as_str).map(|text| text.chars().count()).sum();
    assert!(total <= ALL_WARNINGS, "{total}");
}

#[test]
fn audit_findings_are_for_the_record_only() {
    let (answer, decision) = answer(&of(vec![finding(Level::Audit, "a-rule", "is odd")]), &rule_set());
    assert_eq!(decision, Decision::Allowed);
    assert_eq!(answer["response"]["warnings"], Value::Null);
    assert_eq!(answer["response"]["auditAnnotations"]["rules"], json!("a-rule"));
}

proptest! {
    #[test]
    fn a_line_is_one_line_within_its_limit(text in any::<String>(), limit in 20usize..300) {
        let line = clean(&text, limit);
        prop_assert!(line.chars().count() <= limit);
        prop_assert!(!line.chars().any(char::is_control));
    }

    #[test]
    fn what_fits_is_left_as_it_is(text in "[a-z ]{0,100}") {
        prop_assert_eq!(clean(&text, 100), text);
    }
}
