//! `unpinned-namespace-selector`: namespaces chosen by labels that anybody may give to theirs.

use serde::Deserialize;
use serde_json::Value;

use super::any_namespace_peer::is_every_namespace;
use super::labelling::check_key;
use super::peers::{Place, fits, peer_yaml, places, shown};
use super::protected_namespace_labels::check_prefix;
use super::{CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::finding::Level;
use crate::netpol::METADATA_NAME;
use crate::netpol::groups::Groups;
use crate::netpol::policy::{Direction, Peer};
use crate::netpol::selector::{Operator, Requirement, Selector};

/// The rule.
pub(super) struct UnpinnedNamespaceSelector;

static META: Meta = Meta {
    name: "unpinned-namespace-selector",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "a namespaceSelector that whoever may label a namespace can satisfy",
    what: "A namespaceSelector without a requirement that pins it: `In` (as in `matchLabels`) on \
           `kubernetes.io/metadata.name`, or `In` or `Exists` on a protected key. `NotIn` and `DoesNotExist` pin \
           nothing: a namespace without the label satisfies them. An empty namespaceSelector beside a podSelector \
           counts; a peer that stands for every pod of every namespace is left to `any-namespace-peer`.",
    why: "Whoever may label a namespace gets in. Labels such as `name: kube-system` are set by nobody on most \
          clusters, and so by anybody. The label `kubernetes.io/metadata.name` is set by the API server and can be \
          changed by nobody.",
    example_params: "protectedKeys: [team.example.com/*]\n",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-monitoring, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
      ports: [{protocol: TCP, port: 9090}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-monitoring, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
        - namespaceSelector: {matchLabels: {team.example.com/role: observer}}
      ports: [{protocol: TCP, port: 9090}]
",
    params: &[ParamDoc {
        name: "protectedKeys",
        default: "null",
        about: "Keys of labels that only some may set on namespaces, with `*` at the end what keys begin with, such \
                as `team.example.com/*`. Without it those that the rule set's entries of \
                `protected-namespace-labels` name, unless they are off.",
    }],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#targeting-a-namespace-by-its-name",
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#automatic-labelling",
    ],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    protected_keys: Option<Vec<String>>,
}

impl Rule for UnpinnedNamespaceSelector {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, groups: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        for (i, key) in params.protected_keys.iter().flatten().enumerate() {
            let at = format!("protectedKeys[{i}]");
            match key.strip_suffix('*') {
                Some(prefix) => check_prefix(&at, prefix)?,
                None => check_key(&at, key)?,
            }
        }
        let keys = params.protected_keys.unwrap_or_else(|| groups.protected_labels.clone());
        Ok(Box::new(Bound { keys }))
    }
}

struct Bound {
    /// With `*` at the end, what keys begin with.
    keys: Vec<String>,
}

impl Check for Bound {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let mut drafts = Vec::new();
        for place in places(cx) {
            for (j, peer) in place.rule.peers.iter().enumerate() {
                if let Peer::Pods { namespace: Some(namespaces), pod } = peer
                    && !self.pins(namespaces)
                    && !(is_every_namespace(namespaces) && pod.as_ref().is_none_or(Selector::selects_everything))
                {
                    drafts.push(self.draft(place, j, (peer, namespaces)));
                }
            }
        }
        Ok(drafts.into())
    }
}

impl Bound {
    /// Whether a namespace meets the selector only by a label that not everybody can give it. One that nothing meets
    /// lets nobody in.
    fn pins(&self, namespaces: &Selector) -> bool {
        namespaces.requirements().iter().any(|requirement| self.pins_by(requirement)) || namespaces.is_contradiction()
    }

    fn pins_by(&self, requirement: &Requirement) -> bool {
        match requirement.operator {
            // Every namespace has a name, so that it is there says nothing.
            Operator::Exists => requirement.key != METADATA_NAME && self.is_protected(&requirement.key),
            Operator::In => requirement.key == METADATA_NAME || self.is_protected(&requirement.key),
            Operator::NotIn | Operator::DoesNotExist => false,
        }
    }

    fn is_protected(&self, key: &str) -> bool {
        self.keys.iter().any(|protected| match protected.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == protected,
        })
    }

    fn draft(&self, place: Place<'_>, j: usize, (peer, namespaces): (&Peer, &Selector)) -> Draft {
        let verb = match place.direction {
            Direction::Ingress => "lets in",
            Direction::Egress => "reaches",
        };
        let by_label = "whoever may label a namespace satisfies it";
        let (who, brief) = if is_every_namespace(namespaces) {
            let pods = if let Peer::Pods { pod: Some(pods), .. } = peer { shown(pods) } else { String::new() };
            let who = format!("pods {pods} of every namespace, and whoever may create a namespace can have such pods");
            (who, "whoever may create a namespace satisfies it")
        } else if needs_no_label(namespaces) {
            let who = format!("namespaces {}, and a namespace needs no label to be one of those", shown(namespaces));
            (who, "a namespace without labels satisfies it")
        } else {
            let named = shown(namespaces);
            (format!("namespaces {named}, and whoever may label a namespace can make it one of those"), by_label)
        };
        let keys = if self.keys.is_empty() {
            String::new()
        } else {
            format!(", or go by a protected label: {}", super::some_of(self.keys.iter(), super::SHOWN))
        };
        Draft {
            field: format!("{}[{j}].namespaceSelector", place.peers_field()),
            message: format!("{verb} {who}"),
            brief: brief.to_owned(),
            help: format!("name the namespaces: {}{keys}", repair(peer, namespaces)),
            evidence: place.evidence(),
            extents: vec![place.opens(peer)],
            ..Draft::default()
        }
    }
}

/// Whether a namespace meets the selector as it is created, its name aside.
fn needs_no_label(namespaces: &Selector) -> bool {
    namespaces.requirements().iter().all(|requirement| match requirement.operator {
        Operator::NotIn | Operator::DoesNotExist => true,
        Operator::Exists => requirement.key == METADATA_NAME,
        Operator::In => false,
    })
}

/// The peer by the name of its namespace. The label `name` says it on clusters on which somebody sets that label.
fn repair(peer: &Peer, namespaces: &Selector) -> String {
    let is_name = |requirement: &&Requirement| requirement.key == "name" && requirement.operator == Operator::In;
    let names = namespaces.requirements().iter().find(is_name).map(|requirement| requirement.values.clone());
    let names = names.unwrap_or_else(|| ["NAME".to_owned()].into());
    let named = Selector::new(vec![Requirement::new(METADATA_NAME, Operator::In, names)]);
    let pod = if let Peer::Pods { pod, .. } = peer { pod.clone() } else { None };
    let item = format!("`- {}`", peer_yaml(&Peer::Pods { namespace: Some(named), pod }));
    if fits(&item) { item } else { format!("`matchLabels: {{{METADATA_NAME}: NAME}}`") }
}

#[cfg(test)]
mod tests;
