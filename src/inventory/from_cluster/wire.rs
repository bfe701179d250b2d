//! Objects as the API server sends them, read so that no object can stop a list or a watch.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::netpol::policy::NetworkPolicy;
use crate::object::Metadata;

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Core `v1`.
    Namespace,
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Namespace, Self::NetworkPolicy];

    /// The name used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::NetworkPolicy => "NetworkPolicy",
        }
    }

    /// Its position in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Where the API server has all objects of the kind.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Namespace => "/api/v1/namespaces",
            Self::NetworkPolicy => "/apis/networking.k8s.io/v1/networkpolicies",
        }
    }
}

/// An object of either kind. Nothing in it can fail to be read here, so that one odd object is
/// told by name rather than as the end of a list; managedFields and status are passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Raw {
    metadata: RawMetadata,
    spec: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawMetadata {
    name: Value,
    namespace: Value,
    resource_version: Value,
    labels: Value,
    creation_timestamp: Value,
    deletion_timestamp: Value,
}

impl Raw {
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_str().unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> &str {
        self.metadata.namespace.as_str().unwrap_or_default()
    }

    pub(super) fn resource_version(&self) -> Option<&str> {
        self.metadata.resource_version.as_str().filter(|version| !version.is_empty())
    }

    /// An object on its way out.
    pub(super) fn is_terminating(&self) -> bool {
        !self.metadata.deletion_timestamp.is_null()
    }

    /// The metadata the rules look at, or why it cannot be read.
    pub(super) fn metadata(&self) -> Result<Metadata, String> {
        let raw = &self.metadata;
        let fields = [
            ("name", &raw.name),
            ("namespace", &raw.namespace),
            ("labels", &raw.labels),
            ("creationTimestamp", &raw.creation_timestamp),
            ("deletionTimestamp", &raw.deletion_timestamp),
        ];
        let object: Map<String, Value> = fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect();
        serde_json::from_value(Value::Object(object)).map_err(|error| format!("metadata: {error}"))
    }

    /// The policy, or why it cannot be read, in one line.
    pub(super) fn policy(&self) -> Result<NetworkPolicy, String> {
        NetworkPolicy::parse(self.namespace(), self.name(), &self.spec)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    /// Go writes an empty list as `null`.
    pub(super) items: Option<Vec<Raw>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageMetadata {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}
