//! Reading a request's body within limits of size, time and memory.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Why there is no body to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than the limit of {limit} bytes; raise it with --max-body")]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("too many large requests at once; try again")]
    NoMemory,
    #[error("the body could not be read")]
    Broken,
}

/// A whole body, and its share of the memory that all of them may take together.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) _share: Option<OwnedSemaphorePermit>,
}

/// Memory for the bodies of all requests together, counted in bytes.
#[derive(Clone, Debug)]
pub(super) struct Memory(Arc<Semaphore>);

impl Memory {
    /// What each request may take without asking: reviews of usual size are let in however many large ones there are.
    const FREE: usize = 64 * 1024;

    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Sees to it that a body that grew to `length` has its share.
    fn grow(&self, share: &mut Option<OwnedSemaphorePermit>, length: usize) -> Result<(), BodyError> {
        let have = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = length.saturating_sub(Self::FREE).saturating_sub(have);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| BodyError::NoMemory)?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| BodyError::NoMemory)?;
        match share {
            Some(share) => share.merge(taken),
            None => *share = Some(taken),
        }
        Ok(())
    }
}

/// Reads a body of at most `limit` bytes. One that is larger is read on to twice the limit and forgotten: a client that is
/// still sending when the connection closes would see a reset instead of the answer.
pub(super) async fn read(mut body: Body, limit: usize, deadline: Instant, memory: &Memory) -> Result<Whole, BodyError> {
    let mut kept = Kept::Nothing;
    let mut share = None;
    let mut length = 0_usize;
    let patience = limit.saturating_mul(2);
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) if length <= limit => return Ok(Whole { bytes: kept.into_bytes(), _share: share }),
            // Too large already, whatever else is wrong with it.
            _ if length > limit => return Err(BodyError::TooLarge { limit }),
            Err(_) => return Err(BodyError::TooSlow),
            Ok(_) => return Err(BodyError::Broken),
        };
        // Trailers mean nothing here.
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > patience {
            return Err(BodyError::TooLarge { limit });
        }
        if length > limit {
            kept = Kept::Nothing;
            share = None;
        } else {
            memory.grow(&mut share, length)?;
            kept.push(data);
        }
    }
}

/// The body so far. Most arrive in one piece, which is then not copied.
enum Kept {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Kept {
    fn push(&mut self, data: Bytes) {
        match self {
            Self::Nothing => *self = Self::One(data),
            Self::One(first) => {
                let mut many = BytesMut::with_capacity(2 * (first.len() + data.len()));
                many.extend_from_slice(first);
                many.extend_from_slice(&data);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.extend_from_slice(&data),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::{StreamExt, stream};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn pieces(lengths: &[usize]) -> Body {
        let pieces: Vec<_> =
            lengths.iter().map(|length| Ok::<_, Infallible>(Bytes::from(vec![b'x'; *length]))).collect();
        Body::from_stream(stream::iter(pieces))
    }

    fn plenty() -> Memory {
        Memory::new(usize::MAX)
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_arrives_whole() {
        for lengths in [&[][..], &[10], &[4, 6], &[1, 2, 3, 4], &[0, 10, 0]] {
            let whole = read(pieces(lengths), 10, soon(), &plenty()).await.unwrap();
            assert_eq!(whole.bytes.len(), lengths.iter().sum::<usize>());
        }
    }

    #[tokio::test]
    async fn a_larger_one_is_read_to_twice_the_limit_and_no_further() {
        let over = read(pieces(&[11]), 10, soon(), &plenty()).await.unwrap_err();
        assert_eq!(over, BodyError::TooLarge { limit: 10 });
        let unread = stream::iter([Ok::<_, Infallible>(Bytes::from_static(&[0; 21]))])
            .chain(stream::poll_fn(|_| panic!("read beyond twice the limit")));
        let over = read(Body::from_stream(unread), 10, soon(), &plenty()).await.unwrap_err();
        assert_eq!(over, BodyError::TooLarge { limit: 10 });
    }

    #[tokio::test]
    async fn up_to_there_every_piece_is_taken_from_the_client() {
        let taken = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&taken);
        let counted = stream::iter([5; 4]).map(move |length| {
            seen.fetch_add(length, Ordering::SeqCst);
            Ok::<_, Infallible>(Bytes::from(vec![b'x'; length]))
        });
        let over = read(Body::from_stream(counted), 10, soon(), &plenty()).await.unwrap_err();
        assert_eq!((over, taken.load(Ordering::SeqCst)), (BodyError::TooLarge { limit: 10 }, 20));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let stalled = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"x"))]).chain(stream::pending());
        assert_eq!(read(Body::from_stream(stalled), 10, soon(), &plenty()).await.unwrap_err(), BodyError::TooSlow);
        // One byte at a time does not win more time.
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        });
        assert_eq!(read(Body::from_stream(trickle), 1000, soon(), &plenty()).await.unwrap_err(), BodyError::TooSlow);
    }

    #[tokio::test]
    async fn large_bodies_share_the_memory_and_give_it_back() {
        let memory = Memory::new(100_000);
        let limit = 1_000_000;
        let large = || pieces(&[80_000, 80_000]);
        let first = read(large(), limit, soon(), &memory).await.unwrap();
        assert_eq!(read(large(), limit, soon(), &memory).await.unwrap_err(), BodyError::NoMemory);
        read(pieces(&[60_000]), limit, soon(), &memory).await.expect("a small one needs no share");
        drop(first);
        read(large(), limit, soon(), &memory).await.unwrap();
    }

    #[tokio::test]
    async fn a_body_cut_off_is_told_apart() {
        let cut = stream::iter([Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("gone"))]);
        assert_eq!(read(Body::from_stream(cut), 10, soon(), &plenty()).await.unwrap_err(), BodyError::Broken);
    }
}
