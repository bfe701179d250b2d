//! The rule set as used.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

use crate::finding::Level;
use crate::netpol::selector::Selector;
use crate::object::Subjects;

/// What becomes of a request that cannot be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum OnCannotJudge {
    /// It is denied.
    #[default]
    Deny,
    /// It passes with a warning.
    Allow,
}

/// Whether the requester of a NetworkPolicy is told what it opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExplainChanges {
    /// Nothing is said, and no pods are watched for it.
    #[default]
    Off,
    /// By warnings.
    Warn,
}

/// A name with `*` for any run of characters and `?` for any one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern(WildMatch);

impl Pattern {
    /// The pattern of that text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(WildMatch::new(text))
    }

    /// Whether the name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where an entry applies. All parts must hold; an empty part always does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    /// Labels of the namespace.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub namespace_selector: Option<Selector>,
    /// Namespaces by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Pattern>,
    /// Namespaces it leaves alone, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_namespaces: Vec<Pattern>,
    /// Operations, as the admission protocol names them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    /// Names of objects. In exemptions only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Pattern>,
}

/// In kubectl's syntax.
fn as_text<S: Serializer>(selector: &Option<Selector>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&selector.clone().unwrap_or_default())
}

impl Matcher {
    /// Whether an object of that name in that namespace is meant, labels aside.
    #[must_use]
    pub fn matches(&self, namespace: &str, name: &str, operation: &str) -> bool {
        let among = |patterns: &[Pattern], name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        (self.namespaces.is_empty() || among(&self.namespaces, namespace))
            && !among(&self.exclude_namespaces, namespace)
            && (self.names.is_empty() || among(&self.names, name))
            && (self.operations.is_empty() || self.operations.iter().any(|wanted| wanted == operation))
    }
}

/// Findings that are known and let pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exemption {
    /// Names of the rules; at least one.
    pub rules: Vec<String>,
    /// Of which objects.
    #[serde(rename = "match")]
    pub matcher: Matcher,
    /// For these requesters only; `None` for everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<Subjects>,
    /// Why; never empty.
    pub reason: String,
    /// The last day it holds, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
}

/// As a rule set writes it.
#[expect(clippy::ref_option, reason = "serde hands out references to fields")]
fn level_or_off<S: Serializer>(level: &Option<Level>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level.map_or("off", Level::as_str))
}

/// One entry: a rule, its weight, where it applies and how it is set.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Name of the rule.
    pub rule: String,
    /// How findings name it: `rules[3]`, or `builtin rules[3]` where a rule set extends the built-in one.
    #[serde(skip)]
    pub place: String,
    /// Weight of its findings; `None` for off.
    #[serde(serialize_with = "level_or_off")]
    pub level: Option<Level>,
    /// Where it applies.
    #[serde(rename = "match")]
    pub matcher: Matcher,
    /// Its parameters, as written; `null` for all defaults.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub params: Value,
}

/// A whole rule set.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleSet {
    /// Its name.
    pub name: String,
    /// What becomes of a request that cannot be judged.
    pub on_cannot_judge: OnCannotJudge,
    /// Cap on every level, for rolling out.
    pub max_level: Level,
    /// Knowledge of the cluster older than this, in seconds, is confirmed by a live read.
    pub max_inventory_age_seconds: u64,
    /// Whom to ask; appended to denials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Where the rules are explained; `{rule}` stands for the rule's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
    /// An UPDATE is judged by what it makes worse.
    pub ratchet: bool,
    /// Whether a NetworkPolicy's requester is told what it opens.
    pub explain_changes: ExplainChanges,
    /// Address groups of the organisation's own, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cidr_groups: BTreeMap<String, Vec<String>>,
    /// The entries, in order.
    pub rules: Vec<Entry>,
    /// The exemptions, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exemptions: Vec<Exemption>,
}

/// Namespaces of the cluster itself, which the built-in rule set leaves alone.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

impl RuleSet {
    /// The first 16 hexadecimal digits of the SHA-256 of its content.
    #[must_use]
    pub fn hash(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The built-in rule set, made of the rules and levels given. It asks for nothing that an
    /// organisation has to name first.
    #[must_use]
    pub fn builtin(levels: impl IntoIterator<Item = (&'static str, Level)>) -> Self {
        let matcher =
            Matcher { exclude_namespaces: SYSTEM_NAMESPACES.map(Pattern::new).to_vec(), ..Matcher::default() };
        let entry = |(i, (rule, level)): (usize, (&str, Level))| Entry {
            rule: rule.to_owned(),
            place: format!("rules[{i}]"),
            level: Some(level),
            matcher: matcher.clone(),
            params: Value::Null,
        };
        Self {
            name: "builtin".to_owned(),
            on_cannot_judge: OnCannotJudge::Deny,
            max_level: Level::Deny,
            max_inventory_age_seconds: 300,
            contact: None,
            docs_url: None,
            ratchet: true,
            explain_changes: ExplainChanges::Off,
            cidr_groups: BTreeMap::new(),
            rules: levels.into_iter().enumerate().map(entry).collect(),
            exemptions: Vec::new(),
        }
    }
}
