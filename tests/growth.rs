//! What a rule costs is a matter of the request and its namespace, not of how many namespaces there are.
#![expect(clippy::panic, reason = "the helpers that this shares with the benchmark are no test functions")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use portcullis::engine::Bound;
use portcullis::inventory::Inventory;
use portcullis::object::Subject;
use portcullis::rules::RULES;

#[path = "../benches/made_up/mod.rs"]
mod made_up;

use made_up::{cluster_of, judge, only, reviews};

/// A look at each namespace, however short, takes some hundred microseconds more in the larger cluster.
const FEW: usize = 10;
const MANY: usize = 1_000;

/// How many times longer a rule may take in the larger one, and how much beyond that: far from what it is (as long), and
/// from what a scan makes it.
const AT_MOST: u32 = 3;
const SLACK: Duration = Duration::from_micros(20);

/// The least of so many times counts, and they alternate: neighbours on the machine disturb both alike.
const ROUNDS: usize = 20;

fn time(subject: &Subject, cluster: &Inventory, bound: &Bound) -> Duration {
    let started = Instant::now();
    std::hint::black_box(judge(subject, cluster, bound));
    started.elapsed()
}

#[test]
fn no_rule_takes_longer_for_more_namespaces() {
    let clusters = [cluster_of(FEW), cluster_of(MANY)];
    let subjects: Vec<(&str, Subject)> = reviews().iter().map(|review| (review.name, review.subject())).collect();
    for rule in RULES.iter().map(|rule| rule.meta().name) {
        let bound = only(rule);
        for (review, subject) in &subjects {
            let mut least = [Duration::MAX; 2];
            for _ in 0..ROUNDS {
                for (least, cluster) in least.iter_mut().zip(&clusters) {
                    *least = time(subject, cluster, &bound).min(*least);
                }
            }
            let [few, many] = least;
            let told = format!("{rule}, {review}: {few:?} with {FEW} namespaces, {many:?} with {MANY}");
            assert!(many <= few * AT_MOST + SLACK, "{told}");
        }
    }
}

#[test]
fn every_rule_finds_the_same_in_a_larger_cluster_and_something_in_each() {
    let clusters = [cluster_of(FEW), cluster_of(2 * FEW)];
    let mut idle: BTreeSet<&str> = RULES.iter().map(|rule| rule.meta().name).collect();
    let all = made_up::bound(made_up::all_rules());
    for review in reviews() {
        let subject = review.subject();
        let [few, more] = clusters.each_ref().map(|cluster| judge(&subject, cluster, &all));
        assert_eq!(few.findings, more.findings, "{}", review.name);
        assert!(few.cannot_judge.is_empty(), "{}: {:?}", review.name, few.cannot_judge);
        for finding in &few.findings {
            idle.remove(finding.rule);
        }
    }
    assert!(idle.is_empty(), "no request of benches/made_up gives these anything to find: {idle:?}");
}

#[test]
fn the_review_that_the_bar_is_set_for_has_two_kilobytes() {
    let sizes: Vec<(&str, usize)> = reviews().iter().map(|review| (review.name, review.body.len())).collect();
    assert!(matches!(sizes[0], ("create", 2_000..=2_500)), "{sizes:?}");
}
