//! When to stop: SIGTERM and SIGINT, or a test's own word.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// The requests to stop, one after the other: the first begins an orderly stop, a second ends it at once.
#[derive(Debug)]
pub struct StopRequests(Source);

#[derive(Debug)]
enum Source {
    Signals { terminate: Signal, interrupt: Signal },
    Manual(mpsc::UnboundedReceiver<()>),
}

/// Asks a server made with [`StopRequests::manual`] to stop.
#[derive(Clone, Debug)]
pub struct Stopper(mpsc::UnboundedSender<()>);

impl Stopper {
    /// As a SIGTERM would.
    pub fn stop(&self) {
        // An error means that the server is gone already.
        let _ = self.0.send(());
    }
}

impl StopRequests {
    /// The signals sent to this process. From here on they no longer end it by themselves.
    ///
    /// # Errors
    /// Whatever keeps the system from delivering signals.
    pub fn from_signals() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self(Source::Signals { terminate, interrupt }))
    }

    /// For tests and for embedding.
    #[must_use]
    pub fn manual() -> (Stopper, Self) {
        let (send, receive) = mpsc::unbounded_channel();
        (Stopper(send), Self(Source::Manual(receive)))
    }

    /// Waits for the next request; with nobody left to ask, for ever.
    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Source::Signals { terminate, interrupt } => {
                tokio::select! {
                    Some(()) = terminate.recv() => {}
                    Some(()) = interrupt.recv() => {}
                    else => pending().await,
                }
            }
            Source::Manual(receive) => match receive.recv().await {
                Some(()) => {}
                None => pending().await,
            },
        }
    }
}
