use proptest::prelude::*;
use rstest::rstest;

use super::Protocol::{Sctp, Tcp, Udp};
use super::*;

fn union(sets: &[PortSet]) -> PortSet {
    PortSet::union_of(sets.iter().cloned())
}

#[test]
fn protocols_are_spelt_as_in_the_api() {
    for protocol in Protocol::ALL {
        assert_eq!(protocol.as_str().parse(), Ok(protocol));
        assert_eq!(protocol.to_string(), protocol.as_str());
    }
    for text in ["tcp", "Tcp", "", "ICMP", " TCP"] {
        assert_eq!(text.parse::<Protocol>(), Err(UnknownProtocol));
    }
}

#[rstest]
#[case(PortSet::empty(), "no ports")]
#[case(PortSet::all(), "all ports")]
#[case(PortSet::protocol(Sctp), "SCTP/*")]
#[case(PortSet::single(Tcp, 65535), "TCP/65535")]
#[case(PortSet::range(Tcp, 0, 3), "TCP/1-3")]
#[case(PortSet::range(Tcp, 9, 3), "no ports")]
#[case(PortSet::single(Tcp, 0), "no ports")]
#[case(PortSet::range(Udp, 2, u16::MAX), "UDP/2-65535")]
#[case(PortSet::range(Udp, 0, u16::MAX), "UDP/*")]
fn is_printed(#[case] set: PortSet, #[case] text: &str) {
    assert_eq!(set.to_string(), text);
}

#[test]
fn numbers_are_printed_before_names_and_protocols_in_order() {
    let set = union(&[
        PortSet::named(Tcp, "http"),
        PortSet::single(Udp, 53),
        PortSet::range(Tcp, 30000, 32767),
        PortSet::single(Tcp, 443),
        PortSet::single(Tcp, 444),
        PortSet::named(Udp, "dns"),
        PortSet::named(Tcp, "admin"),
    ]);
    assert_eq!(set.to_string(), "TCP/443-444, TCP/30000-32767, UDP/53, TCP/admin, TCP/http, UDP/dns");
    assert_eq!(PortSet::named(Tcp, "http").to_string(), "TCP/http");
}

#[test]
fn a_whole_protocol_absorbs_its_names_only() {
    let names = PortSet::named(Tcp, "http").union(&PortSet::named(Udp, "http"));
    let set = names.union(&PortSet::protocol(Tcp));
    assert_eq!(set.to_string(), "TCP/*, UDP/http");
    assert_eq!(set.names().collect::<Vec<_>>(), [(Udp, "http")]);
    assert!(!PortSet::all().is_subset(&set));
    assert_eq!(union(&[set, PortSet::protocol(Udp), PortSet::protocol(Sctp)]), PortSet::all());
    // Also where the protocol is put together from parts.
    let low = PortSet::named(Tcp, "http").union(&PortSet::range(Tcp, 1, 1000));
    assert_eq!(low.union(&PortSet::range(Tcp, 1001, 65535)), PortSet::protocol(Tcp));
}

#[test]
fn a_name_is_itself_and_in_its_protocol() {
    let (http, eighty) = (PortSet::named(Tcp, "http"), PortSet::single(Tcp, 80));
    assert!(http.is_subset(&http) && http.is_subset(&PortSet::protocol(Tcp)) && http.is_subset(&PortSet::all()));
    assert!(!http.is_subset(&PortSet::protocol(Udp)) && !http.is_subset(&PortSet::named(Udp, "http")));
    assert!(!http.is_subset(&PortSet::range(Tcp, 2, 65535)));
    assert!(!eighty.is_subset(&http) && !http.is_subset(&eighty));
    assert_eq!(http.difference(&eighty), http);
    assert_eq!(eighty.difference(&http), eighty);
    assert_eq!(http.difference(&http), PortSet::empty());
    assert_eq!(http.difference(&PortSet::protocol(Tcp)), PortSet::empty());
    assert_eq!(PortSet::protocol(Tcp).difference(&http), PortSet::protocol(Tcp));
    assert_eq!(http.intersection(&PortSet::all()), http);
    assert_eq!(PortSet::all().intersection(&http), http);
    assert_eq!(http.intersection(&eighty), PortSet::empty());
    assert!(!http.is_empty() && !http.is_all() && http.count(Tcp) == 0);
}

#[test]
fn counts_and_ends() {
    assert_eq!(PortSet::all().count(Udp), 65535);
    assert_eq!(PortSet::range(Tcp, 65000, 65535).count(Tcp), 536);
    assert_eq!(PortSet::range(Tcp, 65000, 65535).count(Udp), 0);
    assert!(!PortSet::all().contains(Tcp, 0));
    for port in [1, 65535] {
        assert!(PortSet::all().contains(Tcp, port));
        let rest = PortSet::all().difference(&PortSet::single(Tcp, port));
        assert!(!rest.contains(Tcp, port) && rest.contains(Udp, port) && !rest.is_all());
        assert_eq!(rest.count(Tcp), 65534);
        assert_eq!(rest.union(&PortSet::single(Tcp, port)), PortSet::all());
    }
}

#[test]
fn resolving_asks_with_the_protocol() {
    let set = union(&[
        PortSet::named(Tcp, "dns"),
        PortSet::named(Udp, "dns"),
        PortSet::named(Tcp, "gone"),
        PortSet::named(Tcp, "zero"),
        PortSet::single(Tcp, 443),
    ]);
    let resolved = set.resolve(|protocol, name| match (protocol, name) {
        (Tcp, "dns") => Some(5353),
        (Udp, "dns") => Some(53),
        (Tcp, "zero") => Some(0),
        _ => None,
    });
    assert_eq!(resolved.to_string(), "TCP/443, TCP/5353, UDP/53");
    assert_eq!(PortSet::all().resolve(|_, _| None), PortSet::all());
}

/// The ports that sets are built of and tested at: both ends, and a stretch in between.
const PROBES: [u16; 12] = [1, 2, 3, 78, 79, 80, 81, 82, 443, 65533, 65534, 65535];
const NAMES: [&str; 2] = ["http", "dns"];

fn probe() -> impl Strategy<Value = u16> {
    prop::sample::select(&PROBES[..])
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(&Protocol::ALL[..])
}

fn numbers() -> impl Strategy<Value = PortSet> {
    let part = prop_oneof![
        4 => (protocol(), probe()).prop_map(|(protocol, port)| PortSet::single(protocol, port)),
        4 => (protocol(), probe(), probe()).prop_map(|(protocol, a, b)| PortSet::range(protocol, a, b)),
        1 => protocol().prop_map(PortSet::protocol),
    ];
    prop::collection::vec(part, 0..6).prop_map(PortSet::union_of)
}

fn ports() -> impl Strategy<Value = PortSet> {
    let name = (protocol(), prop::sample::select(&NAMES[..]));
    let names = prop::collection::vec(name.prop_map(|(protocol, name)| PortSet::named(protocol, name)), 0..4);
    (numbers(), names).prop_map(|(numbers, names)| names.iter().fold(numbers, |set, name| set.union(name)))
}

/// What names mean on some pod: one number for each protocol and name, or none.
type Pod = Vec<Option<u16>>;

fn pod() -> impl Strategy<Value = Pod> {
    prop::collection::vec(prop::option::weighted(0.8, probe()), 6)
}

fn resolved(set: &PortSet, pod: &Pod) -> PortSet {
    set.resolve(|protocol, name| pod[protocol as usize * 2 + usize::from(name == "dns")])
}

/// Probe by probe what the numbers of the set are.
fn model(set: &PortSet) -> Vec<bool> {
    let probes = |protocol| PROBES.iter().map(move |port| set.contains(protocol, *port));
    Protocol::ALL.into_iter().flat_map(probes).collect()
}

fn each(a: &PortSet, b: &PortSet, op: impl Fn(bool, bool) -> bool) -> Vec<bool> {
    model(a).into_iter().zip(model(b)).map(|(a, b)| op(a, b)).collect()
}

fn unnamed(set: &PortSet) -> PortSet {
    set.resolve(|_, _| None)
}

proptest! {
    #[test]
    fn numbers_agree_with_a_table(a in ports(), b in ports()) {
        prop_assert_eq!(model(&a.union(&b)), each(&a, &b, |a, b| a || b));
        prop_assert_eq!(model(&a.intersection(&b)), each(&a, &b, |a, b| a && b));
        prop_assert_eq!(model(&a.difference(&b)), each(&a, &b, |a, b| a && !b));
    }

    /// The stretches between probes are all or nothing, except at the ends of ranges, which are probes: so the table
    /// says all there is about numbers.
    #[test]
    fn comparisons_agree_with_a_table(a in numbers(), b in numbers()) {
        // A gap between two neighbouring probes is in the set only together with both.
        let gap =
            |set: &PortSet| Protocol::ALL.map(|protocol| [40, 300, 30000].map(|port| set.contains(protocol, port)));
        let below = each(&a, &b, |a, b| !a || b).into_iter().all(|holds| holds);
        let gaps_below = gap(&a).iter().flatten().zip(gap(&b).iter().flatten()).all(|(a, b)| !a || *b);
        prop_assert_eq!(a.is_subset(&b), below && gaps_below);
        let meet = each(&a, &b, |a, b| a && b).into_iter().any(|both| both);
        prop_assert_eq!(a.intersects(&b), meet);
    }

    #[test]
    fn union_and_intersection_keep_their_laws(a in ports(), b in ports(), c in ports()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(PortSet::union_of([a.clone(), b.clone(), c.clone()]), a.union(&b).union(&c));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.intersection(&b).intersection(&c), a.intersection(&b.intersection(&c)));
        prop_assert_eq!(a.union(&a), a.clone());
        prop_assert_eq!(a.intersection(&a), a.clone());
        prop_assert_eq!(a.union(&a.intersection(&b)), a.clone());
        prop_assert_eq!(a.intersection(&a.union(&b)), a.clone());
        prop_assert!(a.is_subset(&a.union(&b)) && a.intersection(&b).is_subset(&a));
        prop_assert_eq!(a.intersects(&b), !a.intersection(&b).is_empty());
    }

    #[test]
    fn difference_keeps_its_laws(a in ports(), b in ports()) {
        prop_assert_eq!(a.is_subset(&b), a.difference(&b).is_empty());
        prop_assert!(a.difference(&b).is_subset(&a));
        prop_assert!(a.is_subset(&a.difference(&b).union(&b)));
        prop_assert!(a.is_subset(&a.difference(&b).union(&a.intersection(&b))));
        prop_assert!(unnamed(&a.difference(&b).intersection(&b)).is_empty());
    }

    #[test]
    fn numbers_keep_all_laws(a in numbers(), b in numbers(), c in numbers()) {
        let all = PortSet::all();
        prop_assert_eq!(a.intersection(&b.union(&c)), a.intersection(&b).union(&a.intersection(&c)));
        prop_assert_eq!(a.union(&b.intersection(&c)), a.union(&b).intersection(&a.union(&c)));
        prop_assert_eq!(all.difference(&a.union(&b)), all.difference(&a).intersection(&all.difference(&b)));
        prop_assert_eq!(all.difference(&a.intersection(&b)), all.difference(&a).union(&all.difference(&b)));
        prop_assert_eq!(a.difference(&b.union(&c)), a.difference(&b).difference(&c));
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
    }

    /// The promise of the module: each operation errs to its side, whatever a pod makes of the names.
    #[test]
    fn names_err_to_the_promised_side(a in ports(), b in ports(), pod in pod()) {
        let r = |set: &PortSet| resolved(set, &pod);
        prop_assert_eq!(r(&a.union(&b)), r(&a).union(&r(&b)));
        prop_assert!(r(&a.intersection(&b)).is_subset(&r(&a).intersection(&r(&b))));
        prop_assert!(r(&a).difference(&r(&b)).is_subset(&r(&a.difference(&b))));
        prop_assert!(!a.is_subset(&b) || r(&a).is_subset(&r(&b)));
        prop_assert!(r(&a).names().next().is_none());
    }

    #[test]
    fn is_canonical(a in ports()) {
        for (protocol, _) in a.names() {
            prop_assert!(a.count(protocol) < 65535);
        }
        for protocol in Protocol::ALL {
            let ranges: Vec<_> = a.ranges(protocol).collect();
            let count: usize = ranges.iter().map(|range| range.clone().count()).sum();
            prop_assert_eq!(usize::try_from(a.count(protocol)).unwrap(), count);
            prop_assert!(ranges.windows(2).all(|pair| u32::from(*pair[0].end()) + 1 < u32::from(*pair[1].start())));
            prop_assert!(!a.contains(protocol, 0));
        }
        prop_assert_eq!(a.is_all(), Protocol::ALL.into_iter().all(|protocol| a.count(protocol) == 65535));
    }
}
