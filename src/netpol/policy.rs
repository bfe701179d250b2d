//! NetworkPolicy, parsed from the JSON of `networking.k8s.io/v1`.
//!
//! Lists keep their positions, so that a finding can name its field.
//!
//! Source: Kubernetes API reference, NetworkPolicy v1 (types, defaulting and validation).

use std::fmt;

use super::ip_set::IpSet;
use super::port_set::{PortSet, Protocol};
use super::selector::Selector;
pub use super::value::SpecProblem;
use ipnet::IpNet;

mod parse;

pub use parse::{is_label_key, label_selector};

/// A direction of traffic, seen from the selected pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Direction {
    /// Towards them.
    Ingress,
    /// Away from them.
    Egress,
}

impl Direction {
    /// Both, in the order in which the API lists them.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The name in `policyTypes`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        }
    }

    /// The name of its list of rules in a spec.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The name of the list of peers in a rule.
    #[must_use]
    pub const fn peers_field(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A NetworkPolicy as it acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// The namespace whose pods it selects.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// What it says.
    pub spec: PolicySpec,
}

/// The spec, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// The pods it isolates and allows traffic for.
    pub pod_selector: Selector,
    /// Whether it isolates them for ingress.
    pub isolates_ingress: bool,
    /// Whether it isolates them for egress.
    pub isolates_egress: bool,
    /// What may reach them. Without effect unless it isolates them for ingress.
    pub ingress: Vec<PolicyRule>,
    /// What they may reach. Without effect unless it isolates them for egress.
    pub egress: Vec<PolicyRule>,
}

/// One rule: any of the peers, on any of the ports. Two are equal that mean the same, however their ports are written.
#[derive(Clone, Debug, Eq)]
pub struct PolicyRule {
    /// The peers; none at all means every peer.
    pub peers: Vec<Peer>,
    /// The ports; [`PortSet::all`] where the rule names none.
    pub ports: PortSet,
    /// Which of its ports are written as ranges, with `endPort`: what a reader of the policy sees, and some CNI plugins
    /// do not. They are part of `ports`.
    pub ranges: Vec<PortRange>,
}

/// One item of a rule's `ports` that has an `endPort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Its position in the list.
    pub index: usize,
    /// Its protocol.
    pub protocol: Protocol,
    /// `port`
    pub first: u16,
    /// `endPort`, included.
    pub last: u16,
}

/// One peer of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Addresses.
    IpBlock {
        /// The block, without host bits.
        cidr: IpNet,
        /// What is taken out of it.
        except: Vec<IpNet>,
    },
    /// Pods by labels; `namespace: None` is the policy's own namespace, `pod: None` every pod there.
    Pods {
        /// Which namespaces.
        namespace: Option<Selector>,
        /// Which pods in them.
        pod: Option<Selector>,
    },
}

impl Peer {
    /// The addresses of an ipBlock; `None` for pods.
    #[must_use]
    pub fn addresses(&self) -> Option<IpSet> {
        match self {
            Self::IpBlock { cidr, except } => {
                let block = IpSet::from_cidr(*cidr);
                let taken_out = || except.iter().copied().collect();
                Some(if except.is_empty() { block } else { block.difference(&taken_out()) })
            }
            Self::Pods { .. } => None,
        }
    }
}

/// The addresses among the peers of a rule: all where there are no peers, none where they are pods.
#[must_use]
pub fn addresses_of(peers: &[Peer]) -> IpSet {
    let mut blocks = peers.iter().filter_map(Peer::addresses);
    match (blocks.next(), blocks.next()) {
        (None, _) if peers.is_empty() => IpSet::all(),
        (None, _) => IpSet::empty(),
        (Some(only), None) => only,
        (Some(one), Some(two)) => IpSet::union_of([one, two].into_iter().chain(blocks)),
    }
}

impl PartialEq for PolicyRule {
    fn eq(&self, other: &Self) -> bool {
        self.peers == other.peers && self.ports == other.ports
    }
}

impl PolicyRule {
    /// Whether it is `- {}`: every peer on every port.
    #[must_use]
    pub fn allows_everything(&self) -> bool {
        self.peers.is_empty() && self.ports.is_all()
    }
}

impl PolicySpec {
    /// Whether the selected pods are isolated in that direction.
    #[must_use]
    pub const fn isolates(&self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.isolates_ingress,
            Direction::Egress => self.isolates_egress,
        }
    }

    /// The rules that have an effect: those of a direction the policy isolates.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> &[PolicyRule] {
        match direction {
            _ if !self.isolates(direction) => &[],
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// Whether it only isolates, and allows nothing in either direction.
    #[must_use]
    pub fn is_pure_isolation(&self) -> bool {
        Direction::ALL.into_iter().all(|direction| self.rules(direction).is_empty())
    }
}

#[cfg(test)]
mod tests;
