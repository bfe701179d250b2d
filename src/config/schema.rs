//! The rule set as written: one document, read by closed key sets.
//!
//! Whatever is wrong is told, and something stands in its place, so that lists keep their indices and
//! the rest is read as well.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::Date;
use serde_json::{Map, Value};

use super::cases;
use super::reader::{Reader, below, one_line, quoted};
use super::valid::{Entry, Exemption, ExplainChanges, Matcher, OnCannotJudge, Pattern};
use crate::finding::Level;
use crate::netpol::ip_set::parse_cidr;
use crate::netpol::policy::label_selector;
use crate::object::{Operation, Subjects};

/// The version of the format.
pub const API_VERSION: &str = "portcullis.dev/v1alpha1";
/// The kind of the document.
pub const KIND: &str = "RuleSet";

/// What stands in `spec` once.
pub(super) const SCALARS: [&str; 8] =
    ["extends", "onCannotJudge", "maxLevel", "maxInventoryAge", "contact", "docsUrl", "ratchet", "explainChanges"];
const SPEC: [&str; 12] = [
    "extends",
    "onCannotJudge",
    "maxLevel",
    "maxInventoryAge",
    "contact",
    "docsUrl",
    "ratchet",
    "explainChanges",
    "cidrGroups",
    "rules",
    "exemptions",
    "customRules",
];
const LEVELS: [(&str, Option<Level>); 4] =
    [("deny", Some(Level::Deny)), ("warn", Some(Level::Warn)), ("audit", Some(Level::Audit)), ("off", None)];
const CAPS: [(&str, Level); 3] = [("deny", Level::Deny), ("warn", Level::Warn), ("audit", Level::Audit)];

/// One document of a rule set. What it leaves out is `None`.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) name: Option<String>,
    pub(super) extends: bool,
    pub(super) on_cannot_judge: Option<OnCannotJudge>,
    pub(super) max_level: Option<Level>,
    pub(super) max_inventory_age_seconds: Option<u64>,
    pub(super) contact: Option<String>,
    pub(super) docs_url: Option<String>,
    pub(super) ratchet: Option<bool>,
    pub(super) explain_changes: Option<ExplainChanges>,
    pub(super) cidr_groups: BTreeMap<String, Vec<String>>,
    pub(super) rules: Vec<Entry>,
    pub(super) exemptions: Vec<Exemption>,
}

/// Reads one document.
pub(super) fn read(reader: &mut Reader<'_>, value: &Value) -> Written {
    let mut written = Written::default();
    let Some((name, spec)) = head(reader, value, KIND) else { return written };
    written.name = name;
    if let Some(spec) = reader.mapping("spec", spec, &SPEC) {
        read_scalars(reader, spec, &mut written);
        read_lists(reader, spec, &mut written);
    }
    written
}

/// The name and the `spec` of a document of that kind, with everything that is wrong around them told.
pub(super) fn head<'v>(reader: &mut Reader<'_>, value: &'v Value, kind: &str) -> Option<(Option<String>, &'v Value)> {
    let map = reader.mapping("", value, &["apiVersion", "kind", "metadata", "spec"])?;
    let of_ours = |text: &str| text.starts_with("portcullis.dev/");
    if let (Some(version), Some(found)) = (map.get("apiVersion").and_then(Value::as_str), map.get("kind"))
        && !of_ours(version)
        && found != kind
    {
        // Another kind of object altogether: what its fields should be called in one of ours is no help.
        let found = found.as_str().unwrap_or_default();
        reader.error("kind", format!("this is a {} of {}, no {kind}", quoted(found), quoted(version)));
        return None;
    }
    for (key, wanted) in [("apiVersion", API_VERSION), ("kind", kind)] {
        match map.get(key) {
            Some(found) => _ = reader.word(key, found, &[(wanted, ())]),
            None => reader.error("", format!("`{key}: {wanted}` is missing")),
        }
    }
    let another = if kind == KIND { cases::KIND } else { KIND };
    if map.get("kind").is_some_and(|found| found == another) {
        return None; // Told above, and every field of it would be told as well.
    }
    let known = ["name", "namespace", "labels", "annotations"];
    let metadata = map.get("metadata").and_then(|metadata| reader.mapping("metadata", metadata, &known));
    let name = metadata.and_then(|metadata| metadata.get("name")).and_then(|name| reader.line("metadata.name", name));
    let spec = map.get("spec");
    if spec.is_none() {
        let stand = if kind == KIND { "rules" } else { "cases" };
        reader.error("", format!("`spec` is missing: that is where the {stand} stand"));
    }
    spec.map(|spec| (name, spec))
}

fn read_scalars(reader: &mut Reader<'_>, spec: &Map<String, Value>, written: &mut Written) {
    for key in SCALARS {
        let Some(value) = spec.get(key) else { continue };
        let field = format!("spec.{key}");
        match key {
            "extends" => written.extends = reader.word(&field, value, &[("builtin", ())]).is_some(),
            "onCannotJudge" => {
                let words = [("Deny", OnCannotJudge::Deny), ("Allow", OnCannotJudge::Allow)];
                written.on_cannot_judge = reader.word(&field, value, &words);
            }
            "maxLevel" => written.max_level = reader.word(&field, value, &CAPS),
            "maxInventoryAge" => written.max_inventory_age_seconds = age(reader, &field, value),
            "contact" => written.contact = reader.line(&field, value),
            "docsUrl" => written.docs_url = url(reader, &field, value),
            "ratchet" => written.ratchet = reader.boolean(&field, value),
            _ => written.explain_changes = explain_changes(reader, &field, value),
        }
    }
}

fn explain_changes(reader: &mut Reader<'_>, field: &str, value: &Value) -> Option<ExplainChanges> {
    match value {
        // A bare `off` is false to YAML 1.1, and so to kubectl.
        Value::Bool(false) => Some(ExplainChanges::Off),
        _ => reader.word(field, value, &[("off", ExplainChanges::Off), ("warn", ExplainChanges::Warn)]),
    }
}

fn read_lists(reader: &mut Reader<'_>, spec: &Map<String, Value>, written: &mut Written) {
    if let Some(groups) = spec.get("cidrGroups") {
        written.cidr_groups = cidr_groups(reader, groups);
    }
    if let Some(rules) = spec.get("rules") {
        let entries = reader.list("spec.rules", rules).iter().enumerate();
        written.rules = entries.map(|(i, value)| entry(reader, &format!("spec.rules[{i}]"), value)).collect();
    }
    if let Some(exemptions) = spec.get("exemptions") {
        let entries = reader.list("spec.exemptions", exemptions).iter().enumerate();
        written.exemptions =
            entries.map(|(i, value)| exemption(reader, &format!("spec.exemptions[{i}]"), value)).collect();
    }
    if spec.contains_key("customRules") {
        reader.error("spec.customRules", "`customRules` are not supported by this version; drop them");
    }
}

/// A length of time in whole seconds.
fn age(reader: &mut Reader<'_>, field: &str, value: &Value) -> Option<u64> {
    if value.is_number() {
        reader.error(field, "`maxInventoryAge` needs a unit; write it as 5m, 90s or 1h30m");
        return None;
    }
    let text = reader.text(field, value)?;
    match text.parse::<SignedDuration>() {
        Ok(duration) if duration.as_secs() >= 1 && duration.subsec_nanos() == 0 => {
            u64::try_from(duration.as_secs()).ok()
        }
        Ok(_) => {
            reader.error(field, format!("`maxInventoryAge` must be whole seconds, at least 1s, not {}", quoted(text)));
            None
        }
        Err(_) => {
            reader.error(field, format!("{} is no length of time; write it as 5m, 90s or 1h30m", quoted(text)));
            None
        }
    }
}

/// The one placeholder that addresses of documentation have.
const PLACEHOLDER: &str = "{rule}";

fn url(reader: &mut Reader<'_>, field: &str, value: &Value) -> Option<String> {
    let text = reader.text(field, value)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let odd = |char: char| char.is_whitespace() || char.is_control() || "\"<>\\^`".contains(char);
    if host.is_empty() || text.contains(odd) {
        reader.error(field, format!("`docsUrl` must be an http:// or https:// address, not {}", quoted(text)));
        return None;
    }
    if text.replace(PLACEHOLDER, "").contains(['{', '}']) {
        reader.error(field, format!("`docsUrl` knows one placeholder, {PLACEHOLDER}, for the rule's name"));
        return None;
    }
    Some(text.to_owned())
}

fn cidr_groups(reader: &mut Reader<'_>, value: &Value) -> BTreeMap<String, Vec<String>> {
    let Value::Object(map) = value else {
        reader.wrong_type("spec.cidrGroups", "a mapping of names to lists of CIDRs", value);
        return BTreeMap::new();
    };
    let mut groups = BTreeMap::new();
    for (name, value) in map {
        let field = below("spec.cidrGroups", name);
        if name.is_empty() || !name.chars().all(|char| char.is_ascii_alphanumeric() || "-_".contains(char)) {
            reader.error(&field, format!("a group's name has letters, digits, `-` and `_` only, not {}", quoted(name)));
        }
        let mut cidrs = Vec::new();
        for (i, text) in reader.texts(&field, value).into_iter().enumerate().filter(|(_, text)| !text.trim().is_empty())
        {
            match parse_cidr(&text) {
                Ok(_) => cidrs.push(text),
                Err(error) => reader.error(&format!("{field}[{i}]"), format!("{} is no CIDR: {error}", quoted(&text))),
            }
        }
        groups.insert(name.clone(), cidrs);
    }
    groups
}

fn entry(reader: &mut Reader<'_>, field: &str, value: &Value) -> Entry {
    let mut entry = Entry {
        rule: String::new(),
        place: String::new(),
        level: None,
        matcher: Matcher::default(),
        params: Value::Null,
    };
    let Some(map) = reader.mapping(field, value, &["rule", "level", "match", "params"]) else { return entry };
    match map.get("rule") {
        Some(rule) => entry.rule = reader.line(&format!("{field}.rule"), rule).unwrap_or_default(),
        None => reader.error(field, "`rule` is missing: the name of a rule; `portcullis rules` lists them"),
    }
    match map.get("level") {
        // A bare `off` is false to YAML 1.1, and so to kubectl.
        Some(Value::Bool(false)) => {}
        Some(level) => entry.level = reader.word(&format!("{field}.level"), level, &LEVELS).flatten(),
        None => reader.error(field, "`level` is missing: deny, warn, audit or off"),
    }
    if let Some(value) = map.get("match") {
        let known = ["namespaceSelector", "namespaces", "excludeNamespaces", "operations"];
        entry.matcher = matcher(reader, &format!("{field}.match"), value, &known);
    }
    match map.get("params") {
        Some(params @ Value::Object(_)) => entry.params = params.clone(),
        Some(other) => reader.wrong_type(&format!("{field}.params"), "a mapping", other),
        None => {}
    }
    entry
}

fn matcher(reader: &mut Reader<'_>, field: &str, value: &Value, known: &[&str]) -> Matcher {
    let mut matcher = Matcher::default();
    let Some(map) = reader.mapping(field, value, known) else { return matcher };
    let patterns = |reader: &mut Reader<'_>, key: &str| -> Vec<Pattern> {
        let Some(value) = map.get(key).filter(|_| known.contains(&key)) else { return Vec::new() };
        reader.texts(&format!("{field}.{key}"), value).iter().map(|text| Pattern::new(text)).collect()
    };
    matcher.namespaces = patterns(reader, "namespaces");
    matcher.exclude_namespaces = patterns(reader, "excludeNamespaces");
    matcher.names = patterns(reader, "names");
    if let Some(value) = map.get("operations").filter(|_| known.contains(&"operations")) {
        let at = format!("{field}.operations");
        matcher.operations = reader.texts(&at, value);
        for (i, text) in matcher.operations.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            if Operation::parse(text).is_none() {
                reader.not_among(&format!("{at}[{i}]"), text, ["CREATE", "UPDATE", "DELETE"].into_iter());
            }
        }
    }
    if let Some(value) = map.get("namespaceSelector") {
        let at = format!("{field}.namespaceSelector");
        if !value.is_object() {
            reader.wrong_type(&at, "a mapping", value);
            return matcher;
        }
        match label_selector(&at, value) {
            Ok(selector) => matcher.namespace_selector = Some(selector),
            Err(problems) => {
                for problem in problems {
                    let known = "unknown field; a selector has matchLabels and matchExpressions";
                    reader.error(&problem.field, if problem.unknown { known.to_owned() } else { problem.message });
                }
            }
        }
    }
    matcher
}

fn exemption(reader: &mut Reader<'_>, field: &str, value: &Value) -> Exemption {
    let mut exemption = Exemption {
        rules: Vec::new(),
        matcher: Matcher::default(),
        subjects: None,
        reason: String::new(),
        expires: None,
    };
    let known = ["rules", "match", "subjects", "reason", "expires"];
    let Some(map) = reader.mapping(field, value, &known) else { return exemption };
    match map.get("rules") {
        Some(rules) => {
            let at = format!("{field}.rules");
            exemption.rules = reader.texts(&at, rules);
            if rules.as_array().is_some_and(Vec::is_empty) {
                reader.error(&at, "`rules` must name at least one rule");
            }
        }
        None => reader.error(field, "`rules` is missing: the names of the rules it lets pass"),
    }
    if let Some(value) = map.get("match") {
        let known = ["namespaces", "names", "namespaceSelector", "excludeNamespaces", "operations"];
        exemption.matcher = matcher(reader, &format!("{field}.match"), value, &known);
    }
    if let Some(value) = map.get("subjects") {
        exemption.subjects = subjects(reader, &format!("{field}.subjects"), value);
    }
    match map.get("reason") {
        Some(Value::String(text)) if one_line(text).is_empty() => {
            reader.error(&format!("{field}.reason"), "`reason` must not be blank: say why, and until when");
        }
        Some(reason) => exemption.reason = reader.line(&format!("{field}.reason"), reason).unwrap_or_default(),
        None => reader.error(field, "`reason` is missing: every exemption says why"),
    }
    if let Some(value) = map.get("expires") {
        let at = format!("{field}.expires");
        exemption.expires = reader.text(&at, value).and_then(|text| date(reader, &at, text));
    }
    exemption
}

/// A day as `2027-01-31`, and nothing else that a lenient reader would take.
fn date(reader: &mut Reader<'_>, field: &str, text: &str) -> Option<Date> {
    let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
    if date.is_none() {
        reader.error(field, format!("`expires` must be a day such as 2027-01-31, not {}", quoted(text)));
    }
    date
}

/// Empty lists ask for nobody in particular, as they do everywhere in a rule set.
fn subjects(reader: &mut Reader<'_>, field: &str, value: &Value) -> Option<Subjects> {
    let map = reader.mapping(field, value, &["users", "groups", "serviceAccounts"])?;
    let mut texts =
        |key: &str| map.get(key).map(|value| reader.texts(&format!("{field}.{key}"), value)).unwrap_or_default();
    let subjects =
        Subjects { users: texts("users"), groups: texts("groups"), service_accounts: texts("serviceAccounts") };
    for (i, account) in subjects.service_accounts.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let parts = account.split_once('/');
        if parts.is_none_or(|(namespace, name)| namespace.is_empty() || name.is_empty() || name.contains('/')) {
            let at = format!("{field}.serviceAccounts[{i}]");
            reader.error(&at, format!("a service account is NAMESPACE/NAME or NAMESPACE/*, not {}", quoted(account)));
        }
    }
    Some(subjects).filter(|subjects| !subjects.is_empty())
}
