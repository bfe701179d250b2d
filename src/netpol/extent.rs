//! What a policy allows, as boxes of pods x addresses x ports, and whether some boxes contain others.
//!
//! This is how a change is found to make something worse, or not: by meaning, not by text.

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

/// Splits after which the question is given up. Real policies need a handful; the bound keeps hostile
/// ones, whose boxes multiply, to a few milliseconds.
const MAX_SPLITS: usize = 2_000;
/// Searches for a cover by several selectors together, each bounded by itself, after which the
/// question is given up.
const MAX_SEARCHES: usize = 8;

/// Whether everything in `new` is in the union of `old`. `None` when that would take too long to tell.
///
/// Exact in all three dimensions: a pod may be covered by several selectors together, an address
/// range and a port range by several boxes.
#[must_use]
pub fn contained(new: &[Extent], old: &[Extent]) -> Option<bool> {
    let mut search = Search { splits: MAX_SPLITS, searches: MAX_SEARCHES };
    for extent in new {
        let old: Vec<&Extent> = old.iter().filter(|old| !old.pods.disjoint(&extent.pods)).collect();
        if !search.covered(&extent.pods, extent.addresses.clone(), extent.ports.clone(), &old, &mut Vec::new())? {
            return Some(false);
        }
    }
    Some(true)
}

struct Search {
    splits: usize,
    searches: usize,
}

impl Search {
    /// Whether `pods x addresses x ports` lies in the union of `old`, given that the selectors of
    /// `over` are already known to allow all of `addresses x ports`.
    fn covered<'a>(
        &mut self,
        pods: &Selector,
        addresses: IpSet,
        ports: PortSet,
        old: &[&'a Extent],
        over: &mut Vec<&'a Selector>,
    ) -> Option<bool> {
        if addresses.is_empty() || ports.is_empty() {
            return Some(true);
        }
        self.splits = self.splits.checked_sub(1)?;
        let next = old.iter().position(|old| old.addresses.intersects(&addresses) && old.ports.intersects(&ports));
        let Some(next) = next else { return self.pods_covered(pods, over) };
        let (first, rest) = (old[next], &old[next + 1..]);
        let outside = addresses.difference(&first.addresses);
        let inside = addresses.intersection(&first.addresses);
        if !self.covered(pods, outside, ports.clone(), rest, over)?
            || !self.covered(pods, inside.clone(), ports.difference(&first.ports), rest, over)?
        {
            return Some(false);
        }
        if pods.implies(&first.pods) {
            return Some(true);
        }
        over.push(&first.pods);
        let covered = self.covered(pods, inside, ports.intersection(&first.ports), rest, over);
        over.pop();
        covered
    }

    fn pods_covered(&mut self, pods: &Selector, over: &[&Selector]) -> Option<bool> {
        if over.is_empty() {
            return Some(pods.is_contradiction());
        }
        self.searches = self.searches.checked_sub(1)?;
        match uncovered(pods, over) {
            Cover::Covered => Some(true),
            Cover::Uncovered(_) => Some(false),
            Cover::Unknown => None,
        }
    }
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

    #[test]
    fn boxes_that_multiply_are_given_up_instead_of_searched_for_ever() {
        let half = |key: usize, operator| Selector::new(vec![Requirement::new(&format!("k{key}"), operator, ["v"])]);
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
