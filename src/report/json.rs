//! For tools. The fields are the contract's; they may become more and never fewer.

use serde::Serialize;

use super::{CheckReport, Location, Placed, Summary};
use crate::finding::{Evidence, Exempted, Finding, Level, ObjectRef, Unjudged};

/// Version of the format.
const VERSION: &str = "v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    version: &'static str,
    findings: Vec<FindingEntry<'a>>,
    cannot_judge: Vec<UnjudgedEntry<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingEntry<'a> {
    rule: &'static str,
    level: Level,
    object: &'a ObjectRef,
    field: &'a str,
    message: &'a str,
    help: &'a str,
    evidence: &'a Evidence,
    location: &'a Location,
    /// `null` where no entry of a rule set has decided: the API server would.
    decided_by: Option<&'a str>,
    exempted: &'a Option<Exempted>,
}

#[derive(Serialize)]
struct UnjudgedEntry<'a> {
    rule: Option<&'static str>,
    object: &'a Option<ObjectRef>,
    reason: &'a str,
    location: &'a Location,
}

/// One entry a line, each with its type.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Line<'a> {
    Finding(FindingEntry<'a>),
    CannotJudge(UnjudgedEntry<'a>),
    Summary(Summary),
}

impl<'a> From<&'a Placed<Finding>> for FindingEntry<'a> {
    fn from(Placed { what, location, .. }: &'a Placed<Finding>) -> Self {
        Self {
            rule: what.rule,
            level: what.level,
            object: &what.object,
            field: &what.field,
            message: &what.message,
            help: &what.help,
            evidence: &what.evidence,
            location,
            decided_by: Some(what.decided_by.as_str()).filter(|entry| !entry.is_empty()),
            exempted: &what.exempted,
        }
    }
}

impl<'a> From<&'a Placed<Unjudged>> for UnjudgedEntry<'a> {
    fn from(Placed { what, location, .. }: &'a Placed<Unjudged>) -> Self {
        Self { rule: what.rule, object: &what.object, reason: &what.reason, location }
    }
}

/// The whole as one JSON document.
///
/// # Errors
/// None that is known: every part can be written as JSON.
pub fn render(report: &CheckReport) -> serde_json::Result<String> {
    let whole = Whole {
        version: VERSION,
        findings: report.findings.iter().map(Into::into).collect(),
        cannot_judge: report.cannot_judge.iter().map(Into::into).collect(),
        summary: report.summary(),
    };
    serde_json::to_string_pretty(&whole).map(|text| text + "\n")
}

/// One JSON document a line: the findings, what could not be judged, and the summary.
///
/// # Errors
/// As for [`render`].
pub fn render_lines(report: &CheckReport) -> serde_json::Result<String> {
    let findings = report.findings.iter().map(|finding| Line::Finding(finding.into()));
    let unjudged = report.cannot_judge.iter().map(|unjudged| Line::CannotJudge(unjudged.into()));
    let mut text = String::new();
    for line in findings.chain(unjudged).chain([Line::Summary(report.summary())]) {
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
    }
    Ok(text)
}
