//! What a rule of a policy opens, as extents in which pods are peers as well: for the rules about ports.
//!
//! An [`Extent`] knows selected pods, addresses and ports. A peer that is pods is written as labels beside those of the
//! selected pod, under keys that no label can have:
//!
//! ```text
//! podSelector             app=a                 as it is
//! peer: ipBlock           " peer"=addresses     and the addresses
//! peer: podSelector       " peer"=pods, "own namespace"=yes, "pod KEY"…
//! peer: namespaceSelector " peer"=pods, "namespace KEY"…, "pod KEY"…
//! no peers                nothing: whatever the peer is
//! ```

use crate::netpol::extent::Extent;
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, Peer};
use crate::netpol::port_set::PortSet;
use crate::netpol::selector::{Operator, Requirement, Selector};

/// What is opened to one peer, `None` for everybody, on these ports.
pub(super) fn extent(selected: &Selector, direction: Direction, peer: Option<&Peer>, ports: PortSet) -> Extent {
    let fact = |key: &str, value: &str| Requirement::new(format!(" {key}"), Operator::In, [value]);
    let mut requirements = selected.requirements().to_vec();
    requirements.push(fact("direction", direction.as_str()));
    let mut addresses = IpSet::all();
    match peer {
        None => {}
        Some(Peer::IpBlock { .. }) => {
            requirements.push(fact("peer", "addresses"));
            addresses = peer.and_then(Peer::addresses).unwrap_or_default();
        }
        Some(Peer::Pods { namespace, pod }) => {
            requirements.push(fact("peer", "pods"));
            match namespace {
                None => requirements.push(fact("own namespace", "yes")),
                Some(namespace) => requirements.extend(about(" namespace", namespace)),
            }
            requirements.extend(pod.iter().flat_map(|pod| about(" pod", pod)));
        }
    }
    Extent { pods: Selector::new(requirements), addresses, ports }
}

/// What is opened to each peer of a rule; a rule without peers has one, everybody.
pub(super) fn extents(selected: &Selector, direction: Direction, peers: &[Peer], ports: &PortSet) -> Vec<Extent> {
    let open = |peer| extent(selected, direction, peer, ports.clone());
    if peers.is_empty() { vec![open(None)] } else { peers.iter().map(|peer| open(Some(peer))).collect() }
}

/// The requirements on the labels of something else than the selected pod.
fn about<'a>(whose: &'a str, selector: &'a Selector) -> impl Iterator<Item = Requirement> + 'a {
    let requirements = selector.requirements().iter();
    requirements
        .map(move |Requirement { key, operator, values }| Requirement::new(format!("{whose} {key}"), *operator, values))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::netpol::extent::contained;
    use crate::rules::tests::policy;

    fn of(rule: &Value) -> Vec<Extent> {
        let policy = policy("x", &json!({"podSelector": {"matchLabels": {"app": "a"}}, "ingress": [rule]}));
        let rule = &policy.spec.ingress[0];
        extents(&policy.spec.pod_selector, Direction::Ingress, &rule.peers, &rule.ports)
    }

    #[rstest]
    #[case::the_same(json!({"from": [{"podSelector": {}}]}), json!({"from": [{"podSelector": {}}]}), true)]
    #[case::fewer_pods(json!({"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}),
        json!({"from": [{"podSelector": {}}]}), true)]
    #[case::more_pods(json!({"from": [{"podSelector": {}}]}),
        json!({"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}), false)]
    #[case::own_in_all(json!({"from": [{"podSelector": {}}]}), json!({"from": [{"namespaceSelector": {}}]}), true)]
    #[case::all_in_own(json!({"from": [{"namespaceSelector": {}}]}), json!({"from": [{"podSelector": {}}]}), false)]
    #[case::everybody_holds_pods(json!({"from": [{"namespaceSelector": {}}]}), json!({}), true)]
    #[case::everybody_holds_addresses(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}), json!({}), true)]
    #[case::addresses_are_no_pods(json!({"from": [{"podSelector": {}}]}),
        json!({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}), false)]
    #[case::pods_are_no_addresses(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}),
        json!({"from": [{"namespaceSelector": {}}]}), false)]
    #[case::labels_of_a_namespace_are_not_those_of_a_pod(
        json!({"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}),
        json!({"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}}]}), false)]
    #[case::two_halves(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}),
        json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/9"}}, {"ipBlock": {"cidr": "10.128.0.0/9"}}]}), true)]
    #[case::two_halves_of_the_pods(json!({"from": [{"podSelector": {}}]}),
        json!({"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
                        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}}]}), true)]
    fn a_peer_lies_in_others(#[case] new: Value, #[case] old: Value, #[case] expected: bool) {
        assert_eq!(contained(&of(&new), &of(&old)), Some(expected));
    }
}
