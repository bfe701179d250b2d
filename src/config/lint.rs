//! What a rule set says and cannot mean: entries that match nothing, exemptions that let nothing pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::Value;

use super::load::Origins;
use super::nearest::nearest;
use super::problem::{Problem, Severity};
use super::valid::{Exemption, Matcher, Pattern, RuleSet};

/// Collects warnings at their places.
struct Warnings<'a> {
    origins: &'a Origins,
    problems: &'a mut Vec<Problem>,
}

impl Warnings<'_> {
    fn warn(&mut self, field: &str, message: String) {
        // The built-in entries stand in no file, and nothing is wrong with them.
        if let Some((document, path)) = self.origins.local(field) {
            let (file, place) = (Arc::clone(&document.file), Some(document.place(&path)));
            self.problems.push(Problem { file, place, severity: Severity::Warning, message });
        }
    }

    /// Whether the file says something there.
    fn is_written(&self, field: &str, key: &str) -> bool {
        let entry = || {
            let (document, path) = self.origins.local(field)?;
            let index: usize = path.rsplit_once('[')?.1.trim_end_matches(']').parse().ok()?;
            let list = if field.starts_with("rules") { "rules" } else { "exemptions" };
            document.value.get("spec")?.get(list)?.get(index)?.get(key).map(Value::is_object)
        };
        entry().unwrap_or(false)
    }
}

pub(super) fn lint(rule_set: &RuleSet, origins: &Origins, today: Date, problems: &mut Vec<Problem>) {
    let mut warnings = Warnings { origins, problems };
    let on: BTreeSet<&str> =
        rule_set.rules.iter().filter(|entry| entry.level.is_some()).map(|entry| entry.rule.as_str()).collect();
    if on.is_empty() {
        let nothing = "no rule is on: everything is let pass".to_owned();
        let field = if origins.local("rules").is_some() { "rules" } else { "" };
        warnings.warn(field, nothing);
    }
    for entry in rule_set.rules.iter().filter(|entry| entry.level.is_some()) {
        matcher(&mut warnings, &format!("{}.match", entry.place), &entry.matcher, "entry");
    }
    for (i, exempted) in rule_set.exemptions.iter().enumerate() {
        exemption(&mut warnings, &format!("exemptions[{i}]"), exempted, &on, today);
    }
}

fn exemption(warnings: &mut Warnings<'_>, field: &str, exemption: &Exemption, on: &BTreeSet<&str>, today: Date) {
    for (i, rule) in exemption.rules.iter().enumerate().filter(|(_, rule)| !on.contains(rule.as_str())) {
        let perhaps =
            nearest(rule, on.iter().copied()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let message = format!("no entry of this rule set turns on `{rule}`: there is nothing to exempt{perhaps}");
        warnings.warn(&format!("{field}.rules[{i}]"), message);
    }
    if let Some(expires) = exemption.expires.filter(|expires| *expires < today) {
        warnings.warn(&format!("{field}.expires"), format!("expired on {expires}: this exemption is void; drop it"));
    }
    if exemption.subjects.is_none() && warnings.is_written(field, "subjects") {
        let message = "names nobody, so the exemption holds for everybody; name somebody or drop `subjects`";
        warnings.warn(&format!("{field}.subjects"), message.to_owned());
    }
    matcher(warnings, &format!("{field}.match"), &exemption.matcher, "exemption");
}

fn matcher(warnings: &mut Warnings<'_>, field: &str, matcher: &Matcher, whose: &str) {
    if matcher.namespace_selector.as_ref().is_some_and(|selector| selector.is_contradiction()) {
        let message = format!("no namespace has such labels: this {whose} never applies");
        warnings.warn(&format!("{field}.namespaceSelector"), message);
    }
    for (key, patterns) in [("namespaces", &matcher.namespaces), ("excludeNamespaces", &matcher.exclude_namespaces)] {
        for (i, pattern) in patterns.iter().enumerate().filter(|(_, pattern)| !may_match(pattern)) {
            let message =
                format!("no namespace can be called `{pattern}`: names are lower-case letters, digits and `-`");
            warnings.warn(&format!("{field}.{key}[{i}]"), message);
        }
    }
    for (i, excluded) in matcher.exclude_namespaces.iter().enumerate() {
        if swallows(excluded, &Pattern::new("*")) {
            warnings.warn(
                &format!("{field}.excludeNamespaces[{i}]"),
                format!("excludes every namespace: this {whose} never applies"),
            );
        }
    }
    for (i, wanted) in matcher.namespaces.iter().enumerate() {
        if let Some(by) = matcher.exclude_namespaces.iter().find(|excluded| swallows(excluded, wanted)) {
            let message = format!("`{wanted}` is excluded again by `{by}` in `excludeNamespaces`: it has no effect");
            warnings.warn(&format!("{field}.namespaces[{i}]"), message);
        }
    }
}

/// Whether a namespace could have such a name.
fn may_match(pattern: &Pattern) -> bool {
    let text = pattern.to_string();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*?".contains(&byte);
    text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether every name that `pattern` matches is matched by `by`. A `*` in the one stands for itself in the
/// text the other is tried on, so that only another `*` can take it in; `?` cannot, and is left out.
fn swallows(by: &Pattern, pattern: &Pattern) -> bool {
    let texts = (by.to_string(), pattern.to_string());
    (!texts.0.contains('?') || !texts.1.contains(['*', '?'])) && by.matches(&texts.1)
}
