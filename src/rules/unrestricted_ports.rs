//! `unrestricted-ports`: a rule that names its peers and lets them use every port.

use serde_json::Value;

use super::{CannotTell, Check, Context, Draft, Meta, Needs, NoParams, Outcome, ParamError, Rule, opening, typed};
use crate::finding::{Evidence, Level};
use crate::netpol::groups::Groups;
use crate::netpol::policy::Direction;

/// The rule.
pub(super) struct UnrestrictedPorts;

static META: Meta = Meta {
    name: "unrestricted-ports",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Audit),
    needs: Needs::Nothing,
    summary: "a rule names peers and no ports, so they may use all of them",
    what: "A rule that names peers and leaves every port of every protocol open to them: without `ports`, with an empty \
           list, or with all of it spelt out. A rule without peers and ports is found by `allow-all-ingress` and \
           `allow-all-egress`.",
    why: "Whatever the pods come to listen on is open to the peers from the first moment: metrics, debuggers and admin \
          interfaces beside the one port that was meant.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 8080}]
",
    params: &[],
    references: &["https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/"],
};

impl Rule for UnrestrictedPorts {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Self))
    }
}

impl Check for UnrestrictedPorts {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some(policy) = cx.policy() else { return Ok(Outcome::default()) };
        let mut drafts = Vec::new();
        for direction in Direction::ALL {
            let peers = direction.peers_field();
            for (i, rule) in policy.spec.rules(direction).iter().enumerate() {
                if rule.peers.is_empty() || !rule.ports.is_all() {
                    continue;
                }
                drafts.push(Draft {
                    field: format!("spec.{}[{i}]", direction.field()),
                    message: format!("leaves every port of every protocol open to the peers under `{peers}`"),
                    brief: format!("leaves every port open to the peers under `{peers}`"),
                    help: "name the ports that are needed, such as `ports: [{protocol: TCP, port: 8080}]`".to_owned(),
                    evidence: Evidence {
                        ports: vec!["all ports".to_owned()],
                        directions: vec![direction.as_str()],
                        ..Evidence::default()
                    },
                    extents: opening::extents(&policy.spec.pod_selector, direction, &rule.peers, &rule.ports),
                    ..Draft::default()
                });
            }
        }
        Ok(drafts.into())
    }
}

#[cfg(test)]
mod tests;
