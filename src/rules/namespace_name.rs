//! `namespace-name`: how namespaces may be called.

use serde::Deserialize;
use serde_json::Value;

use super::pattern::Pattern;
use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::netpol::groups::Groups;
use crate::object::Operation;

/// The rule.
pub(super) struct NamespaceName;

static META: Meta = Meta {
    name: "namespace-name",
    kind: "Namespace",
    guards_labels: false,
    builtin: None,
    needs: Needs::Nothing,
    summary: "a namespace's name is outside the pattern, or begins with a reserved prefix",
    what: "Creating a namespace whose name does not match the pattern as a whole, or begins with a reserved prefix. It \
           does nothing until one of the two is named. A name never changes, so updates are not judged.",
    why: "Rule sets, policies and dashboards choose namespaces by name, and `kubernetes.io/metadata.name` is the one \
          label that nobody can forge: a name that looks like another team's or the platform's gets what was meant \
          for them.",
    example_params: "pattern: 'team-[a-z0-9-]+'\nreserved: [team-platform]\n",
    rejected: "apiVersion: v1
kind: Namespace
metadata: {name: team-platform-2}
",
    accepted: "apiVersion: v1
kind: Namespace
metadata: {name: team-checkout}
",
    params: &[
        ParamDoc {
            name: "pattern",
            default: "null",
            about: "A regular expression that the whole name has to match; without it every name does.",
        },
        ParamDoc { name: "reserved", default: "[]", about: "Prefixes that no name may have, such as `kube-`." },
    ],
    references: &["https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/"],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    pattern: Option<String>,
    reserved: Vec<String>,
}

struct Bound {
    pattern: Option<Pattern>,
    reserved: Vec<String>,
}

impl Rule for NamespaceName {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        let pattern = params.pattern.as_deref().map(|pattern| Pattern::parse("pattern", pattern)).transpose()?;
        let can_begin_a_name = |prefix: &str| {
            let mut bytes = prefix.bytes();
            prefix.len() <= 63
                && bytes.next().is_some_and(|byte| byte != b'-')
                && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if let Some((i, prefix)) = params.reserved.iter().enumerate().find(|(_, prefix)| !can_begin_a_name(prefix)) {
            return Err(ParamError::at(
                &format!("reserved[{i}]"),
                format!("no namespace's name can begin with `{prefix}`: write lower-case letters, digits and `-`"),
            ));
        }
        Ok(Box::new(Bound { pattern, reserved: params.reserved }))
    }
}

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        if cx.namespace().is_none() || cx.subject.operation != Operation::Create {
            return Ok(Outcome::default());
        }
        let name = cx.subject.name.as_str();
        let (mut wrong, mut repairs) = (Vec::new(), Vec::new());
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.matches(name)) {
            wrong.push(format!("does not match `{}`", pattern.as_str()));
            repairs.push(format!("matches `{}`", pattern.as_str()));
        }
        if let Some(prefix) = self.reserved.iter().find(|prefix| name.starts_with(prefix.as_str())) {
            wrong.push(format!("begins with `{prefix}`, which is reserved"));
            repairs.push(format!("does not begin with `{prefix}`"));
        }
        if wrong.is_empty() {
            return Ok(Outcome::default());
        }
        let wrong = wrong.join(" and ");
        Ok(vec![Draft {
            field: "metadata.name".to_owned(),
            message: format!("the name {name} {wrong}"),
            brief: wrong,
            help: format!("choose a name that {}", repairs.join(" and ")),
            ..Draft::default()
        }]
        .into())
    }
}

#[cfg(test)]
mod tests;
