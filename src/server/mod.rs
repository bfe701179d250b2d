//! The HTTPS server of the webhook and the operations port beside it.
//!
//! ```text
//! listener ─ conn ─ app ─ webhook's routes        cert_store ─ certs     who we are
//! listener ─ conn ─ ops ─ metrics                 tls ─ pair             what is shown, and its reload
//!                                                 client_auth            whom we let in
//!                                                 self_managed           a certificate kept in a Secret
//! ```
//!
//! [`serve`] puts them together: certificates first, then both ports, then readiness; and takes them apart in the order in
//! which nobody is left without an answer.

pub mod app;
mod body;
pub mod cert_store;
pub mod certs;
mod client_auth;
pub mod clock;
mod conn;
mod last_good;
mod lingering;
mod listener;
pub mod metrics;
pub mod ops;
mod pair;
mod readers;
pub mod self_managed;
mod stop;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

pub use app::{Limits, app};
pub use client_auth::ClientAuth;
pub use conn::Timeouts;
pub use listener::Transport;
pub use metrics::Metrics;
pub use ops::{Check, ConfigView, Health, Ops, Probe, ops_router};
pub use stop::{StopRequests, Stopper};
pub use tls::{Supply, TlsError, TlsOptions, install_provider};

use crate::x509;
use listener::Listening;

/// The longest wait between being unready and refusing connections. Endpoints take about that long to reach every
/// node, and until then new requests still come here.
const LONGEST_DRAIN: Duration = Duration::from_secs(2);

/// How a server is set up.
#[derive(Clone)]
pub struct Options {
    /// Where the webhook listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the operations port listens, in plain HTTP.
    pub ops_listen: SocketAddr,
    /// The serving certificate.
    pub tls: TlsOptions,
    /// Which callers of the webhook are let in; everybody without it. The operations port asks nobody.
    pub clients: Option<ClientAuth>,
    /// How often the certificate is looked at.
    pub tls_poll: Duration,
    /// From being asked to stop to being gone, at most.
    pub shutdown_grace: Duration,
    /// What the webhook takes on.
    pub limits: Limits,
    /// Whom the webhook's listener lets in.
    pub transport: Transport,
}

impl Options {
    /// The defaults for everything but the addresses and the certificate.
    #[must_use]
    pub fn new(listen: SocketAddr, ops_listen: SocketAddr, tls: TlsOptions) -> Self {
        Self {
            listen,
            ops_listen,
            tls,
            clients: None,
            tls_poll: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(20),
            limits: Limits::default(),
            transport: Transport::default(),
        }
    }
}

/// The addresses a server ended up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The webhook's.
    pub webhook: SocketAddr,
    /// The operations port's.
    pub ops: SocketAddr,
}

/// Why a server did not start, or did not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port is not to be had.
    #[error("cannot listen on {address}: {}; choose another with {flag}", in_words(source))]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The option that sets it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate to serve.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// A second request to stop came before everything was answered.
    #[error("stopped at once, as asked twice: {open} connections were cut off")]
    Cut {
        /// Connections that were open.
        open: usize,
    },
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address in use".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted to use this port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// Serves until SIGTERM or SIGINT, and then for as long as requests are at work, within `shutdown_grace`. `on_ready` is
/// called once both ports are open.
///
/// # Errors
/// A certificate or port that cannot be had, or a second signal before all was answered.
pub async fn serve(
    options: Options,
    webhook: Router,
    ops: Ops,
    on_ready: impl FnOnce(&Bound),
) -> Result<(), ServeError> {
    let stop = StopRequests::from_signals().map_err(ServeError::Signals)?;
    serve_until(options, webhook, ops, stop, on_ready).await
}

/// [`serve`], with the requests to stop coming from `stop`.
///
/// # Errors
/// As [`serve`].
pub async fn serve_until(
    options: Options,
    webhook: Router,
    ops: Ops,
    mut stop: StopRequests,
    on_ready: impl FnOnce(&Bound),
) -> Result<(), ServeError> {
    /// Probes and scrapers are few.
    const OPS: usize = 256;
    listener::make_room_for(options.transport.max_connections + OPS);
    let metrics = Arc::clone(ops.metrics());
    let keeper = tls::Keeper::start(options.tls, options.clients, clock::now())?;
    let live = keeper.live();
    metrics.set_tls_not_after(live.not_after());
    metrics.set_max_connections(options.transport.max_connections);

    let webhook_socket = bind(options.listen, "--listen").await?;
    let ops_socket = bind(options.ops_listen, "--ops-listen").await?;
    let limits = Limits { metrics: Some(Arc::clone(&metrics)), ..options.limits };
    let shown = Arc::clone(&live);
    let noted = Arc::clone(&live);
    let ops = ops
        .check("tls", Arc::new(move || shown.check(clock::now())))
        .note("tls", Arc::new(move || noted.note(clock::now())));
    let lost = |address, flag| move |source| ServeError::Listen { address, flag, source };
    let (routes, ops_routes) = (app(webhook, &limits), ops_router(ops.clone()));
    let ops_transport = Transport { max_connections: OPS, h2_max_streams: 16, ..options.transport };
    let webhook = listener::listen(webhook_socket, routes, Some(live), options.transport, Arc::clone(&metrics))
        .map_err(lost(options.listen, "--listen"))?;
    let ops_port = listener::listen(ops_socket, ops_routes, None, ops_transport, Arc::clone(&metrics))
        .map_err(lost(options.ops_listen, "--ops-listen"))?;
    let _keep = AbortOnDropHandle::new(tokio::spawn(keeper.keep(options.tls_poll, metrics)));

    on_ready(&Bound { webhook: webhook.address, ops: ops_port.address });
    stop.next().await;
    ops.stop();
    tracing::info!("asked to stop: not ready any more");
    wind_down(&webhook, options.shutdown_grace, &mut stop).await?;
    // The operations port goes last, so that probes and scrapers see the whole of the stop. Nobody there is waited for.
    let _ = timeout_at(Instant::now() + Duration::from_millis(100), ops_port.finish()).await;
    tracing::info!("stopped");
    Ok(())
}

/// Ends a listener in order: first nothing but being unready and saying so to clients, then no new connections, then no new requests.
async fn wind_down(webhook: &Listening, grace: Duration, stop: &mut StopRequests) -> Result<(), ServeError> {
    let deadline = Instant::now() + grace;
    webhook.drain();
    let finish = async {
        sleep(LONGEST_DRAIN.min(grace / 4)).await;
        timeout_at(deadline, webhook.finish()).await
    };
    tokio::select! {
        finished = finish => {
            if finished.is_err() {
                tracing::warn!(open = webhook.open(), "the grace period is over: cutting off what is left");
            }
            Ok(())
        }
        () = stop.next() => Err(ServeError::Cut { open: webhook.open() }),
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, flag, source })
}
