//! Random small clusters.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::super::{End, Space, World};
use crate::netpol::METADATA_NAME;
use crate::netpol::pod::{NamedPort, Pod, PodKind};
use crate::netpol::policy::NetworkPolicy;
use crate::netpol::port_set::Protocol;
use crate::netpol::selector::Labels;

/// What a random world is made of.
#[derive(Clone, Debug)]
pub(in super::super) struct Cluster {
    pub(in super::super) pods: Vec<Pod>,
    pub(in super::super) policies: Vec<NetworkPolicy>,
    unread: Vec<&'static str>,
    labels: Vec<(&'static str, Labels)>,
}

impl Cluster {
    /// The world, with some more policies.
    pub(in super::super) fn world<'a>(&'a self, more: &'a [NetworkPolicy]) -> World<'a> {
        let spaces = self.labels.iter().map(|(name, labels)| Space {
            name,
            labels,
            policies: self.policies.iter().chain(more).filter(|policy| policy.namespace == *name).collect(),
            pods: self.pods.iter().filter(|pod| pod.namespace == *name).collect(),
            unread: self.unread.iter().filter(|of| *of == name).map(|_| ("odd", "unreadable")).collect(),
        });
        World::new(spaces, true)
    }

    /// All pods, and some addresses.
    pub(in super::super) fn ends(&self) -> Vec<End<'_>> {
        let addresses = ["10.0.0.9", "192.0.2.1", "2001:db8::1"];
        let addresses = addresses.map(|text| End::Address(text.parse().expect("an address")));
        self.pods.iter().map(End::Pod).chain(addresses).collect()
    }
}

pub(in super::super) fn cluster() -> impl Strategy<Value = Cluster> {
    let policies = vec((select(&["a", "b"][..]), spec()), 0..6).prop_map(|specs| {
        let policy = |(index, (namespace, spec)): (usize, (&str, Value))| {
            NetworkPolicy::parse(namespace, &format!("p{index}"), &spec).expect("a valid spec")
        };
        specs.into_iter().enumerate().map(policy).collect()
    });
    let unread = prop_oneof![4 => Just(Vec::new()), 1 => Just(vec!["b"])];
    (vec(pod(), 1..6), policies, unread).prop_map(|(mut pods, policies, unread)| {
        for (index, pod) in pods.iter_mut().enumerate() {
            pod.name = format!("n{index}");
        }
        let labels = |name: &str| Labels::from([(METADATA_NAME.to_owned(), name.to_owned())]);
        Cluster { pods, policies, unread, labels: ["a", "b"].map(|name| (name, labels(name))).into() }
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    let all = [("app", "x"), ("on", "yes"), ("pod-template-hash", "5d4f")];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    subsequence(all.to_vec(), 0..=3).prop_map(move |some| some.into_iter().map(owned).collect())
}

fn pod() -> impl Strategy<Value = Pod> {
    let kind = prop_oneof![Just(PodKind::Pod), Just(PodKind::Deployment)];
    let port = (select(&["http", "dns"][..]), 1u16..4, select(&Protocol::ALL[..2]));
    let ports =
        vec(port.prop_map(|(name, number, protocol)| NamedPort { protocol, name: name.to_owned(), number }), 0..3);
    let addresses = prop_oneof![Just(Vec::new()), Just(vec!["10.0.0.1".parse().expect("an address")])];
    let host = prop_oneof![9 => Just(false), 1 => Just(true)];
    (select(&["a", "b"][..]), kind, labels(), ports, addresses, host).prop_map(
        |(namespace, kind, labels, ports, addresses, host_network)| Pod {
            namespace: namespace.to_owned(),
            kind,
            name: String::new(),
            labels,
            ports,
            host_network,
            addresses,
            controller: None,
        },
    )
}

fn selector() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({"matchLabels": {"app": "x"}}),
        json!({"matchLabels": {"pod-template-hash": "5d4f"}}),
        json!({"matchExpressions": [{"key": "on", "operator": "DoesNotExist"}]}),
        json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x", "y"]}]}),
    ])
}

fn peer() -> impl Strategy<Value = Value> {
    let namespaces = select(vec![json!({}), json!({"matchLabels": {METADATA_NAME: "a"}})]);
    let block = select(vec![
        json!({"cidr": "10.0.0.0/8", "except": ["10.0.0.8/29"]}),
        json!({"cidr": "0.0.0.0/0"}),
        json!({"cidr": "2001:db8::/64"}),
    ]);
    prop_oneof![
        selector().prop_map(|pods| json!({"podSelector": pods})),
        (namespaces.clone(), selector()).prop_map(|(of, pods)| json!({"namespaceSelector": of, "podSelector": pods})),
        namespaces.prop_map(|of| json!({"namespaceSelector": of})),
        block.prop_map(|block| json!({"ipBlock": block})),
    ]
}

fn rule(peers: &'static str) -> impl Strategy<Value = Value> {
    let port = select(vec![
        json!({"port": 1}),
        json!({"port": 2, "endPort": 3, "protocol": "UDP"}),
        json!({"port": "http"}),
        json!({"port": "dns", "protocol": "UDP"}),
        json!({"protocol": "TCP"}),
    ]);
    (vec(peer(), 0..3), vec(port, 0..3)).prop_map(move |(list, ports)| json!({peers: list, "ports": ports}))
}

fn spec() -> impl Strategy<Value = Value> {
    let types = select(vec![json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"])]);
    (selector(), types, vec(rule("from"), 0..3), vec(rule("to"), 0..3)).prop_map(|(pods, types, ingress, egress)| {
        json!({"podSelector": pods, "policyTypes": types, "ingress": ingress, "egress": egress})
    })
}
