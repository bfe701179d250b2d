//! Which of the requests that pass without a word are logged.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

/// The share of plain allows that have a line in the log. What any rule has something to say about always has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogAllowed(f64);

/// A share that is none.
#[derive(Debug, thiserror::Error)]
#[error("want all, none, or a share from 0 to 1 such as 0.01")]
pub struct NotAShare;

impl LogAllowed {
    /// Every one.
    pub const ALL: Self = Self(1.0);
    /// Not one.
    pub const NONE: Self = Self(0.0);

    /// Whether the request of this uid is among them.
    ///
    /// The uid decides, which the API server draws at random: the same request is picked or not wherever it is asked, and
    /// a larger share holds all that a smaller one does.
    #[must_use]
    pub fn picks(self, uid: &str) -> bool {
        /// As many bits as an `f64` holds exactly.
        const BITS: u32 = 53;
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        let drawn = (hasher.finish() >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64;
        drawn < self.0
    }
}

impl FromStr for LogAllowed {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        match text {
            "all" => Ok(Self::ALL),
            "none" => Ok(Self::NONE),
            ratio => ratio.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Self).ok_or(NotAShare),
        }
    }
}

#[cfg(test)]
mod tests;
