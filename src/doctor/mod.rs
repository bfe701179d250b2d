//! `portcullis doctor`: is this cluster fit for Portcullis, and is Portcullis fit in it?
//!
//! ```text
//! API server, webhook ── gather (reads only) ──> Facts ── diagnose(now) ──> Diagnosis ── report::doctor ──> text, JSON
//! ```
//!
//! Everything but `gather` is pure, so that each check has its cases in a table. What could not be seen is a fact as
//! well: it becomes a line `unknown` that names the permission.

use jiff::Timestamp;
use serde::Serialize;

mod certificate;
mod cni;
mod exemptions;
pub mod facts;
pub mod gather;
mod other_policies;
mod probe;
mod registration;
mod rights;
mod service;
#[cfg(test)]
mod tests;
mod version;

pub use facts::Facts;
use facts::Gap;
use registration::Webhook;

/// How a check ended, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It could not be looked at; the check says what is missing.
    Unknown,
    /// It works, and is not as it should be.
    Warning,
    /// Policies are not enforced, or can be passed by, or the webhook does not work.
    Error,
}

impl Status {
    /// As it is written everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which check; `docs/doctor.md` lists them.
    pub id: &'static str,
    /// How it ended.
    pub status: Status,
    /// The webhooks that it is about, as `CONFIGURATION/WEBHOOK`; empty when it is about the cluster.
    pub about: Vec<String>,
    /// What was seen, in one line.
    pub what: String,
    /// What to do about it; none when it is ok.
    pub repair: Option<String>,
}

impl Check {
    fn ok(id: &'static str, what: impl Into<String>) -> Self {
        Self { id, status: Status::Ok, about: Vec::new(), what: what.into(), repair: None }
    }

    fn bad(id: &'static str, status: Status, what: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { repair: Some(repair.into()), ..Self { status, ..Self::ok(id, what) } }
    }

    fn error(id: &'static str, what: impl Into<String>, repair: impl Into<String>) -> Self {
        Self::bad(id, Status::Error, what, repair)
    }

    fn warning(id: &'static str, what: impl Into<String>, repair: impl Into<String>) -> Self {
        Self::bad(id, Status::Warning, what, repair)
    }

    /// What could not be looked at.
    fn unknown(id: &'static str, gap: &Gap) -> Self {
        Self::bad(id, Status::Unknown, gap.to_string(), gap.repair())
    }

    fn about(mut self, webhook: &Webhook<'_>) -> Self {
        self.about = vec![webhook.about.clone()];
        self
    }
}

/// What the doctor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The version of the API server.
    pub cluster: String,
    /// Every check, in the order in which one would mend them.
    pub checks: Vec<Check>,
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// As they should be.
    pub ok: usize,
    /// Could not be looked at.
    pub unknown: usize,
    /// Warnings.
    pub warning: usize,
    /// Errors.
    pub error: usize,
}

impl Diagnosis {
    /// How many checks ended how.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        Summary {
            ok: count(Status::Ok),
            unknown: count(Status::Unknown),
            warning: count(Status::Warning),
            error: count(Status::Error),
        }
    }

    /// Whether a check ended at this status or worse.
    #[must_use]
    pub fn reaches(&self, status: Status) -> bool {
        self.checks.iter().any(|check| check.status >= status)
    }
}

/// Judges the facts.
#[must_use]
pub fn diagnose(facts: &Facts, now: Timestamp) -> Diagnosis {
    let mut checks = vec![version::check(&facts.version), cni::check(facts)];
    checks.push(version::namespace_names(&facts.namespaces));
    match &facts.registrations {
        Err(gap) => checks.push(Check::unknown("registration", gap)),
        Ok(configurations) => {
            let webhooks = registration::webhooks(configurations);
            checks.extend(registration::check(configurations, &webhooks));
            checks.extend(exemptions::check(&webhooks));
            checks.extend(webhooks.iter().filter_map(|webhook| service::check(webhook, facts)));
            checks.extend(webhooks.iter().flat_map(|webhook| certificate::check(webhook, facts, now)));
        }
    }
    checks.extend(facts.probe.as_ref().map(probe::check));
    checks.extend(rights::check(facts));
    checks.push(other_policies::check(&facts.other_policies));
    Diagnosis { cluster: facts.version.git.clone(), checks: merged(checks) }
}

/// Both webhooks usually share a Service, a CA and most settings: what is said of each in the same words is said once.
fn merged(checks: Vec<Check>) -> Vec<Check> {
    let mut merged: Vec<Check> = Vec::with_capacity(checks.len());
    for check in checks {
        let same = |seen: &&mut Check| {
            (seen.id, seen.status, &seen.what, &seen.repair) == (check.id, check.status, &check.what, &check.repair)
        };
        match merged.iter_mut().find(same) {
            Some(seen) => {
                seen.about.extend(check.about);
                seen.about.dedup();
            }
            None => merged.push(check),
        }
    }
    merged
}

/// At most five names, and how many more there are.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
