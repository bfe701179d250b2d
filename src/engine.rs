//! One subject, one inventory, one bound rule set: one report.
//!
//! ```text
//! bind(rule set, RULES) -> Bound
//! evaluate(subject, inventory, bound, now, origin):
//!     entry.rs   for each entry that matches: run the rule -> weigh (level, maxLevel, ratchet)
//!     here       -> merge on (rule, field) -> exempt -> Report
//! changes(subject, inventory, bound, origin): what the request opens, in words (changes.rs)
//! ```
//!
//! Time comes in as an argument, so every verdict can be replayed. The monotonic clock is read only
//! to tell how long a rule took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use thiserror::Error;

pub use crate::config::nearest::nearest;
use crate::config::valid::{Entry, ExplainChanges, RuleSet};
use crate::finding::{Confirm, Exempted, Finding, Level, ObjectRef, Report, Unjudged};
use crate::inventory::Inventory;
use crate::netpol::groups::{Groups, parse_all};
use crate::netpol::ip_set::IpSet;
use crate::netpol::selector::Selector;
use crate::object::{Change, Subject};
use crate::rules::{CannotTell, Context, Meta, ParamError, Rule, protected_labels};

mod changes;
mod entry;

use entry::{Applies, BoundEntry, Found};

/// A rule set whose parameters have their types.
pub struct Bound {
    /// As configured.
    pub rule_set: RuleSet,
    /// Hash of its content, to tell one from another.
    pub hash: String,
    entries: Vec<BoundEntry>,
}

/// Where a subject comes from, which decides what can be said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A request to the API server: all rules.
    Request,
    /// A request on the guard path: rules about the labels of a Namespace alone.
    Labels,
    /// A request that leaves the spec of a NetworkPolicy as it is, which makes nothing worse: rules
    /// about its metadata alone.
    Metadata,
    /// A bundle of manifests, applied in any order by nobody in particular: no rules about the
    /// requester, no exemptions by requester.
    Bundle,
}

impl Origin {
    /// For a request that leaves the spec of a policy as it is.
    #[must_use]
    pub const fn of_metadata(self) -> Self {
        match self {
            Self::Request => Self::Metadata,
            Self::Labels | Self::Metadata | Self::Bundle => self,
        }
    }
}

/// Why a rule set cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {message}")]
pub struct BindError {
    /// Path of the field in the rule set's `spec`, such as `rules[3].params.groups`.
    pub field: String,
    /// What is wrong with it, in one line.
    pub message: String,
}

/// The built-in rule set, bound to these rules.
///
/// # Errors
/// As for [`bind`].
pub fn builtin(rules: &[&'static dyn Rule]) -> Result<Bound, Vec<BindError>> {
    let levels = rules.iter().map(|rule| rule.meta()).filter_map(|meta| Some((meta.name, meta.builtin?)));
    bind(RuleSet::builtin(levels), rules)
}

/// Gives every entry's parameters their types.
///
/// # Errors
/// Everything that is wrong, not only the first of it.
pub fn bind(rule_set: RuleSet, rules: &[&'static dyn Rule]) -> Result<Bound, Vec<BindError>> {
    let mut errors = Vec::new();
    let groups = groups(&rule_set, &mut errors);
    let mut entries = Vec::new();
    for entry in &rule_set.rules {
        let place = &entry.place;
        let Some(rule) = rules.iter().find(|rule| rule.meta().name == entry.rule) else {
            errors.push(unknown_rule(format!("{place}.rule"), &entry.rule, rules));
            continue;
        };
        let known = known_params(entry, rule.meta(), &mut errors);
        match rule.bind(&known, &groups) {
            // What is off is still held to its parameters, so that turning it on holds no surprise.
            Ok(check) => entries.extend(entry.level.map(|level| BoundEntry {
                meta: rule.meta(),
                check,
                level,
                entry: entry.clone(),
            })),
            Err(ParamError { param, message }) => {
                let dot = if param.is_empty() || param.starts_with('[') { "" } else { "." };
                errors.push(BindError { field: format!("{place}.params{dot}{param}"), message });
            }
        }
    }
    for (i, exemption) in rule_set.exemptions.iter().enumerate() {
        for (j, name) in exemption.rules.iter().enumerate() {
            if !rules.iter().any(|rule| rule.meta().name == name) {
                errors.push(unknown_rule(format!("exemptions[{i}].rules[{j}]"), name, rules));
            }
        }
    }
    if errors.is_empty() { Ok(Bound { hash: rule_set.hash(), rule_set, entries }) } else { Err(errors) }
}

/// The parameters that the rule has; those it does not have are mistakes of their own.
fn known_params(entry: &Entry, meta: &Meta, errors: &mut Vec<BindError>) -> Value {
    let mut params = entry.params.clone();
    if let Value::Object(map) = &mut params {
        let names = || meta.params.iter().map(|param| param.name);
        map.retain(|key, _| {
            let known = names().any(|name| name == key);
            if !known {
                let perhaps = match nearest(key, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if meta.params.is_empty() => "it has none".to_owned(),
                    None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
                };
                let field = format!("{}.params.{key}", entry.place);
                errors.push(BindError { field, message: format!("{} has no parameter `{key}`; {perhaps}", meta.name) });
            }
            known
        });
    }
    params
}

/// The built-in address groups and those of the rule set, and the labels that its entries protect.
fn groups(rule_set: &RuleSet, errors: &mut Vec<BindError>) -> Groups {
    let mut groups = Groups::builtin();
    for (name, cidrs) in &rule_set.cidr_groups {
        let field = format!("cidrGroups.{name}");
        if groups.get(name).is_ok() {
            errors.push(BindError { field, message: format!("`{name}` is a built-in group; choose another name") });
            continue;
        }
        match parse_all(cidrs) {
            Ok(addresses) => groups.insert(name, addresses),
            Err(message) => errors.push(BindError { field, message }),
        }
    }
    let in_force = rule_set.rules.iter().filter(|entry| entry.level.is_some());
    groups.protected_labels = in_force.flat_map(|entry| protected_labels(&entry.rule, &entry.params)).collect();
    groups
}

fn unknown_rule(field: String, name: &str, rules: &[&'static dyn Rule]) -> BindError {
    let nearest = nearest(name, rules.iter().map(|rule| rule.meta().name));
    let perhaps =
        nearest.map_or_else(|| "`portcullis rules` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
    BindError { field, message: format!("there is no rule `{name}`; {perhaps}") }
}

impl Bound {
    /// Whether anything in it looks at pods, which an inventory need not know otherwise.
    #[must_use]
    pub fn needs_pods(&self) -> bool {
        self.rule_set.explain_changes == ExplainChanges::Warn
    }

    /// Whether any entry could have something to say of an object that cannot be read: where none
    /// could, that is nobody's concern.
    #[must_use]
    pub fn concerns(&self, object: &ObjectRef, operation: &str, origin: Origin) -> bool {
        let namespace = object.namespace.as_deref().unwrap_or(&object.name);
        self.entries.iter().any(|entry| {
            entry.meta.kind == object.kind
                && (origin != Origin::Labels || entry.meta.guards_labels)
                && entry.entry.matcher.matches(namespace, &object.name, operation)
        })
    }
}

/// Judges one subject: every matching entry, all findings, most severe first.
#[must_use]
pub fn evaluate(subject: &Subject, inventory: &Inventory, bound: &Bound, now: Timestamp, origin: Origin) -> Report {
    let around = inventory.overlay(subject);
    let cx = Context { subject, around: &around, inventory, now, bundle: origin == Origin::Bundle };
    let mut report = Report::default();
    let mut merged: BTreeMap<(&'static str, String), Finding> = BTreeMap::new();
    for entry in &bound.entries {
        let started = Instant::now();
        let outcome = match entry.applies(&cx, origin) {
            Applies::No => match entry.brought_under(&cx, bound, origin) {
                Some(outcome) => outcome,
                None => continue,
            },
            Applies::Yes => entry.run(&cx, &bound.rule_set),
            // Manifests that say nothing of a namespace's labels leave open whether the entry is meant.
            Applies::Unknown if origin == Origin::Bundle => entry.run(&cx, &bound.rule_set).map(Found::in_doubt),
            Applies::Unknown => Err(CannotTell {
                reason: format!(
                    "the labels of namespace {}, by which the entry is chosen, are not known",
                    subject.namespace
                ),
                confirm: true,
            }),
        };
        let settled = outcome.as_ref().is_ok_and(|found| !found.in_doubt);
        if let Some(rule) = take(&mut report, &mut merged, entry, subject, outcome) {
            let empty = || Confirm { namespace: subject.namespace.clone(), rules: Vec::new() };
            let confirm = report.confirm.get_or_insert_with(empty);
            // Of the entry, and not of its findings: a denial may be left out for what only a live read can tell.
            if entry.level == Level::Deny || !settled {
                confirm.rules.push(rule);
            }
        }
        add_duration(&mut report.rule_durations, entry.meta.name, started.elapsed());
    }
    report.findings = merged.into_values().collect();
    exempt(&mut report, &bound.rule_set, &cx, origin);
    report.findings.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| (a.rule, &a.field).cmp(&(b.rule, &b.field))));
    report
}

/// What a request newly opens to other namespaces and outside the cluster, where the rule set asks for it: lines for
/// warnings, most important first. The guard path has not been asked about policies, and manifests have `diff`.
#[must_use]
pub fn changes(subject: &Subject, inventory: &Inventory, bound: &Bound, origin: Origin) -> Vec<String> {
    match (bound.rule_set.explain_changes, origin) {
        (ExplainChanges::Warn, Origin::Request) => changes::lines(subject, inventory),
        (ExplainChanges::Warn, Origin::Labels | Origin::Metadata | Origin::Bundle) | (ExplainChanges::Off, _) => {
            Vec::new()
        }
    }
}

/// Puts what an entry came to into the report, and names the rule that a live read has to back.
fn take(
    report: &mut Report,
    merged: &mut BTreeMap<(&'static str, String), Finding>,
    entry: &BoundEntry,
    subject: &Subject,
    outcome: Result<Found, CannotTell>,
) -> Option<&'static str> {
    let mut unjudged = |reason| {
        let (rule, object) = (Some(entry.meta.name), Some(subject.object_ref()));
        report.cannot_judge.push(Unjudged { rule, object, reason });
    };
    match outcome {
        Ok(Found { findings, confirm, in_doubt: false, rule }) => {
            findings.into_iter().for_each(|finding| merge(merged, finding));
            confirm.then_some(rule)
        }
        Ok(Found { findings, confirm, in_doubt: true, rule }) => {
            for finding in findings {
                let namespace = &subject.namespace;
                unjudged(format!(
                    "the labels of namespace {namespace} are not known; {} may be meant for it: {}: {}",
                    entry.entry.place, finding.field, finding.message
                ));
            }
            confirm.then_some(rule)
        }
        Err(CannotTell { reason, confirm }) => {
            unjudged(reason);
            confirm.then_some(entry.meta.name)
        }
    }
}

fn add_duration(durations: &mut Vec<(&'static str, Duration)>, rule: &'static str, took: Duration) {
    match durations.iter_mut().find(|(name, _)| *name == rule) {
        Some((_, total)) => *total += took,
        None => durations.push((rule, took)),
    }
}

/// Findings of several entries on one field are one: the strictest level, all of the evidence.
fn merge(merged: &mut BTreeMap<(&'static str, String), Finding>, finding: Finding) {
    let key = (finding.rule, finding.field.clone());
    let Some(there) = merged.get_mut(&key) else {
        merged.insert(key, finding);
        return;
    };
    let (mut kept, other) =
        if finding.level > there.level { (finding, there.clone()) } else { (there.clone(), finding) };
    let evidence = &mut kept.evidence;
    let cidrs: IpSet = evidence.cidrs.iter().chain(&other.evidence.cidrs).copied().collect();
    evidence.cidrs = cidrs.cidrs();
    for port in other.evidence.ports {
        if !evidence.ports.contains(&port) {
            evidence.ports.push(port);
        }
    }
    for direction in other.evidence.directions {
        if !evidence.directions.contains(&direction) {
            evidence.directions.push(direction);
        }
    }
    evidence.labels = evidence.labels.take().or(other.evidence.labels);
    *there = kept;
}

/// Marks what an exemption lets pass, and notes the exemptions that would have, had they not expired.
fn exempt(report: &mut Report, rule_set: &RuleSet, cx: &Context<'_>, origin: Origin) {
    let today = cx.now.to_zoned(TimeZone::UTC).date();
    let (subject, around) = (cx.subject, cx.around);
    // A request must not get itself exempted by the very labels it sets.
    let relabels = matches!(&subject.change, Change::Namespace { old: Some(_), .. });
    let selected = |selector: &Selector| {
        selector.matches(&around.after.labels) && (!relabels || selector.matches(&around.before.labels))
    };
    for (i, exemption) in rule_set.exemptions.iter().enumerate() {
        let by_requester = match &exemption.subjects {
            None => true,
            Some(_) if origin == Origin::Bundle => false,
            Some(subjects) => subjects.include(&subject.requester),
        };
        let matcher = &exemption.matcher;
        let meant = by_requester
            && matcher.matches(&subject.namespace, &subject.name, subject.operation.as_str())
            && matcher.namespace_selector.as_ref().is_none_or(selected);
        if !meant {
            continue;
        }
        let by = format!("exemptions[{i}]");
        for finding in report.findings.iter_mut().filter(|finding| finding.exempted.is_none()) {
            if !exemption.rules.iter().any(|rule| rule == finding.rule) {
                continue;
            }
            match exemption.expires.filter(|expires| *expires < today) {
                None => finding.exempted = Some(Exempted { by: by.clone(), reason: exemption.reason.clone() }),
                Some(expires) => {
                    let note = format!("{by} of {} expired on {expires}: it no longer holds", finding.rule);
                    if !report.notes.contains(&note) {
                        report.notes.push(note);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
