//! `protected-namespace-labels`: labels of namespaces that only some may touch.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::labelling::{LabelChange, check_key, check_subjects, label_changes, requester, who_may};
use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::finding::Level;
use crate::netpol::groups::Groups;
use crate::object::Subjects;

/// The rule.
pub(super) struct ProtectedNamespaceLabels;

static META: Meta = Meta {
    name: "protected-namespace-labels",
    kind: "Namespace",
    guards_labels: true,
    builtin: Some(Level::Warn),
    needs: Needs::Requester,
    summary: "a protected label of a namespace is set, changed or removed by somebody not entitled",
    what: "Creating a namespace with a protected label, or an update that sets, changes or removes one, by a requester \
           who is not among the subjects named for it. It does nothing until `keys` are named. Nobody is entitled by \
           rank: cluster administrators count only where they are named. Deleting the namespace is not judged. Labels \
           also change through `namespaces/status` and `namespaces/finalize`: register the guard path \
           `/validate/labels` for both.",
    why: "A namespaceSelector admits whoever can label a namespace so: a label that policies go by is a key to other \
          namespaces' firewalls.",
    example_params: "keys: [{key: team.example.com/firewall, subjects: {groups: [platform]}}]\n",
    rejected: "apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team.example.com/firewall: database-clients}
",
    accepted: "apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team.example.com/owner: checkout}
",
    params: &[ParamDoc {
        name: "keys",
        default: "[]",
        about: "The protected labels, each as `{key, subjects}` or `{prefix, subjects}`: a whole key, or what keys \
                begin with, such as `firewall.example.com/`. Where several apply the key decides, else the longest \
                prefix. `subjects: {users, groups, serviceAccounts}` are those who may, service accounts as \
                NAMESPACE/NAME or NAMESPACE/*; without any nobody may.",
    }],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#targeting-multiple-namespaces-by-label",
        "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    keys: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object such as {key: team, subjects: {groups: [platform]}}")]
struct Item {
    key: Option<String>,
    prefix: Option<String>,
    #[serde(default)]
    subjects: Subjects,
}

/// Which keys are meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Keys {
    One(String),
    Prefixed(String),
}

struct Protected {
    keys: Keys,
    subjects: Subjects,
}

impl Rule for ProtectedNamespaceLabels {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        let mut seen = BTreeSet::new();
        let protected = |(i, item): (usize, Item)| {
            let at = |field: &str| format!("keys[{i}].{field}");
            let keys = match (item.key, item.prefix) {
                (Some(key), None) => {
                    check_key(&at("key"), &key)?;
                    Keys::One(key)
                }
                (None, Some(prefix)) => {
                    check_prefix(&at("prefix"), &prefix)?;
                    Keys::Prefixed(prefix)
                }
                _ => return Err(ParamError::at(&format!("keys[{i}]"), "needs either `key` or `prefix`")),
            };
            check_subjects(&at("subjects"), &item.subjects)?;
            if !seen.insert(keys.clone()) {
                return Err(ParamError::at(&format!("keys[{i}]"), "is given twice; put all subjects into one"));
            }
            Ok(Protected { keys, subjects: item.subjects })
        };
        let protected: Result<Vec<Protected>, ParamError> =
            params.keys.into_iter().enumerate().map(protected).collect();
        Ok(Box::new(Bound(protected?)))
    }
}

/// Holds a prefix to what keys can begin with.
pub(super) fn check_prefix(param: &str, prefix: &str) -> Result<(), ParamError> {
    // With what may follow, it has to be a key.
    if prefix.is_empty() {
        return Err(ParamError::at(param, "must not be empty: it would protect every label"));
    }
    check_key(param, &format!("{prefix}a")).map_err(|_| {
        ParamError::at(
            param,
            format!("no label's key can begin with `{prefix}`: write it as in `firewall.example.com/`"),
        )
    })
}

/// The keys that an entry with these parameters protects, prefixes with `*` at the end. What is wrong with the
/// parameters is said where the entry is bound.
pub(super) fn protected_labels(params: &Value) -> Vec<String> {
    let params: Params = typed(params).unwrap_or_default();
    let prefixed = |prefix: String| format!("{prefix}*");
    params.keys.into_iter().filter_map(|item| item.key.or_else(|| item.prefix.map(prefixed))).collect()
}

struct Bound(Vec<Protected>);

impl Bound {
    /// What protects a key: its own entry, else that of the longest prefix.
    fn protection(&self, key: &str) -> Option<&Protected> {
        let weight = |protected: &Protected| match &protected.keys {
            Keys::One(one) if one == key => Some(usize::MAX),
            Keys::Prefixed(prefix) if key.starts_with(prefix.as_str()) => Some(prefix.len()),
            Keys::One(_) | Keys::Prefixed(_) => None,
        };
        let weighed = self.0.iter().filter_map(|protected| Some((weight(protected)?, protected)));
        weighed.max_by_key(|(weight, _)| *weight).map(|(_, protected)| protected)
    }
}

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let draft = |change: LabelChange<'_>| {
            let Protected { subjects, .. } = self.protection(change.key)?;
            (!subjects.include(&cx.subject.requester)).then(|| draft(cx, &change, subjects))
        };
        Ok(label_changes(cx).into_iter().filter_map(draft).collect::<Vec<_>>().into())
    }
}

fn draft(cx: &Context<'_>, change: &LabelChange<'_>, subjects: &Subjects) -> Draft {
    let (who, verb) = (requester(cx), change.verb());
    Draft {
        field: change.field(),
        message: format!("{who} {change}, and the label is protected"),
        brief: format!("protected, {who} may not {verb} it"),
        help: format!("leave it as it is; {} {verb} it", who_may(subjects)),
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests;
