//! Sets of IP addresses, as an `ipBlock` and its `except` list describe them.
//!
//! A set is two sorted lists of disjoint ranges, one a family:
//!
//! ```text
//! v4  [10.0.0.0 .. 10.255.255.255] [192.168.0.0 .. 192.168.255.255]
//! v6  [fc00:: .. fdff:ffff:…]
//! ```
//!
//! Neighbouring ranges are merged, so two sets holding the same addresses are equal values and print the same.
//!
//! An IPv4-mapped block (`::ffff:10.0.0.0/104`, [RFC 4291 section 2.5.5.2]) is another spelling of a v4 block and
//! becomes one. A v6 block wider than `::ffff:0:0/96`, such as `::/0`, stays a v6 block and reaches no v4 address.
//!
//! [RFC 4291 section 2.5.5.2]: https://www.rfc-editor.org/rfc/rfc4291#section-2.5.5.2

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};
use range_set_blaze::RangeSetBlaze;

use super::ranges;

#[cfg(test)]
mod tests;

const V4_ALL: RangeInclusive<Ipv4Addr> = Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST;
const V6_ALL: RangeInclusive<Ipv6Addr> = Ipv6Addr::UNSPECIFIED..=Ipv6Addr::from_bits(u128::MAX);

/// The prefix length of `::ffff:0:0/96`, the block of the IPv4-mapped addresses.
const MAPPED_PREFIX: u8 = 96;

/// Why a text is no CIDR block, not even by the lenient reading of older API servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// An address without a `/`.
    #[error("no prefix length: write a single address as ADDRESS/32, or ADDRESS/128 for IPv6")]
    MissingPrefix,
    /// It does not begin with an IPv4 or IPv6 address.
    #[error("does not begin with an IP address: write it as 10.0.0.0/8 or 2001:db8::/32")]
    Address,
    /// What stands after the `/` is no number from 0 to the length of an address in bits.
    #[error("the prefix length must be a number from 0 to {max}")]
    Prefix {
        /// The length of an address of this family, in bits: 32 or 128.
        max: u8,
    },
}

/// Reads a CIDR block as leniently as the API server reads a stored one: bits beyond the prefix length are cleared
/// (`10.1.2.3/8` is `10.0.0.0/8`), leading zeros are skipped and mean no octal (`010.0.0.0/08` is `10.0.0.0/8`).
/// A block of IPv4-mapped addresses comes back as the v4 block.
///
/// Source: `ParseCIDRSloppy` of `k8s.io/utils/net`, a copy of Go 1.16's `net.ParseCIDR`.
///
/// # Errors
/// [`CidrError`] when the lenient reader, too, would refuse the text; a zone (`fe80::1%eth0/64`) is such a case.
pub fn parse_cidr(text: &str) -> Result<IpNet, CidrError> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = without_leading_zeros(address).parse().map_err(|_| CidrError::Address)?;
    let prefix = prefix.ok_or(CidrError::MissingPrefix)?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix_length(prefix, max).ok_or(CidrError::Prefix { max })?;
    let net = IpNet::new(address, prefix).map_err(|_| CidrError::Prefix { max })?;
    Ok(unmap(net))
}

/// Whether an API server since Kubernetes 1.36 accepts this text as a new value: a valid block with no bits beyond
/// the prefix length, no leading zeros and no IPv4-mapped address. Upper case and an uncompressed `0:0` are fine.
///
/// Source: `IsValidCIDRForLegacyField` with strict validation, `k8s.io/apimachinery/pkg/util/validation/ip.go`.
#[must_use]
pub fn cidr_is_canonical(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    if prefix.len() > 1 && prefix.starts_with('0') {
        return false;
    }
    // The standard library refuses leading zeros in IPv4 and a fifth digit in an IPv6 group, as Go's netip does.
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let max = if address.is_ipv4() { 32 } else { 128 };
    let Some(net) = prefix_length(prefix, max).and_then(|prefix| IpNet::new(address, prefix).ok()) else {
        return false;
    };
    let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    !mapped && net == net.trunc()
}

/// Drops the leading zeros of each run of digits, hexadecimal ones included, keeping the last digit of a run.
fn without_leading_zeros(address: &str) -> String {
    let mut kept = String::with_capacity(address.len());
    let mut run_has_begun = false;
    let mut characters = address.chars().peekable();
    while let Some(character) = characters.next() {
        let more_follows = characters.peek().is_some_and(char::is_ascii_hexdigit);
        if character == '0' && !run_has_begun && more_follows {
            continue;
        }
        run_has_begun = character.is_ascii_hexdigit();
        kept.push(character);
    }
    kept
}

/// A number from 0 to `max` in ASCII digits alone: `u8::from_str` would let a `+` pass.
fn prefix_length(text: &str, max: u8) -> Option<u8> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = text.trim_start_matches('0');
    let length = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    (length <= max).then_some(length)
}

/// Clears the host bits, and turns a block inside `::ffff:0:0/96` into the v4 block it stands for.
fn unmap(net: IpNet) -> IpNet {
    let net = net.trunc();
    if let IpNet::V6(v6) = net
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(MAPPED_PREFIX)
        && let Ok(v4) = Ipv4Net::new(address, prefix)
    {
        return IpNet::V4(v4);
    }
    net
}

/// A set of IPv4 and IPv6 addresses in canonical form: equal sets are equal values.
///
/// The v6 side holds the addresses of `::ffff:0:0/96` only as part of a wider block, where they mean nothing:
/// a packet to one of them is a v4 packet, and [`IpSet::contains`] looks it up as such.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct IpSet {
    v4: RangeSetBlaze<Ipv4Addr>,
    v6: RangeSetBlaze<Ipv6Addr>,
}

impl IpSet {
    /// No address.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every address of both families.
    #[must_use]
    pub fn all() -> Self {
        Self { v4: RangeSetBlaze::from_iter([V4_ALL]), v6: RangeSetBlaze::from_iter([V6_ALL]) }
    }

    /// Every IPv4 address: `0.0.0.0/0`.
    #[must_use]
    pub fn v4_all() -> Self {
        Self { v4: RangeSetBlaze::from_iter([V4_ALL]), v6: RangeSetBlaze::new() }
    }

    /// Every IPv6 address: `::/0`.
    #[must_use]
    pub fn v6_all() -> Self {
        Self { v4: RangeSetBlaze::new(), v6: RangeSetBlaze::from_iter([V6_ALL]) }
    }

    /// The addresses of one block. Host bits are cleared and a mapped block counts as v4, as in [`parse_cidr`].
    #[must_use]
    pub fn from_cidr(net: IpNet) -> Self {
        let mut set = Self::empty();
        match unmap(net) {
            IpNet::V4(net) => set.v4.ranges_insert(v4_range(net)),
            IpNet::V6(net) => set.v6.ranges_insert(v6_range(net)),
        };
        set
    }

    /// The addresses in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { v4: &self.v4 | &other.v4, v6: &self.v6 | &other.v6 }
    }

    /// The addresses in any of the sets: one sort, where a chain of unions would copy the growing set each time.
    #[must_use]
    pub fn union_of(sets: impl IntoIterator<Item = Self>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in sets {
            v4.extend(set.v4.ranges());
            v6.extend(set.v6.ranges());
        }
        Self { v4: RangeSetBlaze::from_iter(v4), v6: RangeSetBlaze::from_iter(v6) }
    }

    /// The addresses in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { v4: &self.v4 & &other.v4, v6: &self.v6 & &other.v6 }
    }

    /// The addresses of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self { v4: &self.v4 - &other.v4, v6: &self.v6 - &other.v6 }
    }

    /// Whether every address of this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        ranges::is_subset(self.v4.ranges(), other.v4.ranges()) && ranges::is_subset(self.v6.ranges(), other.v6.ranges())
    }

    /// Whether the sets have an address in common.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        ranges::intersect(self.v4.ranges(), other.v4.ranges()) || ranges::intersect(self.v6.ranges(), other.v6.ranges())
    }

    /// Whether an address of the block is in the set: [`Self::intersects`] without a set made of the block.
    #[must_use]
    pub fn touches(&self, net: IpNet) -> bool {
        match unmap(net) {
            IpNet::V4(net) => {
                self.v4.ranges().any(|range| *range.start() <= net.broadcast() && net.network() <= *range.end())
            }
            IpNet::V6(net) => {
                self.v6.ranges().any(|range| *range.start() <= net.broadcast() && net.network() <= *range.end())
            }
        }
    }

    /// Whether the set has no address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether the set has every address of both families.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.v4.is_universal() && self.v6.is_universal()
    }

    /// Whether the address is in the set. An IPv4-mapped IPv6 address is looked up as the v4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.contains(v4),
            IpAddr::V6(v6) => self.v6.contains(v6),
        }
    }

    /// The shortest list of blocks whose union is exactly this set: disjoint, ascending, v4 before v6.
    #[must_use]
    pub fn cidrs(&self) -> Vec<IpNet> {
        // The ranges neither touch nor overlap, so no block of a shortest list spans two of them, and within one the
        // greedy division (always the widest block that fits) is the shortest.
        let v4 = self.v4.ranges().flat_map(|range| {
            let (first, last) = range.into_inner();
            Ipv4Subnets::new(first, last, 0).map(IpNet::V4)
        });
        let v6 = self.v6.ranges().flat_map(|range| {
            let (first, last) = range.into_inner();
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6)
        });
        v4.chain(v6).collect()
    }
}

impl FromIterator<IpNet> for IpSet {
    /// The union of the blocks.
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let mut v4: Vec<RangeInclusive<Ipv4Addr>> = Vec::new();
        let mut v6: Vec<RangeInclusive<Ipv6Addr>> = Vec::new();
        for net in nets {
            match unmap(net) {
                IpNet::V4(net) => v4.push(v4_range(net)),
                IpNet::V6(net) => v6.push(v6_range(net)),
            }
        }
        Self { v4: RangeSetBlaze::from_iter(v4), v6: RangeSetBlaze::from_iter(v6) }
    }
}

fn v4_range(net: Ipv4Net) -> RangeInclusive<Ipv4Addr> {
    net.network()..=net.broadcast()
}

fn v6_range(net: Ipv6Net) -> RangeInclusive<Ipv6Addr> {
    net.network()..=net.broadcast()
}

/// The blocks of [`IpSet::cidrs`], joined by `, `; `no addresses` for the empty set.
impl fmt::Display for IpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no addresses");
        }
        for (index, net) in self.cidrs().into_iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{net}")?;
        }
        Ok(())
    }
}
