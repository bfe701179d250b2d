//! Places for requests whose bodies are being read.
//!
//! Whoever comes always gets one. When all are taken, the request that has had its place longest loses it: one whose body
//! is on its way is through in a moment, and one whose body never comes is what a flood is made of. Refusing the newest
//! instead would let a few connections with many open streams keep everybody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The places of one listener.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    max: usize,
    taken: Arc<Mutex<Taken>>,
}

/// By number, so that the first is the eldest.
#[derive(Debug, Default)]
struct Taken {
    next: u64,
    places: BTreeMap<u64, CancellationToken>,
}

impl Readers {
    /// `max` places, at least one.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), taken: Arc::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // It holds through a panic of whoever had it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, at the expense of the eldest if all are taken.
    pub(super) fn enter(&self) -> Place {
        let lost = CancellationToken::new();
        let mut taken = self.taken();
        if taken.places.len() >= self.max
            && let Some((_, eldest)) = taken.places.pop_first()
        {
            eldest.cancel();
        }
        let number = taken.next;
        taken.next += 1;
        taken.places.insert(number, lost.clone());
        Place { readers: self.clone(), number, lost }
    }
}

/// A place, until it is dropped or lost.
#[derive(Debug)]
pub(super) struct Place {
    readers: Readers,
    number: u64,
    lost: CancellationToken,
}

impl Place {
    /// Waits until it is lost to somebody else.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.readers.taken().places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_lost(place: &Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[test]
    fn the_eldest_makes_room() {
        let readers = Readers::new(2);
        let (first, second) = (readers.enter(), readers.enter());
        assert!(!is_lost(&first) && !is_lost(&second));
        let third = readers.enter();
        assert!(is_lost(&first) && !is_lost(&second) && !is_lost(&third));
        // What was lost is not given back a second time.
        drop(first);
        let fourth = readers.enter();
        assert!(is_lost(&second) && !is_lost(&third) && !is_lost(&fourth));
    }

    #[test]
    fn a_place_given_back_is_free() {
        let readers = Readers::new(2);
        let first = readers.enter();
        drop(readers.enter());
        let second = readers.enter();
        assert!(!is_lost(&first) && !is_lost(&second));
        assert_eq!(readers.taken().places.len(), 2);
    }
}
