//! The object under judgement: what it was, what it becomes, who asks and how.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finding::ObjectRef;
use crate::netpol::policy::NetworkPolicy;
use crate::netpol::selector::Labels;

mod written;

pub use written::Written;

/// What the requester wants to do. `CONNECT` never reaches a webhook for these kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed one; patches and applies arrive as this.
    Update,
    /// A removed one, alone or as part of a collection.
    Delete,
}

impl Operation {
    /// The name the admission protocol uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// Reads the protocol's name; `None` for `CONNECT` and anything unknown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete].into_iter().find(|operation| operation.as_str() == text)
    }
}

/// Who asks, as the API server has authenticated them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Requester {
    /// User name; `system:serviceaccount:NAMESPACE:NAME` for a service account.
    #[serde(default)]
    pub username: String,
    /// Groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// A choice of requesters. Empty lists choose nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Subjects {
    /// User names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Service accounts, each as `NAMESPACE/NAME`, or `NAMESPACE/*` for all of a namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<String>,
}

impl Subjects {
    /// Whether nobody is chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.service_accounts.is_empty()
    }

    /// Whether the requester is among them.
    ///
    /// A service account's user name is `system:serviceaccount:NAMESPACE:NAME`. Source: Kubernetes
    /// documentation, authenticating, service account tokens.
    #[must_use]
    pub fn include(&self, requester: &Requester) -> bool {
        let account = requester.username.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let is_account = |wanted: &String| match (account, wanted.split_once('/')) {
            (Some((namespace, name)), Some((in_namespace, called))) => {
                namespace == in_namespace && (called == "*" || called == name)
            }
            _ => false,
        };
        self.users.contains(&requester.username)
            || self.groups.iter().any(|group| requester.groups.contains(group))
            || self.service_accounts.iter().any(is_account)
    }
}

/// The part of an object's metadata that the rules look at.
/// Source: API reference, `ObjectMeta`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name; resolved from `generateName` before a webhook sees it.
    #[serde(default)]
    pub name: String,
    /// Namespace of a namespaced object.
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: Labels,
    /// Annotations. Up to 256 KiB of them: inventories keep none.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// When the API server stored it first.
    pub creation_timestamp: Option<Timestamp>,
    /// Set once it is on its way out.
    pub deletion_timestamp: Option<Timestamp>,
}

/// Go encodes an absent map as nothing, other writers as `null`: the same.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A NetworkPolicy with the metadata a rule may ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyObject {
    /// Its metadata.
    pub metadata: Metadata,
    /// What it means.
    pub policy: Arc<NetworkPolicy>,
    /// What is known of the text that it came from.
    pub written: Written,
}

/// A Namespace: to the rules, its metadata is all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceObject {
    /// Its metadata.
    pub metadata: Metadata,
}

/// The object before and after the request. `old` is absent at CREATE, `new` at DELETE;
/// `old` is absent as well where it could not be read, which never blocks a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy {
        /// What is stored.
        old: Option<PolicyObject>,
        /// What is asked for.
        new: Option<PolicyObject>,
    },
    /// A core `v1` Namespace.
    Namespace {
        /// What is stored.
        old: Option<NamespaceObject>,
        /// What is asked for.
        new: Option<NamespaceObject>,
    },
}

/// One request to be judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// What is to be done.
    pub operation: Operation,
    /// Who asks.
    pub requester: Requester,
    /// To what.
    pub change: Change,
    /// Name of the object, from the metadata of the new object or else the old one.
    pub name: String,
    /// The namespace it is in; for a Namespace, its own name.
    pub namespace: String,
}

/// A NetworkPolicy as findings name it.
#[must_use]
pub fn policy_ref(namespace: String, name: String) -> ObjectRef {
    ObjectRef { api_version: "networking.k8s.io/v1", kind: "NetworkPolicy", namespace: Some(namespace), name }
}

impl Subject {
    /// The object as findings name it.
    #[must_use]
    pub fn object_ref(&self) -> ObjectRef {
        match &self.change {
            Change::NetworkPolicy { .. } => policy_ref(self.namespace.clone(), self.name.clone()),
            Change::Namespace { .. } => {
                ObjectRef { api_version: "v1", kind: "Namespace", namespace: None, name: self.name.clone() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(users: &[&str], groups: &[&str], accounts: &[&str]) -> Subjects {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Subjects { users: owned(users), groups: owned(groups), service_accounts: owned(accounts) }
    }

    #[test]
    fn requesters_are_found_by_name_group_and_service_account() {
        let dev = Requester { username: "dev".to_owned(), groups: vec!["team-a".to_owned()] };
        let bot = Requester { username: "system:serviceaccount:ci:deployer".to_owned(), groups: Vec::new() };
        assert!(subjects(&["dev"], &[], &[]).include(&dev));
        assert!(subjects(&[], &["team-a"], &[]).include(&dev));
        assert!(!subjects(&["team-a"], &["dev"], &["ci/dev"]).include(&dev));
        assert!(subjects(&[], &[], &["ci/deployer"]).include(&bot));
        assert!(subjects(&[], &[], &["ci/*"]).include(&bot));
        assert!(!subjects(&["deployer"], &[], &["ci/other", "cd/*", "deployer"]).include(&bot));
        assert!(!Subjects::default().include(&dev) && Subjects::default().is_empty());
    }
}
