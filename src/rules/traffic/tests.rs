//! Against a look at every pair of ends and every port there is in a small world.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::netpol::policy::Direction;
use crate::netpol::port_set::Protocol;
use crate::netpol::selector::Labels;
use crate::rules::tests::{NAMESPACE, policy};

fn labels(pairs: &[(&str, Option<&str>)]) -> Labels {
    pairs.iter().filter_map(|&(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()
}

/// Pods by their labels: `z` is any value that no selector names.
fn pods() -> impl Iterator<Item = Labels> {
    [None, Some("x"), Some("y"), Some("z")].into_iter().map(|app| labels(&[("app", app)]))
}

/// Namespaces by their labels, the policies' own among them.
fn namespaces() -> impl Iterator<Item = Labels> {
    let teams = [None, Some("t"), Some("z")];
    [NAMESPACE, "other", "more"]
        .into_iter()
        .flat_map(move |name| teams.map(|team| labels(&[(METADATA_NAME, Some(name)), ("team", team)])))
}

const ADDRESSES: [&str; 7] =
    ["0.0.0.0", "9.255.255.255", "10.0.0.0", "10.1.2.3", "11.0.0.0", "255.255.255.255", "2001:db8::1"];
const PORTS: [(Protocol, u16); 6] = [
    (Protocol::Tcp, 79),
    (Protocol::Tcp, 80),
    (Protocol::Tcp, 81),
    (Protocol::Tcp, 82),
    (Protocol::Udp, 80),
    (Protocol::Sctp, 9),
];

/// Everything that these rules let through.
fn allowed(rules: &[Ruled<'_>]) -> Vec<bool> {
    let mut all = Vec::new();
    let on = |ruled: &Ruled<'_>, pod: &Labels, (protocol, port)| {
        ruled.0.spec.pod_selector.matches(pod) && ruled.1.ports.contains(protocol, port)
    };
    let block = |peer: &Peer, address: &str| {
        peer.addresses().is_some_and(|all| all.contains(address.parse().expect("an address")))
    };
    let pods_of = |peer: &Peer, namespace: &Labels, other: &Labels| match peer {
        Peer::IpBlock { .. } => false,
        Peer::Pods { namespace: of, pod } => {
            let own = namespace.get(METADATA_NAME).is_some_and(|name| name == NAMESPACE);
            of.as_ref().map_or(own, |of| of.matches(namespace)) && pod.as_ref().is_none_or(|pod| pod.matches(other))
        }
    };
    for (pod, port) in pods().flat_map(|pod| PORTS.map(|port| (pod.clone(), port))) {
        let mut some = |peer: &dyn Fn(&Peer) -> bool| {
            let meant = |ruled: &Ruled<'_>| ruled.1.peers.is_empty() || ruled.1.peers.iter().any(peer);
            all.push(rules.iter().any(|ruled| on(ruled, &pod, port) && meant(ruled)));
        };
        for address in ADDRESSES {
            some(&|peer| block(peer, address));
        }
        for (namespace, other) in namespaces().flat_map(|namespace| pods().map(move |pod| (namespace.clone(), pod))) {
            some(&|peer| pods_of(peer, &namespace, &other));
        }
    }
    all
}

fn of_pods() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({"matchLabels": {"app": "x"}}),
        json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "y"]}]}),
        json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}),
        json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
        json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}),
    ])
}

fn of_namespaces() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({"matchLabels": {METADATA_NAME: NAMESPACE}}),
        json!({"matchExpressions": [{"key": METADATA_NAME, "operator": "In", "values": [NAMESPACE, "other"]}]}),
        json!({"matchExpressions": [{"key": METADATA_NAME, "operator": "NotIn", "values": [NAMESPACE]}]}),
        json!({"matchLabels": {"team": "t"}}),
        json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["t"]}]}),
    ])
}

fn peer() -> impl Strategy<Value = Value> {
    let block = select(vec![
        json!({"cidr": "0.0.0.0/0"}),
        json!({"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}),
        json!({"cidr": "10.0.0.0/8"}),
        json!({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}),
        json!({"cidr": "10.1.0.0/16"}),
        json!({"cidr": "0.0.0.0/1"}),
        json!({"cidr": "128.0.0.0/1"}),
        json!({"cidr": "::/0"}),
    ]);
    prop_oneof![
        block.prop_map(|block| json!({"ipBlock": block})),
        of_pods().prop_map(|pods| json!({"podSelector": pods})),
        of_namespaces().prop_map(|of| json!({"namespaceSelector": of})),
        (of_namespaces(), of_pods()).prop_map(|(of, pods)| json!({"namespaceSelector": of, "podSelector": pods})),
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    let port = select(vec![
        json!({"port": 80}),
        json!({"port": 80, "endPort": 81}),
        json!({"port": 81, "endPort": 65535}),
        json!({"protocol": "TCP"}),
        json!({"protocol": "UDP"}),
    ]);
    let of = |peers: Vec<Value>, ports: Vec<Value>| json!({"from": peers, "ports": ports});
    (vec(peer(), 0..3), vec(port, 0..3)).prop_map(move |(peers, ports)| of(peers, ports))
}

fn policies(most: usize) -> impl Strategy<Value = Vec<Arc<NetworkPolicy>>> {
    let spec = (of_pods(), vec(rule(), 0..3))
        .prop_map(|(pods, rules)| json!({"podSelector": pods, "policyTypes": ["Ingress"], "ingress": rules}));
    vec(spec.prop_map(|spec| policy("any", &spec)), 0..most)
}

fn rules(policies: &[Arc<NetworkPolicy>]) -> Vec<Ruled<'_>> {
    let of = |policy: &'_ NetworkPolicy| policy.spec.rules(Direction::Ingress).len();
    let all = policies.iter().flat_map(|policy| (0..of(policy)).map(move |i| (&**policy, i)));
    all.map(|(policy, i)| (policy, &policy.spec.rules(Direction::Ingress)[i])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_lies_in_what_is_told_rightly(these in policies(3), others in policies(5)) {
        let (these, others) = (rules(&these), rules(&others));
        let (mine, theirs) = (allowed(&these), allowed(&others));
        let expected = mine.iter().zip(&theirs).all(|(mine, theirs)| !mine || *theirs);
        let (these, others) = (Traffic::of(these), Traffic::of(others));
        prop_assert_eq!(these.is_within(&others), Some(expected));
        prop_assert!(expected || !these.lies_plainly_in(&others));
        prop_assert_eq!(others.is_everything(), Some(theirs.iter().all(|allowed| *allowed)));
    }

    /// A rule lies in itself, and in itself beside others: what is random alone is mostly not.
    #[test]
    fn a_part_lies_in_the_whole(whole in policies(5), keep in vec(any::<bool>(), 8)) {
        let whole = rules(&whole);
        let part: Vec<_> = whole.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(ruled, _)| *ruled).collect();
        let (part, whole) = (Traffic::of(part), Traffic::of(whole));
        prop_assert_eq!(part.is_within(&whole), Some(true));
        prop_assert!(part.lies_plainly_in(&whole));
    }
}
