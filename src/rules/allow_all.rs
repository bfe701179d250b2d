//! `allow-all-ingress` and `allow-all-egress`: a rule without peers and ports.
//!
//! Two rules that differ in nothing but the direction, and so share a file.

use serde_json::Value;

use super::{CannotTell, Check, Context, Draft, Meta, Needs, NoParams, Outcome, ParamError, Rule, typed};
use crate::finding::{Evidence, Level};
use crate::netpol::extent::Extent;
use crate::netpol::groups::Groups;
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::Direction;
use crate::netpol::port_set::PortSet;

/// The rule for ingress.
pub(super) struct AllowAllIngress;
/// The rule for egress.
pub(super) struct AllowAllEgress;

static INGRESS: Meta = Meta {
    name: "allow-all-ingress",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Deny),
    needs: Needs::Nothing,
    summary: "an ingress rule without peers and ports lets everybody in",
    what: "An ingress rule that names neither peers nor ports (`- {}`), whatever pods the policy selects.",
    why: "Policies only add: one such rule undoes every other restriction on the ingress of the selected pods, \
          a default deny included.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
    - {}
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
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#allow-all-ingress-traffic",
    ],
};

static EGRESS: Meta = Meta {
    name: "allow-all-egress",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Deny),
    needs: Needs::Nothing,
    summary: "an egress rule without peers and ports lets the pods reach everything",
    what: "An egress rule that names neither peers nor ports (`- {}`), whatever pods the policy selects.",
    why: "Policies only add: one such rule undoes every other restriction on the egress of the selected pods, \
          a default deny included.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - {}
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
    references: &["https://kubernetes.io/docs/concepts/services-networking/network-policies/#allow-all-egress-traffic"],
};

impl Rule for AllowAllIngress {
    fn meta(&self) -> &'static Meta {
        &INGRESS
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Direction::Ingress))
    }
}

impl Rule for AllowAllEgress {
    fn meta(&self) -> &'static Meta {
        &EGRESS
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let NoParams {} = typed(params)?;
        Ok(Box::new(Direction::Egress))
    }
}

impl Check for Direction {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some(policy) = cx.policy() else { return Ok(Outcome::default()) };
        let (list, peers) = (self.field(), self.peers_field());
        let (effect, repair) = match self {
            Self::Ingress => ("every peer reach the selected pods", "whom to let in"),
            Self::Egress => ("the selected pods reach every peer", "what they need to reach"),
        };
        let pods = &policy.spec.pod_selector;
        let drafts = policy.spec.rules(*self).iter().enumerate().filter(|(_, rule)| rule.allows_everything());
        let draft = |(i, _): (usize, _)| Draft {
            field: format!("spec.{list}[{i}]"),
            message: format!("lets {effect} on every port"),
            brief: format!("lets {effect} on every port"),
            help: format!(
                "name {repair} and on which ports, such as `- {{{peers}: [{{podSelector: {{matchLabels: {{app: NAME}}}}}}], \
                 ports: [{{protocol: TCP, port: 8080}}]}}`, or remove the rule"
            ),
            evidence: Evidence { directions: vec![self.as_str()], ..Evidence::default() },
            extents: vec![Extent { pods: pods.clone(), addresses: IpSet::all(), ports: PortSet::all() }],
            ..Draft::default()
        };
        Ok(drafts.map(draft).collect::<Vec<_>>().into())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::rules::tests::{create, fields};

    #[rstest]
    #[case::empty_rule(json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}), &["spec.ingress[0]"])]
    #[case::of_some_pods(
        json!({"podSelector": {"matchLabels": {"app": "a"}}, "ingress": [{}]}), &["spec.ingress[0]"])]
    #[case::empty_lists(json!({"podSelector": {}, "ingress": [{"from": [], "ports": []}]}), &["spec.ingress[0]"])]
    #[case::nulls(json!({"podSelector": {}, "ingress": [{"from": null}]}), &["spec.ingress[0]"])]
    #[case::beside_others(
        json!({"podSelector": {}, "ingress": [{"ports": [{"port": 1}]}, {}]}), &["spec.ingress[1]"])]
    #[case::every_protocol_spelt_out(
        json!({"podSelector": {}, "ingress": [{"ports": [{"protocol": "TCP"}, {"protocol": "UDP"}, {"protocol": "SCTP"}]}]}),
        &["spec.ingress[0]"])]
    #[case::no_rules(json!({"podSelector": {}, "ingress": []}), &[])]
    #[case::a_port(json!({"podSelector": {}, "ingress": [{"ports": [{"protocol": "TCP"}]}]}), &[])]
    #[case::a_peer(json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}), &[])]
    #[case::without_effect(json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]}), &[])]
    #[case::the_other_direction(json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}), &[])]
    fn ingress(#[case] spec: Value, #[case] found: &[&str]) {
        assert_eq!(fields("allow-all-ingress", &Value::Null, &create(&spec)), found);
    }

    #[rstest]
    #[case::empty_rule(json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}), &["spec.egress[0]"])]
    #[case::types_defaulted(json!({"podSelector": {}, "egress": [{}]}), &["spec.egress[0]"])]
    #[case::two(json!({"podSelector": {}, "egress": [{}, {"to": []}]}), &["spec.egress[0]", "spec.egress[1]"])]
    #[case::every_port_spelt_out(
        json!({"podSelector": {}, "egress": [{"ports": [{"protocol": "TCP", "port": 1, "endPort": 65535},
            {"protocol": "UDP"}, {"protocol": "SCTP"}]}]}), &["spec.egress[0]"])]
    #[case::with_excepted_types(
        json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]}), &["spec.egress[0]"])]
    #[case::dns_only(json!({"podSelector": {}, "egress": [{"ports": [{"protocol": "UDP", "port": 53}]}]}), &[])]
    #[case::all_pods_here(json!({"podSelector": {}, "egress": [{"to": [{"podSelector": {}}]}]}), &[])]
    #[case::without_effect(json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}), &[])]
    #[case::empty_egress(json!({"podSelector": {}, "egress": []}), &[])]
    #[case::ingress(json!({"podSelector": {}, "ingress": [{}]}), &[])]
    fn egress(#[case] spec: Value, #[case] found: &[&str]) {
        assert_eq!(fields("allow-all-egress", &Value::Null, &create(&spec)), found);
    }
}
