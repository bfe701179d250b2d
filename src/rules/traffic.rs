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

/// What some rules of one direction allow.
#[derive(Default)]
pub(super) struct Traffic {
    addresses: Vec<Extent>,
    pairs: Vec<Extent>,
}

impl Traffic {
    /// What these rules allow, each with the policy it is from.
    pub(super) fn of<'a>(rules: impl IntoIterator<Item = (&'a NetworkPolicy, &'a PolicyRule)>) -> Self {
        let mut traffic = Self::default();
        for (policy, rule) in rules {
            let (pods, ports) = (policy.spec.pod_selector.clone(), rule.ports.clone());
            let pair = |pods| Extent { pods, addresses: IpSet::all(), ports: rule.ports.clone() };
            traffic.pairs.extend(pairs(policy, rule).into_iter().map(pair));
            let addresses = addresses_of(&rule.peers);
            if !addresses.is_empty() {
                traffic.addresses.push(Extent { pods, addresses, ports });
            }
        }
        traffic
    }

    /// Every pod, every peer, every port.
    pub(super) fn everything() -> Self {
        let all = |pods| vec![Extent { pods, addresses: IpSet::all(), ports: PortSet::all() }];
        // Every namespace bears its name as a label.
        let named = Requirement::new(format!("{NAMESPACE}{METADATA_NAME}"), Operator::Exists, [""; 0]);
        Self { addresses: all(Selector::everything()), pairs: all(Selector::new(vec![named])) }
    }

    /// How many boxes it takes to say it.
    pub(super) fn size(&self) -> usize {
        self.addresses.len() + self.pairs.len()
    }

    /// Whether the other allows all of this. `None` when that would take too long to tell.
    pub(super) fn is_within(&self, other: &Self) -> Option<bool> {
        Some(contained(&self.addresses, &other.addresses)? && contained(&self.pairs, &other.pairs)?)
    }
}

/// The pairs of a selected pod and a peer that a rule brings together.
fn pairs(policy: &NetworkPolicy, rule: &PolicyRule) -> Vec<Selector> {
    if rule.peers.is_empty() {
        return vec![policy.spec.pod_selector.clone()];
    }
    let about = |whose: &'static str, selector: &Selector| {
        let mut requirements = selector.requirements().to_vec();
        for requirement in &mut requirements {
            requirement.key.insert_str(0, whose);
        }
        requirements
    };
    let own = || Selector::labels([(METADATA_NAME, policy.namespace.as_str())]);
    let pair = |peer: &Peer| match peer {
        Peer::IpBlock { .. } => None,
        Peer::Pods { namespace, pod } => {
            let mut requirements = policy.spec.pod_selector.requirements().to_vec();
            requirements.extend(about(NAMESPACE, &namespace.clone().unwrap_or_else(own)));
            requirements.extend(about(PEER, &pod.clone().unwrap_or_default()));
            Some(Selector::new(requirements))
        }
    };
    rule.peers.iter().filter_map(pair).collect()
}
