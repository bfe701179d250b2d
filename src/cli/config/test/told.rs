//! What came of the cases, as text and as JSON.

use serde::Serialize;

use super::gather::Ready;
use super::judge::Outcome;
use crate::finding::{Finding, Unjudged};

/// Version of the format.
const VERSION: &str = "v1";

/// All results so far.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    version: &'static str,
    cases: Vec<Entry>,
    summary: Summary,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    cases: usize,
    failed: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    file: String,
    line: usize,
    passed: bool,
    /// What is not as expected, one line each.
    failures: Vec<String>,
    verdict: &'static str,
    allowed: bool,
    findings: Vec<Finding>,
    cannot_judge: Vec<Unjudged>,
    notes: Vec<String>,
    /// What else was said, for whoever reads of a failure.
    #[serde(skip)]
    said: Vec<String>,
}

impl Default for Told {
    fn default() -> Self {
        Self { version: VERSION, cases: Vec::new(), summary: Summary::default() }
    }
}

impl Told {
    pub(super) fn add(&mut self, ready: &Ready, outcome: Outcome) {
        let passed = outcome.passed();
        self.summary.cases += 1;
        self.summary.failed += usize::from(!passed);
        let Outcome { decision, allowed, report, expected, mut failures } = outcome;
        let findings = || report.findings.iter().zip(&expected);
        let unexpected = findings().filter(|(_, expected)| !**expected);
        failures.extend(unexpected.map(|(finding, _)| format!("found, not expected: {}", line(finding))));
        let found =
            findings().filter(|(_, expected)| **expected).map(|(finding, _)| format!("found: {}", line(finding)));
        let unjudged = report.cannot_judge.iter().map(|what| match what.rule {
            Some(rule) => format!("cannot judge: [{rule}] {}", what.reason),
            None => format!("cannot judge: {}", what.reason),
        });
        let said = found.chain(unjudged).chain(report.notes.iter().map(|note| format!("note: {note}"))).collect();
        self.cases.push(Entry {
            name: ready.case.name.clone(),
            file: ready.file.to_string(),
            line: ready.line,
            passed,
            failures,
            verdict: decision.as_str(),
            allowed,
            findings: report.findings,
            cannot_judge: report.cannot_judge,
            notes: report.notes,
            said,
        });
    }

    /// How many cases are not as expected.
    pub(super) const fn failed(&self) -> usize {
        self.summary.failed
    }

    /// A line a case; under one that failed, everything that was said.
    pub(super) fn text(&self, coloured: bool) -> String {
        let (red, green, plain) = if coloured { ("\x1b[1;31m", "\x1b[1;32m", "\x1b[0m") } else { ("", "", "") };
        let mut text = String::new();
        for Entry { name, file, line, passed, failures, said, .. } in &self.cases {
            let word = if *passed { format!("{green}ok{plain}") } else { format!("{red}FAILED{plain}") };
            text += &format!("{file}:{line}: {word}: {name}\n");
            for line in failures.iter().chain(said).filter(|_| !passed) {
                text += &format!("  {line}\n");
            }
        }
        let Summary { cases, failed } = self.summary;
        let s = if cases == 1 { "" } else { "s" };
        text + &format!("{cases} case{s}, {failed} failed\n")
    }

    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

fn line(finding: &Finding) -> String {
    let Finding { rule, level, field, message, decided_by, exempted, .. } = finding;
    let exempted = exempted.as_ref().map(|it| format!(", exempted by {}", it.by)).unwrap_or_default();
    format!("{level} [{rule}] {field}: {message} ({decided_by}{exempted})")
}
