//! Sets of ports, as the `ports` of a `NetworkPolicy` rule describe them.
//!
//! The universe is three protocols times the ports 1 to 65535. A port may also be a name, which each destination pod
//! resolves for itself: until then it stays a symbol of its protocol.
//!
//! ```text
//! numbers  TCP [443] [30000 .. 32767]   UDP [53]   SCTP
//! names    (TCP, http)
//! ```
//!
//! # What the algebra says of names
//! A name equals itself and lies in its whole protocol; of other numbers nothing is known. The operations err to one
//! side, always the same, whatever the names resolve to later (`r`):
//!
//! - [`PortSet::union`] is exact;
//! - [`PortSet::intersection`] may lose ports, `r(a ∩ b) ⊆ r(a) ∩ r(b)`: `http` and `80` have none in common;
//! - [`PortSet::difference`] may keep ports, `r(a \ b) ⊇ r(a) \ r(b)`: `http` less `80` is `http`, and a protocol
//!   less a name is the protocol;
//! - [`PortSet::is_subset`] is true only when it holds for every resolution.
//!
//! On numbers alone all laws of sets hold. [`PortSet::resolve`] first where the exact answer for a pod is wanted.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use range_set_blaze::RangeSetBlaze;

use super::ranges;

#[cfg(test)]
mod tests;

/// The protocols of a `NetworkPolicyPort`.
///
/// Source: `networking.k8s.io/v1` API reference, `NetworkPolicyPort.protocol`; the default there is TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `TCP`
    Tcp,
    /// `UDP`
    Udp,
    /// `SCTP`
    Sctp,
}

impl Protocol {
    /// All protocols, in the order they are printed in.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The API's spelling: `TCP`, `UDP`, `SCTP`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the protocol must be TCP, UDP or SCTP, in capitals")]
pub struct UnknownProtocol;

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    /// The exact spelling of the API: `tcp` is refused, as the API server refuses it.
    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text).ok_or(UnknownProtocol)
    }
}

const FIRST: u16 = 1;
const LAST: u16 = u16::MAX;

/// How many ports a protocol has: port 0 is none.
const PORTS: u32 = LAST as u32;

/// A set of ports of the three protocols, numbered or still named, in canonical form: a protocol held whole absorbs
/// its names, so that sets the algebra cannot tell apart are equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct PortSet {
    /// Indexed by `Protocol as usize`; never holds port 0.
    numbers: [RangeSetBlaze<u16>; 3],
    /// Never of a protocol whose numbers are full.
    names: BTreeSet<(Protocol, String)>,
}

impl PortSet {
    /// No port.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every port of every protocol, which is what an absent or empty `ports` allows.
    #[must_use]
    pub fn all() -> Self {
        Self { numbers: [(); 3].map(|()| RangeSetBlaze::from_iter([FIRST..=LAST])), names: BTreeSet::new() }
    }

    /// One numbered port. Port 0 does not exist: its set is empty.
    #[must_use]
    pub fn single(protocol: Protocol, port: u16) -> Self {
        Self::range(protocol, port, port)
    }

    /// The ports from `first` to `last`, both included, as `port` and `endPort` mean it. Empty when `last` is lower.
    #[must_use]
    pub fn range(protocol: Protocol, first: u16, last: u16) -> Self {
        let mut set = Self::empty();
        let first = first.max(FIRST);
        if first <= last {
            set.numbers[protocol as usize] = RangeSetBlaze::from_iter([first..=last]);
        }
        set
    }

    /// One port known by its name.
    #[must_use]
    pub fn named(protocol: Protocol, name: &str) -> Self {
        let mut set = Self::empty();
        set.names.insert((protocol, name.to_owned()));
        set
    }

    /// Every port of one protocol, which is what an entry without `port` allows.
    #[must_use]
    pub fn protocol(protocol: Protocol) -> Self {
        Self::range(protocol, FIRST, LAST)
    }

    /// The ports in either set. Exact.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::canonical(
            Self::numbers(|index| &self.numbers[index] | &other.numbers[index]),
            self.names.union(&other.names).cloned().collect(),
        )
    }

    /// The ports in any of the sets. Exact.
    #[must_use]
    pub fn union_of(sets: impl IntoIterator<Item = Self>) -> Self {
        let mut ranges: [Vec<RangeInclusive<u16>>; 3] = Default::default();
        let mut names = BTreeSet::new();
        for set in sets {
            for protocol in Protocol::ALL {
                ranges[protocol as usize].extend(set.ranges(protocol));
            }
            names.extend(set.names);
        }
        Self::canonical(ranges.map(RangeSetBlaze::from_iter), names)
    }

    /// The ports in both sets. A name is kept where the other side has the same name or its whole protocol.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mine = self.names.iter().filter(|name| other.holds_name(name));
        let theirs = other.names.iter().filter(|name| self.holds_name(name));
        Self::canonical(
            Self::numbers(|index| &self.numbers[index] & &other.numbers[index]),
            mine.chain(theirs).cloned().collect(),
        )
    }

    /// The ports of this set that are not in `other`. A name goes only where `other` has the same name or its whole
    /// protocol, and a whole protocol loses numbers but no name.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let kept = self.names.iter().filter(|name| !other.holds_name(name));
        Self::canonical(Self::numbers(|index| &self.numbers[index] - &other.numbers[index]), kept.cloned().collect())
    }

    /// Whether every port of this set is in `other`, whatever the names resolve to.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        let mut numbers = self.numbers.iter().zip(&other.numbers);
        numbers.all(|(mine, theirs)| ranges::is_subset(mine.ranges(), theirs.ranges()))
            && self.names.iter().all(|name| other.holds_name(name))
    }

    /// Whether the sets surely have a port in common: whether [`PortSet::intersection`] has one.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        let mut numbers = self.numbers.iter().zip(&other.numbers);
        numbers.any(|(mine, theirs)| ranges::intersect(mine.ranges(), theirs.ranges()))
            || self.names.iter().any(|name| other.holds_name(name))
            || other.names.iter().any(|name| self.holds_name(name))
    }

    /// Whether the set has neither a number nor a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.iter().all(RangeSetBlaze::is_empty) && self.names.is_empty()
    }

    /// Whether the set has every port of every protocol.
    #[must_use]
    pub fn is_all(&self) -> bool {
        Protocol::ALL.into_iter().all(|protocol| self.is_full(protocol))
    }

    /// Whether the set has this number. Names do not count: [`PortSet::resolve`] them first.
    #[must_use]
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.numbers[protocol as usize].contains(port)
    }

    /// The ports still known by name only, sorted.
    pub fn names(&self) -> impl Iterator<Item = (Protocol, &str)> {
        self.names.iter().map(|(protocol, name)| (*protocol, name.as_str()))
    }

    /// The ranges of numbers of one protocol: ascending, disjoint, never touching.
    pub fn ranges(&self, protocol: Protocol) -> impl Iterator<Item = RangeInclusive<u16>> {
        self.numbers[protocol as usize].ranges()
    }

    /// The set as one pod sees it: each name becomes the number `lookup` gives; a name the pod does not know
    /// reaches no port of it and is dropped.
    #[must_use]
    pub fn resolve(&self, lookup: impl Fn(Protocol, &str) -> Option<u16>) -> Self {
        let mut numbers = self.numbers.clone();
        for (protocol, name) in self.names() {
            // Port 0 does not exist, whatever the pod says.
            if let Some(port) = lookup(protocol, name).filter(|port| *port >= FIRST) {
                numbers[protocol as usize].insert(port);
            }
        }
        Self::canonical(numbers, BTreeSet::new())
    }

    /// How many numbered ports of the protocol the set has, 0 to 65535. Names do not count.
    #[must_use]
    pub fn count(&self, protocol: Protocol) -> u32 {
        self.numbers[protocol as usize].len()
    }

    /// The set as a list of texts: each range of numbers, `TCP/*` for a whole protocol, then each name.
    #[must_use]
    pub fn items(&self) -> Vec<String> {
        let range = |protocol, range: RangeInclusive<u16>| match range.into_inner() {
            (FIRST, LAST) => format!("{protocol}/*"),
            (first, last) if first == last => format!("{protocol}/{first}"),
            (first, last) => format!("{protocol}/{first}-{last}"),
        };
        let numbers = Protocol::ALL.into_iter().flat_map(|p| self.ranges(p).map(move |ports| range(p, ports)));
        numbers.chain(self.names().map(|(protocol, name)| format!("{protocol}/{name}"))).collect()
    }

    fn is_full(&self, protocol: Protocol) -> bool {
        self.numbers[protocol as usize].len() == PORTS
    }

    /// Whether the set surely holds the port of this name.
    fn holds_name(&self, name: &(Protocol, String)) -> bool {
        self.names.contains(name) || self.is_full(name.0)
    }

    fn numbers(of: impl Fn(usize) -> RangeSetBlaze<u16>) -> [RangeSetBlaze<u16>; 3] {
        [of(0), of(1), of(2)]
    }

    fn canonical(numbers: [RangeSetBlaze<u16>; 3], names: BTreeSet<(Protocol, String)>) -> Self {
        let mut set = Self { numbers, names };
        let full = Protocol::ALL.map(|protocol| set.is_full(protocol));
        set.names.retain(|(protocol, _)| !full[*protocol as usize]);
        set
    }
}

/// `TCP/443, TCP/30000-32767, UDP/53, TCP/http`; everything is `all ports`, nothing `no ports`.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            f.write_str("all ports")
        } else if self.is_empty() {
            f.write_str("no ports")
        } else {
            f.write_str(&self.items().join(", "))
        }
    }
}
