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
#[expect(dead_code, unused_imports, reason = "this needs a part of what the tests of tests/cluster do")]
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
mod run;
#[cfg(test)]
mod self_managed;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod tally;
