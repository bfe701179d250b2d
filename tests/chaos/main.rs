//! What must not be able to stop a cluster, tried on the real binary and a real API server: faults under load, slow and
//! greedy clients, namespaces that must end.
//!
//! Run by `tests/chaos.sh`, which installs what this needs and shows the summary. `PORTCULLIS_CHAOS=quick` shortens it.

// The modules carry `cfg(test)` for the reason that `harness` gives.
#[cfg(test)]
mod attackers;
#[cfg(test)]
mod balancer;
#[cfg(test)]
mod client;
#[cfg(test)]
mod deletions;
#[cfg(test)]
mod faults;
#[path = "../cluster/harness/mod.rs"]
mod harness;
#[cfg(test)]
mod load;
#[cfg(test)]
#[path = "../cluster/manifests.rs"]
#[expect(dead_code, reason = "this needs a part of what tests/cluster applies")]
mod manifests;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod report;
#[cfg(test)]
mod self_managed;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod tally;

use std::time::Duration;

/// Whether this run is to be short.
pub(crate) fn quick() -> bool {
    std::env::var_os("PORTCULLIS_CHAOS").is_some_and(|value| value == "quick")
}

/// Threads for the load, the balancer and the clients; what happens to the servers is done by the test's own.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    portcullis::server::install_provider();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// [`std::thread::sleep`], for how long a phase lasts in a short and in a full run.
pub(crate) fn pause(quick_seconds: u64, full_seconds: u64) {
    std::thread::sleep(Duration::from_secs(if quick() { quick_seconds } else { full_seconds }));
}
