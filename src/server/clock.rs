//! The one place that reads the wall clock.
//!
//! Everything else gets the time as an argument, so that verdicts, certificates and their expiry can be replayed.

use jiff::Timestamp;

/// The time now.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}
