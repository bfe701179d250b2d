//! The last good state of something that is read from outside again and again.

use sha2::{Digest, Sha256};

use super::tls::TlsError;

/// Something read from outside: the last good state of it, and what was looked at last, good or bad, so that a bad state
/// is reported once and not at every look.
pub(super) struct Part<T> {
    pub(super) good: Option<T>,
    seen: Option<[u8; 32]>,
    /// What is wrong with what is there now.
    pub(super) trouble: Option<String>,
}

/// What a look at a [`Part`] has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// Nothing changed.
    Same,
    /// What is there now is good, and taken.
    New,
    /// What is there now is not good; what was stays.
    Bad,
}

impl<T> Part<T> {
    pub(super) fn new() -> Self {
        Self { good: None, seen: None, trouble: None }
    }

    /// Takes over what was found, if it is new and good.
    pub(super) fn look<C>(
        &mut self,
        found: Result<C, TlsError>,
        hash: impl Fn(&C) -> [u8; 32],
        read: impl FnOnce(&C) -> Result<T, TlsError>,
    ) -> Result<Looked, TlsError> {
        let seen = found.as_ref().ok().map(hash);
        if seen == self.seen && (seen.is_some() || self.trouble.is_some()) {
            return Ok(Looked::Same);
        }
        self.seen = seen;
        match found.and_then(|contents| read(&contents)) {
            Ok(good) => {
                self.good = Some(good);
                self.trouble = None;
                Ok(Looked::New)
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                Err(error)
            }
        }
    }
}

/// A fingerprint of contents in their order.
pub(super) fn hash(contents: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for bytes in contents {
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}
