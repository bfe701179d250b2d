//! From a report to the response half of an AdmissionReview. Pure.
//!
//! The limits are those of the API server, see [`WARNING`] and [`ALL_WARNINGS`]. Source: API reference,
//! admission.k8s.io/v1 AdmissionResponse.

use std::time::Duration;

use kube::core::DynamicObject;
use kube::core::Status;
use kube::core::admission::{AdmissionResponse, AdmissionReview};
use kube::core::response::{StatusCause, StatusDetails, StatusSummary};

use crate::config::valid::{OnCannotJudge, RuleSet};
use crate::finding::{Finding, Level, ObjectRef, Report, Unjudged, Verdict};

/// Findings told in a denial's message.
const TOLD: usize = 20;
/// Causes attached to a denial.
const CAUSES: usize = 100;
/// Characters of one line of a denial.
const LINE: usize = 1_000;
/// Characters of a warning, where that can be said.
const WARNING: usize = 120;
/// Characters of all warnings together: past 4,096 the API server cuts each of them to 256 and drops the rest.
const ALL_WARNINGS: usize = 4_096;
/// Characters kept for the warning that says how many were left out.
const RESERVED: usize = 80;

/// What a request was answered with, for the log and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It passed without a word.
    Allowed,
    /// It passed by an exemption.
    Exempted,
    /// It passed with warnings.
    Warned,
    /// It was denied by a finding.
    Denied,
    /// It could not be judged, and was denied or allowed as configured.
    CannotJudge,
}

impl Decision {
    /// The name in metrics, annotations and the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Exempted => "exempted",
            Self::Warned => "warned",
            Self::Denied => "denied",
            Self::CannotJudge => "cannot_judge",
        }
    }
}

/// What goes into an answer beside the report.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The uid to repeat.
    pub uid: &'a str,
    /// The object, where it is known.
    pub object: Option<&'a ObjectRef>,
    /// Age of the inventory the verdict rests on.
    pub inventory_age: Duration,
    /// Hash of the rule set in force.
    pub config: &'a str,
}

/// The answer, and what it amounts to.
#[must_use]
pub fn decide(
    report: &Report,
    rule_set: &RuleSet,
    about: Circumstances<'_>,
) -> (AdmissionReview<DynamicObject>, Decision) {
    let verdict = report.verdict();
    let denied = match verdict {
        Verdict::Deny => true,
        Verdict::CannotJudge => rule_set.on_cannot_judge == OnCannotJudge::Deny,
        Verdict::Allow => false,
    };
    let warnings = warnings(report);
    // In this order where several apply.
    let decision = match verdict {
        _ if !report.cannot_judge.is_empty() => Decision::CannotJudge,
        Verdict::Deny => Decision::Denied,
        _ if report.findings.iter().any(|finding| finding.exempted.is_some()) => Decision::Exempted,
        // What a policy opens is told to whoever asks, and is nothing to be counted: most policies open something.
        _ if objections(report).next().is_none() => Decision::Allowed,
        _ => Decision::Warned,
    };
    // The only public way to build one; what it presumes is overwritten below.
    let mut response = AdmissionResponse::invalid("");
    about.uid.clone_into(&mut response.uid);
    response.allowed = !denied;
    response.result = if denied { denial(report, rule_set, about.object) } else { Status::default() };
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    response.audit_annotations = [
        ("decision", decision.as_str().to_owned()),
        ("rules", rules(report).join(",")),
        ("inventory-age-ms", about.inventory_age.as_millis().to_string()),
        ("config", about.config.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    (response.into_review(), decision)
}

/// The names of the rules that found something or could not judge.
#[must_use]
pub fn rules(report: &Report) -> Vec<&'static str> {
    let found = report.findings.iter().map(|finding| finding.rule);
    let mut names: Vec<&'static str> = found.chain(report.cannot_judge.iter().filter_map(|what| what.rule)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn denial(report: &Report, rule_set: &RuleSet, object: Option<&ObjectRef>) -> Status {
    let denying: Vec<&Finding> = report.findings.iter().filter(|finding| finding.counts_at(Level::Deny)).collect();
    let unjudged = report.cannot_judge.iter().map(|what| clean(&unjudged_line(what), LINE));
    let mut lines: Vec<String> = denying.iter().map(|finding| clean(&finding.line(), LINE)).chain(unjudged).collect();
    let more = lines.len().saturating_sub(TOLD);
    lines.truncate(TOLD);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.extend(whom_to_ask(report, rule_set));
    let causes = denying.iter().map(|finding| StatusCause {
        reason: finding.rule.to_owned(),
        message: clean(&format!("{}; {}", finding.message, finding.help), LINE),
        field: finding.field.clone(),
    });
    let unjudged = report.cannot_judge.iter().map(|what| StatusCause {
        reason: what.rule.unwrap_or("CannotJudge").to_owned(),
        message: clean(&what.reason, LINE),
        field: String::new(),
    });
    Status {
        status: Some(StatusSummary::Failure),
        code: 403,
        reason: "Forbidden".to_owned(),
        message: lines.join("\n"),
        metadata: None,
        details: Some(StatusDetails {
            name: object.map(|object| object.name.clone()).unwrap_or_default(),
            group: object
                .and_then(|object| object.api_version.split_once('/'))
                .map(|(group, _)| group)
                .unwrap_or_default()
                .to_owned(),
            kind: object.map(|object| object.kind.to_owned()).unwrap_or_default(),
            uid: String::new(),
            causes: causes.chain(unjudged).take(CAUSES).collect(),
            retry_after_seconds: 0,
        }),
    }
}

fn unjudged_line(what: &Unjudged) -> String {
    match what.rule {
        Some(rule) => format!("[{rule}] cannot judge: {}", what.reason),
        None => format!("cannot judge: {}", what.reason),
    }
}

/// The last line of a denial.
fn whom_to_ask(report: &Report, rule_set: &RuleSet) -> Option<String> {
    let docs = rule_set.docs_url.as_deref().map(|url| {
        let denying = report.findings.iter().filter(|finding| finding.counts_at(Level::Deny));
        let mut urls: Vec<String> = denying.map(|finding| url.replace("{rule}", finding.rule)).collect();
        urls.dedup();
        urls.join(" ")
    });
    let parts =
        [rule_set.contact.clone().map(|contact| format!("contact: {contact}")), docs.map(|docs| format!("see {docs}"))];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| clean(&parts.join("; "), LINE))
}

/// What there is to say against the request or the rule set, short of a denial.
fn objections(report: &Report) -> impl Iterator<Item = String> {
    let unjudged = report.cannot_judge.iter().map(unjudged_line);
    let found = report.findings.iter().filter(|finding| finding.level == Level::Warn && finding.exempted.is_none());
    let found = found.map(|finding| format!("[{}] {}: {}", finding.rule, finding.field, finding.brief));
    unjudged.chain(found).chain(report.notes.iter().cloned())
}

/// The warnings, most severe first, within the limits.
fn warnings(report: &Report) -> Vec<String> {
    let changes = report.changes.iter().cloned();
    let all: Vec<String> = objections(report).chain(changes).map(|warning| clean(&warning, WARNING)).collect();
    let mut total = 0;
    let fits = all
        .iter()
        .take_while(|warning| {
            total += warning.chars().count();
            total <= ALL_WARNINGS - RESERVED
        })
        .count();
    let left_out = all.len() - fits;
    let mut warnings: Vec<String> = all.into_iter().take(fits).collect();
    if left_out > 0 {
        warnings.push(format!("and {left_out} more warnings were left out"));
    }
    warnings
}

/// One line without control characters, cut at a word where it is too long: a control character makes
/// the API server drop a warning without a word.
fn clean(text: &str, limit: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() <= limit {
        return text;
    }
    let cut: String = text.chars().take(limit - 1).collect();
    let cut = match cut.rsplit_once(' ') {
        Some((words, _)) if words.chars().count() > limit / 2 => words,
        _ => &cut,
    };
    format!("{}…", cut.trim_end_matches([' ', ',', ';', ':']))
}

#[cfg(test)]
mod tests;
