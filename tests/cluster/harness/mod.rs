//! A real API server for the tests: `etcd` and `kube-apiserver` as plain processes on loopback, the real `portcullis`
//! binary as their webhook, and the real `kubectl` as the person in front of them.
//!
//! ```text
//!   test ── kubectl ──► kube-apiserver ──► etcd          Cluster: one a test, in a temporary folder of its own
//!                            │  ▲
//!       ValidatingWebhook-   │  │ --kubeconfig
//!       Configuration        ▼  │
//!                         portcullis serve               Webhook: kill, terminate, restart on the same ports
//! ```
//!
//! | piece | what it is for |
//! |---|---|
//! | [`Cluster`] | start, stop and restart the API server; `kubectl`, namespaces, registration of the webhook |
//! | [`Webhook`] | the process under test: its ports, certificate folder, metrics, log, and ways to end it |
//! | [`Outcome`] | what one run of `kubectl` came to, with assertions that print everything when they fail |
//! | [`Registration`] | the `ValidatingWebhookConfiguration`; registering waits until it is in force |
//! | [`wait_until`] | the one way to wait: bounded, and it says what it waited for |
//!
//! Everything blocks, every wait has an end, and every process is ended through its own handle.

// The modules carry `cfg(test)` although the whole target is one: clippy takes functions that are not themselves tests
// for test code only below such a module, and helpers may panic as tests do.
#[cfg(test)]
mod assets;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod http;
#[cfg(test)]
mod kubectl;
#[cfg(test)]
mod process;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod selftest;
#[cfg(test)]
mod wait;
#[cfg(test)]
mod webhook;

pub(crate) use cluster::Cluster;
pub(crate) use kubectl::{Outcome, User};
pub(crate) use registration::{Registration, base64};
pub(crate) use wait::wait_until;
pub(crate) use webhook::{Webhook, WebhookOptions};
