use proptest::prelude::*;
use serde_json::json;

use super::super::tests::worlds::{Cluster, cluster};
use super::super::{Question, Space};
use super::*;
use crate::netpol::port_set::Protocol;
use crate::netpol::selector::Labels;

/// The ports that can be told apart in a random cluster, and one beyond.
fn ports() -> impl Iterator<Item = (Protocol, u16)> {
    Protocol::ALL.into_iter().flat_map(|protocol| (1..5).map(move |port| (protocol, port)))
}

fn agrees_with_each_port(cluster: &Cluster) -> Result<(), TestCaseError> {
    let world = cluster.world(&[]);
    for from in cluster.ends() {
        for to in cluster.ends() {
            let Passage { ports: passing, answer } = world.ports_between(from, to, &PortSet::all());
            for (protocol, port) in ports() {
                let asked = world.ask(Question { from, to, protocol, port }).outcome;
                let passes = matches!(asked, Outcome::Allowed | Outcome::Itself);
                prop_assert_eq!(passing.contains(protocol, port), passes, "{} to {} {} {}", from, to, protocol, port);
                prop_assert!(answer.outcome != Outcome::Denied || asked == Outcome::Denied);
            }
            let udp = PortSet::protocol(Protocol::Udp);
            prop_assert_eq!(world.ports_between(from, to, &udp).ports, passing.intersection(&udp));
            let some = ports().any(|(protocol, port)| passing.contains(protocol, port));
            prop_assert!(some || !matches!(answer.outcome, Outcome::Allowed | Outcome::Itself));
        }
    }
    Ok(())
}

fn finds_every_end(cluster: &Cluster) -> Result<(), TestCaseError> {
    let world = cluster.world(&[]);
    for end in cluster.ends() {
        for direction in Direction::ALL {
            let reach = world.reach(end, direction);
            for other in cluster.ends() {
                let (from, to) = if direction == Direction::Egress { (end, other) } else { (other, end) };
                let Passage { ports, answer } = world.ports_between(from, to, &PortSet::all());
                let told = match (end, other) {
                    (_, End::Pod(pod)) => {
                        let in_group = |group: &&Pods<'_>| group.pods.iter().any(|other| other.is_same_object(pod));
                        reach.pods.iter().find(in_group).map(|group| group.ports.clone())
                    }
                    (End::Pod(_), End::Address(address)) => {
                        reach.addresses.iter().find(|(set, _)| set.contains(address)).map(|(_, ports)| ports.clone())
                    }
                    (End::Address(_), End::Address(_)) => continue,
                };
                let expected = match answer.outcome {
                    Outcome::Allowed => Some(ports),
                    // Between an end in doubt and an address what is sure is told.
                    Outcome::Unread { .. } if matches!(other, End::Address(_)) && !ports.is_empty() => Some(ports),
                    _ => None,
                };
                prop_assert_eq!(told, expected, "{} {} {}", end, direction, other);
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_ports_that_pass_are_those_of_which_each_is_allowed(cluster in cluster()) {
        agrees_with_each_port(&cluster)?;
    }

    #[test]
    fn what_is_reached_is_every_end_to_which_a_port_passes(cluster in cluster()) {
        finds_every_end(&cluster)?;
    }

    #[test]
    fn sets_of_addresses_are_disjoint_and_share_no_ports(cluster in cluster()) {
        let world = cluster.world(&[]);
        for pod in &cluster.pods {
            let addresses = world.reach(End::Pod(pod), Direction::Egress).addresses;
            for (index, (set, ports)) in addresses.iter().enumerate() {
                let others = &addresses[index + 1..];
                prop_assert!(others.iter().all(|(other, theirs)| !other.intersects(set) && theirs != ports));
            }
        }
    }
}

#[test]
fn a_rule_that_has_the_peer_or_the_port_is_a_near_miss() {
    let pod = |namespace: &str, name: &str| Pod {
        namespace: namespace.to_owned(),
        kind: PodKind::Pod,
        name: name.to_owned(),
        labels: Labels::from([("app".to_owned(), name.to_owned())]),
        ports: Vec::new(),
        host_network: false,
        addresses: Vec::new(),
        controller: None,
    };
    let spec = json!({"podSelector": {}, "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 80}]},
        {"from": [{"podSelector": {"matchLabels": {"app": "api"}}}], "ports": [{"port": 5432}]},
        {"from": [{"podSelector": {"matchLabels": {"app": "api"}}}], "ports": [{"port": 80}]},
    ]});
    let policy = NetworkPolicy::parse("a", "p", &spec).expect("a valid spec");
    let (web, db, labels) = (pod("a", "web"), pod("a", "db"), Labels::new());
    let space =
        Space { name: "a", labels: &labels, policies: vec![&policy], pods: vec![&web, &db], unread: Vec::new() };
    let world = World::new([space], true);
    let (from, to) = (End::Pod(&web), End::Pod(&db));
    let answer = world.ask(Question { from, to, protocol: Protocol::Tcp, port: 5432 });
    let holds = |ports: &PortSet| ports.contains(Protocol::Tcp, 5432);
    let misses = world.misses(&answer.ingress, Direction::Ingress, from, holds);
    let told: Vec<(usize, Lack)> = misses.map(|miss| (miss.rule.index, miss.lacks)).collect();
    assert_eq!(told, [(0, Lack::Port), (1, Lack::Peer)]);
}

#[test]
fn too_many_sets_of_ports_are_counted_and_not_told_apart() {
    let rules: Vec<serde_json::Value> = (0..MAX_PORT_SETS + 5)
        .map(|number| {
            let cidr = format!("10.{}.{}.0/24", number / 256, number % 256);
            serde_json::json!({"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"port": number + 1}]})
        })
        .collect();
    let spec = serde_json::json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules});
    let policy = NetworkPolicy::parse("a", "wide", &spec).expect("a valid spec");
    let pod = Pod {
        namespace: "a".to_owned(),
        kind: PodKind::Pod,
        name: "web".to_owned(),
        labels: Labels::new(),
        ports: Vec::new(),
        host_network: false,
        addresses: Vec::new(),
        controller: None,
    };
    let labels = Labels::new();
    let space = Space { name: "a", labels: &labels, policies: vec![&policy], pods: vec![&pod], unread: Vec::new() };
    let reach = World::new([space], true).reach(End::Pod(&pod), Direction::Egress);
    assert_eq!((reach.addresses.len(), reach.untold), (MAX_PORT_SETS, 5));
}
