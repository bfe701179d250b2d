//! `policy-metadata`: labels and annotations that every NetworkPolicy has to have, and what it may be called.

use serde::Deserialize;
use serde_json::Value;

use super::pattern::Pattern;
use super::required::{Item, Required, drafts, required};
use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::netpol::groups::Groups;
use crate::object::{Change, Operation};

/// The rule.
pub(super) struct PolicyMetadata;

static META: Meta = Meta {
    name: "policy-metadata",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: None,
    needs: Needs::Nothing,
    summary: "a policy lacks a required label or annotation, has it with another value than allowed, or has a name \
              outside the pattern",
    what: "Creating a policy without a label or annotation that is required, with a value outside its list or its \
           pattern, or with a name that does not match the pattern; and an update that takes away such a label or \
           gives it such a value. What was missing or wrong before an update and is left so is nobody's fault, and a \
           name cannot change.",
    why: "A policy whose owner and reason nobody knows is one that nobody dares to tighten or remove.",
    example_params: "labels: [{key: owner}]\nnamePattern: (allow|deny)-.+\n",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: test2, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 8080}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow-frontend, namespace: shop, labels: {owner: checkout}}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 8080}]
",
    params: &[
        ParamDoc {
            name: "labels",
            default: "[]",
            about: "The labels a policy must have, each as `{key, values, pattern}`: `values` lists what is allowed, \
                    `pattern` is a regular expression that the whole value has to match; both are optional, and with \
                    both a value has to satisfy both.",
        },
        ParamDoc {
            name: "annotations",
            default: "[]",
            about: "The same for annotations. A value of more than 4,096 bytes matches no pattern.",
        },
        ParamDoc {
            name: "namePattern",
            default: "null",
            about: "A regular expression that the whole name has to match. Without it every name will do.",
        },
    ],
    references: &[
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/",
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    labels: Vec<Item>,
    annotations: Vec<Item>,
    name_pattern: Option<String>,
}

impl Rule for PolicyMetadata {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        let pattern = params.name_pattern.as_deref();
        let name = pattern.map(|pattern| Pattern::parse("namePattern", pattern)).transpose()?;
        Ok(Box::new(Bound { required: required(&params.labels, &params.annotations)?, name }))
    }
}

struct Bound {
    required: Vec<Required>,
    name: Option<Pattern>,
}

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Change::NetworkPolicy { old, new: Some(new) } = &cx.subject.change else { return Ok(Outcome::default()) };
        let mut found = drafts(&self.required, old.as_ref().map(|old| &old.metadata), &new.metadata);
        if cx.subject.operation == Operation::Create {
            found.extend(self.misnamed(&cx.subject.name));
        }
        Ok(found.into())
    }

    fn judges_metadata(&self) -> bool {
        true
    }
}

impl Bound {
    fn misnamed(&self, name: &str) -> Option<Draft> {
        let pattern = self.name.as_ref().filter(|pattern| !pattern.matches(name))?.as_str();
        Some(Draft {
            field: "metadata.name".to_owned(),
            message: format!("the name {name} does not match `{pattern}`"),
            brief: format!("does not match `{pattern}`"),
            help: format!("choose a name that matches `{pattern}`"),
            ..Draft::default()
        })
    }
}

#[cfg(test)]
mod tests;
