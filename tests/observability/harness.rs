//! The process under test, as the tests against a cluster start it.

#[path = "../cluster/harness/http.rs"]
mod http;
#[path = "../cluster/harness/process.rs"]
#[expect(dead_code, reason = "the tests against a cluster use the rest")]
mod process;
#[path = "../cluster/harness/wait.rs"]
mod wait;
#[path = "../cluster/harness/webhook.rs"]
#[expect(dead_code, reason = "the tests against a cluster use the rest")]
mod webhook;

pub(crate) use process::Process;
pub(crate) use wait::wait_until;
pub(crate) use webhook::{Webhook, WebhookOptions};

/// Status and body of a path on loopback; nothing when nobody answers.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    http::get(port, path).ok()
}

/// A port that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    let [port] = wait::free_ports();
    port
}
