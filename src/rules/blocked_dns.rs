//! `blocked-dns`: pods that are isolated for egress and cannot ask for names.

use serde::Deserialize;
use serde_json::Value;

use super::{
    CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, SHOWN, some_of, typed,
};
use crate::finding::{Evidence, Level};
use crate::inventory::{Inventory, NamespaceState};
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, NetworkPolicy};
use crate::netpol::port_set::Protocol;
use crate::netpol::selector::{Cover, Labels, Selector, uncovered};
use crate::object::Change;

mod resolver;

use resolver::Resolver;

/// The rule.
pub(super) struct BlockedDns;

static META: Meta = Meta {
    name: "blocked-dns",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Inventory,
    summary: "pods isolated for egress that no policy lets look up names",
    what: "A request after which pods are isolated for egress and no policy of the namespace lets DNS through for \
           them: those its policy selects, and those that lose DNS by its change or deletion. All policies of the \
           namespace count together. DNS by UDP only and by TCP only are told apart. A policy without rules is \
           found only where none of the namespace lets DNS through for anybody, and since it comes before the one \
           that does, a request for it is noted only (audit). In `check` all \
           manifests count together, and pods are told of once. A peer that names `kube-system` by a label which that \
           namespace does not bear, such as `name: kube-system`, lets nothing through.",
    why: "Nearly everything a pod does begins with a lookup, so that its other rules are worth nothing without. The \
          failure looks like a slow or broken application and not like a policy. Answers too large for UDP are asked \
          for again by TCP.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-database, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Egress]
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
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
          podSelector: {matchLabels: {k8s-app: kube-dns}}
      ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
",
    params: &[
        ParamDoc { name: "ports", default: "[53]", about: "Ports of DNS, any of which will do." },
        ParamDoc {
            name: "resolvers",
            default: "[]",
            about: "What a rule must reach to let DNS through, any of them, and anything when empty: CIDRs, and \
                    peers as NetworkPolicies write them, with `namespaceSelector` and `podSelector`.",
        },
    ],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-deny-all-egress-traffic",
        "https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/",
        "https://www.rfc-editor.org/rfc/rfc7766",
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    ports: Vec<u16>,
    resolvers: Vec<Resolver>,
}

impl Default for Params {
    fn default() -> Self {
        Self { ports: vec![53], resolvers: Vec::new() }
    }
}

impl Rule for BlockedDns {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        if params.ports.is_empty() {
            return Err(ParamError::at("ports", "must name a port, such as 53"));
        }
        if let Some(i) = params.ports.iter().position(|port| *port == 0) {
            return Err(ParamError::at(&format!("ports[{i}]"), "must be 1 to 65535"));
        }
        Ok(Box::new(params))
    }
}

/// What is not let through.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    Both,
    Tcp,
    Udp,
}

impl Missing {
    /// The worst first.
    const ALL: [Self; 3] = [Self::Both, Self::Tcp, Self::Udp];

    const fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Both => &[Protocol::Udp, Protocol::Tcp],
            Self::Tcp => &[Protocol::Tcp],
            Self::Udp => &[Protocol::Udp],
        }
    }

    /// Whether a policy lets one of the protocols through.
    const fn is_served(self, Served { udp, tcp }: Served) -> bool {
        match self {
            Self::Both => udp || tcp,
            Self::Tcp => tcp,
            Self::Udp => udp,
        }
    }
}

/// By which protocols a policy lets DNS through.
#[derive(Clone, Copy, Default)]
struct Served {
    udp: bool,
    tcp: bool,
}

impl Check for Params {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Change::NetworkPolicy { old, new } = &cx.subject.change else { return Ok(Outcome::default()) };
        let policies = [old, new].map(|side| side.as_ref().map(|object| &*object.policy));
        let isolates = |policy: &Option<&NetworkPolicy>| policy.is_some_and(|policy| policy.spec.isolates_egress);
        if cx.around.after.terminating || !policies.iter().any(isolates) {
            return Ok(Outcome::default());
        }
        let [old, new] = policies;
        let served = |policy: &'_ NetworkPolicy| self.served(policy, cx.inventory);
        let after: Vec<_> = cx.around.after.policies.values().map(|policy| (&**policy, served(policy))).collect();
        let old = old.map(|old| (old, served(old)));
        for missing in Missing::ALL {
            let view = View::new(cx, &after, missing);
            let old = old.and_then(|(old, served)| missing.is_served(served).then_some(old));
            if let Some((labels, as_before)) = view.blocked(old, new)? {
                // The one that could not be read may be the one that lets DNS through.
                if !cx.around.after.odd.is_empty() {
                    return Err(unread(&cx.around.after));
                }
                // Without rules it is admitted first, since those that have some need it to be there.
                let first = !cx.bundle && new.is_some_and(|new| new.spec.is_pure_isolation());
                let at_most = if first { Level::Audit } else { Level::Deny };
                let draft = Draft { at_most, as_before, ..self.draft(cx, missing, labels) };
                // The policy for DNS may have been applied a moment ago, in the same folder.
                return Ok(Outcome { drafts: vec![draft], confirm: true });
            }
        }
        Ok(Outcome::default())
    }
}

/// The namespace after the request, seen by what lets the protocols in question through.
struct View<'a> {
    cx: &'a Context<'a>,
    /// Policies whose pods need DNS: those with egress rules, and all that isolate where nobody in the namespace has it.
    isolating: Vec<&'a NetworkPolicy>,
    /// Selectors of those that let DNS through.
    served: Vec<&'a Selector>,
}

impl<'a> View<'a> {
    fn new(cx: &'a Context<'a>, policies: &[(&'a NetworkPolicy, Served)], missing: Missing) -> Self {
        let serving = policies.iter().filter(|(_, served)| missing.is_served(*served));
        let served = serving.map(|(policy, _)| &policy.spec.pod_selector).collect();
        // Where some have DNS, pods that are allowed nothing at all are meant to have none.
        let forgotten = !policies.iter().any(|(_, served)| Missing::Both.is_served(*served));
        let isolates = |policy: &&NetworkPolicy| {
            policy.spec.isolates_egress && (forgotten || !policy.spec.rules(Direction::Egress).is_empty())
        };
        let isolating = policies.iter().map(|(policy, _)| *policy).filter(isolates).collect();
        Self { cx, isolating, served }
    }

    /// The labels of a pod to tell of, and whether it was so before the request. `old`: what let DNS through before.
    fn blocked(
        &self,
        old: Option<&NetworkPolicy>,
        new: Option<&NetworkPolicy>,
    ) -> Result<Option<(Labels, bool)>, CannotTell> {
        let new = new.and_then(|new| self.isolating.iter().copied().find(|policy| policy.name == new.name));
        if self.cx.bundle {
            let found = new.map(|new| self.untold(new)).transpose()?.flatten();
            return Ok(found.map(|labels| (labels, false)));
        }
        // What the request is to blame for: pods that were not isolated, or that the old policy served.
        if let Some(new) = new {
            let were = self.cx.around.before.policies.values().map(|policy| &policy.spec);
            let were = were.filter(|spec| spec.isolates_egress).map(|spec| &spec.pod_selector);
            if let Some(labels) = self.unserved(&new.spec.pod_selector, were)? {
                return Ok(Some((labels, false)));
            }
        }
        if let Some(old) = old {
            for policy in &self.isolating {
                let both = [&old.spec.pod_selector, &policy.spec.pod_selector];
                let both = both.iter().flat_map(|selector| selector.requirements().to_vec());
                if let Some(labels) = self.unserved(&Selector::new(both.collect()), [].into_iter())? {
                    return Ok(Some((labels, false)));
                }
            }
        }
        let stays = new.map(|new| self.unserved(&new.spec.pod_selector, [].into_iter())).transpose()?.flatten();
        Ok(stays.map(|labels| (labels, true)))
    }

    /// In a bundle: a pod that no policy before this one has told of. The widest selector comes first.
    fn untold(&self, new: &NetworkPolicy) -> Result<Option<Labels>, CannotTell> {
        let rank = |policy: &NetworkPolicy| (policy.spec.pod_selector.requirements().len(), policy.name.clone());
        let earlier = self.isolating.iter().filter(|policy| rank(policy) < rank(new));
        self.unserved(&new.spec.pod_selector, earlier.map(|policy| &policy.spec.pod_selector))
    }

    /// The labels of a pod in `within` that nothing serves and none of `others` selects.
    fn unserved<'s>(
        &'s self,
        within: &Selector,
        others: impl Iterator<Item = &'s Selector>,
    ) -> Result<Option<Labels>, CannotTell> {
        let covers: Vec<&Selector> = self.served.iter().copied().chain(others).collect();
        match uncovered(within, &covers) {
            Cover::Covered => Ok(None),
            Cover::Uncovered(labels) => Ok(Some(labels)),
            Cover::Unknown => {
                let text = "have too many interlocking selectors to tell whether they let DNS through for every pod";
                let reason = format!("the policies of namespace {} {text}", self.cx.around.after.name);
                Err(CannotTell { reason, confirm: false })
            }
        }
    }
}

fn unread(namespace: &NamespaceState) -> CannotTell {
    let names: Vec<&str> = namespace.odd.keys().map(String::as_str).collect();
    let text = "holds policies that could not be read and may let DNS through";
    let reason = format!("namespace {} {text}: {}", namespace.name, some_of(names.iter(), SHOWN));
    CannotTell { reason, confirm: true }
}

impl Params {
    /// By which protocols the rules of the policy let DNS through.
    fn served(&self, policy: &NetworkPolicy, inventory: &Inventory) -> Served {
        let rules = policy.spec.rules(Direction::Egress).iter();
        rules.fold(Served::default(), |served, rule| {
            let on = |protocol: Protocol| {
                self.ports.iter().any(|port| rule.ports.contains(protocol, *port))
                    || rule.ports.names().any(|(of, name)| of == protocol && is_dns_name(name))
            };
            let [udp, tcp] = [Protocol::Udp, Protocol::Tcp].map(on);
            let reached = (udp || tcp) && resolver::reached(rule, policy, &self.resolvers, inventory);
            Served { udp: served.udp || (udp && reached), tcp: served.tcp || (tcp && reached) }
        })
    }

    fn draft(&self, cx: &Context<'_>, missing: Missing, labels: Labels) -> Draft {
        let pod = match labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>() {
            labels if labels.is_empty() => "a pod without labels".to_owned(),
            labels => format!("a pod labelled {}", labels.join(",")),
        };
        let namespace = &cx.around.after.name;
        let (what, brief) = match missing {
            Missing::Both => ("no policy lets DNS through for it", "no policy lets DNS through"),
            Missing::Tcp => {
                ("DNS is let through by UDP only, so that large answers fail", "DNS by UDP only, not by TCP")
            }
            Missing::Udp => ("DNS is let through by TCP only, and lookups begin by UDP", "DNS by TCP only, not by UDP"),
        };
        let port = self.ports.first().copied().unwrap_or(53);
        let items = |protocols: &[Protocol]| {
            let items: Vec<String> =
                protocols.iter().map(|protocol| format!("{{protocol: {protocol}, port: {port}}}")).collect();
            items.join(", ")
        };
        let ports = missing.protocols().iter();
        let ports = ports.flat_map(|protocol| self.ports.iter().map(move |port| format!("{protocol}/{port}")));
        let deleted = matches!(cx.subject.change, Change::NetworkPolicy { new: None, .. });
        let advice = if deleted { "keep it, or add to another policy" } else { "add to `egress`" };
        Draft {
            field: if cx.policy().is_some_and(|policy| !policy.spec.egress.is_empty()) {
                "spec.egress"
            } else {
                "spec"
            }
            .to_owned(),
            message: format!("{pod} in namespace {namespace} is isolated for egress, and {what}"),
            brief: format!("{pod}: {brief}"),
            help: format!(
                "{advice} `- {{to: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: kube-system}}}}, \
                 podSelector: {{matchLabels: {{k8s-app: kube-dns}}}}}}], ports: [{}]}}`",
                items(missing.protocols()),
            ),
            evidence: Evidence {
                directions: vec![Direction::Egress.as_str()],
                labels: Some(labels),
                ports: ports.collect(),
                ..Evidence::default()
            },
            ..Draft::default()
        }
    }
}

/// Whether a port of that name is held to be one of DNS: what CoreDNS calls its own, and what IANA does.
fn is_dns_name(name: &str) -> bool {
    name.starts_with("dns") || name.starts_with("domain")
}

#[cfg(test)]
mod tests;
