//! `wide-port-range`: a range of ports that opens more than anything listens on.

use serde::Deserialize;
use serde_json::Value;

use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, opening, typed};
use crate::finding::{Evidence, Level};
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, PolicyRule};
use crate::netpol::port_set::{PortSet, Protocol};

/// The rule.
pub(super) struct WidePortRange;

static META: Meta = Meta {
    name: "wide-port-range",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "a range of ports is wider than any application needs",
    what: "An explicit range, `port` with `endPort`, of more than `max` ports. Ranges of one rule that overlap or follow \
           each other count as one, so cutting a range into pieces does not help. A rule without `ports` and an item \
           without `port` are no ranges.",
    why: "A range of thousands of ports names nothing: every debug port, sidecar and database that ever listens in it is \
          open from the start, and nobody reading the policy can tell what it is for.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 1024, endPort: 65535}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-frontend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports: [{protocol: TCP, port: 8080, endPort: 8089}]
",
    params: &[ParamDoc { name: "max", default: "1000", about: "How many ports a range may have, 1 to 65535." }],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#targeting-a-range-of-ports",
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    max: u16,
}

impl Default for Params {
    fn default() -> Self {
        Self { max: 1000 }
    }
}

impl Rule for WidePortRange {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        if params.max == 0 {
            return Err(ParamError::at("max", "must be at least 1; forbid ports by the rule forbidden-ports"));
        }
        Ok(Box::new(params))
    }
}

impl Check for Params {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some(policy) = cx.policy() else { return Ok(Outcome::default()) };
        let mut drafts = Vec::new();
        for direction in Direction::ALL {
            for (i, rule) in policy.spec.rules(direction).iter().enumerate() {
                for (index, ports) in self.wide(rule) {
                    drafts.push(Draft {
                        extents: opening::extents(&policy.spec.pod_selector, direction, &rule.peers, &ports),
                        ..self.draft(direction, i, index, &ports)
                    });
                }
            }
        }
        Ok(drafts.into())
    }
}

impl Params {
    /// The ranges of a rule that are too wide, joined where they touch, each with the position of the first item of it.
    fn wide(&self, rule: &PolicyRule) -> Vec<(usize, PortSet)> {
        let ranges = rule.ranges.iter();
        let all = PortSet::union_of(ranges.map(|range| PortSet::range(range.protocol, range.first, range.last)));
        let mut firsts: Vec<_> =
            rule.ranges.iter().map(|range| (range.protocol, range.first, range.last, range.index)).collect();
        firsts.sort_unstable();
        let mut wide = Vec::new();
        for protocol in Protocol::ALL {
            for ports in all.ranges(protocol).filter(|ports| ports.end() - ports.start() >= self.max) {
                // Every joined range begins with the item that begins where it does.
                let at = firsts.partition_point(|first| (first.0, first.1) < (protocol, *ports.start()));
                let begins = firsts.get(at..).unwrap_or_default().iter();
                let parts = begins.take_while(|first| first.0 == protocol && first.1 <= *ports.end());
                if let Some(index) = parts.map(|first| first.3).min() {
                    wide.push((index, PortSet::range(protocol, *ports.start(), *ports.end())));
                }
            }
        }
        wide
    }

    fn draft(&self, direction: Direction, i: usize, index: usize, ports: &PortSet) -> Draft {
        let field = format!("spec.{}[{i}].ports[{index}]", direction.field());
        let many: u32 = Protocol::ALL.into_iter().map(|protocol| ports.count(protocol)).sum();
        let (items, max) = (ports.items(), self.max);
        let shown = items.join(", ");
        Draft {
            field,
            message: format!("opens {shown}, {many} ports; {max} are allowed"),
            brief: format!("opens {shown}, {many} ports"),
            help: "name the ports that are listened on, such as `ports: [{protocol: TCP, port: 8080}]`, or a narrower \
                   `endPort`"
                .to_owned(),
            evidence: Evidence { ports: items, directions: vec![direction.as_str()], ..Evidence::default() },
            ..Draft::default()
        }
    }
}

#[cfg(test)]
mod tests;
