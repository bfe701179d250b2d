//! Objects as the API server sends them, read so that no object can stop a list or a watch.

use kube::api::{ListParams, WatchParams};
use kube::core::Request;
use kube::core::request::Error as RequestError;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::netpol::pod::{Controller, Pod, PodKind};
use crate::netpol::policy::NetworkPolicy;
use crate::netpol::selector::Labels;
use crate::object::Metadata;

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Core `v1`.
    Namespace,
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// Core `v1`, by its metadata, and only while the rule set asks for it.
    Pod,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Namespace, Self::NetworkPolicy, Self::Pod];

    /// Those that are always watched, and that verdicts rest on.
    pub const ALWAYS: [Self; 2] = [Self::Namespace, Self::NetworkPolicy];

    /// The name used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Pod => "Pod",
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
            Self::Pod => "/api/v1/pods",
        }
    }
}

/// A request that lists a kind: of pods, the metadata alone.
pub(super) fn list_request(kind: Kind, params: &ListParams) -> Result<hyper::Request<Vec<u8>>, RequestError> {
    let request = Request::new(kind.path());
    if kind == Kind::Pod { request.list_metadata(params) } else { request.list(params) }
}

/// A request that watches a kind from a version on: of pods, the metadata alone.
pub(super) fn watch_request(
    kind: Kind,
    params: &WatchParams,
    version: &str,
) -> Result<hyper::Request<Vec<u8>>, RequestError> {
    let request = Request::new(kind.path());
    if kind == Kind::Pod { request.watch_metadata(params, version) } else { request.watch(params, version) }
}

/// An object of any kind. Nothing in it can fail to be read here, so that one odd object is
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
    owner_references: Value,
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

    /// The pod, as far as its metadata tells, or why it cannot be read. Ports, addresses and `hostNetwork` stand in
    /// its spec and status, which are not asked for.
    pub(super) fn pod(&self) -> Result<Pod, String> {
        let labels = match &self.metadata.labels {
            Value::Null => Labels::new(),
            labels => Labels::deserialize(labels).map_err(|error| format!("metadata.labels: {error}"))?,
        };
        Ok(Pod {
            namespace: self.namespace().to_owned(),
            kind: PodKind::Pod,
            name: self.name().to_owned(),
            labels,
            ports: Vec::new(),
            host_network: false,
            addresses: Vec::new(),
            controller: self.controller(),
        })
    }

    fn controller(&self) -> Option<Controller> {
        let owners = self.metadata.owner_references.as_array()?;
        let owner = owners.iter().find(|owner| owner["controller"] == true)?;
        Some(Controller { kind: owner["kind"].as_str()?.to_owned(), name: owner["name"].as_str()?.to_owned() })
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
