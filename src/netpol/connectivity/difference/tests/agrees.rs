//! On random small worlds the rows say of every connection what asking both worlds says.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::*;
use crate::netpol::connectivity::{Outcome, Question, Space};
use crate::netpol::pod::NamedPort;
use crate::netpol::policy::{NetworkPolicy, Peer, PolicyRule, PolicySpec};
use crate::netpol::selector::{Labels, Operator, Requirement, Selector};

const NAMESPACES: [&str; 3] = ["a", "b", "c"];
const PORTS: [u16; 4] = [79, 80, 81, 443];
const ADDRESSES: [&str; 5] = ["10.0.0.1", "10.0.1.1", "10.1.0.1", "192.0.2.1", "2001:db8::1"];
const BLOCKS: [&str; 5] = ["10.0.0.0/8", "10.0.0.0/23", "10.0.1.0/24", "0.0.0.0/0", "2001:db8::/32"];

fn labels() -> impl Strategy<Value = Labels> {
    subsequence(vec![("app", "x"), ("app", "y"), ("tier", "x")], 0..=2)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn selector() -> impl Strategy<Value = Selector> {
    let requirement = (select(&["app", "tier"][..]), select(&Operator::ALL[..]), select(&["x", "y"][..]));
    let requirement = requirement.prop_map(|(key, operator, value)| Requirement::new(key, operator, [value]));
    prop_oneof![Just(Selector::everything()), proptest::collection::vec(requirement, 1..3).prop_map(Selector::new)]
}

fn ports() -> impl Strategy<Value = PortSet> {
    let protocol = || select(&[Protocol::Tcp, Protocol::Udp][..]);
    prop_oneof![
        Just(PortSet::all()),
        protocol().prop_map(PortSet::protocol),
        (protocol(), select(&PORTS[..])).prop_map(|(protocol, port)| PortSet::single(protocol, port)),
        (protocol(), select(&PORTS[..])).prop_map(|(protocol, port)| PortSet::range(protocol, port, 443)),
        (protocol(), select(&["web", "api"][..])).prop_map(|(protocol, name)| PortSet::named(protocol, name)),
    ]
}

fn block() -> impl Strategy<Value = Peer> {
    let nets = |texts: Vec<&str>| texts.into_iter().map(|text| text.parse().expect("a block")).collect::<Vec<IpNet>>();
    (select(&BLOCKS[..]), subsequence(BLOCKS.to_vec(), 0..2)).prop_map(move |(cidr, except)| {
        let cidr: IpNet = cidr.parse().expect("a block");
        let inside = |block: &IpNet| cidr.contains(block) && *block != cidr;
        Peer::IpBlock { cidr, except: nets(except).into_iter().filter(inside).collect() }
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    let pods = (proptest::option::of(selector()), proptest::option::of(selector()));
    prop_oneof![1 => block(), 3 => pods.prop_map(|(namespace, pod)| Peer::Pods { namespace, pod })]
}

fn rules() -> impl Strategy<Value = Vec<PolicyRule>> {
    let rule = (proptest::collection::vec(peer(), 0..3), ports()).prop_map(|(peers, ports)| PolicyRule {
        peers,
        ports,
        ranges: Vec::new(),
    });
    proptest::collection::vec(rule, 0..3)
}

fn policy() -> impl Strategy<Value = NetworkPolicy> {
    let name = (select(&NAMESPACES[..]), select(&["p", "q", "r"][..]));
    (name, selector(), any::<[bool; 2]>(), rules(), rules()).prop_map(
        |((namespace, name), pod_selector, isolates, ingress, egress)| {
            let [isolates_ingress, isolates_egress] = isolates;
            let spec = PolicySpec { pod_selector, isolates_ingress, isolates_egress, ingress, egress };
            NetworkPolicy { namespace: namespace.to_owned(), name: name.to_owned(), spec }
        },
    )
}

fn pod() -> impl Strategy<Value = Pod> {
    let name = (select(&NAMESPACES[..]), select(&["one", "two"][..]), select(&[PodKind::Pod, PodKind::Deployment][..]));
    let ports = subsequence(vec![("web", 80), ("web", 81), ("api", 80)], 0..3);
    let address = proptest::option::weighted(0.3, select(&ADDRESSES[..]));
    (name, labels(), ports, address, proptest::bool::weighted(0.05)).prop_map(
        |((namespace, name, kind), labels, ports, address, host)| Pod {
            namespace: namespace.to_owned(),
            kind,
            name: name.to_owned(),
            labels,
            ports: ports
                .into_iter()
                .map(|(name, number)| NamedPort { protocol: Protocol::Tcp, name: name.to_owned(), number })
                .collect(),
            host_network: host,
            addresses: address.into_iter().map(|text| text.parse().expect("an address")).collect(),
            controller: None,
        },
    )
}

/// Namespaces, pods and policies as they are at first, and what takes the place of some of them.
#[derive(Clone, Debug)]
struct State {
    labels: Vec<Labels>,
    pods: BTreeMap<(String, String, PodKind), Pod>,
    policies: BTreeMap<(String, String), NetworkPolicy>,
    blocks: bool,
}

impl State {
    fn world(&self) -> World<'_> {
        let spaces = NAMESPACES.iter().zip(&self.labels).map(|(name, labels)| Space {
            name,
            labels,
            policies: self.policies.values().filter(|policy| policy.namespace == **name).collect(),
            pods: self.pods.values().filter(|pod| pod.namespace == **name).collect(),
            unread: Vec::new(),
        });
        World::new(spaces, self.blocks)
    }
}

fn by_name(pods: Vec<Pod>) -> BTreeMap<(String, String, PodKind), Pod> {
    pods.into_iter().map(|pod| ((pod.namespace.clone(), pod.name.clone(), pod.kind), pod)).collect()
}

fn by_policy(policies: Vec<NetworkPolicy>) -> BTreeMap<(String, String), NetworkPolicy> {
    policies.into_iter().map(|policy| ((policy.namespace.clone(), policy.name.clone()), policy)).collect()
}

fn states() -> impl Strategy<Value = (State, State)> {
    use proptest::collection::vec;
    let first = (vec(labels(), 3), vec(pod(), 1..6), vec(policy(), 0..5), proptest::bool::weighted(0.8));
    let then =
        (proptest::option::weighted(0.3, (0..3usize, labels())), vec(pod(), 0..2), vec(policy(), 0..3), any::<u8>());
    (first, then).prop_map(|((labels, pods, policies, blocks), (relabelled, changed, new, gone))| {
        let before = State { labels, pods: by_name(pods), policies: by_policy(policies), blocks };
        let mut after = before.clone();
        if let Some((place, labels)) = relabelled {
            after.labels[place] = labels;
        }
        if gone % 4 == 0 {
            after.policies.pop_first();
        }
        if gone % 8 == 0 {
            after.pods.pop_first();
        }
        after.blocks ^= gone == 255;
        after.pods.extend(by_name(changed));
        after.policies.extend(by_policy(new));
        (before, after)
    })
}

/// What a world says of a connection. A pod that is not there has none.
fn allowed(state: &State, question: Question<'_>) -> bool {
    let own = |end: End<'_>| match end {
        End::Pod(pod) => state.pods.get(&(pod.namespace.clone(), pod.name.clone(), pod.kind)).map(End::Pod),
        End::Address(address) => Some(End::Address(address)),
    };
    let (Some(from), Some(to)) = (own(question.from), own(question.to)) else { return false };
    let world = state.world();
    matches!(world.ask(Question { from, to, ..question }).outcome, Outcome::Allowed | Outcome::Itself)
}

fn expected(states: [&State; 2], question: Question<'_>) -> Option<Change> {
    // Those in the network of their node are in no row.
    let host = |end: End<'_>| {
        matches!(end, End::Pod(pod) if states.iter().any(|state| {
            state.pods.get(&(pod.namespace.clone(), pod.name.clone(), pod.kind)).is_some_and(|pod| pod.host_network)
        }))
    };
    let itself = matches!((question.from, question.to), (End::Pod(from), End::Pod(to)) if from == to && from.kind == PodKind::Pod);
    if host(question.from) || host(question.to) || itself {
        return None;
    }
    match states.map(|state| allowed(state, question)) {
        [false, true] => Some(Change::Appears),
        [true, false] => Some(Change::Vanishes),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn rows_agree_with_both_worlds((before, after) in states()) {
        let found = difference(&before.world(), &after.world(), Limit::COMMAND).expect("small");
        let addresses = ADDRESSES.map(|text| End::Address(text.parse::<IpAddr>().expect("an address")));
        let pods: BTreeMap<_, _> = before.pods.iter().chain(&after.pods).collect();
        let ends: Vec<End<'_>> = pods.values().map(|pod| End::Pod(pod)).chain(addresses).collect();
        for from in &ends {
            for to in &ends {
                if matches!((from, to), (End::Address(_), End::Address(_))) {
                    continue;
                }
                for (protocol, port) in Protocol::ALL.into_iter().flat_map(|protocol| PORTS.map(|port| (protocol, port))) {
                    let question = Question { from: *from, to: *to, protocol, port };
                    let told = found.changes(*from, *to, protocol, port);
                    prop_assert_eq!(told, expected([&before, &after], question), "{} -> {} {}/{}", from, to, protocol, port);
                }
            }
        }
    }

    #[test]
    fn what_appears_vanishes_the_other_way_and_nothing_changes_to_itself((before, after) in states()) {
        let (one, two) = (before.world(), after.world());
        let forth = difference(&one, &two, Limit::COMMAND).expect("small");
        let back = difference(&two, &one, Limit::COMMAND).expect("small");
        let rows = |found: &Difference, change| found.rows.iter().filter(|row| row.change == change).count();
        prop_assert_eq!(rows(&forth, Change::Appears) > 0, rows(&back, Change::Vanishes) > 0);
        prop_assert_eq!(difference(&one, &one, Limit::COMMAND).expect("small").rows, Vec::new());
    }
}
