//! What all scenarios share: how long they last, and who runs them.

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
