//! One connection, from its first byte to its last.
//!
//! ```text
//! accepted ──> TLS ──> first request whole ──> idle <──> at work ──> closed
//!     └──── one deadline over all of these ───┘  └ idle timeout
//! ```
//!
//! A single deadline covers everything up to the end of the first request: hyper's own timeouts begin only after it has
//! made out the protocol, so that silence, half an HTTP/2 preface or a slow body would hold a connection for ever.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From being accepted to the last byte of the first request.
    pub first_request: Duration,
    /// Between requests. Longer than the 90 s after which the API server's client gives up an idle connection: were we
    /// first, our close could cross a request on the wire.
    pub idle: Duration,
    /// For the last bytes of an answer to arrive after which the connection is to be closed.
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { first_request: Duration::from_secs(10), idle: Duration::from_secs(120), linger: Duration::from_secs(1) }
    }
}

/// What the requests of a connection and its guardian tell each other.
#[derive(Debug)]
pub(super) struct Activity {
    first_deadline: Instant,
    timeouts: Timeouts,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    first_is_whole: bool,
    at_work: usize,
    /// When the last request ended; `None` before there was one.
    idle_since: Option<Instant>,
}

impl Activity {
    pub(super) fn new(timeouts: Timeouts, accepted: Instant) -> Self {
        let now = Now { first_is_whole: false, at_work: 0, idle_since: None };
        Self { first_deadline: accepted + timeouts.first_request, timeouts, now: Mutex::new(now) }
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        // The counters hold through a panic of whoever had them.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A whole request has arrived.
    pub(super) fn request_is_whole(&self) {
        self.now().first_is_whole = true;
    }

    /// Until when the body that is being read must be there: set for the first request only.
    pub(super) fn body_deadline(&self) -> Option<Instant> {
        (!self.now().first_is_whole).then_some(self.first_deadline)
    }

    pub(super) fn first_deadline(&self) -> Instant {
        self.first_deadline
    }

    /// When to look whether the connection should be closed.
    fn look_at(&self) -> Instant {
        let Timeouts { idle, linger, .. } = self.timeouts;
        let now = self.now();
        let idle_since = now.idle_since.unwrap_or(self.first_deadline);
        match (now.first_is_whole, now.at_work) {
            (false, 0) if now.idle_since.is_none() => self.first_deadline,
            // The deadline for the body was the same, and was answered with 408: leave that a moment to be sent.
            (false, 0) => self.first_deadline.max(idle_since + linger),
            (false, _) => self.first_deadline + linger,
            (true, 0) => idle_since + idle,
            (true, _) => Instant::now() + idle,
        }
    }

    /// Whether there is nothing, or nothing any more, to answer: a moment after the last answer.
    fn is_done(&self) -> bool {
        let now = self.now();
        let sent = now.idle_since.is_none_or(|since| since + self.timeouts.linger <= Instant::now());
        now.at_work == 0 && sent
    }

    /// Whether the time for the first request is over.
    fn is_too_slow(&self) -> bool {
        !self.now().first_is_whole && self.look_at() <= Instant::now()
    }
}

/// Marks an answer to a request whose rest was no longer waited for: it counts as no whole first request.
#[derive(Clone, Copy, Debug)]
pub(super) struct GivenUp;

/// Counts a request while it is at work, also when it ends by a panic or because its client has gone.
struct AtWork(Arc<Activity>);

impl AtWork {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.now().at_work += 1;
        Self(Arc::clone(activity))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.at_work -= 1;
        now.idle_since = Some(Instant::now());
    }
}

/// The router, with an eye on when requests begin and end.
struct Watched {
    router: Router,
    activity: Arc<Activity>,
    draining: CancellationToken,
}

impl hyper::service::Service<Request<Incoming>> for Watched {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let at_work = AtWork::begin(&self.activity);
        let activity = Arc::clone(&self.activity);
        if request.body().is_end_stream() {
            activity.request_is_whole();
        }
        request.extensions_mut().insert(Arc::clone(&activity));
        let draining = self.draining.clone();
        let may_race = request.version() < Version::HTTP_2;
        let answer = self.router.clone().oneshot(request.map(Body::new));
        Box::pin(async move {
            let mut answer = answer.await;
            if let Ok(answer) = &mut answer
                && may_race
                && draining.is_cancelled()
            {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            // Refused before its end was read, it is done as far as the client's duty goes; unless for being too slow.
            let given_up = answer.as_ref().is_ok_and(|answer| answer.extensions().get::<GivenUp>().is_some());
            if !given_up && Instant::now() < activity.first_deadline {
                activity.request_is_whole();
            }
            drop(at_work);
            answer
        })
    }
}

/// The HTTP settings shared by all connections of a listener.
#[derive(Clone)]
pub(super) struct Http {
    builder: auto::Builder<TokioExecutor>,
    draining: CancellationToken,
}

impl Http {
    /// Once `draining` is cancelled, answers over HTTP/1.1 ask the client to close the connection. Were we to close it
    /// between two requests, that could cross the next one on the wire, and whoever sent a POST may not try it again: the
    /// API server, which speaks HTTP/1.1 to webhooks, tells its user of an EOF. HTTP/2 has GOAWAY for this.
    pub(super) fn new(h2_max_streams: u32, draining: CancellationToken) -> Self {
        /// More than any API server sends, and little enough to be held 4,096 times.
        const HEADERS: u32 = 32 * 1024;
        const H1_BUFFER: usize = 64 * 1024;
        const H2_STREAM_WINDOW: u32 = 256 * 1024;
        const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // No header timeout: hyper counts the idle time before a request as reading its headers. `Activity` does both.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(H1_BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(h2_max_streams)
            .max_header_list_size(HEADERS)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        Self { builder, draining }
    }

    /// Serves a connection until it ends, `stop` is cancelled and its requests are answered, or it takes too long.
    pub(super) async fn serve<S>(&self, io: S, router: Router, activity: Arc<Activity>, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = Watched { router, activity: Arc::clone(&activity), draining: self.draining.clone() };
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(io), service));
        let linger = activity.timeouts.linger;
        let mut closing = false;
        let mut look = pin!(sleep_until(activity.look_at()));
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = stop.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                    look.as_mut().reset(Instant::now() + linger);
                }
                () = look.as_mut() => {
                    if activity.is_too_slow() || (closing && activity.is_done()) {
                        return;
                    }
                    let due = activity.look_at();
                    if due <= Instant::now() {
                        closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    look.as_mut().reset(if closing { Instant::now() + linger } else { due });
                }
            }
        }
    }
}
