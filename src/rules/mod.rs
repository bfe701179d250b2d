//! The rules: one file each, with its documentation, its parameters, its check and its cases.
//!
//! To add one: a file here, a line in [`RULES`], and its cases in `tests/rules`. The tests over the registry hold it to
//! the rest, and `UPDATE=1 cargo test --test docs` writes its documentation.

use std::fmt;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::finding::{Evidence, Level};
use crate::inventory::{Around, Inventory};
use crate::netpol::extent::Extent;
use crate::netpol::groups::Groups;
use crate::netpol::policy::NetworkPolicy;
use crate::object::{Change, Metadata, Subject};

mod allow_all;
mod any_namespace_peer;
mod blocked_dns;
mod cluster_cidr_in_ipblock;
mod cni_unsupported_field;
mod defeated_default_deny;
mod egress_metadata_endpoint;
mod egress_private_cidr;
mod forbidden_ports;
mod implicit_policy_types;
mod ineffective_section;
mod ingress_from_anywhere;
mod label_grants_access;
mod labelling;
mod missing_default_deny;
mod namespace_name;
mod namespace_needs_default_deny;
mod namespace_required_labels;
mod no_effect;
mod opening;
pub mod page;
mod pattern;
mod peers;
mod policy_metadata;
mod protected_namespace;
mod protected_namespace_labels;
mod reach;
mod required;
mod split_peer;
mod split_rule;
mod traffic;
mod unpinned_namespace_selector;
mod unrestricted_ports;
mod webhook_exemption;
mod wide_port_range;

/// Every rule, sorted by name.
pub static RULES: &[&dyn Rule] = &[
    &allow_all::AllowAllEgress,
    &allow_all::AllowAllIngress,
    &any_namespace_peer::AnyNamespacePeer,
    &blocked_dns::BlockedDns,
    &cluster_cidr_in_ipblock::ClusterCidrInIpblock,
    &cni_unsupported_field::CniUnsupportedField,
    &defeated_default_deny::DefeatedDefaultDeny,
    &egress_metadata_endpoint::EgressMetadataEndpoint,
    &egress_private_cidr::EgressPrivateCidr,
    &forbidden_ports::ForbiddenPorts,
    &implicit_policy_types::ImplicitPolicyTypes,
    &ineffective_section::IneffectiveSection,
    &ingress_from_anywhere::IngressFromAnywhere,
    &label_grants_access::LabelGrantsAccess,
    &missing_default_deny::MissingDefaultDeny,
    &namespace_name::NamespaceName,
    &namespace_needs_default_deny::NamespaceNeedsDefaultDeny,
    &namespace_required_labels::NamespaceRequiredLabels,
    &no_effect::NoEffect,
    &policy_metadata::PolicyMetadata,
    &protected_namespace::ProtectedNamespace,
    &protected_namespace_labels::ProtectedNamespaceLabels,
    &split_peer::SplitPeer,
    &split_rule::SplitRule,
    &unpinned_namespace_selector::UnpinnedNamespaceSelector,
    &unrestricted_ports::UnrestrictedPorts,
    &webhook_exemption::WebhookExemption,
    &wide_port_range::WidePortRange,
];

/// A parameter as documented.
#[derive(Debug)]
pub struct ParamDoc {
    /// Its name in the rule set.
    pub name: &'static str,
    /// Its default, as YAML.
    pub default: &'static str,
    /// What it does, with its unit.
    pub about: &'static str,
}

/// What a rule says of itself. Its documentation is made of this alone.
#[derive(Debug)]
pub struct Meta {
    /// Stable, kebab-case.
    pub name: &'static str,
    /// Kind of the objects it judges.
    pub kind: &'static str,
    /// Whether it judges the labels of a Namespace and nothing else, so that the guard path runs it.
    pub guards_labels: bool,
    /// Level in the built-in rule set; `None` for off.
    pub builtin: Option<Level>,
    /// What its verdict rests on beside the object itself.
    pub needs: Needs,
    /// One line for lists.
    pub summary: &'static str,
    /// What it finds.
    pub what: &'static str,
    /// Why that is bad.
    pub why: &'static str,
    /// Parameters that its examples are judged with, as YAML; empty for the defaults.
    pub example_params: &'static str,
    /// A manifest it rejects.
    pub rejected: &'static str,
    /// A manifest it accepts in its place.
    pub accepted: &'static str,
    /// Its parameters.
    pub params: &'static [ParamDoc],
    /// Where the facts come from.
    pub references: &'static [&'static str],
}

impl Meta {
    /// Its level in the built-in rule set, as rule sets name it.
    #[must_use]
    pub fn builtin_level(&self) -> &'static str {
        self.builtin.map_or("off", Level::as_str)
    }
}

/// What a rule's verdict rests on beside the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Knowledge of the cluster.
    Inventory,
    /// Who asks: such a rule has nothing to say of manifests.
    Requester,
}

/// A rule of the catalogue.
pub trait Rule: Sync {
    /// What it is.
    fn meta(&self) -> &'static Meta;

    /// Gives its parameters their types.
    ///
    /// # Errors
    /// Which parameter is wrong, and what it may be.
    fn bind(&self, params: &Value, groups: &Groups) -> Result<Box<dyn Check>, ParamError>;
}

/// A parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{message}", if param.is_empty() { String::new() } else { format!("{param}: ") })]
pub struct ParamError {
    /// Its path below `params`, such as `keys[0].subjects`; empty for the parameters as a whole.
    pub param: String,
    /// What is wrong with it, in one line.
    pub message: String,
}

impl ParamError {
    /// Something wrong with that parameter.
    fn at(param: &str, message: impl fmt::Display) -> Self {
        Self { param: param.to_owned(), message: message.to_string() }
    }
}

/// A rule with its parameters set.
pub trait Check: Send + Sync {
    /// Judges one request.
    ///
    /// # Errors
    /// What it could not judge, and why.
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell>;

    /// What there is to find in a namespace that an UPDATE of its labels brings under an entry of
    /// this rule. Nothing, for most rules.
    ///
    /// # Errors
    /// As for [`Check::check`].
    fn brought_under(&self, _cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        Ok(Outcome::default())
    }

    /// Whether it has something to say of an UPDATE that leaves the spec of a policy as it is, and
    /// changes its labels or annotations alone. Most rules have not.
    fn judges_metadata(&self) -> bool {
        false
    }
}

/// Why a rule cannot judge, in one line.
#[derive(Debug, PartialEq, Eq)]
pub struct CannotTell {
    /// The reason.
    pub reason: String,
    /// Whether a live read of the namespace could settle it.
    pub confirm: bool,
}

impl fmt::Display for CannotTell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// What a rule looks at.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The request.
    pub subject: &'a Subject,
    /// The subject's namespace before and after it.
    pub around: &'a Around,
    /// The rest of the cluster.
    pub inventory: &'a Inventory,
    /// The time of the request.
    pub now: Timestamp,
    /// Whether this is a bundle of manifests that may be applied in any order, and not a request.
    pub bundle: bool,
}

impl<'a> Context<'a> {
    /// The policy asked for; `None` at DELETE and for a Namespace.
    #[must_use]
    pub fn policy(&self) -> Option<&'a NetworkPolicy> {
        match &self.subject.change {
            Change::NetworkPolicy { new: Some(new), .. } => Some(&new.policy),
            _ => None,
        }
    }

    /// The Namespace before and after; `None` for a NetworkPolicy.
    #[must_use]
    pub fn namespace(&self) -> Option<(Option<&'a Metadata>, Option<&'a Metadata>)> {
        match &self.subject.change {
            Change::Namespace { old, new } => {
                Some((old.as_ref().map(|old| &old.metadata), new.as_ref().map(|new| &new.metadata)))
            }
            Change::NetworkPolicy { .. } => None,
        }
    }
}

/// What a rule has to say of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it found.
    pub drafts: Vec<Draft>,
    /// The outcome rests on the state of the namespace so much that a live read has to confirm it.
    pub confirm: bool,
}

impl From<Vec<Draft>> for Outcome {
    fn from(drafts: Vec<Draft>) -> Self {
        Self { drafts, confirm: false }
    }
}

/// A finding before the rule set has had its say.
#[derive(Debug, PartialEq, Eq)]
pub struct Draft {
    /// Path of the field.
    pub field: String,
    /// What is wrong, in one line.
    pub message: String,
    /// The same in few words: with rule and field before it, a warning should stay within 120 characters.
    pub brief: String,
    /// The repair, in one line.
    pub help: String,
    /// The proof.
    pub evidence: Evidence,
    /// Never heavier than this, whatever the entry's level.
    pub at_most: Level,
    /// It was so before an UPDATE, which therefore made nothing worse. For rules that compare the states themselves.
    pub as_before: bool,
    /// What the field wrongly allows. Where the object allowed as much before an UPDATE, that
    /// request made nothing worse. Empty for rules that compare the states themselves.
    pub extents: Vec<Extent>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            field: String::new(),
            message: String::new(),
            brief: String::new(),
            help: String::new(),
            evidence: Evidence::default(),
            at_most: Level::Deny,
            as_before: false,
            extents: Vec::new(),
        }
    }
}

/// The rule of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Rule> {
    RULES.iter().copied().find(|rule| rule.meta().name == name)
}

/// The labels of namespaces that an entry of that rule protects: keys, and with `*` at the end what keys begin with.
#[must_use]
pub fn protected_labels(rule: &str, params: &Value) -> Vec<String> {
    if rule == protected_namespace_labels::ProtectedNamespaceLabels.meta().name {
        protected_namespace_labels::protected_labels(params)
    } else {
        Vec::new()
    }
}

/// Of a rule that has none.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

/// Reads parameters into their type; `null` is all defaults.
fn typed<P: DeserializeOwned + Default>(params: &Value) -> Result<P, ParamError> {
    if params.is_null() {
        return Ok(P::default());
    }
    serde_path_to_error::deserialize(params).map_err(|error| {
        let path = error.path().to_string();
        ParamError::at(if path == "." { "" } else { &path }, error.inner())
    })
}

/// How many items of a list a message names.
const SHOWN: usize = 8;

/// The first few of a list, and how many more there are.
fn some_of(items: impl ExactSizeIterator<Item = impl fmt::Display>, few: usize) -> String {
    let more = items.len().saturating_sub(few);
    let shown: Vec<String> = items.take(few).map(|item| item.to_string()).collect();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
pub(crate) mod tests;
