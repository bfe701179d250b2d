//! Measures what the engine takes for a review, the overlay included, and each rule's part in it, by the size of the
//! cluster.
//!
//! Usage: `engine.sh`, or `cargo bench --bench engine -- [FILTER]` with `review/`, `parse/` or `rule/` as FILTER.
#![expect(clippy::panic, reason = "a benchmark of something else than it says had better stop")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use portcullis::engine::Bound;
use portcullis::inventory::Inventory;
use portcullis::object::Subject;
use portcullis::rules::RULES;

mod made_up;

use made_up::{Review, all_rules, bound, cluster_of, judge, only, reviews};

/// Namespaces of the clusters; ten policies each.
const SIZES: [usize; 3] = [10, 100, 1_000];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let clusters = SIZES.map(|namespaces| (namespaces, cluster_of(namespaces)));
    let reviews = reviews();
    parse(&mut criterion, &reviews);
    let subjects: Vec<(&str, Subject)> = reviews.iter().map(|review| (review.name, review.subject())).collect();
    let all = bound(all_rules());
    for (name, subject) in &subjects {
        by_size(&mut criterion, &format!("review/{name}"), &clusters, |cluster| {
            black_box(judge(black_box(subject), cluster, &all));
        });
    }
    for rule in RULES.iter().map(|rule| rule.meta().name) {
        let alone: Bound = only(rule);
        // All reviews, so that every rule has some that are its own and finds something.
        by_size(&mut criterion, &format!("rule/{rule}"), &clusters, |cluster| {
            for (_, subject) in &subjects {
                black_box(judge(black_box(subject), cluster, &alone));
            }
        });
    }
    criterion.final_summary();
}

/// From the request's body to what is judged.
fn parse(criterion: &mut Criterion, reviews: &[Review]) {
    for review in reviews {
        let name = format!("parse/{}/{}", review.name, review.body.len());
        criterion.bench_function(&name, |bencher| bencher.iter(|| black_box(black_box(review).subject())));
    }
}

fn by_size(
    criterion: &mut Criterion,
    name: &str,
    clusters: &[(usize, Inventory)],
    mut measured: impl FnMut(&Inventory),
) {
    let mut group = criterion.benchmark_group(name);
    for (namespaces, cluster) in clusters {
        group.bench_with_input(BenchmarkId::from_parameter(namespaces), cluster, |bencher, cluster| {
            bencher.iter(|| measured(cluster));
        });
    }
    group.finish();
}
