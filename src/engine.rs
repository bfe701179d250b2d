//! One subject, one inventory, one bound rule set: one report.
//!
//! ```text
//! bind(rule set, RULES) -> Bound
//! evaluate(subject, inventory, bound, now):
//!     for each entry that matches: run the rule -> weigh (level, maxLevel, ratchet) -> merge -> Report
//! ```
//!
//! Time comes in as an argument, so every verdict can be replayed. The monotonic clock is read only
//! to tell how long a rule took.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;

use crate::config::valid::{Entry, RuleSet};
use crate::finding::{Confirm, Finding, Level, Report, Unjudged};
use crate::inventory::{Around, Inventory};
use crate::netpol::extent::{Extent, contained};
use crate::netpol::groups::Groups;
use crate::object::{Change, Subject};
use crate::rules::{CannotTell, Check, Context, Draft, Meta, Outcome, Rule};

/// A rule set whose parameters have their types.
pub struct Bound {
    /// As configured.
    pub rule_set: RuleSet,
    /// Hash of its content, to tell one from another.
    pub hash: String,
    entries: Vec<BoundEntry>,
}

struct BoundEntry {
    meta: &'static Meta,
    check: Box<dyn Check>,
    entry: Entry,
    /// `rules[3]`, for findings to point at.
    place: String,
}

/// Why a rule set cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BindError {
    /// It names a rule that does not exist.
    #[error("{place}: there is no rule `{rule}`; `portcullis rules` lists them")]
    UnknownRule {
        /// The entry.
        place: String,
        /// The name.
        rule: String,
    },
    /// A parameter is wrong.
    #[error("{place}: {rule}: {problem}")]
    Params {
        /// The entry.
        place: String,
        /// The rule.
        rule: String,
        /// What is wrong with it.
        problem: String,
    },
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
    let groups = Groups::builtin();
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    for (i, entry) in rule_set.rules.iter().enumerate() {
        let place = format!("rules[{i}]");
        let Some(rule) = rules.iter().find(|rule| rule.meta().name == entry.rule) else {
            errors.push(BindError::UnknownRule { place, rule: entry.rule.clone() });
            continue;
        };
        match rule.bind(&entry.params, &groups) {
            Ok(check) => entries.push(BoundEntry { meta: rule.meta(), check, entry: entry.clone(), place }),
            Err(problem) => errors.push(BindError::Params { place, rule: entry.rule.clone(), problem }),
        }
    }
    if errors.is_empty() { Ok(Bound { hash: rule_set.hash(), rule_set, entries }) } else { Err(errors) }
}

/// Judges one request: every matching entry, all findings, most severe first.
#[must_use]
pub fn evaluate(subject: &Subject, inventory: &Inventory, bound: &Bound, now: Timestamp) -> Report {
    let around = inventory.overlay(subject);
    let cx = Context { subject, around: &around, inventory, now };
    let kind = subject.object_ref().kind;
    let mut report = Report::default();
    let mut merged: BTreeMap<(&'static str, String), Finding> = BTreeMap::new();
    for bound_entry in bound.entries.iter().filter(|bound_entry| bound_entry.applies(subject, kind)) {
        let started = Instant::now();
        let confirm = match bound_entry.run(&cx, &bound.rule_set) {
            Ok((findings, confirm)) => {
                findings.into_iter().for_each(|finding| merge(&mut merged, finding));
                confirm
            }
            Err(CannotTell { reason, confirm }) => {
                let (rule, object) = (Some(bound_entry.meta.name), Some(subject.object_ref()));
                report.cannot_judge.push(Unjudged { rule, object, reason });
                confirm
            }
        };
        if confirm {
            let empty = || Confirm { namespace: subject.namespace.clone(), rules: Vec::new() };
            report.confirm.get_or_insert_with(empty).rules.push(bound_entry.meta.name);
        }
        add_duration(&mut report.rule_durations, bound_entry.meta.name, started.elapsed());
    }
    report.findings = merged.into_values().collect();
    report.findings.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| (a.rule, &a.field).cmp(&(b.rule, &b.field))));
    report
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
    let cidrs: crate::netpol::ip_set::IpSet = evidence.cidrs.iter().chain(&other.evidence.cidrs).copied().collect();
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

/// Ends a finding that an UPDATE has left as it was, or better.
const AS_BEFORE: &str = " (as before this update)";

impl BoundEntry {
    fn applies(&self, subject: &Subject, kind: &str) -> bool {
        self.meta.kind == kind && self.entry.matcher.matches(&subject.namespace)
    }

    /// The findings of this entry, weighed, and whether they have to be confirmed.
    fn run(&self, cx: &Context<'_>, rule_set: &RuleSet) -> Result<(Vec<Finding>, bool), CannotTell> {
        let limit = Duration::from_secs(rule_set.max_inventory_age_seconds);
        if self.meta.needs_inventory && cx.inventory.age() > limit {
            let age = cx.inventory.age().as_secs();
            let reason = format!("what is known of the cluster is {age} s old, and {} s is the limit", limit.as_secs());
            return Err(CannotTell { reason, confirm: true });
        }
        let Outcome { drafts, confirm } = self.guarded(cx)?;
        let comparable = rule_set.ratchet && drafts.iter().any(|draft| !draft.extents.is_empty());
        let before = if comparable { self.extents_before(cx) } else { Vec::new() };
        let weigh = |draft| self.weigh(cx, rule_set, draft, &before);
        Ok((drafts.into_iter().map(weigh).collect(), confirm))
    }

    /// Runs the rule; a panic in it is something it cannot judge, and nobody else's concern.
    fn guarded(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        catch_unwind(AssertUnwindSafe(|| self.check.check(cx))).unwrap_or_else(|_| {
            Err(CannotTell {
                reason: "the rule failed with an internal error, which the log tells more of".to_owned(),
                confirm: false,
            })
        })
    }

    /// What this entry would have found in the object as it was before an UPDATE.
    fn extents_before(&self, cx: &Context<'_>) -> Vec<Extent> {
        let Change::NetworkPolicy { old: Some(old), new: Some(_) } = &cx.subject.change else { return Vec::new() };
        let change = Change::NetworkPolicy { old: None, new: Some(old.clone()) };
        let subject = Subject { change, ..cx.subject.clone() };
        let around = Around { before: cx.around.before.clone(), after: cx.around.before.clone() };
        let before = self.guarded(&Context { subject: &subject, around: &around, ..*cx });
        before.map(|outcome| outcome.drafts.into_iter().flat_map(|draft| draft.extents).collect()).unwrap_or_default()
    }

    fn weigh(&self, cx: &Context<'_>, rule_set: &RuleSet, draft: Draft, before: &[Extent]) -> Finding {
        let Draft { field, mut message, mut brief, help, evidence, at_most, extents } = draft;
        let mut level = self.entry.level.min(at_most).min(rule_set.max_level);
        // The ratchet: a request answers only for what it makes worse. What cannot be told in bounded
        // time counts as worse; the object can still be left unchanged, repaired or deleted.
        if !extents.is_empty() && !before.is_empty() && contained(&extents, before) == Some(true) {
            level = level.min(Level::Warn);
            message.push_str(AS_BEFORE);
            brief.push_str(AS_BEFORE);
        }
        Finding {
            rule: self.meta.name,
            level,
            object: cx.subject.object_ref(),
            field,
            message,
            brief,
            help,
            evidence,
            decided_by: self.place.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
