//! A body from anybody, all the way to the answer: envelope, objects, rules, response.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use portcullis::admission::decide::{Circumstances, decide};
use portcullis::admission::review::{Request, Task, envelope};
use portcullis::engine::{Bound, Origin, builtin, evaluate};
use portcullis::finding::{Finding, Report, Verdict};
use portcullis::inventory::Inventory;
use portcullis::netpol::ip_set::IpSet;
use portcullis::netpol::policy::{Direction, PolicyRule};
use portcullis::object::{Change, Subject};
use portcullis::rules::RULES;

static BOUND: LazyLock<Bound> = LazyLock::new(|| match builtin(RULES) {
    Ok(bound) => bound,
    Err(errors) => panic!("the built-in rule set does not bind: {errors:?}"),
});

fuzz_target!(|data: &[u8]| -> Corpus {
    // What has no uid has no answer: nothing to learn from, so the corpus does without it.
    let Ok(request) = envelope(data) else { return Corpus::Reject };
    assert!(!request.uid.is_empty(), "an answer needs a uid");
    let task = request.task();
    let (subject, report) = match &task {
        Task::Judge(subject) | Task::JudgeMetadata(subject) => (Some(subject), judged(subject)),
        Task::Admit(subject) => (subject.as_ref(), Report::default()),
        Task::CannotJudge { reason, .. } => (None, Report::unjudged(None, None, reason)),
    };
    answered(&request, subject, &report);
    Corpus::Keep
});

/// The report on it, by the built-in rules and with nothing known of the cluster.
fn judged(subject: &Subject) -> Report {
    let report = evaluate(subject, &Inventory::default(), &BOUND, Timestamp::UNIX_EPOCH, Origin::Request);
    let again = evaluate(subject, &Inventory::default(), &BOUND, Timestamp::UNIX_EPOCH, Origin::Request);
    assert_eq!(
        (&report.findings, &report.cannot_judge, &report.confirm),
        (&again.findings, &again.cannot_judge, &again.confirm),
        "a verdict can be replayed"
    );
    for finding in &report.findings {
        one_line(&finding.message);
        one_line(&finding.help);
        assert_eq!(finding.object, subject.object_ref());
        evidence_lies_in_its_field(finding, subject);
    }
    report
}

/// The evidence is minimal and sorted, and no address of it is outside of what the field allows.
fn evidence_lies_in_its_field(finding: &Finding, subject: &Subject) {
    if finding.evidence.cidrs.is_empty() {
        return;
    }
    let evidence: IpSet = finding.evidence.cidrs.iter().copied().collect();
    assert_eq!(evidence.cidrs(), finding.evidence.cidrs, "not the minimal list");
    let Change::NetworkPolicy { new: Some(new), .. } = &subject.change else {
        panic!("addresses found in what is no new policy: {finding:?}");
    };
    let spec = &new.policy.spec;
    let allowed = Direction::ALL.into_iter().find_map(|direction| {
        spec.rules(direction).iter().enumerate().find_map(|(i, rule)| through(rule, direction, i, &finding.field))
    });
    assert!(allowed.is_some_and(|allowed| evidence.is_subset(&allowed)), "the field does not allow that: {finding:?}");
}

/// What the field allows, if it is this rule or a peer of it.
fn through(rule: &PolicyRule, direction: Direction, i: usize, field: &str) -> Option<IpSet> {
    let place = format!("spec.{}[{i}]", direction.field());
    if rule.peers.is_empty() && field == place {
        return Some(IpSet::all());
    }
    let named = |j: usize| format!("{place}.{}[{j}].ipBlock", direction.peers_field()) == field;
    rule.peers.iter().enumerate().find_map(|(j, peer)| if named(j) { peer.addresses() } else { None })
}

/// The answer keeps to the protocol and to the API server's limits.
fn answered(request: &Request<'_>, subject: Option<&Subject>, report: &Report) {
    let object = subject.map(Subject::object_ref);
    let about = Circumstances {
        uid: &request.uid,
        object: object.as_ref(),
        inventory_age: Duration::ZERO,
        config: &BOUND.hash,
    };
    let (review, _) = decide(report, &BOUND.rule_set, about);
    if let Err(error) = serde_json::to_vec(&review) {
        panic!("the answer cannot be written: {error}");
    }
    let Some(response) = review.response else { panic!("no response") };
    assert_eq!(response.uid, request.uid, "the uid is the caller's only way to match the answer");
    assert_eq!(response.allowed, report.verdict() == Verdict::Allow);
    if !response.allowed {
        assert_eq!(response.result.code, 403);
        assert!(!response.result.message.is_empty(), "a denial says why");
    }
    let warnings = response.warnings.unwrap_or_default();
    // The API server drops a warning with a control character, and cuts all of them where they are too long together.
    for warning in &warnings {
        one_line(warning);
        assert!(warning.chars().count() <= 256, "too long: {warning}");
    }
    assert!(warnings.iter().map(|warning| warning.chars().count()).sum::<usize>() <= 4_096, "too many: {warnings:?}");
}

fn one_line(text: &str) {
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "not one line: {text:?}");
}
