//! Measures what `explain` and `diff` do with a state of a cluster: loading, a question, the comparison, memory.
//!
//! Usage: `connectivity STATE [OTHER_STATE]`; `connectivity.sh` makes the states and runs it.
#![expect(clippy::print_stdout, reason = "its figures are its result")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use portcullis::inventory::Inventory;
use portcullis::inventory::from_files::{DEFAULT_NAMESPACE, load};
use portcullis::manifest;
use portcullis::netpol::connectivity::difference::{Limit, difference};
use portcullis::netpol::connectivity::{End, Question, World};
use portcullis::netpol::pod::Pod;
use portcullis::netpol::port_set::Protocol;

/// Questions that are asked, each timed by itself.
const QUESTIONS: usize = 10_000;

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = env::args().skip(1).map(PathBuf::from).collect();
    let (Some(state), true) = (paths.first(), paths.len() <= 2) else {
        println!("usage: connectivity STATE [OTHER_STATE]");
        return ExitCode::from(2);
    };
    let Some(inventory) = loaded(state) else { return ExitCode::from(2) };
    let started = Instant::now();
    let world = inventory.world(true);
    println!("{:<34}{:>10.3} ms", "view of it", millis(started.elapsed()));
    questions(&world);
    println!("{:<34}{:>10} MB", "peak memory so far", peak_memory() / 1_000);
    let Some(other) = paths.get(1) else { return ExitCode::SUCCESS };
    let Some(other) = loaded(other) else { return ExitCode::from(2) };
    let started = Instant::now();
    match difference(&world, &other.world(true), Limit::COMMAND) {
        Ok(found) => {
            println!("{:<34}{:>10.3} s, {} rows", "compared in", started.elapsed().as_secs_f64(), found.rows.len())
        }
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}

fn loaded(path: &Path) -> Option<Inventory> {
    let started = Instant::now();
    let loaded = load(&manifest::read(&[path.to_owned()]), DEFAULT_NAMESPACE);
    let took = started.elapsed();
    for problem in &loaded.problems {
        println!("{problem}");
    }
    let (mut pods, mut policies) = (0, 0);
    for namespace in loaded.inventory.namespaces() {
        pods += namespace.pods.len();
        policies += namespace.policies.len();
    }
    println!("{}: {} namespaces, {pods} pods, {policies} policies", name(path), loaded.inventory.len());
    println!("{:<34}{:>10.3} s", "loaded in", took.as_secs_f64());
    loaded.problems.is_empty().then_some(loaded.inventory)
}

/// Asks from pods all over the cluster to pods all over it, in strides that have nothing in common with its layout.
fn questions(world: &World<'_>) {
    let pods: Vec<&Pod> = world.spaces().flat_map(|space| space.pods.iter().copied()).collect();
    let ports = [80, 443, 5_432, 7_007, 8_080, 9_090];
    let mut allowed = 0;
    let mut times: Vec<Duration> = (0..QUESTIONS)
        .map(|number| {
            let from = End::Pod(pods[number * 7_919 % pods.len()]);
            // Every other question stays near, where policies allow something.
            let near = (number * 7_919 + number % 20) % pods.len();
            let to = End::Pod(pods[if number % 2 == 0 { near } else { number * 104_729 % pods.len() }]);
            let question = Question { from, to, protocol: Protocol::Tcp, port: ports[number % ports.len()] };
            let started = Instant::now();
            let answer = world.ask(question);
            let took = started.elapsed();
            allowed += usize::from(answer.egress.allows() && answer.ingress.allows());
            took
        })
        .collect();
    times.sort();
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    println!("{:<34}{QUESTIONS:>10}, {allowed} of them allowed", "questions");
    println!("{:<34}{:>10.1} µs", "median", micros(times[times.len() / 2]));
    println!("{:<34}{:>10.1} µs", "longest", micros(times[times.len() - 1]));
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Most memory the process ever had, in kB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
