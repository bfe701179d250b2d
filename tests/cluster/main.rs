//! The real binary, the real `kubectl`, a real API server: verdicts as a user gets them.
//!
//! Run by `tests/run.sh`, which installs what this needs. Each test has a cluster of its own.

// The modules carry `cfg(test)` for the reason that `harness` gives.
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod cookbook;
#[cfg(test)]
mod default_deny;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod egress;
mod harness;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
#[path = "../literate/literate.rs"]
#[expect(dead_code, reason = "sections that are continued are for tests/literate.rs")]
mod literate;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod namespaces;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod overlays;
#[cfg(test)]
#[path = "../serve/pki.rs"]
#[expect(dead_code, reason = "chains of certificates are for tests/serve.rs")]
mod pki;
#[cfg(test)]
#[path = "../literate/recipes.rs"]
#[expect(dead_code, reason = "titles and places are for tests/cookbook.rs")]
mod recipes;
#[cfg(test)]
mod written;
