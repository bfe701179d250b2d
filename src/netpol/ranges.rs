//! Questions about two ascending lists of disjoint ranges, answered in one pass over both and without a third list.

use std::ops::RangeInclusive;

/// Whether they have an element in common.
pub(super) fn intersect<T: Ord>(
    mut one: impl Iterator<Item = RangeInclusive<T>>,
    mut two: impl Iterator<Item = RangeInclusive<T>>,
) -> bool {
    let (mut mine, mut theirs) = (one.next(), two.next());
    while let (Some(a), Some(b)) = (&mine, &theirs) {
        if a.end() < b.start() {
            mine = one.next();
        } else if b.end() < a.start() {
            theirs = two.next();
        } else {
            return true;
        }
    }
    false
}

/// Whether `whole`, whose ranges do not touch each other, has every element of `part`.
pub(super) fn is_subset<T: Ord>(
    mut part: impl Iterator<Item = RangeInclusive<T>>,
    mut whole: impl Iterator<Item = RangeInclusive<T>>,
) -> bool {
    let mut theirs = whole.next();
    part.all(|mine| {
        while theirs.as_ref().is_some_and(|range| range.end() < mine.start()) {
            theirs = whole.next();
        }
        theirs.as_ref().is_some_and(|range| range.start() <= mine.start() && mine.end() <= range.end())
    })
}
