//! `label-grants-access`: labels of a namespace that open other namespaces' firewalls.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use wildmatch::WildMatch;

use super::labelling::{LabelChange, check_subjects, label_changes, requester};
use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, some_of, typed};
use crate::finding::{Evidence, Level};
use crate::inventory::{Inventory, METADATA_NAME, Turned};
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, NetworkPolicy, Peer};
use crate::netpol::port_set::PortSet;
use crate::netpol::selector::{Labels, Selector};
use crate::object::{Metadata, Subjects};

/// How many peers a message names.
const SHOWN: usize = 3;
/// How many ranges or names of ports are told of a peer.
const PORTS_SHOWN: usize = 4;
/// Policies and peers that are looked at to see whether they allow the same anyway. Real changes need some
/// hundreds; beyond the bound, what a label opens is told even where another rule allows it too.
const MAX_COMPARISONS: usize = 100_000;

/// The rule.
pub(super) struct LabelGrantsAccess;

static META: Meta = Meta {
    name: "label-grants-access",
    kind: "Namespace",
    guards_labels: true,
    builtin: Some(Level::Warn),
    needs: Needs::Inventory,
    summary: "labels of a namespace newly satisfy a namespaceSelector of policies in other namespaces",
    what: "A new namespace, or an update of its labels, that newly satisfies a `namespaceSelector` of policies in other \
           namespaces. It says which pods open to the namespace, or may newly send to it, by policy and selector, and on \
           which ports. A new namespace is compared with one that bears no label but its name: what that one meets as \
           well, such as `{}`, `team notin (a)` or its own name in `kubernetes.io/metadata.name`, is not the labels' doing. \
           What another rule allows the same pods anyway is not newly opened. An update that shuts the namespace out \
           is an audit finding. In a bundle of manifests all of it is: whoever writes both the label and the policy \
           means what they say, so it is a list of what the labels open, and no objection. A policy that cannot be \
           read does not count.",
    why: "Whoever may label a namespace decides whom a namespaceSelector lets in, and neither the owner of the pods nor \
          the reviewer of their policies is asked.",
    example_params: "",
    rejected: "apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: database-clients}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow-clients, namespace: data}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {team: database-clients}}}]
      ports: [{port: 5432}]
",
    accepted: "apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {team: checkout}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow-clients, namespace: data}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]
      ports: [{port: 5432}]
",
    params: &[
        ParamDoc {
            name: "trusted",
            default: "{}",
            about: "Requesters whose labels are not judged, as `{users, groups, serviceAccounts}`, service accounts as \
                    NAMESPACE/NAME or NAMESPACE/*. Manifests have no requester.",
        },
        ParamDoc {
            name: "namespaces",
            default: "[]",
            about: "The namespaces whose policies count, by name, `*` and `?` as wildcards; none named means all.",
        },
    ],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#targeting-multiple-namespaces-by-label",
        "https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    trusted: Subjects,
    namespaces: Vec<String>,
}

struct Bound {
    trusted: Subjects,
    namespaces: Vec<WildMatch>,
}

impl Rule for LabelGrantsAccess {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let Params { trusted, namespaces } = typed(params)?;
        check_subjects("trusted", &trusted)?;
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*?".contains(&byte);
        for (i, name) in namespaces.iter().enumerate() {
            if name.is_empty() || !name.bytes().all(known) {
                let message =
                    format!("no namespace can be called `{name}`: write a name, or a pattern such as `team-*`");
                return Err(ParamError::at(&format!("namespaces[{i}]"), message));
            }
        }
        Ok(Box::new(Bound { trusted, namespaces: namespaces.iter().map(|name| WildMatch::new(name)).collect() }))
    }
}

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some((old, Some(new))) = cx.namespace() else { return Ok(Outcome::default()) };
        if self.trusted.include(&cx.subject.requester) {
            return Ok(Outcome::default());
        }
        let named = |metadata: Option<&Metadata>| labels_of(&cx.subject.name, metadata);
        let sides = Sides { before: named(old), after: named(Some(new)), inventory: cx.inventory };
        let changes = label_changes(cx);
        let turned = sides.inventory.turned(&sides.before, &sides.after);
        // By the label whose change turned the selector.
        let mut found: BTreeMap<&str, Found> = BTreeMap::new();
        let mut comparisons = MAX_COMPARISONS;
        // There is nobody to shut out of what is new, or of what cannot be compared.
        for turned in turned.iter().filter(|turned| turned.selects || old.is_some()) {
            let Some(key) = sides.key(turned) else { continue };
            let policies = turned.policies.iter().filter(|policy| self.counts(&policy.namespace, cx));
            for policy in policies {
                let grants = sides.grants(turned, policy, &mut comparisons);
                let Found { opens, shuts } = found.entry(key).or_default();
                if turned.selects { opens } else { shuts }.extend(grants);
            }
        }
        let draft = |change: &LabelChange<'_>| found.remove(change.key)?.draft(cx, change);
        Ok(changes.iter().filter_map(draft).collect::<Vec<_>>().into())
    }
}

impl Bound {
    fn counts(&self, namespace: &str, cx: &Context<'_>) -> bool {
        namespace != cx.subject.namespace
            && (self.namespaces.is_empty() || self.namespaces.iter().any(|pattern| pattern.matches(namespace)))
    }
}

/// The labels that policies see: the API server adds the name. Without a Namespace, those of one without any label.
fn labels_of(name: &str, metadata: Option<&Metadata>) -> Labels {
    let mut labels = metadata.map(|metadata| metadata.labels.clone()).unwrap_or_default();
    labels.entry(METADATA_NAME.to_owned()).or_insert_with(|| name.to_owned());
    labels
}

/// The namespace's labels on both sides of the request, and the others' policies.
struct Sides<'a> {
    before: Labels,
    after: Labels,
    inventory: &'a Inventory,
}

impl Sides<'_> {
    /// The key of the first label by which the selector turned.
    fn key<'t>(&self, turned: &'t Turned) -> Option<&'t str> {
        let mut requirements = turned.selector.requirements().iter();
        let by = requirements.find(|it| it.matches(&self.before) != it.matches(&self.after))?;
        Some(&by.key)
    }

    /// What the policy allows by that selector alone, on the side where it selects the namespace.
    fn grants(&self, turned: &Turned, policy: &Arc<NetworkPolicy>, comparisons: &mut usize) -> Vec<Grant> {
        let mut grants = Vec::new();
        for direction in Direction::ALL {
            for (i, rule) in policy.spec.rules(direction).iter().enumerate() {
                for (j, peer) in rule.peers.iter().enumerate() {
                    let Peer::Pods { namespace: Some(selector), pod } = peer else { continue };
                    if *selector != *turned.selector {
                        continue;
                    }
                    // What opens is compared with what was open before, what shuts with what stays open.
                    let other_side = if turned.selects { &self.before } else { &self.after };
                    let ports = self.beyond(other_side, policy, direction, pod.as_ref(), &rule.ports, comparisons);
                    if !ports.is_empty() {
                        let (policy, pod) = (Arc::clone(policy), pod.clone());
                        grants.push(Grant { policy, direction, rule: i, peer: j, pod, ports });
                    }
                }
            }
        }
        grants
    }

    /// The ports on which no rule of the namespace allows the same pods the same when the labels are those.
    fn beyond(
        &self,
        labels: &Labels,
        policy: &NetworkPolicy,
        direction: Direction,
        pod: Option<&Selector>,
        ports: &PortSet,
        comparisons: &mut usize,
    ) -> PortSet {
        let mut left = ports.clone();
        let state = self.inventory.namespace(&policy.namespace);
        for other in state.policies.values() {
            let rules = other.spec.rules(direction);
            if *comparisons == 0 || left.is_empty() {
                break;
            }
            *comparisons = comparisons.saturating_sub(1 + rules.iter().map(|rule| rule.peers.len()).sum::<usize>());
            if !policy.spec.pod_selector.implies(&other.spec.pod_selector) {
                continue;
            }
            for rule in rules
                .iter()
                .filter(|rule| rule.peers.is_empty() || rule.peers.iter().any(|peer| lets(peer, labels, pod)))
            {
                left = left.difference(&rule.ports);
            }
        }
        left
    }
}

/// Whether a peer means all of those pods in a namespace with those labels.
fn lets(peer: &Peer, labels: &Labels, pods: Option<&Selector>) -> bool {
    let Peer::Pods { namespace: Some(namespace), pod } = peer else { return false };
    let all_of_them = match (pod, pods) {
        (None, _) => true,
        (Some(pod), None) => pod.selects_everything(),
        (Some(pod), Some(pods)) => pods.implies(pod),
    };
    all_of_them && namespace.matches(labels)
}

/// One peer of a rule that means pods of the namespace on one side of the request only.
struct Grant {
    policy: Arc<NetworkPolicy>,
    direction: Direction,
    rule: usize,
    peer: usize,
    /// Which pods of the namespace.
    pod: Option<Selector>,
    ports: PortSet,
}

impl Grant {
    /// By namespace, policy and field.
    fn place(&self) -> (&str, &str, Direction, usize, usize) {
        (&self.policy.namespace, &self.policy.name, self.direction, self.rule, self.peer)
    }

    /// The pods that the policy selects.
    fn theirs(&self) -> String {
        let NetworkPolicy { namespace, spec, .. } = &*self.policy;
        if spec.pod_selector.requirements().is_empty() {
            format!("all pods of {namespace}")
        } else {
            format!("pods {} of {namespace}", spec.pod_selector)
        }
    }

    fn ports(&self) -> String {
        if self.ports.is_all() { "all ports".to_owned() } else { some_of(self.ports.items().iter(), PORTS_SHOWN) }
    }
}

/// As in "all pods of data to its pods on TCP/80 (data/allow-web spec.ingress[0].from[1])".
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, direction, rule, peer, .. } = self;
        let its = self.pod.as_ref().filter(|pod| !pod.requirements().is_empty());
        let its = its.map_or_else(|| "its pods".to_owned(), |pod| format!("its pods {pod}"));
        let (field, peers) = (direction.field(), direction.peers_field());
        match direction {
            Direction::Ingress => write!(f, "{} to {its}", self.theirs())?,
            Direction::Egress => write!(f, "{its} to {}", self.theirs())?,
        }
        let (namespace, name) = (&policy.namespace, &policy.name);
        write!(f, " on {} ({namespace}/{name} spec.{field}[{rule}].{peers}[{peer}])", self.ports())
    }
}

/// What the change of one label does.
#[derive(Default)]
struct Found {
    opens: Vec<Grant>,
    shuts: Vec<Grant>,
}

impl Found {
    /// The finding; `None` where all of it is allowed or forbidden otherwise anyway.
    fn draft(mut self, cx: &Context<'_>, change: &LabelChange<'_>) -> Option<Draft> {
        for grants in [&mut self.opens, &mut self.shuts] {
            grants.sort_by(|a, b| a.place().cmp(&b.place()));
        }
        let Self { opens, shuts } = &self;
        let main = if opens.is_empty() { shuts } else { opens };
        let first = main.first()?;
        let said = |verb: &str, grants: &[Grant]| {
            (!grants.is_empty()).then(|| format!("{verb} {}", some_of(grants.iter(), SHOWN)))
        };
        let does: Vec<String> = [said("opens", opens), said("shuts", shuts)].into_iter().flatten().collect();
        let who = if cx.bundle { "the manifest" } else { requester(cx) };
        let (verb, name) = (if opens.is_empty() { "shuts" } else { "opens" }, &cx.subject.name);
        let more = if main.len() > 1 { format!(" and {} more", main.len() - 1) } else { String::new() };
        let help = if opens.is_empty() {
            format!("leave the label as it was if {name} still needs that")
        } else {
            format!(
                "leave the label as it was unless {name} is meant; the policies can name whom they mean instead: \
                 namespaceSelector: {{matchLabels: {{{METADATA_NAME}: {name}}}}}"
            )
        };
        Some(Draft {
            field: change.field(),
            message: format!("{who} {change}, which {}", does.join(" and ")),
            brief: format!("{verb} {} on {}{more}", first.theirs(), first.ports()),
            help,
            evidence: evidence(main),
            at_most: if opens.is_empty() || cx.bundle { Level::Audit } else { Level::Deny },
            ..Draft::default()
        })
    }
}

fn evidence(grants: &[Grant]) -> Evidence {
    let ports = PortSet::union_of(grants.iter().map(|grant| grant.ports.clone()));
    let directions = Direction::ALL.into_iter().filter(|it| grants.iter().any(|grant| grant.direction == *it));
    Evidence {
        ports: if ports.is_all() { vec!["all ports".to_owned()] } else { ports.items() },
        directions: directions.map(Direction::as_str).collect(),
        ..Evidence::default()
    }
}

#[cfg(test)]
mod tests;
