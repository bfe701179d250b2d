//! What a policy allows, as boxes of pods x addresses x ports, and whether some boxes contain others.
//!
//! This is how a change is found to make something worse, or not: by meaning, not by text.

use std::borrow::Cow;

use super::ip_set::IpSet;
use super::port_set::PortSet;
use super::selector::{Cover, Selector, uncovered};

/// The selected pods may exchange traffic with these addresses on these ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The pods the policy selects.
    pub pods: Selector,
    /// The addresses; [`IpSet::all`] for every peer.
    pub addresses: IpSet,
    /// The ports.
    pub ports: PortSet,
}

/// Comparisons of two boxes after which the question is given up. Real policies need some hundreds; the
/// bound keeps hostile ones, whose boxes multiply, to a few dozen milliseconds.
const MAX_COMPARISONS: usize = 200_000;
/// Searches for a cover by several selectors together, each bounded by itself, after which the
/// question is given up. Short ones count as comparisons instead: real policies make many of those.
const MAX_SEARCHES: usize = 8;
/// Nodes up to which a search is a short one.
const SHORT: usize = 1_000;

/// Whether everything in `new` is in the union of `old`. `None` when that would take too long to tell.
///
/// Exact in all three dimensions: a pod may be covered by several selectors together, an address
/// range and a port range by several boxes. Only a name and the numbers that make up its whole
/// protocol in several boxes are not put together, which errs towards `false`.
#[must_use]
pub fn contained(new: &[Extent], old: &[Extent]) -> Option<bool> {
    let mut search = Search { comparisons: MAX_COMPARISONS, searches: MAX_SEARCHES };
    for extent in new {
        if !search.covered(extent, old)? {
            return Some(false);
        }
    }
    Some(true)
}

/// What is left of a box once the old boxes before `from` have been looked at.
struct Rest<'a> {
    addresses: Cow<'a, IpSet>,
    ports: Cow<'a, PortSet>,
    from: usize,
    /// Selectors of old boxes that are known to allow all of `addresses x ports`.
    over: Vec<&'a Selector>,
}

struct Search {
    comparisons: usize,
    searches: usize,
}

impl Search {
    /// Whether a box lies in the union of `old`. A worklist and no recursion: how many boxes there
    /// are is up to whoever wrote the policy.
    fn covered<'a>(&mut self, new: &'a Extent, old: &'a [Extent]) -> Option<bool> {
        let (addresses, ports) = (Cow::Borrowed(&new.addresses), Cow::Borrowed(&new.ports));
        let mut left = vec![Rest { addresses, ports, from: 0, over: Vec::new() }];
        while let Some(Rest { addresses, ports, from, over }) = left.pop() {
            if addresses.is_empty() || ports.is_empty() {
                continue;
            }
            let overlaps = |old: &Extent| {
                old.ports.intersects(&ports) && old.addresses.intersects(&addresses) && !old.pods.disjoint(&new.pods)
            };
            let next = (from..old.len()).find(|next| overlaps(&old[*next]));
            self.comparisons = self.comparisons.checked_sub(next.unwrap_or(old.len()) - from + 1)?;
            let Some(next) = next else {
                if !self.pods_covered(&new.pods, &over)? {
                    return Some(false);
                }
                continue;
            };
            let first = &old[next];
            let from = next + 1;
            let implied = new.pods.implies(&first.pods);
            // Mostly all of it is inside, and nothing is left to make sets of.
            let inside = if addresses.is_subset(&first.addresses) {
                addresses
            } else {
                let outside = Cow::Owned(addresses.difference(&first.addresses));
                left.push(Rest { addresses: outside, ports: ports.clone(), from, over: over.clone() });
                Cow::Owned(addresses.intersection(&first.addresses))
            };
            let both = if ports.is_subset(&first.ports) {
                ports
            } else {
                let others = Cow::Owned(ports.difference(&first.ports));
                left.push(Rest { addresses: inside.clone(), ports: others, from, over: over.clone() });
                Cow::Owned(ports.intersection(&first.ports))
            };
            if !implied {
                let mut over = over;
                // The rules of one policy share its selector, so this list stays short.
                if !over.contains(&&first.pods) {
                    over.push(&first.pods);
                }
                left.push(Rest { addresses: inside, ports: both, from, over });
            }
        }
        Some(true)
    }

    fn pods_covered(&mut self, pods: &Selector, over: &[&Selector]) -> Option<bool> {
        if over.is_empty() {
            return Some(pods.is_contradiction());
        }
        match most_nodes(over) {
            nodes @ ..=SHORT => self.comparisons = self.comparisons.checked_sub(nodes)?,
            _ => self.searches = self.searches.checked_sub(1)?,
        }
        match uncovered(pods, over) {
            Cover::Covered => Some(true),
            Cover::Uncovered(_) => Some(false),
            Cover::Unknown => None,
        }
    }
}

/// About how many ways there are to be selected by none of these: of each a requirement has to fail, by one value or
/// another.
fn most_nodes(selectors: &[&Selector]) -> usize {
    let ways = |selector: &&Selector| {
        let values = selector.requirements().iter().map(|requirement| requirement.values.len().max(1));
        values.fold(0, usize::saturating_add).max(1)
    };
    selectors.iter().map(ways).fold(1, usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ip_set::parse_cidr;
    use super::super::port_set::Protocol;
    use super::super::selector::{Labels, Operator, Requirement};
    use super::*;

    const CIDRS: [&str; 4] = ["10.0.0.0/31", "10.0.0.2/31", "10.0.0.0/30", "10.0.0.1/32"];

    fn selector() -> impl Strategy<Value = Selector> {
        prop_oneof![
            Just(Selector::everything()),
            Just(Selector::new(vec![Requirement::new("app", Operator::In, ["a"])])),
            Just(Selector::new(vec![Requirement::new("app", Operator::NotIn, ["a"])])),
            Just(Selector::new(vec![Requirement::new("app", Operator::Exists, [""; 0])])),
            Just(Selector::new(vec![Requirement::new("app", Operator::DoesNotExist, [""; 0])])),
        ]
    }

    fn extent() -> impl Strategy<Value = Extent> {
        (selector(), proptest::sample::select(&CIDRS[..]), 1u16..4, 0u16..3).prop_map(|(pods, cidr, port, more)| {
            Extent {
                pods,
                addresses: IpSet::from_cidr(parse_cidr(cidr).expect("a CIDR")),
                ports: PortSet::range(Protocol::Tcp, port, port + more),
            }
        })
    }

    /// Every pod, address and port of a universe in which all of the above can be told apart.
    fn points() -> impl Iterator<Item = (Labels, [u8; 4], u16)> {
        let app = |value: &str| Labels::from([("app".to_owned(), value.to_owned())]);
        let pods = [Labels::new(), app("a"), app("b")];
        pods.into_iter().flat_map(|pod| {
            (0..4u8).flat_map(move |last| {
                let pod = pod.clone();
                (1..7u16).map(move |port| (pod.clone(), [10, 0, 0, last], port))
            })
        })
    }

    fn holds(extents: &[Extent], (pod, address, port): &(Labels, [u8; 4], u16)) -> bool {
        extents.iter().any(|extent| {
            extent.pods.matches(pod)
                && extent.addresses.contains((*address).into())
                && extent.ports.contains(Protocol::Tcp, *port)
        })
    }

    proptest! {
        #[test]
        fn containment_is_what_every_single_point_says(
            new in proptest::collection::vec(extent(), 0..4),
            old in proptest::collection::vec(extent(), 0..6),
        ) {
            let expected = points().all(|point| !holds(&new, &point) || holds(&old, &point));
            prop_assert_eq!(contained(&new, &old), Some(expected));
        }

        #[test]
        fn what_was_there_is_contained_in_itself(extents in proptest::collection::vec(extent(), 0..6)) {
            prop_assert_eq!(contained(&extents, &extents), Some(true));
        }
    }

    /// Many boxes, as deep as they go: an answer or none, and no overflow of the stack.
    /// Five boxes that overlap so that more than a dozen regions have to be told.
    #[test]
    fn a_few_overlapping_boxes_are_told() {
        let app = |operator| Selector::new(vec![Requirement::new("app", operator, ["a"])]);
        let all = |pods| Extent { pods, addresses: IpSet::all(), ports: PortSet::all() };
        let (a, others) = (|| all(app(Operator::In)), || all(app(Operator::NotIn)));
        let ports = |first, last| PortSet::range(Protocol::Tcp, first, last);
        let not_10 = IpSet::v4_all().difference(&IpSet::from_cidr(parse_cidr("10.0.0.0/8").expect("a CIDR")));
        let old = [
            Extent { ports: ports(80, 80), ..others() },
            Extent { addresses: IpSet::v4_all(), ..others() },
            a(),
            Extent { addresses: not_10, ports: ports(80, 81), ..a() },
            Extent { ports: ports(81, 65535), ..a() },
        ];
        assert_eq!(contained(&[all(Selector::everything())], &old), Some(false));
    }

    #[test]
    fn ten_thousand_boxes_are_no_danger() {
        let slice = |i: u32, pods: &Selector| Extent {
            pods: pods.clone(),
            addresses: IpSet::from_cidr(parse_cidr(&format!("10.{}.{}.0/24", i / 256, i % 256)).expect("a CIDR")),
            ports: PortSet::all(),
        };
        let old: Vec<Extent> = (0..10_000).map(|i| slice(i, &Selector::everything())).collect();
        let new = [Extent { addresses: IpSet::all(), ..slice(0, &Selector::everything()) }];
        assert_eq!(contained(&new, &old), Some(false));
        assert_ne!(contained(&old, &old), Some(false));
    }

    #[test]
    fn boxes_that_multiply_are_given_up_instead_of_searched_for_ever() {
        let half = |key: usize, operator| Selector::new(vec![Requirement::new(format!("k{key}"), operator, ["v"])]);
        let extent = |pods, i: usize| Extent {
            pods,
            addresses: IpSet::from_cidr(parse_cidr(&format!("10.0.{i}.0/16")).expect("a CIDR")),
            ports: PortSet::range(Protocol::Tcp, u16::try_from(i).expect("small") + 1, 60_000),
        };
        let old: Vec<Extent> = (0..200).map(|i| extent(half(i, Operator::In), i)).collect();
        let new = [Extent { pods: Selector::everything(), addresses: IpSet::all(), ports: PortSet::all() }];
        assert_ne!(contained(&new, &old), Some(true));
    }
}
