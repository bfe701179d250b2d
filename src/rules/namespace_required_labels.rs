//! `namespace-required-labels`: labels and annotations that every Namespace has to have.

use serde::Deserialize;
use serde_json::Value;

use super::required::{Item, Required, drafts, required};
use super::{CannotTell, Check, Context, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::netpol::groups::Groups;

/// The rule.
pub(super) struct NamespaceRequiredLabels;

static META: Meta = Meta {
    name: "namespace-required-labels",
    kind: "Namespace",
    guards_labels: true,
    builtin: None,
    needs: Needs::Nothing,
    summary: "a namespace lacks a required label or annotation, or has it with another value than allowed",
    what: "Creating a namespace without a label or annotation that is required, or with a value outside its list or \
           its pattern; and an update that takes away such a label or gives it such a value. What was missing or \
           wrong before an update and is left so is nobody's fault: old namespaces can still be changed.",
    why: "Rules, policies and people select namespaces by labels. One without an owner has nobody to ask, and one \
          with a misspelt environment gets the rules of none.",
    example_params: "labels: [{key: team}, {key: environment, values: [production, staging]}]\n",
    rejected: "apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {environment: prod}
",
    accepted: "apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: checkout, environment: production}
",
    params: &[
        ParamDoc {
            name: "labels",
            default: "[]",
            about: "The labels a namespace must have, each as `{key, values, pattern}`: `values` lists what is \
                    allowed, `pattern` is a regular expression that the whole value has to match; both are optional, \
                    and with both a value has to satisfy both.",
        },
        ParamDoc {
            name: "annotations",
            default: "[]",
            about: "The same for annotations. A value of more than 4,096 bytes matches no pattern.",
        },
    ],
    references: &[
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/",
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    labels: Vec<Item>,
    annotations: Vec<Item>,
}

impl Rule for NamespaceRequiredLabels {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        Ok(Box::new(Bound(required(&params.labels, &params.annotations)?)))
    }
}

struct Bound(Vec<Required>);

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some((old, Some(new))) = cx.namespace() else { return Ok(Outcome::default()) };
        Ok(drafts(&self.0, old, new).into())
    }
}

#[cfg(test)]
mod tests;
