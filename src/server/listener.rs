//! Accepting connections, within limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls_pki_types::CertificateDer;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::app;
use super::client_auth::{Rarely, is_about_the_caller};
use super::clock;
use super::conn::{Activity, Http, Timeouts};
use super::lingering::Lingering;
use super::metrics::Metrics;
use super::tls::Live;

/// Whom a listener lets in, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Connections held at once; more wait in the kernel's queue until one is closed.
    pub max_connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub h2_max_streams: u32,
    /// How long a connection may take for what.
    pub timeouts: Timeouts,
}

impl Default for Transport {
    fn default() -> Self {
        Self { max_connections: 4096, h2_max_streams: 128, timeouts: Timeouts::default() }
    }
}

/// A listener at work. Dropping it ends everything it began.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    draining: CancellationToken,
    stop: CancellationToken,
    connections: TaskTracker,
    _end: DropGuard,
}

impl Listening {
    /// From now on clients are asked with each answer to connect elsewhere.
    pub(super) fn drain(&self) {
        self.draining.cancel();
    }

    /// Accepts nothing more, lets the requests at work end, and returns when all connections are closed.
    pub(super) async fn finish(&self) {
        self.stop.cancel();
        self.connections.close();
        self.connections.wait().await;
    }

    /// Connections still open.
    pub(super) fn open(&self) -> usize {
        self.connections.len()
    }
}

/// What every connection of a listener needs.
struct Shared {
    router: Router,
    tls: Option<Arc<Live>>,
    /// For callers whose certificate has no accepted name.
    refusal: Router,
    told: Rarely,
    http: Http,
    transport: Transport,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    end: CancellationToken,
}

/// Serves `router` to whoever connects, over TLS when `tls` is given.
///
/// # Errors
/// A listener that has lost its socket.
pub(super) fn listen(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Live>>,
    transport: Transport,
    metrics: Arc<Metrics>,
) -> io::Result<Listening> {
    let address = listener.local_addr()?;
    let (stop, end) = (CancellationToken::new(), CancellationToken::new());
    let connections = TaskTracker::new();
    let draining = CancellationToken::new();
    let http = Http::new(transport.h2_max_streams, draining.clone());
    let (refusal, told) = (app::refusal(Arc::clone(&metrics)), Rarely::default());
    let shared = Shared { router, tls, refusal, told, http, transport, metrics, stop: stop.clone(), end: end.clone() };
    // Tracked as well, so that `finish` returns only when the port is free.
    connections.spawn(accept(listener, Arc::new(shared), connections.clone()));
    Ok(Listening { address, draining, stop, connections, _end: end.drop_guard() })
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, connections: TaskTracker) {
    let places = Arc::new(Semaphore::new(shared.transport.max_connections));
    loop {
        let accepted = async {
            // The place first: what is not accepted costs us nothing.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.end.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                // The operations port's would only tell of the scraper.
                let counted = shared.tls.is_some().then(|| shared.metrics.connected());
                connections.spawn(async move {
                    tokio::select! {
                        () = shared.end.cancelled() => {}
                        () = serve(stream, &shared) => {}
                    }
                    drop((place, counted));
                });
            }
            // The client was gone before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Most likely out of file descriptors, which would fail again at once.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: &Shared) {
    let timeouts = shared.transport.timeouts;
    let activity = Arc::new(Activity::new(timeouts, Instant::now()));
    // Without it Nagle's algorithm holds answers back: 45 ms instead of 3 at the 99th percentile of 100 kB over HTTP/2.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let stream = Lingering::new(stream, timeouts.linger);
    let Some(live) = &shared.tls else {
        shared.http.serve(stream, shared.router.clone(), activity, &shared.stop).await;
        return;
    };
    let Some(config) = live.config() else {
        shared.metrics.handshake_failed();
        return;
    };
    let handshake = TlsAcceptor::from(config).accept(stream).into_fallible();
    let stream = tokio::select! {
        // No request has arrived on it yet, so nobody loses an answer.
        () = shared.stop.cancelled() => return,
        shaken = timeout_at(activity.first_deadline(), handshake) => match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, mut stream))) => {
                shared.handshake_failed(&error);
                // A client of TLS 1.3 sends its request before it learns of the refusal, which a reset would take from it.
                return stream.shutdown().await.unwrap_or_default();
            }
            Err(_) => {
                shared.metrics.handshake_failed();
                return;
            }
        },
    };
    let router = shared.router_for(stream.get_ref().1.peer_certificates(), live).clone();
    shared.http.serve(stream, router, activity, &shared.stop).await;
}

impl Shared {
    fn handshake_failed(&self, error: &io::Error) {
        self.metrics.handshake_failed();
        if is_about_the_caller(error) && self.told.now(clock::now()) {
            tracing::warn!(%error, "a caller without a certificate of --client-ca was refused");
        } else {
            tracing::debug!(%error, "a TLS handshake failed");
        }
    }

    /// The webhook for callers that are let in, the refusal for others.
    fn router_for(&self, chain: Option<&[CertificateDer<'_>]>, live: &Live) -> &Router {
        let Some(names) = live.clients.as_ref().and_then(|clients| clients.refused(chain)) else {
            return &self.router;
        };
        if self.told.now(clock::now()) {
            tracing::warn!(?names, "a caller was refused: its certificate has no name of --client-name");
        }
        &self.refusal
    }
}

/// Raises the limit of open files so that `connections` fit; without, a shell's usual 1,024 would be the limit of
/// connections, and files could no longer be read at it.
pub(super) fn make_room_for(connections: usize) {
    /// Certificates, the inventory's watches, log files.
    const OTHERS: u64 = 256;
    let wanted = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return };
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    if raised.is_err() || possible < wanted {
        tracing::warn!(
            current,
            wanted,
            "the limit of open files is below the limit of connections; raise it (ulimit -n)"
        );
    }
}
