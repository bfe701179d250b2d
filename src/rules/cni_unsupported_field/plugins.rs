//! The plugins, and what each of them is known to ignore.

/// A part of a policy that a plugin may ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// All of it.
    Policy,
    /// `endPort`
    EndPort,
    /// `protocol: SCTP`
    Sctp,
    /// A `port` that is a name.
    NamedPort,
    /// `except`
    Except,
    /// An ipBlock of IPv6 addresses.
    Ipv6,
    /// An ipBlock for addresses of pods.
    PodAddresses,
}

impl Field {
    /// Its name, which could be the value of a label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::EndPort => "endPort",
            Self::Sctp => "sctp",
            Self::NamedPort => "namedPort",
            Self::Except => "except",
            Self::Ipv6 => "ipv6",
            Self::PodAddresses => "podAddresses",
        }
    }

    /// What it is, in the middle of a sentence.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Policy => "NetworkPolicies",
            Self::EndPort => "`endPort`",
            Self::Sctp => "rules for SCTP",
            Self::NamedPort => "ports by name",
            Self::Except => "`except`",
            Self::Ipv6 => "IPv6 blocks",
            Self::PodAddresses => "an ipBlock for addresses of pods",
        }
    }

    /// What to write in its place.
    pub(super) const fn repair(self) -> &'static str {
        match self {
            Self::Policy => "install a plugin that enforces policies beside it, such as Calico",
            Self::EndPort => "list the ports one by one, such as `ports: [{port: 8080}, {port: 8081}]`",
            Self::Sctp => "allow the protocol where it is enforced, or do not rely on this rule",
            Self::NamedPort => "write the number, such as `ports: [{protocol: TCP, port: 8080}]`",
            Self::Except => "list the blocks that are left, each as an `ipBlock` of its own without `except`",
            Self::Ipv6 => "do not rely on this peer: name pods by their labels, or IPv4 blocks",
            Self::PodAddresses => "name the pods by their labels, such as `podSelector: {matchLabels: {app: NAME}}`",
        }
    }
}

/// A plugin, or versions of one.
pub(super) struct Plugin {
    /// Its name in rule sets.
    pub(super) name: &'static str,
    /// Its name in messages.
    pub(super) title: &'static str,
    /// What it ignores.
    pub(super) ignores: &'static [Field],
}

/// Every plugin of which something is known, by name. What their own documentation and issues say:
/// - Antrea: all of it; `endPort` since antrea-io/antrea#1638.
/// - Azure NPM: learn.microsoft.com/azure/aks/use-network-policies, its limitations: no IPv6 at all; on Windows, further no
///   named ports, no SCTP and no `except`.
/// - Calico: docs.tigera.io/calico, Kubernetes policy: all of it.
/// - Cilium: docs.cilium.io, Network Policy, known missing features: `ipBlock` set with a pod IP (cilium/cilium#9209) to
///   this day; SCTP (#5719) and port ranges (#16622, #28684: accepted and ignored) up to 1.15
///   (cilium/cilium#32389 added them).
/// - Flannel: its README leaves network policy to other projects.
/// - kube-router: no SCTP (cloudnativelabs/kube-router#1019); `endPort` since #1080.
/// - OVN-Kubernetes: all of it; SCTP since ovn-kubernetes/ovn-kubernetes#1120, `endPort` since #2466.
/// - Weave Net: no named ports (weaveworks/weave#3032); its last release is older than `endPort`.
///
/// Those that ignore nothing are named so that a rule set can say what a cluster runs.
pub(super) const PLUGINS: &[Plugin] = &[
    Plugin { name: "antrea", title: "Antrea", ignores: &[] },
    Plugin { name: "azure-npm", title: "Azure NPM", ignores: &[Field::Ipv6] },
    Plugin {
        name: "azure-npm-windows",
        title: "Azure NPM on Windows",
        ignores: &[Field::Sctp, Field::NamedPort, Field::Except, Field::Ipv6],
    },
    Plugin { name: "calico", title: "Calico", ignores: &[] },
    Plugin { name: "cilium", title: "Cilium", ignores: &[Field::PodAddresses] },
    Plugin {
        name: "cilium-before-1.16",
        title: "Cilium before 1.16",
        ignores: &[Field::EndPort, Field::Sctp, Field::PodAddresses],
    },
    Plugin { name: "flannel", title: "Flannel", ignores: &[Field::Policy] },
    Plugin { name: "kube-router", title: "kube-router", ignores: &[Field::Sctp] },
    Plugin { name: "ovn-kubernetes", title: "OVN-Kubernetes", ignores: &[] },
    Plugin { name: "weave-net", title: "Weave Net", ignores: &[Field::EndPort, Field::NamedPort] },
];
