//! What rules allow, as boxes that can be put together and compared.
//!
//! Peers are addresses or pods. So a rule has two kinds of boxes: selected pods x addresses x ports, and pairs of a
//! selected pod and a peer x ports. A pair is a selector over the labels of both and of the peer's namespace, told
//! apart by what their keys begin with. An ipBlock is not taken to mean pods, since that depends on the CNI.

use ipnet::IpNet;

use crate::inventory::METADATA_NAME;
use crate::netpol::extent::{Extent, contained};
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{NetworkPolicy, Peer, PolicyRule, addresses_of};
use crate::netpol::port_set::PortSet;
use crate::netpol::selector::{Operator, Requirement, Selector};

/// No label key begins like this.
const PEER: &str = "peer:";
/// Nor like this.
const NAMESPACE: &str = "namespace:";

/// A rule with the policy it is from.
type Ruled<'a> = (&'a NetworkPolicy, &'a PolicyRule);

/// A rule with one of its peers; without one, a rule that names none and means all.
type OfPeer<'a> = (Ruled<'a>, Option<&'a Peer>);

/// What some rules of one direction allow. Boxes are made of it when they are compared, and only where they may matter:
/// most rules of a namespace have nothing in common.
pub(super) struct Traffic<'a>(Vec<Ruled<'a>>);

impl<'a> Traffic<'a> {
    /// What these rules allow.
    pub(super) fn of(rules: impl IntoIterator<Item = Ruled<'a>>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// How many boxes it takes at most to say it.
    pub(super) fn size(&self) -> usize {
        let of_addresses = self.0.iter().filter(|(_, rule)| names_addresses(rule));
        of_addresses.count() + self.of_pods().count()
    }

    /// Whether it is every pod, every peer, every port. `None` when that would take too long to tell.
    pub(super) fn is_everything(&self) -> Option<bool> {
        let all = |pods| [Extent { pods, addresses: IpSet::all(), ports: PortSet::all() }];
        // Every namespace bears its name as a label.
        let named = Requirement::new(format!("{NAMESPACE}{METADATA_NAME}"), Operator::Exists, [""; 0]);
        let pairs = || contained(&all(Selector::new(vec![named])), &pairs(self.of_pods()));
        Some(contained(&all(Selector::everything()), &addresses(&self.0))? && pairs()?)
    }

    /// Whether the other allows all of this. `None` when that would take too long to tell.
    pub(super) fn is_within(&self, other: &Self) -> Option<bool> {
        let near = other.0.iter().filter(|it| self.0.iter().any(|mine| may_meet(*mine, **it)));
        let near = Self(near.copied().collect());
        let lone = |mine: OfPeer<'a>| !near.of_pods().any(|it| may_mean_the_same(mine, it));
        if self.of_pods().any(|mine| is_something(mine) && lone(mine)) {
            return Some(false);
        }
        let addresses = self.blocks_lie_in(&near) || contained(&addresses(&self.0), &addresses(&near.0))?;
        Some(addresses && (self.pods_lie_in(&near) || self.pairs_lie_in(&near)?))
    }

    /// Whether each peer lies in one of the other, which is told without sets. `false` where that takes several.
    pub(super) fn lies_plainly_in(&self, other: &Self) -> bool {
        self.pods_lie_in(other) && self.blocks_lie_in(other)
    }

    /// Whether each ipBlock lies in one of the other. Mostly that is all there is to it, and no set has to be made.
    fn blocks_lie_in(&self, other: &Self) -> bool {
        let few = self.of_blocks().count().saturating_mul(other.of_blocks().count()) <= MAX_PAIRS_OF_BLOCKS;
        few && self
            .of_blocks()
            .all(|mine| other.of_blocks().any(|its| rule_lies_in(mine.0, its.0) && block_lies_in(mine.1, its.1)))
    }

    /// Whether each peer lies in one of the other, the same for pods.
    fn pods_lie_in(&self, other: &Self) -> bool {
        self.of_pods().all(|mine| other.of_pods().any(|its| rule_lies_in(mine.0, its.0) && pods_lie_in(mine.1, its.1)))
    }

    fn pairs_lie_in(&self, near: &Self) -> Option<bool> {
        let same = |it: &OfPeer<'a>| self.of_pods().any(|mine| may_mean_the_same(mine, *it));
        contained(&pairs(self.of_pods()), &pairs(near.of_pods().filter(same)))
    }

    fn of_blocks(&self) -> impl Iterator<Item = OfPeer<'a>> {
        self.of_peers(|peer| matches!(peer, Peer::IpBlock { .. }))
    }

    fn of_pods(&self) -> impl Iterator<Item = OfPeer<'a>> {
        self.of_peers(|peer| matches!(peer, Peer::Pods { .. }))
    }

    /// The peers of that kind, and the rules without any peer, which mean all of either kind.
    fn of_peers(&self, kind: fn(&Peer) -> bool) -> impl Iterator<Item = OfPeer<'a>> {
        self.0.iter().flat_map(move |ruled| {
            let all = ruled.1.peers.is_empty().then_some((*ruled, None));
            let peers = ruled.1.peers.iter().filter(move |peer| kind(peer));
            all.into_iter().chain(peers.map(|peer| (*ruled, Some(peer))))
        })
    }
}

/// Beyond so many pairs of blocks sets are faster than looking at each.
const MAX_PAIRS_OF_BLOCKS: usize = 4_096;

/// Whether a rule's ports and selected pods are among those of another.
fn rule_lies_in((policy, rule): Ruled<'_>, (other, its): Ruled<'_>) -> bool {
    rule.ports.is_subset(&its.ports) && policy.spec.pod_selector.implies(&other.spec.pod_selector)
}

/// Whether all addresses of a block are among those of another.
fn block_lies_in(mine: Option<&Peer>, its: Option<&Peer>) -> bool {
    match (mine, its) {
        (_, None) => true,
        (Some(Peer::IpBlock { cidr, except }), Some(Peer::IpBlock { cidr: wider, except: holes })) => {
            let apart = |hole: &IpNet| !hole.contains(cidr) && !cidr.contains(hole);
            let left_out = |hole: &IpNet| except.iter().any(|except| except.contains(hole));
            wider.contains(cidr) && holes.iter().all(|hole| apart(hole) || left_out(hole))
        }
        _ => false,
    }
}

/// Whether all pods of a peer are among those of another, of a policy of the same namespace.
fn pods_lie_in(mine: Option<&Peer>, its: Option<&Peer>) -> bool {
    let lies_in = |mine: &Option<Selector>, its: &Option<Selector>| {
        its.as_ref().is_none_or(|its| mine.as_ref().map_or_else(|| its.selects_everything(), |mine| mine.implies(its)))
    };
    match (mine, its) {
        (_, None) => true,
        (Some(Peer::Pods { namespace, pod }), Some(Peer::Pods { namespace: its_namespace, pod: its_pod })) => {
            namespace.is_some() == its_namespace.is_some() && lies_in(namespace, its_namespace) && lies_in(pod, its_pod)
        }
        _ => false,
    }
}

fn names_addresses(rule: &PolicyRule) -> bool {
    rule.peers.is_empty() || rule.peers.iter().any(|peer| matches!(peer, Peer::IpBlock { .. }))
}

/// Whether two rules may have pods and ports in common.
fn may_meet((policy, rule): Ruled<'_>, (other, its): Ruled<'_>) -> bool {
    rule.ports.intersects(&its.ports) && !policy.spec.pod_selector.disjoint(&other.spec.pod_selector)
}

/// Whether there are pods and ports that it is about.
fn is_something(((policy, rule), peer): OfPeer<'_>) -> bool {
    let selectors = match peer {
        Some(Peer::Pods { namespace, pod }) => [namespace.as_ref(), pod.as_ref()],
        Some(Peer::IpBlock { .. }) | None => [None, None],
    };
    let mut selectors = selectors.into_iter().flatten().chain([&policy.spec.pod_selector]);
    !rule.ports.is_empty() && !selectors.any(Selector::is_contradiction)
}

/// Whether two peers of policies of one namespace may have pods in common, as far as is told without a box.
fn may_mean_the_same(((policy, _), one): OfPeer<'_>, (_, two): OfPeer<'_>) -> bool {
    let (Some(Peer::Pods { namespace, pod }), Some(Peer::Pods { namespace: its_namespace, pod: its_pod })) = (one, two)
    else {
        return true;
    };
    let own = |namespaces: &Selector| {
        let mut about_names = namespaces.requirements().iter().filter(|requirement| requirement.key == METADATA_NAME);
        about_names.all(|requirement| requirement.admits(Some(&policy.namespace)))
    };
    let namespaces = match (namespace, its_namespace) {
        (None, None) => true,
        (Some(namespaces), None) | (None, Some(namespaces)) => own(namespaces),
        (Some(one), Some(two)) => !one.disjoint(two),
    };
    namespaces && pod.as_ref().zip(its_pod.as_ref()).is_none_or(|(one, two)| !one.disjoint(two))
}

/// Selected pods x addresses x ports.
fn addresses(rules: &[Ruled<'_>]) -> Vec<Extent> {
    let extent = |(policy, rule): &Ruled<'_>| {
        let addresses = addresses_of(&rule.peers);
        let (pods, ports) = (policy.spec.pod_selector.clone(), rule.ports.clone());
        (!addresses.is_empty()).then_some(Extent { pods, addresses, ports })
    };
    rules.iter().filter(|(_, rule)| names_addresses(rule)).filter_map(extent).collect()
}

/// Pairs of a selected pod and a peer x ports. Addresses do not tell them apart.
fn pairs<'a>(peers: impl Iterator<Item = OfPeer<'a>>) -> Vec<Extent> {
    let extent = |((policy, rule), peer): OfPeer<'_>| Extent {
        pods: pair(policy, peer),
        addresses: IpSet::all(),
        ports: rule.ports.clone(),
    };
    peers.map(extent).collect()
}

/// The pairs of a selected pod and a pod that the peer means.
fn pair(policy: &NetworkPolicy, peer: Option<&Peer>) -> Selector {
    let Some(Peer::Pods { namespace, pod }) = peer else { return policy.spec.pod_selector.clone() };
    let about = |whose: &'static str, selector: &Selector| {
        let requirements = selector.requirements().iter();
        let about = move |it: &Requirement| Requirement { key: format!("{whose}{}", it.key), ..it.clone() };
        requirements.map(about).collect::<Vec<_>>()
    };
    let mut requirements = policy.spec.pod_selector.requirements().to_vec();
    match namespace {
        Some(namespace) => requirements.extend(about(NAMESPACE, namespace)),
        None => {
            let own = Selector::labels([(METADATA_NAME, policy.namespace.as_str())]);
            requirements.extend(about(NAMESPACE, &own));
        }
    }
    requirements.extend(pod.iter().flat_map(|pod| about(PEER, pod)));
    Selector::new(requirements)
}

#[cfg(test)]
mod tests;
