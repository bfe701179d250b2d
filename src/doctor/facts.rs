//! What was seen of a cluster, and what could not be seen.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;

use super::other_policies::PolicyKind;
use super::rights::Right;

/// A fact, or why it is not known.
pub type Known<T> = Result<T, Gap>;

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Whoever runs this lacks a permission, such as `list daemonsets.apps`.
    Forbidden(String),
    /// The API server has no such thing, such as `services portcullis/portcullis`.
    Absent(String),
    /// Asked for the first, the API server answered the second, or nothing in time.
    Failed(String, String),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(permission) => write!(f, "cannot look: you have no permission to {permission}"),
            Self::Absent(what) => write!(f, "cannot look: the API server does not know {what}"),
            Self::Failed(what, why) => write!(f, "cannot look: {what}: {why}"),
        }
    }
}

impl Gap {
    pub(super) fn repair(&self) -> String {
        match self {
            Self::Forbidden(permission) => {
                format!("grant `{permission}` (docs/doctor.md has the whole ClusterRole), or ask somebody who has it")
            }
            Self::Absent(_) => "is this the API server you mean? see --kubeconfig and --context".to_owned(),
            Self::Failed(..) => "try again; if it stays, look at the API server's log".to_owned(),
        }
    }
}

/// Everything that the checks go by.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The API server's version.
    pub version: Version,
    /// Everything that runs on every node, where a CNI plugin is found.
    pub daemon_sets: Known<Vec<DaemonSet>>,
    /// The labels of each node.
    pub nodes: Known<Vec<BTreeMap<String, String>>>,
    /// Each namespace with its labels.
    pub namespaces: Known<Vec<(String, BTreeMap<String, String>)>>,
    /// The registrations of Portcullis.
    pub registrations: Known<Vec<ValidatingWebhookConfiguration>>,
    /// The Services that they name, by namespace and name.
    pub services: BTreeMap<(String, String), Service>,
    /// What was shown where a webhook is called, by [`super::registration::Webhook::about`].
    pub served: BTreeMap<String, Served>,
    /// The ServiceAccount of Portcullis, as `NAMESPACE:NAME`.
    pub account: String,
    /// What that account may do.
    pub rights: Vec<(Right, Known<bool>)>,
    /// How many objects there are of each kind that the cluster knows and the webhook does not see.
    pub other_policies: Known<Vec<(PolicyKind, Known<u64>)>>,
    /// The answer to the probe, if one was asked for.
    pub probe: Option<Known<Answer>>,
}

/// The API server's version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// In full, such as `v1.31.4+k3s1`.
    pub git: String,
    /// The second number.
    pub minor: u32,
}

/// What a check looks at in a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonSet {
    /// Where it is.
    pub namespace: String,
    /// How it is called.
    pub name: String,
    /// What it runs.
    pub containers: Vec<Container>,
    /// Nodes that should run it.
    pub desired: i64,
    /// Nodes that do.
    pub ready: i64,
}

/// One of its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// How it is called.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Command and arguments.
    pub args: Vec<String>,
}

/// What a check looks at in a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its ports.
    pub ports: Known<Vec<i32>>,
    /// How many addresses behind it are ready.
    pub ready: Known<usize>,
}

/// What is shown to somebody who connects as the API server would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// The certificates in DER, the server's own first.
    Chain(Vec<Vec<u8>>),
    /// Nobody there, or no TLS.
    NoAnswer {
        /// Where.
        address: String,
        /// What happened.
        why: String,
    },
    /// It is not to be reached from here.
    NotTried,
}

/// What the API server answered to the probe: a dry run of a policy that allows all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A webhook said no, with these words.
    Denied(String),
    /// Admitted, with these warnings.
    Admitted(Vec<String>),
    /// Refused because a webhook could not be called.
    Unavailable(String),
    /// Refused by somebody else.
    Refused(String),
}
