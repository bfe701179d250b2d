//! What an operator sees of Portcullis: metrics, log, alerts and dashboard, with the real binary, a real Prometheus
//! scraping it, and promtool.
//!
//! ```text
//!   test ── reviews ──► portcullis serve ── list, watch ──► an API server that only lists
//!    │                        ▲
//!    │ queries                │ a scrape a second
//!    └──────► Prometheus ─────┘   with deploy/observability/alerts.yaml
//! ```
//!
//! `tests/observability/install.sh` puts Prometheus where these tests look for it. Every process is ended by its own handle.

// The modules carry `cfg(test)` although the whole target is one, so that clippy takes their helpers for test code.
#[cfg(test)]
mod assets;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod fake_cluster;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod live;
#[cfg(test)]
mod log;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod promql;
#[cfg(test)]
mod reviews;
#[cfg(test)]
mod rules;
