//! Pods, as far as policies can tell one from another.

use std::fmt;
use std::net::IpAddr;

use super::port_set::{PortSet, Protocol};
use super::selector::Labels;

/// What kind of object the pods come from: themselves, or a template.
///
/// Source: API reference, workload resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodKind {
    /// A Pod.
    Pod,
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` ReplicaSet.
    ReplicaSet,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `batch/v1` Job.
    Job,
    /// `batch/v1` CronJob.
    CronJob,
    /// `v1` ReplicationController.
    ReplicationController,
}

impl PodKind {
    /// All kinds, Pods first.
    pub const ALL: [Self; 8] = [
        Self::Pod,
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::CronJob,
        Self::ReplicationController,
    ];

    /// The kind as manifests spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::ReplicationController => "ReplicationController",
        }
    }
}

impl fmt::Display for PodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A port that a container gives a name to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its name, which policies may use in place of the number.
    pub name: String,
    /// Its number.
    pub number: u16,
}

/// The object that keeps a Pod alive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Controller {
    /// Its kind, of whatever API.
    pub kind: String,
    /// Its name, in the namespace of the pod.
    pub name: String,
}

/// A Pod, or the pods of one template, which are all alike to policies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// What the name is the name of.
    pub kind: PodKind,
    /// The name of the Pod or of the workload.
    pub name: String,
    /// The labels of the pods, not of the workload.
    pub labels: Labels,
    /// The ports that have names. One name may stand for several numbers, in several containers.
    pub ports: Vec<NamedPort>,
    /// Whether it shares its node's network: then no policy applies to it.
    pub host_network: bool,
    /// Its addresses, where they are known: those of a running Pod.
    pub addresses: Vec<IpAddr>,
    /// What controls it.
    pub controller: Option<Controller>,
}

impl Pod {
    /// Whether both are the same Pod, or the pods of the same workload.
    #[must_use]
    pub fn is_same_object(&self, other: &Self) -> bool {
        (self.kind, &self.namespace, &self.name) == (other.kind, &other.namespace, &other.name)
    }

    /// Whether a set of ports, as a rule gives it, holds this port of this pod: names mean what the pod calls so.
    #[must_use]
    pub fn listens_within(&self, ports: &PortSet, protocol: Protocol, number: u16) -> bool {
        let named = |name: &str| {
            self.ports.iter().any(|port| port.protocol == protocol && port.number == number && port.name == name)
        };
        ports.contains(protocol, number) || ports.names().any(|(of, name)| of == protocol && named(name))
    }

    /// A set of ports as this pod sees it: each name becomes the numbers it has here, and none where it has none.
    #[must_use]
    pub fn resolve(&self, ports: &PortSet) -> PortSet {
        let numbers = ports.names().flat_map(|(protocol, name)| {
            let called = self.ports.iter().filter(move |port| port.protocol == protocol && port.name == name);
            called.map(|port| PortSet::single(port.protocol, port.number))
        });
        PortSet::union_of(std::iter::once(ports.resolve(|_, _| None)).chain(numbers))
    }
}

/// `a/web` for a Pod, `a/Deployment/web` for a workload.
impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, kind, name, .. } = self;
        match kind {
            PodKind::Pod => write!(f, "{namespace}/{name}"),
            _ => write!(f, "{namespace}/{kind}/{name}"),
        }
    }
}
