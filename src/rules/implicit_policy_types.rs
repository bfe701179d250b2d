//! `implicit-policy-types`: `policyTypes` left to defaulting.

use serde_json::Value;

use super::{CannotTell, Check, Context, Draft, Meta, Needs, NoParams, Outcome, ParamError, Rule, typed};
use crate::finding::{Evidence, Level};
use crate::netpol::groups::Groups;
use crate::netpol::policy::Direction;
use crate::object::Change;

/// The rule.
pub(super) struct ImplicitPolicyTypes;

static META: Meta = Meta {
    name: "implicit-policy-types",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Audit),
    needs: Needs::Nothing,
    summary: "`policyTypes` is left to defaulting",
    what: "A NetworkPolicy whose author left `policyTypes` out, or empty. The API server fills it in before the policy \
           is judged: what was written is known in manifests, and after either kind of `kubectl apply`; after a plain \
           `create` it is not.",
    why: "The default is Ingress always, and Egress only if there is an egress rule. A policy that is about egress then \
          isolates for ingress as well, and one that loses its last egress rule stops to isolate for egress without a \
          word.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-database, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  egress:
    - to: [{podSelector: {matchLabels: {app: postgres}}}]
      ports: [{protocol: TCP, port: 5432}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-database, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: postgres}}}]
      ports: [{protocol: TCP, port: 5432}]
",
    params: &[],
    references: &["https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/"],
};

impl Rule for ImplicitPolicyTypes {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Self))
    }
}

impl Check for ImplicitPolicyTypes {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Change::NetworkPolicy { old, new: Some(new) } = &cx.subject.change else { return Ok(Outcome::default()) };
        if !new.written.types_left_out {
            return Ok(Outcome::default());
        }
        let spec = &new.policy.spec;
        let types = Direction::ALL.into_iter().filter(|direction| spec.isolates(*direction));
        let types: Vec<&str> = types.map(Direction::as_str).collect();
        let list = types.join(", ");
        let as_before = old.as_ref().is_some_and(|old| old.written.types_left_out);
        let draft = Draft {
            field: "spec.policyTypes".to_owned(),
            message: format!("`policyTypes` is left out, and the API server makes it [{list}]"),
            brief: format!("`policyTypes` is left to defaulting: [{list}]"),
            help: format!("write `policyTypes: [{list}]`, or the directions that are meant"),
            evidence: Evidence { directions: types, ..Evidence::default() },
            as_before,
            ..Draft::default()
        };
        Ok(vec![draft].into())
    }
}

#[cfg(test)]
mod tests;
