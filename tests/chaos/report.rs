//! The summary: shown at once, and kept for the end of `tests/chaos.sh`.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Adds lines to the summary.
pub(crate) fn say(lines: &str) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    eprintln!("{lines}");
    if let Some(path) = std::env::var_os("PORTCULLIS_CHAOS_SUMMARY") {
        let mut file = File::options().create(true).append(true).open(&path).expect("the summary's file");
        writeln!(file, "{lines}").expect("write the summary");
    }
}

/// The value below which 99 of 100 lie.
pub(crate) fn p99<T: Ord + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * 99).div_ceil(100) - 1]
}

#[test]
fn the_ninety_ninth_of_a_hundred() {
    assert_eq!(p99(&(1..=100).rev().collect::<Vec<_>>()), 99);
    assert_eq!(p99(&(1..=1000).collect::<Vec<_>>()), 990);
    assert_eq!(p99(&[7]), 7);
}
