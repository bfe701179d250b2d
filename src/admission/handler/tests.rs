use axum::http::HeaderValue;
use rstest::rstest;

use super::*;
use crate::finding::{Confirm, Evidence, Finding};
use crate::object::Change;
use crate::object::{Operation, Requester};

#[rstest]
#[case::untold(None, 4_000)]
#[case::the_api_servers_default(Some("10s"), 9_000)]
#[case::the_longest(Some("30s"), 29_000)]
#[case::the_shortest(Some("1s"), 300)]
#[case::between(Some("1.3s"), 300)]
#[case::just_above(Some("1301ms"), 301)]
#[case::below_a_second(Some("500ms"), 300)]
#[case::zero(Some("0s"), 300)]
#[case::as_go_writes_minutes(Some("1m0s"), 59_000)]
#[case::empty(Some(""), 4_000)]
#[case::no_unit(Some("10"), 4_000)]
#[case::garbage(Some("soon"), 4_000)]
#[case::negative(Some("-5s"), 4_000)]
fn the_budget_is_a_second_less_than_the_deadline(#[case] timeout: Option<&str>, #[case] millis: u64) {
    let query = timeout.map(|timeout| format!("dryRun&timeout={timeout}&timeout=29s"));
    assert_eq!(budget(query.as_deref()), Duration::from_millis(millis));
}

#[rstest]
#[case::plain(b"application/json", true)]
#[case::charset(b"application/json; charset=utf-8", true)]
#[case::tight(b"application/json;charset=utf-8", true)]
#[case::capitals(b"Application/JSON", true)]
#[case::blanks(b" application/json ;", true)]
#[case::empty(b"", false)]
#[case::text(b"text/plain", false)]
#[case::longer(b"application/json-patch+json", false)]
#[case::second(b"text/plain; application/json", false)]
#[case::not_ascii(b"application/json; charset=\xff", false)]
fn json_is_told_by_its_essence(#[case] value: &[u8], #[case] json: bool) {
    let value = HeaderValue::from_bytes(value).expect("a value");
    assert_eq!(is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)])), json);
}

#[test]
fn no_content_type_is_not_json() {
    assert!(!is_json(&HeaderMap::new()));
}

fn subject() -> Subject {
    Subject {
        operation: Operation::Create,
        requester: Requester::default(),
        change: Change::NetworkPolicy { old: None, new: None },
        name: "web".to_owned(),
        namespace: "shop".to_owned(),
    }
}

fn finding(rule: &'static str) -> Finding {
    Finding {
        rule,
        level: Level::Deny,
        object: subject().object_ref(),
        field: "spec".to_owned(),
        brief: String::new(),
        message: "is wrong".to_owned(),
        help: "mend it".to_owned(),
        evidence: Evidence::default(),
        decided_by: "rules[0]".to_owned(),
        exempted: None,
    }
}

fn unjudged(rule: &'static str, reason: &str) -> Unjudged {
    Unjudged { rule: Some(rule), object: Some(subject().object_ref()), reason: reason.to_owned() }
}

#[test]
fn what_rests_on_the_live_state_is_taken_back_and_the_rest_stands() {
    let mut report = Report {
        findings: vec![finding("leans"), finding("stands"), finding("leans")],
        cannot_judge: vec![unjudged("old", "too old"), unjudged("broken", "internal error")],
        // A rule with two entries may be named twice.
        confirm: Some(Confirm { namespace: "shop".to_owned(), rules: vec!["leans", "leans", "old"] }),
        ..Report::default()
    };
    unconfirmed(&mut report, &subject(), "no answer");
    let expected = Report {
        findings: vec![finding("stands")],
        cannot_judge: vec![
            unjudged("broken", "internal error"),
            unjudged("leans", "no answer"),
            unjudged("old", "no answer"),
        ],
        ..Report::default()
    };
    assert_eq!(report, expected);
}

#[test]
fn a_report_that_needs_no_confirmation_stays_as_it_is() {
    let report = Report { findings: vec![finding("stands")], ..Report::default() };
    let mut after = report.clone();
    unconfirmed(&mut after, &subject(), "no answer");
    assert_eq!(after, report);
}
