//! Bounded waiting, and ports to listen on.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often [`wait_until`] asks. Short beside what is waited for, long beside the cost of asking.
const POLL: Duration = Duration::from_millis(50);

/// Below Linux's ephemeral range (32768 and up): a port from inside it may become the local end of somebody's
/// connection while a restarted server is away from it.
const FIRST_PORT: u32 = 12_000;
const PORTS: u32 = 18_000;

/// Asks `ready` until it returns a value, and returns that.
///
/// # Panics
/// After `limit`, naming `what` was waited for.
#[track_caller]
pub(crate) fn wait_until<T>(limit: Duration, what: &str, ready: impl FnMut() -> Option<T>) -> T {
    try_wait_until(limit, ready).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// The same, with nothing after `limit`, for those who have more to say then.
pub(super) fn try_wait_until<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let value = ready();
        if value.is_some() || start.elapsed() >= limit {
            return value;
        }
        thread::sleep(POLL);
    }
}

/// `N` different loopback ports that nobody listened on a moment ago.
///
/// Another process can still be quicker: whoever starts a server on one retries with fresh ports.
pub(super) fn free_ports<const N: usize>() -> [u16; N] {
    // Each process starts somewhere else, and no port is given out twice before the range has been gone through.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(211);
    [(); N].map(|()| {
        (0..PORTS)
            .map(|_| FIRST_PORT + (offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))) % PORTS)
            .filter_map(|port| u16::try_from(port).ok())
            .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
            .expect("no free port on loopback")
    })
}
