//! The rule set as used.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::finding::Level;

/// What becomes of a request that cannot be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum OnCannotJudge {
    /// It is denied.
    #[default]
    Deny,
    /// It passes with a warning.
    Allow,
}

/// Where an entry applies. All parts must hold; an empty part always does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    /// Namespaces it leaves alone, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_namespaces: Vec<String>,
}

impl Matcher {
    /// Whether an object in that namespace is meant.
    #[must_use]
    pub fn matches(&self, namespace: &str) -> bool {
        !self.exclude_namespaces.iter().any(|excluded| excluded == namespace)
    }
}

/// One entry: a rule, its weight, where it applies and how it is set.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Name of the rule.
    pub rule: String,
    /// Weight of its findings.
    pub level: Level,
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
    /// The entries, in order.
    pub rules: Vec<Entry>,
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
        let matcher = Matcher { exclude_namespaces: SYSTEM_NAMESPACES.iter().map(|name| (*name).to_owned()).collect() };
        let entry = |(rule, level): (&str, Level)| Entry {
            rule: rule.to_owned(),
            level,
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
            rules: levels.into_iter().map(entry).collect(),
        }
    }
}
