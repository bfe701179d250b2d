//! `webhook-exemption`: labels that take a namespace out of the webhook's sight.

use serde::Deserialize;
use serde_json::Value;

use super::labelling::{LabelChange, check_key, check_subjects, label_changes, requester, who_may};
use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::finding::Level;
use crate::netpol::groups::Groups;
use crate::object::Subjects;

/// The rule.
pub(super) struct WebhookExemption;

static META: Meta = Meta {
    name: "webhook-exemption",
    kind: "Namespace",
    guards_labels: true,
    builtin: Some(Level::Deny),
    needs: Needs::Requester,
    summary: "a namespace is given a label that exempts it from the webhook, by somebody not entitled",
    what: "Creating a namespace with a label that the webhook's registration exempts by, or an update that sets or \
           changes one, by a requester who is not among the subjects. It does nothing until `keys` are named. Removing \
           such a label is always welcome. The registration's own `namespaceSelector` hides the very request that sets \
           the label, and labels also change through `namespaces/status` and `namespaces/finalize`: register the guard \
           path `/validate/labels`, which has no selector, for all three.",
    why: "Whoever may label a namespace out of the webhook's sight is held to no rule in it.",
    example_params: "keys: [portcullis.dev/exempt]\nsubjects: {groups: [platform]}\n",
    rejected: "apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {portcullis.dev/exempt: \"true\"}
",
    accepted: "apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: checkout}
",
    params: &[
        ParamDoc { name: "keys", default: "[]", about: "Keys of the labels that exempt a namespace." },
        ParamDoc {
            name: "subjects",
            default: "{}",
            about: "Those who may set them, as `{users, groups, serviceAccounts}`, service accounts as NAMESPACE/NAME \
                    or NAMESPACE/*; without any nobody may.",
        },
    ],
    references: &[
        "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-namespaceselector",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    keys: Vec<String>,
    subjects: Subjects,
}

impl Rule for WebhookExemption {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        for (i, key) in params.keys.iter().enumerate() {
            check_key(&format!("keys[{i}]"), key)?;
        }
        check_subjects("subjects", &params.subjects)?;
        Ok(Box::new(params))
    }
}

impl Check for Params {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        if self.subjects.include(&cx.subject.requester) {
            return Ok(Outcome::default());
        }
        let exempts = |change: &LabelChange<'_>| change.new.is_some() && self.keys.iter().any(|key| key == change.key);
        let draft = |change: LabelChange<'_>| self.draft(cx, &change);
        Ok(label_changes(cx).into_iter().filter(exempts).map(draft).collect::<Vec<_>>().into())
    }
}

impl Params {
    fn draft(&self, cx: &Context<'_>, change: &LabelChange<'_>) -> Draft {
        let (who, verb) = (requester(cx), change.verb());
        Draft {
            field: change.field(),
            message: format!("{who} {change}, which exempts the namespace from this webhook"),
            brief: format!("exempts from the webhook, {who} may not {verb} it"),
            help: format!("leave it out; {} {verb} it", who_may(&self.subjects)),
            ..Draft::default()
        }
    }
}

#[cfg(test)]
mod tests;
