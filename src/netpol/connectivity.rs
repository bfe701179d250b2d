//! Who is isolated, and what is allowed by which rule.
//!
//! ```text
//! World ── Space (a namespace: labels, policies, pods)
//!   ask(Question { from, to, protocol, port }) ──> Answer { outcome, egress: Side, ingress: Side }
//! ```
//!
//! A pod is isolated in a direction as soon as one policy of its namespace that has the direction selects it; then
//! only what some rule allows passes. Policies add up, and both ends have to allow a connection. Replies need no rule.
//!
//! Source: Kubernetes documentation, Network Policies; API reference, `networking.k8s.io/v1`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::pod::{Pod, PodKind};
use super::policy::{Direction, NetworkPolicy, Peer, PolicyRule};
use super::port_set::{PortSet, Protocol};
use super::selector::Labels;

pub mod difference;
pub mod reach;
pub mod repair;
#[cfg(test)]
mod tests;

/// A namespace as policies see it.
#[derive(Clone, Debug)]
pub struct Space<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
    /// Its policies, by name.
    pub policies: Vec<&'a NetworkPolicy>,
    /// Its pods and workloads, by name and kind.
    pub pods: Vec<&'a Pod>,
    /// Policies that exist but could not be read, each with the reason.
    pub unread: Vec<(&'a str, &'a str)>,
}

/// All namespaces at one moment.
#[derive(Clone, Debug, Default)]
pub struct World<'a> {
    spaces: BTreeMap<&'a str, Space<'a>>,
    /// Whether an ipBlock also matches pods by their addresses. The API leaves that to the network plugin.
    ip_blocks_match_pods: bool,
    /// Whether nobody knows what pods call their ports.
    port_names_open: bool,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// A pod, or any pod of a workload.
    Pod(&'a Pod),
    /// An address outside the cluster.
    Address(IpAddr),
}

/// Would this connection be allowed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// Who opens it.
    pub from: End<'a>,
    /// Who is called.
    pub to: End<'a>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port at the end that is called, 1 to 65535.
    pub port: u16,
}

/// What policies say of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Whether it passes.
    pub outcome: Outcome<'a>,
    /// What is said where it leaves.
    pub egress: Side<'a>,
    /// What is said where it arrives.
    pub ingress: Side<'a>,
}

/// Whether a connection passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Both ends allow it.
    Allowed,
    /// A pod reaches itself, whatever the policies say.
    Itself,
    /// An end does not allow it.
    Denied,
    /// A pod in its node's network: policies do not apply to it, and what does is the plugin's to say.
    HostNetwork(&'a Pod),
    /// It depends on a policy that could not be read.
    Unread {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        policy: &'a str,
        /// Why not.
        reason: &'a str,
    },
}

/// What the policies at one end say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side<'a> {
    /// The policies that isolate the pod in this direction; none for an address, which no policy isolates.
    pub isolated_by: Vec<&'a NetworkPolicy>,
    /// The rules of those policies that allow the connection.
    pub allowed_by: Vec<RuleRef<'a>>,
}

impl Side<'_> {
    /// Whether this end lets the connection pass.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.isolated_by.is_empty() || !self.allowed_by.is_empty()
    }
}

/// A rule, found again: `a/to-db egress[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleRef<'a> {
    /// Its policy.
    pub policy: &'a NetworkPolicy,
    /// Which list it is in.
    pub direction: Direction,
    /// Where in that list, from 0.
    pub index: usize,
}

impl fmt::Display for RuleRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, direction, index } = self;
        write!(f, "{}/{} {}[{index}]", policy.namespace, policy.name, direction.field())
    }
}

impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(pod) => pod.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl<'a> World<'a> {
    /// A world of these namespaces.
    #[must_use]
    pub fn new(spaces: impl IntoIterator<Item = Space<'a>>, ip_blocks_match_pods: bool) -> Self {
        let spaces = spaces.into_iter().map(|space| (space.name, space)).collect();
        Self { spaces, ip_blocks_match_pods, port_names_open: false }
    }

    /// The same, of pods that are known by their metadata alone: what a port name stands for is open.
    #[must_use]
    pub fn with_open_port_names(mut self) -> Self {
        self.port_names_open = true;
        self
    }

    /// Puts a namespace in the place of the one of its name.
    pub fn replace(&mut self, space: Space<'a>) {
        self.spaces.insert(space.name, space);
    }

    /// The namespaces, by name.
    pub fn spaces(&self) -> impl Iterator<Item = &Space<'a>> {
        self.spaces.values()
    }

    /// The namespace of that name.
    #[must_use]
    pub fn space(&self, name: &str) -> Option<&Space<'a>> {
        self.spaces.get(name)
    }

    /// The policies that isolate a pod in a direction, by name.
    pub fn isolating(&self, pod: &Pod, direction: Direction) -> impl Iterator<Item = &'a NetworkPolicy> {
        let policies = self.space(&pod.namespace).map_or(&[][..], |space| &space.policies);
        let selects = move |policy: &&NetworkPolicy| {
            !pod.host_network && policy.spec.isolates(direction) && policy.spec.pod_selector.matches(&pod.labels)
        };
        policies.iter().copied().filter(selects)
    }

    /// Whether a peer of a rule in a policy of `namespace` means this end.
    #[must_use]
    pub fn is_peer(&self, namespace: &str, peer: &Peer, end: End<'_>) -> bool {
        match (peer, end) {
            (Peer::IpBlock { cidr, except }, End::Address(address)) => in_block(*cidr, except, address),
            (Peer::IpBlock { cidr, except }, End::Pod(pod)) => {
                self.ip_blocks_match_pods && pod.addresses.iter().any(|address| in_block(*cidr, except, *address))
            }
            (Peer::Pods { .. }, End::Address(_)) => false,
            (Peer::Pods { namespace: of, pod: which }, End::Pod(pod)) => {
                let there = match of {
                    None => pod.namespace == namespace,
                    Some(selector) => self.space(&pod.namespace).is_some_and(|space| selector.matches(space.labels)),
                };
                there && which.as_ref().is_none_or(|selector| selector.matches(&pod.labels))
            }
        }
    }

    /// Whether a rule of a policy in `namespace` has this end among its peers. No peers are all peers.
    #[must_use]
    pub fn admits(&self, namespace: &str, rule: &PolicyRule, end: End<'_>) -> bool {
        rule.peers.is_empty() || rule.peers.iter().any(|peer| self.is_peer(namespace, peer, end))
    }

    /// Whether a connection would be allowed, and by what.
    #[must_use]
    pub fn ask(&self, question: Question<'a>) -> Answer<'a> {
        let Question { from, to, protocol, port } = question;
        let reached = |ports: &PortSet| match to {
            End::Pod(pod) => pod.listens_within(ports, protocol, port),
            End::Address(_) => ports.contains(protocol, port),
        };
        let egress = self.side(from, Direction::Egress, to, reached);
        let ingress = self.side(to, Direction::Ingress, from, reached);
        let outcome = self.outcome(question, &egress, &ingress);
        Answer { outcome, egress, ingress }
    }

    fn side(&self, end: End<'a>, direction: Direction, other: End<'a>, reached: impl Fn(&PortSet) -> bool) -> Side<'a> {
        let End::Pod(pod) = end else { return Side::default() };
        let isolated_by: Vec<&NetworkPolicy> = self.isolating(pod, direction).collect();
        let allows = |policy: &&'a NetworkPolicy| {
            let policy = *policy;
            let rules = policy.spec.rules(direction).iter().enumerate();
            let fit = rules.filter(|(_, rule)| reached(&rule.ports) && self.admits(&policy.namespace, rule, other));
            fit.map(|(index, _)| RuleRef { policy, direction, index }).collect::<Vec<_>>()
        };
        let allowed_by = isolated_by.iter().flat_map(allows).collect();
        Side { isolated_by, allowed_by }
    }

    fn outcome(&self, question: Question<'a>, egress: &Side<'a>, ingress: &Side<'a>) -> Outcome<'a> {
        if let Some(outcome) = apart(question.from, question.to) {
            return outcome;
        }
        // Whatever else there is, what a rule allows stays allowed. Everything short of that an unread policy could
        // change: isolate what is open, and allow what is not.
        let in_doubt = |(end, side): &(End<'a>, &Side<'a>)| {
            if side.allowed_by.is_empty() { self.unread_at(*end) } else { None }
        };
        let ends = [(question.from, egress), (question.to, ingress)];
        if ends.iter().any(|end| !end.1.allows() && in_doubt(end).is_none()) {
            return Outcome::Denied;
        }
        ends.iter().find_map(in_doubt).unwrap_or(Outcome::Allowed)
    }

    /// The first policy beside this end that could not be read.
    fn unread_at(&self, end: End<'_>) -> Option<Outcome<'a>> {
        let End::Pod(pod) = end else { return None };
        let space = self.space(&pod.namespace)?;
        let (policy, reason) = *space.unread.first()?;
        Some(Outcome::Unread { namespace: space.name, policy, reason })
    }
}

/// What holds between two ends whatever the policies say.
fn apart<'a>(from: End<'a>, to: End<'a>) -> Option<Outcome<'a>> {
    let host = [from, to].into_iter().find_map(|end| match end {
        End::Pod(pod) if pod.host_network => Some(Outcome::HostNetwork(pod)),
        End::Pod(_) | End::Address(_) => None,
    });
    host.or(match (from, to) {
        // Two pods of one workload are two pods.
        (End::Pod(from), End::Pod(to)) if from.kind == PodKind::Pod && from.is_same_object(to) => Some(Outcome::Itself),
        _ => None,
    })
}

fn in_block(cidr: ipnet::IpNet, except: &[ipnet::IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    cidr.contains(&address) && !except.iter().any(|block| block.contains(&address))
}
