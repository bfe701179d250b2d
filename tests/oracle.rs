//! An oracle: a second, naive evaluator agrees with the crate on random small clusters.
//!
//! ```text
//! seed ── generate ──> objects ── write ──> manifest ── the crate: parse, load, world, ask ──> Answer ─┐ equal?
//!                         └─────────────────────────── naive: the JSON itself ───────────────> Answer ─┘
//! ```
//!
//! The same clusters every time; to see others, or more of them:
//!
//! ```text
//! PORTCULLIS_ORACLE_SEED=$RANDOM PORTCULLIS_ORACLE_CLUSTERS=1000000 cargo test --release --test oracle random_clusters
//! ```
//!
//! A failure prints the smallest manifest that has it, both answers, and the seed that brings it back.
#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of this file are test code as well")]

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use compare::{Failure, Tally, check, compare};
use generate::Generator;
use questions::questions;
use write::Form;

// `cfg(test)` is always set here; it tells clippy that these are test code.
#[cfg(test)]
#[path = "oracle/changes.rs"]
mod changes;
#[cfg(test)]
#[path = "oracle/compare.rs"]
mod compare;
#[cfg(test)]
#[path = "oracle/coverage.rs"]
mod coverage;
#[cfg(test)]
#[path = "oracle/generate.rs"]
mod generate;
#[cfg(test)]
#[path = "oracle/mutate.rs"]
mod mutate;
#[cfg(test)]
#[path = "oracle/naive.rs"]
mod naive;
#[cfg(test)]
#[path = "oracle/questions.rs"]
mod questions;
#[cfg(test)]
#[path = "oracle/shrink.rs"]
mod shrink;
#[cfg(test)]
#[path = "oracle/write.rs"]
mod write;

const CLUSTERS: u64 = 20_000;
/// Pairs of states, by default: each takes as long as ten clusters.
const STATES: u64 = 2_000;
const SEED: u64 = 1;

/// A setting of the oracle, from the environment.
fn setting(name: &str, default: u64) -> u64 {
    let read = |text: String| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}"));
    env::var(name).map_or(default, read)
}

/// Does something for each of many seeds, on all cores, until one fails.
fn for_seeds(first: u64, count: u64, each: impl Fn(u64, &mut Tally) -> Result<(), String> + Sync) -> Tally {
    let next = AtomicU64::new(0);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(tally);
            }
            if let Err(failure) = each(first.wrapping_add(number), &mut tally) {
                next.store(count, Ordering::Relaxed);
                return Err(failure);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().fold(Tally::default(), |mut sum, thread| {
            let tally = thread.join().expect("no panic").unwrap_or_else(|failure| panic!("{failure}"));
            sum.add(&tally);
            sum
        })
    })
}

#[test]
fn both_evaluators_agree_on_random_clusters() {
    let clusters = setting("PORTCULLIS_ORACLE_CLUSTERS", CLUSTERS);
    let tally = for_seeds(setting("PORTCULLIS_ORACLE_SEED", SEED), clusters, check);
    println!("{clusters} clusters: {:?}", tally.counts);
    if clusters < 1000 {
        return;
    }
    // Answers that are nearly all the same would hold the crate to nothing.
    let share = |name| tally.of(name) * 100 / tally.of("all");
    for (name, low, high) in
        [("allow", 20, 80), ("deny", 20, 80), ("unknown", 3, 30), ("allowed by a rule", 15, 70), ("pods deny", 10, 60)]
    {
        assert!((low..=high).contains(&share(name)), "{name}: {} % of {:?}", share(name), tally.counts);
    }
    assert!(tally.of("all") / clusters >= 20, "{:?}", tally.counts);
}

#[test]
fn the_difference_of_random_states_is_what_the_naive_evaluator_says_of_both() {
    let states = setting("PORTCULLIS_ORACLE_CLUSTERS", STATES);
    let tally = for_seeds(setting("PORTCULLIS_ORACLE_SEED", SEED), states, changes::check);
    println!("{states} pairs of states: {:?}", tally.counts);
    if states < 1000 {
        return;
    }
    assert!(tally.of("states that differ") * 100 / states >= 30, "{:?}", tally.counts);
    for change in ["appears", "vanishes"] {
        assert!(tally.of(change) * 100 / tally.of("all") >= 3, "{change}: {:?}", tally.counts);
    }
}

#[test]
fn every_feature_occurs_in_random_clusters() {
    let clusters = (0..2000).map(|number| Generator::new(SEED + number).cluster().documents);
    let documents: Vec<_> = clusters.flatten().collect();
    for (name, has) in coverage::FEATURES {
        let found = documents.iter().filter(|document| has(document)).count();
        assert!(found >= 20, "{name}: only {found} of {} objects", documents.len());
    }
}

/// Lied to in any way, the naive evaluator contradicts: the test above can fail.
#[test]
fn a_small_change_told_to_one_evaluator_alone_is_noticed() {
    for (name, mutate) in mutate::IN_PLACE {
        let (mut changed, mut noticed) = (0, 0);
        for seed in 0..400 {
            let mut draw = Generator::new(SEED + seed);
            let cluster = draw.cluster();
            let questions = questions(&cluster, &mut draw);
            let mut told = cluster.documents.clone();
            if mutate(&mut draw, &mut told).is_none() || told == cluster.documents {
                continue;
            }
            changed += 1;
            let failure = compare(&cluster, &told, Form::Yaml, &questions, &mut Tally::default()).err();
            noticed += u32::from(matches!(failure, Some(Failure::Answers { .. })));
        }
        println!("{name}: {noticed} of {changed}");
        assert!(noticed * 50 >= changed && noticed >= 5, "{name}: noticed in {noticed} of {changed} clusters");
    }
}

#[test]
fn a_failure_is_told_on_the_smallest_manifest_that_has_it() {
    let mut draw = Generator::new(SEED);
    let documents: Vec<_> = (0..20).flat_map(|_| draw.cluster().documents).collect();
    let has_sctp = |documents: &[serde_json::Value]| {
        documents.iter().any(|object| object["kind"] == "NetworkPolicy" && object.to_string().contains("SCTP"))
    };
    assert!(has_sctp(&documents));
    let smallest = shrink::shrink(&documents, has_sctp);
    assert_eq!(smallest.len(), 1);
    let text = smallest[0].to_string();
    assert!(text.len() < 110, "{text}");
}
