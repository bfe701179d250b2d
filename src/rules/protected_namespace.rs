//! `protected-namespace`: namespaces that are not to be deleted.

use serde::Deserialize;
use serde_json::Value;

use super::labelling::{check_key, check_subjects, requester, who_may};
use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::netpol::groups::Groups;
use crate::netpol::selector::is_label_value;
use crate::object::Subjects;

/// The rule.
pub(super) struct ProtectedNamespace;

static META: Meta = Meta {
    name: "protected-namespace",
    kind: "Namespace",
    guards_labels: false,
    builtin: None,
    needs: Needs::Requester,
    summary: "a namespace that carries the protection label is deleted by somebody not entitled",
    what: "Deleting a namespace that carries the protection label, by a requester who is not among the subjects. One \
           that is on its way out already is let go. Whoever may remove the label may then delete the namespace: name \
           its key under `protected-namespace-labels` as well.",
    why: "Deleting a namespace deletes everything in it, policies included, and cannot be taken back.",
    example_params: "",
    rejected: "# deleted
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {portcullis.dev/protected: \"true\"}
",
    accepted: "# deleted
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: checkout}
",
    params: &[
        ParamDoc {
            name: "label",
            default: "portcullis.dev/protected=true",
            about: "The protection label: KEY=VALUE, or KEY for any value.",
        },
        ParamDoc {
            name: "subjects",
            default: "{}",
            about: "Those who may delete such a namespace, as `{users, groups, serviceAccounts}`, service accounts as \
                    NAMESPACE/NAME or NAMESPACE/*; without any nobody may.",
        },
    ],
    references: &["https://kubernetes.io/docs/tasks/administer-cluster/namespaces/#deleting-a-namespace"],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    label: String,
    subjects: Subjects,
}

impl Default for Params {
    fn default() -> Self {
        Self { label: "portcullis.dev/protected=true".to_owned(), subjects: Subjects::default() }
    }
}

struct Bound {
    key: String,
    /// `None` for any.
    value: Option<String>,
    subjects: Subjects,
}

impl Rule for ProtectedNamespace {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let Params { label, subjects } = typed(params)?;
        let (key, value) = match label.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (label.as_str(), None),
        };
        check_key("label", key)?;
        if let Some(value) = value.as_deref().filter(|value| !is_label_value(value)) {
            return Err(ParamError::at("label", format!("`{value}` is not a value that a label can have")));
        }
        check_subjects("subjects", &subjects)?;
        Ok(Box::new(Bound { key: key.to_owned(), value, subjects }))
    }
}

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        // An old object that could not be read is absent here, and never blocks its own deletion.
        let Some((Some(old), None)) = cx.namespace() else { return Ok(Outcome::default()) };
        let Some(value) = old.labels.get(&self.key) else { return Ok(Outcome::default()) };
        let protected = self.value.as_ref().is_none_or(|wanted| wanted == value);
        // The namespace controller deletes once more what is on its way out.
        if !protected || old.deletion_timestamp.is_some() || self.subjects.include(&cx.subject.requester) {
            return Ok(Outcome::default());
        }
        let (who, name, key) = (requester(cx), &cx.subject.name, &self.key);
        Ok(vec![Draft {
            field: format!("metadata.labels[{key}]"),
            message: format!("{who} deletes namespace {name}, which is protected by its label {key}={value}"),
            brief: format!("protected, {who} may not delete it"),
            help: format!("keep it; {} delete it", who_may(&self.subjects)),
            ..Draft::default()
        }]
        .into())
    }
}

#[cfg(test)]
mod tests;
