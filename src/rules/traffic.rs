//! What rules allow, as boxes that can be put together and compared.
//!
//! Peers are addresses or pods. So a rule has two kinds of boxes: selected pods x addresses x ports, and pairs of a
//! selected pod and a peer x ports. A pair is a selector over the labels of both and of the peer's namespace, told
//! apart by what their keys begin with. An ipBlock is not taken to mean pods, since that depends on the CNI.

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
        let same = |it: &OfPeer<'a>| self.of_pods().any(|mine| may_mean_the_same(mine, *it));
        let pairs = || contained(&pairs(self.of_pods()), &pairs(near.of_pods().filter(same)));
        Some(contained(&addresses(&self.0), &addresses(&near.0))? && pairs()?)
    }

    fn of_pods(&self) -> impl Iterator<Item = OfPeer<'a>> {
        self.0.iter().flat_map(|ruled| {
            let all = ruled.1.peers.is_empty().then_some((*ruled, None));
            let pods = ruled.1.peers.iter().filter(|peer| matches!(peer, Peer::Pods { .. }));
            all.into_iter().chain(pods.map(|peer| (*ruled, Some(peer))))
        })
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
