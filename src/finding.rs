//! What the rules say: findings with their evidence, the report over one request, and its verdict.
//!
//! ```text
//! Report ── findings ──────── Finding { rule, level, object, field, message, help, evidence }
//!        ├─ cannot_judge ──── Unjudged { rule, object, reason }
//!        ├─ changes ───────── what the request newly opens, in words
//!        └─ confirm ───────── the namespace whose live state has to back the verdict
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// How much weight a finding carries. Ordered: `Audit < Warn < Deny`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Recorded in reports, metrics and audit annotations; the requester sees nothing.
    Audit,
    /// Shown to the requester; the request passes.
    Warn,
    /// The request is denied.
    Deny,
}

impl Level {
    /// All levels, mildest first.
    pub const ALL: [Self; 3] = [Self::Audit, Self::Warn, Self::Deny];

    /// The name used in rule sets, reports and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which object a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Group and version, such as `networking.k8s.io/v1`.
    pub api_version: &'static str,
    /// `NetworkPolicy` or `Namespace`.
    pub kind: &'static str,
    /// Namespace of a namespaced object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// What proves a finding. Empty parts are left out of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The minimal, sorted list of CIDRs wrongly reachable through the field, v4 before v6.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cidrs: Vec<IpNet>,
    /// The ports on which they are reachable, such as `TCP/443`; `all ports` when unrestricted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// The directions in question: `Ingress`, `Egress`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directions: Vec<&'static str>,
    /// Labels of a pod the namespace could have and that the finding is true of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// One thing a rule has to say about an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Name of the rule, kebab-case.
    pub rule: &'static str,
    /// Its weight, after the rule set's level, `maxLevel` and the ratchet.
    pub level: Level,
    /// What it is about.
    pub object: ObjectRef,
    /// Path of the field, such as `spec.egress[0].to[1].ipBlock`.
    pub field: String,
    /// What is wrong, in one line.
    pub message: String,
    /// The same in few words, for a warning.
    #[serde(skip)]
    pub brief: String,
    /// The repair, in one line.
    pub help: String,
    /// The proof.
    pub evidence: Evidence,
    /// The entry of the rule set that decided, such as `rules[1]`.
    pub decided_by: String,
    /// The exemption that lets it pass, with its reason; the finding is still told.
    pub exempted: Option<Exempted>,
}

/// Why a finding does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exempted {
    /// The entry of the rule set, such as `exemptions[0]`.
    pub by: String,
    /// Its reason.
    pub reason: String,
}

impl Finding {
    /// Whether it stands, at least at that level: exempted findings do not.
    #[must_use]
    pub fn counts_at(&self, level: Level) -> bool {
        self.exempted.is_none() && self.level >= level
    }

    /// The finding as one line of a denial: `[rule] field: what; repair`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("[{}] {}: {}; {}", self.rule, self.field, self.message, self.help)
    }
}

/// Something that could not be judged, and why. Never silently passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unjudged {
    /// The rule that could not judge, or `None` when the object as a whole could not be read.
    pub rule: Option<&'static str>,
    /// What could not be judged; `None` when not even that is known.
    pub object: Option<ObjectRef>,
    /// Why, in one line.
    pub reason: String,
}

/// What the engine found in one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Everything found, most severe first.
    pub findings: Vec<Finding>,
    /// Everything that could not be judged.
    pub cannot_judge: Vec<Unjudged>,
    /// What is wrong with the rule set itself, such as an exemption that has expired. Shown as warnings.
    pub notes: Vec<String>,
    /// What the request newly opens, most important first, where the rule set asks for it. Shown as warnings, and no
    /// findings: nothing is wrong with it.
    pub changes: Vec<String>,
    /// What a live read has to back before this report is acted upon.
    pub confirm: Option<Confirm>,
    /// How long each rule took, for the metrics. No verdict depends on it.
    pub rule_durations: Vec<(&'static str, Duration)>,
}

/// A namespace whose live state must back what these rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The namespace.
    pub namespace: String,
    /// The rules whose say is void without it. Others are told all the same: what is no more than a warning waits for
    /// nobody.
    pub rules: Vec<&'static str>,
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes, perhaps with warnings.
    Allow,
    /// A finding of level deny stands against it.
    Deny,
    /// It could not be judged; the rule set's `onCannotJudge` decides what that means.
    CannotJudge,
}

impl Report {
    /// A report that says of one object only that it cannot be judged.
    #[must_use]
    pub fn unjudged(rule: Option<&'static str>, object: Option<ObjectRef>, reason: impl Into<String>) -> Self {
        Self { cannot_judge: vec![Unjudged { rule, object, reason: reason.into() }], ..Self::default() }
    }

    /// The verdict: a denial outweighs what could not be judged, and that outweighs an admission.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.findings.iter().any(|finding| finding.counts_at(Level::Deny)) {
            Verdict::Deny
        } else if self.cannot_judge.is_empty() {
            Verdict::Allow
        } else {
            Verdict::CannotJudge
        }
    }
}
