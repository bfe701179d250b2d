//! One entry of a rule set: whether it is meant, what its rule finds, and how much that weighs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{Bound, Origin};
use crate::config::valid::{Entry, RuleSet};
use crate::finding::{Finding, Level};
use crate::inventory::{Around, NamespaceState};
use crate::netpol::extent::{Extent, contained};
use crate::object::{Change, Subject};
use crate::rules::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome};

/// The rule that speaks for others when a Namespace's labels bring it under their entries.
const ON_BEHALF: &str = "namespace-needs-default-deny";

/// Ends a finding that an UPDATE has left as it was, or better.
const AS_BEFORE: &str = " (as before this request)";

pub(super) struct BoundEntry {
    pub(super) meta: &'static Meta,
    pub(super) check: Box<dyn Check>,
    /// The entry's level; an entry that is off is never bound.
    pub(super) level: Level,
    pub(super) entry: Entry,
}

/// Whether an entry is meant for a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applies {
    Yes,
    No,
    /// That depends on labels nobody knows.
    Unknown,
}

/// What an entry has found.
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    /// A live read has to back it.
    pub(super) confirm: bool,
    /// Whether the entry was meant at all is open.
    pub(super) in_doubt: bool,
    /// The rule that speaks.
    pub(super) rule: &'static str,
}

impl Found {
    pub(super) fn in_doubt(self) -> Self {
        Self { in_doubt: true, ..self }
    }
}

impl BoundEntry {
    pub(super) fn applies(&self, cx: &Context<'_>, origin: Origin) -> Applies {
        let wanted = match origin {
            Origin::Request => true,
            Origin::Labels => self.meta.guards_labels && relabels(cx),
            Origin::Metadata => self.check.judges_metadata(),
            Origin::Bundle => self.meta.needs != Needs::Requester,
        };
        if !wanted || self.meta.kind != cx.subject.object_ref().kind || !self.names(cx) {
            return Applies::No;
        }
        let Around { before, after } = cx.around;
        match &cx.subject.change {
            Change::NetworkPolicy { .. } => self.selects(after),
            // By old or new labels: neither leaving nor entering gets around the rule.
            Change::Namespace { old, new } => {
                let by_old = old.is_some() && self.selects(before) == Applies::Yes;
                let by_new = new.is_some() && self.selects(after) == Applies::Yes;
                if by_old || by_new { Applies::Yes } else { Applies::No }
            }
        }
    }

    fn names(&self, cx: &Context<'_>) -> bool {
        let Subject { namespace, name, operation, .. } = cx.subject;
        self.entry.matcher.matches(namespace, name, operation.as_str())
    }

    /// Whether a namespace's labels are those the entry asks for.
    fn selects(&self, namespace: &NamespaceState) -> Applies {
        match &self.entry.matcher.namespace_selector {
            None => Applies::Yes,
            Some(_) if !namespace.known => Applies::Unknown,
            Some(selector) if selector.matches(&namespace.labels) => Applies::Yes,
            Some(_) => Applies::No,
        }
    }

    /// The findings of this entry, weighed, and whether they have to be confirmed.
    pub(super) fn run(&self, cx: &Context<'_>, rule_set: &RuleSet) -> Result<Found, CannotTell> {
        self.fresh_enough(cx, rule_set)?;
        let Outcome { drafts, confirm } = guarded(|| self.check.check(cx))?;
        let comparable = rule_set.ratchet && drafts.iter().any(|draft| !draft.extents.is_empty());
        let before = if comparable { self.extents_before(cx) } else { Vec::new() };
        let weigh = |draft| self.weigh(cx, rule_set, draft, &before, self.meta.name);
        Ok(Found { findings: drafts.into_iter().map(weigh).collect(), confirm, in_doubt: false, rule: self.meta.name })
    }

    /// What there is to find because an UPDATE of a Namespace's labels brings it under this entry,
    /// which judges other objects. `None` where it does not.
    pub(super) fn brought_under(
        &self,
        cx: &Context<'_>,
        bound: &Bound,
        origin: Origin,
    ) -> Option<Result<Found, CannotTell>> {
        let Change::Namespace { old: Some(_), new: Some(_) } = &cx.subject.change else { return None };
        let Around { before, after } = cx.around;
        let newly = self.meta.kind == "NetworkPolicy"
            && self.entry.matcher.namespace_selector.is_some()
            && self.selects(before) == Applies::No
            && self.selects(after) == Applies::Yes
            && self.entry.matcher.matches(&cx.subject.namespace, "", "CREATE");
        let asked = || {
            let mut speakers = bound.entries.iter().filter(|entry| entry.meta.name == ON_BEHALF);
            speakers.any(|entry| entry.applies(cx, origin) == Applies::Yes)
        };
        if !newly || !asked() {
            return None;
        }
        let found = self.fresh_enough(cx, &bound.rule_set).and_then(|()| {
            let Outcome { drafts, confirm } = guarded(|| self.check.brought_under(cx))?;
            let weigh = |draft| self.weigh(cx, &bound.rule_set, draft, &[], ON_BEHALF);
            Ok(Found { findings: drafts.into_iter().map(weigh).collect(), confirm, in_doubt: false, rule: ON_BEHALF })
        });
        Some(found)
    }

    /// Old knowledge is no ground for a verdict that rests on it. What is only told is told by what is known.
    fn fresh_enough(&self, cx: &Context<'_>, rule_set: &RuleSet) -> Result<(), CannotTell> {
        let (age, limit) = (cx.inventory.age(), Duration::from_secs(rule_set.max_inventory_age_seconds));
        if self.meta.needs != Needs::Inventory || self.level < Level::Deny || age <= limit {
            return Ok(());
        }
        let (age, limit) = (age.as_secs(), limit.as_secs());
        let reason = format!("what is known of the cluster is {age} s old, and {limit} s is the limit");
        Err(CannotTell { reason, confirm: true })
    }

    /// What this entry would have found in the object as it was before an UPDATE.
    fn extents_before(&self, cx: &Context<'_>) -> Vec<Extent> {
        let Change::NetworkPolicy { old: Some(old), new: Some(_) } = &cx.subject.change else { return Vec::new() };
        let change = Change::NetworkPolicy { old: None, new: Some(old.clone()) };
        let subject = Subject { change, ..cx.subject.clone() };
        let around = Around { before: cx.around.before.clone(), after: cx.around.before.clone() };
        let before = guarded(|| self.check.check(&Context { subject: &subject, around: &around, ..*cx }));
        before.map(|outcome| outcome.drafts.into_iter().flat_map(|draft| draft.extents).collect()).unwrap_or_default()
    }

    fn weigh(
        &self,
        cx: &Context<'_>,
        rule_set: &RuleSet,
        draft: Draft,
        before: &[Extent],
        rule: &'static str,
    ) -> Finding {
        let Draft { field, mut message, mut brief, help, evidence, at_most, as_before, extents } = draft;
        let mut level = self.level.min(at_most).min(rule_set.max_level);
        // The ratchet: a request answers only for what it makes worse. What cannot be told in bounded
        // time counts as worse; the object can still be left unchanged, repaired or deleted.
        let allowed = || !extents.is_empty() && !before.is_empty() && contained(&extents, before) == Some(true);
        if (rule_set.ratchet && as_before) || allowed() {
            level = level.min(Level::Warn);
            message.push_str(AS_BEFORE);
            brief.push_str(AS_BEFORE);
        }
        Finding {
            rule,
            level,
            object: cx.subject.object_ref(),
            field,
            message: one_line(message),
            brief: one_line(brief),
            help: one_line(help),
            evidence,
            decided_by: self.entry.place.clone(),
            exempted: None,
        }
    }
}

/// Whether a Namespace's labels are not what they were: annotations are not the guard path's concern.
fn relabels(cx: &Context<'_>) -> bool {
    !matches!(cx.namespace(), Some((Some(old), Some(new))) if old.labels == new.labels)
}

/// Names come from whoever wrote the object, and only an API server has checked them.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

/// Runs a rule; a panic in it is something it cannot judge, and nobody else's concern.
fn guarded(rule: impl FnOnce() -> Result<Outcome, CannotTell>) -> Result<Outcome, CannotTell> {
    catch_unwind(AssertUnwindSafe(rule)).unwrap_or_else(|_| {
        let reason = "the rule failed with an internal error, which the log tells more of".to_owned();
        Err(CannotTell { reason, confirm: false })
    })
}
