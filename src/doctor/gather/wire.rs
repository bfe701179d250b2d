//! The parts of objects that are read. Everything is optional: one odd object must not hide the others.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::doctor::facts::{Container, DaemonSet};

#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    /// Go writes an empty list as `null`.
    pub(super) items: Option<Vec<T>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageMetadata {
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
    pub(super) remaining_item_count: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    pub(super) metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VersionInfo {
    pub(super) git_version: String,
    minor: String,
}

impl VersionInfo {
    /// Vendors append to it: `31+`.
    pub(super) fn minor(&self) -> u32 {
        let digits: String = self.minor.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DaemonSetObject {
    metadata: Metadata,
    spec: DaemonSetSpec,
    status: DaemonSetStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DaemonSetSpec {
    template: Template,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<ContainerSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerSpec {
    name: String,
    image: String,
    command: Vec<String>,
    args: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DaemonSetStatus {
    desired_number_scheduled: i64,
    number_ready: i64,
}

impl From<DaemonSetObject> for DaemonSet {
    fn from(object: DaemonSetObject) -> Self {
        let containers = object.spec.template.spec.containers.into_iter().map(|spec| Container {
            name: spec.name,
            image: spec.image,
            args: spec.command.into_iter().chain(spec.args).collect(),
        });
        Self {
            namespace: object.metadata.namespace,
            name: object.metadata.name,
            containers: containers.collect(),
            desired: object.status.desired_number_scheduled,
            ready: object.status.number_ready,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceObject {
    spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    ports: Vec<Port>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    port: i32,
}

impl ServiceObject {
    pub(super) fn ports(self) -> Vec<i32> {
        self.spec.ports.into_iter().map(|port| port.port).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Endpoints {
    subsets: Vec<Subset>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subset {
    /// The ready ones; the others stand beside them.
    addresses: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {}

impl Endpoints {
    pub(super) fn ready(&self) -> usize {
        self.subsets.iter().map(|subset| subset.addresses.len()).sum()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessReview {
    pub(super) status: AccessStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessStatus {
    pub(super) allowed: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) versions: Vec<GroupVersion>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GroupVersion {
    pub(super) version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    pub(super) resources: Vec<Resource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    pub(super) name: String,
}
