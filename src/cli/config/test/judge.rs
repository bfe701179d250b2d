//! One case judged as the webhook judges it, and held against what is expected.

use std::time::Duration;

use jiff::Timestamp;

use super::gather::Ready;
use crate::admission::decide::{Circumstances, Decision, decide};
use crate::admission::review::{Task, envelope};
use crate::config::cases::{Expect, Expected};
use crate::engine::{Origin, evaluate};
use crate::finding::{Finding, Report};
use crate::object::Subject;

/// What the webhook would answer, and how that differs from what is expected.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    pub(super) allowed: bool,
    pub(super) report: Report,
    /// Whether each finding of the report is expected.
    pub(super) expected: Vec<bool>,
    /// What is not as expected, one line each; none is a pass. Findings that are not expected are not among them.
    pub(super) failures: Vec<String>,
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.failures.is_empty() && self.expected.iter().all(|expected| *expected)
    }
}

/// Judges a case; `now` is for those that give no time.
pub(super) fn judge(ready: &Ready, now: Timestamp) -> Result<Outcome, String> {
    let Ready { case, bound, inventory, .. } = ready;
    let request = envelope(&ready.body).map_err(|error| error.to_string())?;
    let origin = if case.labels { Origin::Labels } else { Origin::Request };
    let evaluate = |subject: &Subject, origin| evaluate(subject, inventory, bound, case.now.unwrap_or(now), origin);
    let report = match request.task() {
        Task::Judge(subject) => evaluate(&subject, origin),
        Task::JudgeMetadata(subject) => evaluate(&subject, origin.of_metadata()),
        Task::Admit(_) => Report::default(),
        Task::CannotJudge { object, reason } => request.unread(object.as_ref(), &reason, bound, origin),
    };
    let about = Circumstances { uid: &request.uid, object: None, inventory_age: Duration::ZERO, config: &bound.hash };
    let (review, decision) = decide(&report, &bound.rule_set, about);
    let allowed = review.response.is_some_and(|response| response.allowed);
    Ok(compare(&case.expect, decision, allowed, report))
}

/// What could not be judged fails a case that does not expect it: the rest of the answer is worth nothing then.
fn compare(expect: &Expect, decision: Decision, allowed: bool, report: Report) -> Outcome {
    let mut failures = Vec::new();
    let (got, unjudged) = (decision.as_str(), Decision::CannotJudge.as_str());
    match expect.verdict {
        Some(verdict) if verdict != got => failures.push(format!("expected verdict {verdict}, got {got}")),
        None if got == unjudged => failures.push(format!("got {got}, which has to be expected by name")),
        _ => {}
    }
    if let Some(expected) = expect.allowed.filter(|expected| *expected != allowed) {
        let told = |allowed| if allowed { "to pass" } else { "to be refused" };
        failures.push(format!("expected {}, got {got}", told(expected)));
    }
    let mut expected = vec![true; report.findings.len()];
    if let Some(items) = &expect.findings {
        for (finding, expected) in report.findings.iter().zip(&mut expected) {
            *expected = items.iter().any(|item| meant(item, finding));
        }
        let missing = items.iter().filter(|item| !report.findings.iter().any(|finding| meant(item, finding)));
        failures.extend(missing.map(|item| format!("expected, not found: {}", told(item))));
    }
    Outcome { decision, allowed, report, expected, failures }
}

fn meant(item: &Expected, finding: &Finding) -> bool {
    item.rule == finding.rule
        && item.level.is_none_or(|level| level == finding.level)
        && item.field.as_ref().is_none_or(|field| *field == finding.field)
        && item.exempted.is_none_or(|exempted| exempted == finding.exempted.is_some())
}

/// As much of an expected finding as is written.
fn told(item: &Expected) -> String {
    let mut text = item.level.map(|level| format!("{level} ")).unwrap_or_default();
    text += &format!("[{}]", item.rule);
    if let Some(field) = &item.field {
        text += &format!(" {field}");
    }
    text + match item.exempted {
        Some(true) => ", exempted",
        Some(false) => ", not exempted",
        None => "",
    }
}
