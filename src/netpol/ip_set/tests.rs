use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn net(text: &str) -> IpNet {
    parse_cidr(text).unwrap()
}

fn set(texts: &[&str]) -> IpSet {
    texts.iter().map(|text| net(text)).collect()
}

fn texts(set: &IpSet) -> Vec<String> {
    set.cidrs().iter().map(ToString::to_string).collect()
}

#[rstest]
#[case("10.0.0.0/8", "10.0.0.0/8")]
#[case("10.1.2.3/8", "10.0.0.0/8")]
#[case("10.1.2.3/32", "10.1.2.3/32")]
#[case("1.2.3.4/0", "0.0.0.0/0")]
#[case("010.001.0.0/016", "10.1.0.0/16")]
#[case("0000000010.0.0.0/8", "10.0.0.0/8")]
#[case("192.168.08.0/24", "192.168.8.0/24")]
#[case("10.0.0.0/00", "0.0.0.0/0")]
#[case("::/0", "::/0")]
#[case("FD00:0Ec2::254/128", "fd00:ec2::254/128")]
#[case("00fd00::/8", "fd00::/8")]
#[case("2001:db8::1/32", "2001:db8::/32")]
#[case("::1/128", "::1/128")]
#[case("::ffff:10.0.0.0/104", "10.0.0.0/8")]
#[case("::ffff:10.1.2.3/104", "10.0.0.0/8")]
#[case("::ffff:010.1.2.3/128", "10.1.2.3/32")]
#[case("::ffff:a00:0/104", "10.0.0.0/8")]
#[case("::ffff:0:0/96", "0.0.0.0/0")]
#[case("::ffff:1.2.3.4/95", "::fffe:0:0/95")]
#[case("::ffff:1.1.1.0/24", "::/24")]
#[case("::10.0.0.0/104", "::a00:0/104")]
fn reads_what_old_servers_stored(#[case] text: &str, #[case] read: &str) {
    assert_eq!(parse_cidr(text).map(|net| net.to_string()).as_deref(), Ok(read));
}

#[rstest]
#[case("10.0.0.0", CidrError::MissingPrefix)]
#[case("", CidrError::Address)]
#[case("office", CidrError::Address)]
#[case("/8", CidrError::Address)]
#[case("10.0.0/8", CidrError::Address)]
#[case("10.0.0.256/8", CidrError::Address)]
#[case("10.0.0.0.0/8", CidrError::Address)]
#[case("0x10.0.0.0/8", CidrError::Address)]
#[case("10.0.0.a/8", CidrError::Address)]
#[case(" 10.0.0.0/8", CidrError::Address)]
#[case("10..0.0/8", CidrError::Address)]
#[case("fe80::1%eth0/64", CidrError::Address)]
#[case("12345::/16", CidrError::Address)]
#[case("1::2::3/16", CidrError::Address)]
#[case("10.0.0.0/33", CidrError::Prefix { max: 32 })]
#[case("10.0.0.0/", CidrError::Prefix { max: 32 })]
#[case("10.0.0.0/+8", CidrError::Prefix { max: 32 })]
#[case("10.0.0.0/-1", CidrError::Prefix { max: 32 })]
#[case("10.0.0.0/8/8", CidrError::Prefix { max: 32 })]
#[case("10.0.0.0/8 ", CidrError::Prefix { max: 32 })]
#[case("10.0.0.0/255.0.0.0", CidrError::Prefix { max: 32 })]
#[case("10.0.0.0/4294967304", CidrError::Prefix { max: 32 })]
#[case("10.0.0.0/٨", CidrError::Prefix { max: 32 })]
#[case("::/129", CidrError::Prefix { max: 128 })]
#[case("::ffff:10.0.0.0/129", CidrError::Prefix { max: 128 })]
fn refuses_what_no_server_accepts(#[case] text: &str, #[case] error: CidrError) {
    assert_eq!(parse_cidr(text), Err(error));
    assert!(!cidr_is_canonical(text));
}

#[rstest]
#[case("10.0.0.0/8", true)]
#[case("0.0.0.0/0", true)]
#[case("255.255.255.255/32", true)]
#[case("10.1.2.3/8", false)]
#[case("010.0.0.0/8", false)]
#[case("10.0.0.0/08", false)]
#[case("10.0.0.0/00", false)]
#[case("::/0", true)]
#[case("2001:DB8:0:0::/32", true)]
#[case("2001:0db8::/32", true)]
#[case("02001:db8::/32", false)]
#[case("2001:db8::1/32", false)]
#[case("::ffff:10.0.0.0/104", false)]
#[case("::ffff:0:0/96", false)]
#[case("::10.0.0.0/104", true)]
#[case("::fffe:0:0/95", true)]
fn knows_what_a_strict_server_accepts(#[case] text: &str, #[case] canonical: bool) {
    assert!(parse_cidr(text).is_ok());
    assert_eq!(cidr_is_canonical(text), canonical);
}

#[test]
fn an_except_leaves_the_rest_of_its_cidr() {
    let rest = set(&["10.0.0.0/8"]).difference(&set(&["10.0.0.0/10", "10.128.0.0/9"]));
    assert_eq!(texts(&rest), ["10.64.0.0/10"]);
    assert_eq!(rest.to_string(), "10.64.0.0/10");
}

#[test]
fn two_halves_are_the_whole() {
    assert_eq!(set(&["0.0.0.0/1", "128.0.0.0/1"]), IpSet::v4_all());
    assert_eq!(set(&["::/1", "8000::/1"]), IpSet::v6_all());
    assert_eq!(set(&["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]), IpSet::all());
}

#[test]
fn the_whole_families_do_not_overflow() {
    assert_eq!(texts(&IpSet::all()), ["0.0.0.0/0", "::/0"]);
    assert_eq!(IpSet::all().to_string(), "0.0.0.0/0, ::/0");
    assert_eq!(IpSet::v4_all().union(&IpSet::v6_all()), IpSet::all());
    assert!(IpSet::all().is_all());
    assert!(!IpSet::v4_all().is_all() && !IpSet::v6_all().is_all());
    let last4 = set(&["255.255.255.255/32"]);
    let last6 = set(&["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]);
    assert_eq!(IpSet::v4_all().difference(&last4).cidrs().len(), 32);
    assert_eq!(IpSet::v6_all().difference(&last6).cidrs().len(), 128);
    assert_eq!(texts(&last4.union(&last6)), ["255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]);
    assert!(!IpSet::all().difference(&last4).is_all());
    assert!(IpSet::all().difference(&IpSet::all()).is_empty());
}

#[test]
fn v6_blocks_reach_no_v4_address() {
    assert!(!IpSet::v6_all().intersects(&IpSet::v4_all()));
    assert!(!IpSet::v6_all().contains("::ffff:10.0.0.1".parse().unwrap()));
    assert!(IpSet::v6_all().contains("::1".parse().unwrap()));
    assert!(set(&["10.0.0.0/8"]).contains("::ffff:10.0.0.1".parse().unwrap()));
    // Also where the block was not read by `parse_cidr`.
    let mapped = "::ffff:10.0.0.0/104".parse().unwrap();
    assert_eq!(IpSet::from_cidr(mapped), set(&["10.0.0.0/8"]));
}

#[test]
fn nothing_has_a_name() {
    assert_eq!(IpSet::empty().to_string(), "no addresses");
    assert!(IpSet::empty().is_empty() && IpSet::empty().cidrs().is_empty());
    assert!(IpSet::empty().is_subset(&IpSet::empty()) && !IpSet::empty().intersects(&IpSet::all()));
}

/// Four windows of 64 addresses: the two ends of each family. A set of their addresses is four bitsets.
type Model = [u64; 4];

fn address(window: usize, offset: u32) -> IpAddr {
    match window {
        0 => Ipv4Addr::from_bits(offset).into(),
        1 => Ipv4Addr::from_bits(u32::MAX - 63 + offset).into(),
        2 => Ipv6Addr::from_bits(offset.into()).into(),
        _ => Ipv6Addr::from_bits(u128::MAX - 63 + u128::from(offset)).into(),
    }
}

fn block(window: usize, offset: u32, host_bits: u8) -> IpNet {
    match address(window, offset) {
        IpAddr::V4(v4) => Ipv4Net::new(v4, 32 - host_bits).unwrap().into(),
        IpAddr::V6(v6) => Ipv6Net::new(v6, 128 - host_bits).unwrap().into(),
    }
}

/// Built from blocks on the one side and bit by bit on the other.
fn modelled() -> impl Strategy<Value = (IpSet, Model)> {
    let parts = (0..4usize, 0..64u32, 0..=6u8);
    prop::collection::vec(parts, 0..14).prop_map(|blocks| {
        let mut model = [0; 4];
        for (window, offset, host_bits) in &blocks {
            let first = offset >> host_bits << host_bits;
            for bit in first..first + (1 << host_bits) {
                model[*window] |= 1 << bit;
            }
        }
        let set = blocks.iter().map(|(window, offset, host_bits)| block(*window, *offset, *host_bits));
        (set.collect(), model)
    })
}

fn model_of(set: &IpSet) -> Model {
    let mut model = [0; 4];
    for (window, bits) in model.iter_mut().enumerate() {
        for offset in 0..64 {
            *bits |= u64::from(set.contains(address(window, offset))) << offset;
        }
    }
    model
}

/// The shortest list of aligned blocks for a bitset: a block stands in it when it is full and its parent is not.
fn fewest_blocks(bits: u64) -> usize {
    let full = |offset: u32, host_bits: u32| {
        let mask = u64::MAX >> (64 - (1u32 << host_bits)) << offset;
        bits & mask == mask
    };
    let mut count = 0;
    for host_bits in 0..=6 {
        for offset in (0..64u32).step_by(1 << host_bits) {
            let parent = host_bits < 6 && full(offset >> (host_bits + 1) << (host_bits + 1), host_bits + 1);
            count += usize::from(full(offset, host_bits) && !parent);
        }
    }
    count
}

fn each(a: Model, b: Model, op: impl Fn(u64, u64) -> u64) -> Model {
    std::array::from_fn(|window| op(a[window], b[window]))
}

proptest! {
    #[test]
    fn agrees_with_bitsets((a, ma) in modelled(), (b, mb) in modelled()) {
        prop_assert_eq!(model_of(&a), ma);
        prop_assert_eq!(model_of(&a.union(&b)), each(ma, mb, |a, b| a | b));
        prop_assert_eq!(model_of(&a.intersection(&b)), each(ma, mb, |a, b| a & b));
        prop_assert_eq!(model_of(&a.difference(&b)), each(ma, mb, |a, b| a & !b));
        let outside = each(ma, mb, |a, b| a & !b);
        prop_assert_eq!(a.is_subset(&b), outside == [0; 4]);
        prop_assert_eq!(a.intersects(&b), each(ma, mb, |a, b| a & b) != [0; 4]);
        prop_assert_eq!(a.is_empty(), ma == [0; 4]);
        prop_assert_eq!(a == b, ma == mb);
    }

    #[test]
    fn keeps_the_laws_of_sets((a, _) in modelled(), (b, _) in modelled(), (c, _) in modelled()) {
        let all = IpSet::all();
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(a.intersection(&b).intersection(&c), a.intersection(&b.intersection(&c)));
        prop_assert_eq!(a.intersection(&b.union(&c)), a.intersection(&b).union(&a.intersection(&c)));
        prop_assert_eq!(a.union(&b.intersection(&c)), a.union(&b).intersection(&a.union(&c)));
        prop_assert_eq!(all.difference(&a.union(&b)), all.difference(&a).intersection(&all.difference(&b)));
        prop_assert_eq!(all.difference(&a.intersection(&b)), all.difference(&a).union(&all.difference(&b)));
        prop_assert_eq!(all.difference(&all.difference(&a)), a.clone());
        prop_assert_eq!(a.is_subset(&b), a.difference(&b).is_empty());
        prop_assert_eq!(a.intersects(&b), !a.intersection(&b).is_empty());
        prop_assert!(a.is_subset(&a.union(&b)) && a.intersection(&b).is_subset(&a));
    }

    #[test]
    fn cidrs_are_the_set_and_the_fewest((a, model) in modelled()) {
        let cidrs = a.cidrs();
        prop_assert_eq!(cidrs.iter().copied().collect::<IpSet>(), a.clone());
        prop_assert_eq!(cidrs.len(), model.into_iter().map(fewest_blocks).sum::<usize>());
        // Ascending, v4 first: the order of `IpNet`.
        prop_assert!(cidrs.is_sorted());
        for net in cidrs {
            prop_assert!(cidr_is_canonical(&net.to_string()), "{}", net);
        }
    }

    /// Blocks of every size, with what is left of the whole families: nothing overflows, every edge is right.
    #[test]
    fn wide_blocks_round_trip(v4: (u32, u8), v6: (u128, u8)) {
        let v4 = IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(v4.0), v4.1 % 33).unwrap());
        let v6 = IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(v6.0), v6.1 % 129).unwrap());
        prop_assume!(IpSet::from_cidr(v6).cidrs()[0].prefix_len() == v6.prefix_len());
        let set = IpSet::from_iter([v4, v6]);
        prop_assert_eq!(set.cidrs(), vec![v4.trunc(), v6.trunc()]);
        let rest = IpSet::all().difference(&set);
        // One sibling for each bit of the prefix.
        prop_assert_eq!(rest.cidrs().len(), usize::from(v4.prefix_len()) + usize::from(v6.prefix_len()));
        prop_assert_eq!(rest.cidrs().into_iter().collect::<IpSet>(), rest.clone());
        prop_assert!(rest.union(&set).is_all() && !rest.intersects(&set));
        for net in [v4.trunc(), v6.trunc()] {
            prop_assert!(set.contains(net.network()) && set.contains(net.broadcast()));
            prop_assert!(!rest.contains(net.network()) && !rest.contains(net.broadcast()));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[0-9a-f:.%/+ x]{0,24}") {
        match parse_cidr(&text) {
            Ok(net) => {
                prop_assert_eq!(net, net.trunc());
                prop_assert_eq!(parse_cidr(&net.to_string()), Ok(net));
            }
            Err(_) => prop_assert!(!cidr_is_canonical(&text)),
        }
        if cidr_is_canonical(&text) {
            prop_assert_eq!(parse_cidr(&text).ok(), text.parse().ok());
        }
    }
}
