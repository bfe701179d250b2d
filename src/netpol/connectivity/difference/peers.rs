//! Peers by number: each distinct one is compared with each end at most once, and only where it can match.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;

use super::ends::{EndId, Ends, Look, PlaceId};
use super::{Steps, TooLarge};
use crate::netpol::connectivity::in_block;
use crate::netpol::policy::Peer;
use crate::netpol::selector::Selector;

/// The number of a peer; equal numbers are equal peers.
pub(super) type PeerId = u32;

/// Ends by their addresses, sorted.
type Addressed = Rc<[(IpAddr, EndId)]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind<'a> {
    Block { cidr: IpNet, except: &'a [IpNet] },
    Local { place: PlaceId, pod: Option<&'a Selector> },
    Far { namespaces: usize, pod: Option<&'a Selector> },
}

#[derive(Debug)]
pub(super) struct Peers<'a> {
    /// Whether a block matches pods, before and after.
    blocks_match: [bool; 2],
    kinds: Vec<Kind<'a>>,
    ids: HashMap<Kind<'a>, PeerId>,
    blocks: Vec<PeerId>,
    addressed: [Option<Addressed>; 2],
    local: HashMap<PlaceId, Vec<PeerId>>,
    /// Selectors of namespaces with the peers that have them.
    far: Vec<(&'a Selector, Vec<PeerId>)>,
    far_ids: HashMap<&'a Selector, usize>,
    far_of: HashMap<(PlaceId, usize), Rc<[usize]>>,
    places_of: HashMap<(usize, usize), Rc<[PlaceId]>>,
    members: HashMap<(PeerId, usize), Rc<[EndId]>>,
    of: HashMap<(EndId, usize), Rc<[PeerId]>>,
}

impl<'a> Peers<'a> {
    pub(super) fn new(blocks_match: [bool; 2]) -> Self {
        Self {
            blocks_match,
            kinds: Vec::new(),
            ids: HashMap::new(),
            blocks: Vec::new(),
            addressed: [None, None],
            local: HashMap::new(),
            far: Vec::new(),
            far_ids: HashMap::new(),
            far_of: HashMap::new(),
            places_of: HashMap::new(),
            members: HashMap::new(),
            of: HashMap::new(),
        }
    }

    /// The number of a peer of a policy in `place`. All have to be numbered before the first question.
    pub(super) fn id(&mut self, place: PlaceId, peer: &'a Peer) -> PeerId {
        let kind = match peer {
            Peer::IpBlock { cidr, except } => Kind::Block { cidr: *cidr, except },
            Peer::Pods { namespace: None, pod } => Kind::Local { place, pod: pod.as_ref() },
            Peer::Pods { namespace: Some(selector), pod } => {
                let next = self.far.len();
                let namespaces = *self.far_ids.entry(selector).or_insert(next);
                if namespaces == next {
                    self.far.push((selector, Vec::new()));
                }
                Kind::Far { namespaces, pod: pod.as_ref() }
            }
        };
        if let Some(id) = self.ids.get(&kind) {
            return *id;
        }
        let id = PeerId::try_from(self.kinds.len()).unwrap_or(PeerId::MAX);
        match kind {
            Kind::Block { .. } => self.blocks.push(id),
            Kind::Local { place, .. } => self.local.entry(place).or_default().push(id),
            Kind::Far { namespaces, .. } => self.far[namespaces].1.push(id),
        }
        self.kinds.push(kind);
        self.ids.insert(kind, id);
        id
    }

    /// The ends that a peer means, sorted.
    pub(super) fn members(
        &mut self,
        peer: PeerId,
        side: usize,
        ends: &Ends<'a>,
        steps: &Steps,
    ) -> Result<Rc<[EndId]>, TooLarge> {
        if let Some(found) = self.members.get(&(peer, side)) {
            steps.spend(found.len())?;
            return Ok(Rc::clone(found));
        }
        let kind = self.kinds[peer as usize];
        let mut found: Vec<EndId> = match kind {
            Kind::Block { cidr, .. } => {
                let addressed = self.addressed(side, ends);
                let first = addressed.partition_point(|(address, _)| *address < cidr.network());
                let count = addressed[first..].partition_point(|(address, _)| *address <= cidr.broadcast());
                steps.spend(count + 1)?;
                let mut inside: Vec<EndId> = addressed[first..first + count].iter().map(|(_, end)| *end).collect();
                inside.sort_unstable();
                inside.dedup();
                inside.into_iter().filter(|end| self.is_member(kind, *end, side, ends)).collect()
            }
            Kind::Local { place, .. } => {
                steps.spend(ends.places[place].ends.len())?;
                let there = ends.places[place].ends.iter().copied();
                there.filter(|end| self.is_member(kind, *end, side, ends)).collect()
            }
            Kind::Far { namespaces, .. } => {
                let places = self.places(namespaces, side, ends, steps)?;
                steps.spend(places.iter().map(|place| ends.places[*place].ends.len()).sum())?;
                let there = places.iter().flat_map(|place| &ends.places[*place].ends).copied();
                there.filter(|end| self.is_member(kind, *end, side, ends)).collect()
            }
        };
        found.sort_unstable();
        let found: Rc<[EndId]> = found.into();
        self.members.insert((peer, side), Rc::clone(&found));
        Ok(found)
    }

    /// The peers that mean an end, sorted.
    pub(super) fn of(
        &mut self,
        end: EndId,
        side: usize,
        ends: &Ends<'a>,
        steps: &Steps,
    ) -> Result<Rc<[PeerId]>, TooLarge> {
        if let Some(found) = self.of.get(&(end, side)) {
            return Ok(Rc::clone(found));
        }
        let mut found: Vec<PeerId> = Vec::new();
        if let Some(look) = ends.look(end, side) {
            let place = ends.end(end).place;
            let far = self.far_of(place, side, ends, steps)?;
            let local = self.local.get(&place).into_iter();
            let blocks = if look.addresses.is_empty() { None } else { Some(&self.blocks) };
            let candidates = far.iter().map(|far| &self.far[*far].1).chain(local).chain(blocks);
            for candidates in candidates {
                steps.spend(candidates.len())?;
                found.extend(candidates.iter().filter(|peer| self.fits(self.kinds[**peer as usize], look, side)));
            }
        }
        found.sort_unstable();
        let found: Rc<[PeerId]> = found.into();
        self.of.insert((end, side), Rc::clone(&found));
        Ok(found)
    }

    fn is_member(&self, kind: Kind<'_>, end: EndId, side: usize, ends: &Ends<'_>) -> bool {
        ends.look(end, side).is_some_and(|look| self.fits(kind, look, side))
    }

    /// The addresses of all ends, sorted.
    fn addressed(&mut self, side: usize, ends: &Ends<'_>) -> Addressed {
        let found = self.addressed[side].get_or_insert_with(|| {
            let looks = ends.ids().filter_map(|end| Some((end, ends.look(end, side)?)));
            let addresses = looks.flat_map(|(end, look)| look.addresses.iter().map(move |address| (*address, end)));
            let mut found: Vec<(IpAddr, EndId)> =
                addresses.map(|(address, end)| (address.to_canonical(), end)).collect();
            found.sort_unstable();
            found.into()
        });
        Rc::clone(found)
    }

    /// Whether an end in a namespace that a peer means is meant itself.
    fn fits(&self, kind: Kind<'_>, look: &Look<'_>, side: usize) -> bool {
        match kind {
            Kind::Block { cidr, except } => {
                self.blocks_match[side] && look.addresses.iter().any(|address| in_block(cidr, except, *address))
            }
            Kind::Local { pod, .. } | Kind::Far { pod, .. } => pod.is_none_or(|pod| pod.matches(&look.labels)),
        }
    }

    /// Whether blocks may mean an end in one of the worlds and not in the other.
    pub(super) fn blocks_differ(&self, before: &Look<'_>, after: &Look<'_>) -> bool {
        !self.blocks.is_empty()
            && (before.addresses != after.addresses
                || self.blocks_match[0] != self.blocks_match[1] && !before.addresses.is_empty())
    }

    fn far_of(&mut self, place: PlaceId, side: usize, ends: &Ends<'a>, steps: &Steps) -> Result<Rc<[usize]>, TooLarge> {
        if let Some(found) = self.far_of.get(&(place, side)) {
            return Ok(Rc::clone(found));
        }
        steps.spend(self.far.len())?;
        let labels = &ends.places[place].labels[side];
        let selectors = self.far.iter().enumerate().filter(|(_, (selector, _))| selector.matches(labels));
        let found: Rc<[usize]> = selectors.map(|(index, _)| index).collect();
        self.far_of.insert((place, side), Rc::clone(&found));
        Ok(found)
    }

    fn places(
        &mut self,
        namespaces: usize,
        side: usize,
        ends: &Ends<'a>,
        steps: &Steps,
    ) -> Result<Rc<[PlaceId]>, TooLarge> {
        if let Some(found) = self.places_of.get(&(namespaces, side)) {
            return Ok(Rc::clone(found));
        }
        steps.spend(ends.places.len())?;
        let selector = self.far[namespaces].0;
        let places = ends.places.iter().enumerate().filter(|(_, place)| selector.matches(&place.labels[side]));
        let found: Rc<[PlaceId]> = places.map(|(index, _)| index).collect();
        self.places_of.insert((namespaces, side), Rc::clone(&found));
        Ok(found)
    }
}
