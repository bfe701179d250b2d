//! All HTTP behaviour around the webhook's routes: sizes, times, overload, and errors as JSON.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

use super::body::{self, BodyError, Memory};
use super::conn::{Activity, GivenUp};
use super::metrics::Metrics;
use super::readers::Readers;

/// How much the webhook takes on.
#[derive(Clone)]
pub struct Limits {
    /// The largest body that is judged.
    pub max_body: usize,
    /// How long a body may take to arrive, however lively it trickles.
    pub body_deadline: Duration,
    /// Requests judged at once, over all connections.
    pub max_at_work: usize,
    /// Requests whose bodies are being read at once; with one more, the one that has taken longest is given up. Apart from
    /// `max_at_work`, so that slow clients do not keep others from being judged.
    pub max_reading: usize,
    /// Memory for large bodies, all together.
    pub body_memory: usize,
    /// Where answers are counted.
    pub metrics: Option<Arc<Metrics>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 8 * 1024 * 1024,
            body_deadline: Duration::from_secs(10),
            max_at_work: 256,
            max_reading: 2048,
            body_memory: 128 * 1024 * 1024,
            metrics: None,
        }
    }
}

/// Puts the webhook's routes behind the limits. `webhook` must have at least one route.
pub fn app(webhook: Router, limits: &Limits) -> Router {
    let gate = Gate {
        at_work: Arc::new(Semaphore::new(limits.max_at_work)),
        readers: Readers::new(limits.max_reading),
        // At least one body of the largest size must fit.
        memory: Memory::new(limits.body_memory.max(limits.max_body)),
        max_body: limits.max_body,
        body_deadline: limits.body_deadline,
    };
    let routes = webhook
        // axum's own limit is 2 MB unless set.
        .layer(DefaultBodyLimit::max(limits.max_body))
        .route_layer(middleware::from_fn_with_state(gate, admit));
    with_json_errors(routes, limits.metrics.clone())
}

/// Answers for unknown paths, wrong methods and panics, and a count of all answers.
pub(super) fn with_json_errors(routes: Router, metrics: Option<Arc<Metrics>>) -> Router {
    routes
        .method_not_allowed_fallback(|| async {
            error(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
        })
        .fallback(|| async { error(StatusCode::NOT_FOUND, "there is nothing at this path") })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::map_response(move |answer: Response| {
            if let Some(metrics) = &metrics {
                metrics.answered(answer.status());
            }
            std::future::ready(answer)
        }))
}

/// Answers everything with 403, and reads nothing of it.
pub(super) fn refusal(metrics: Arc<Metrics>) -> Router {
    let refused = || async { error(StatusCode::FORBIDDEN, "the client certificate has no name that is accepted here") };
    with_json_errors(Router::new().route("/", any(refused)).route("/{*path}", any(refused)), Some(metrics))
}

/// An error as this server words all of them: `{"error": "one line"}`.
#[must_use]
pub fn error(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "error": message }).to_string();
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}

#[derive(Clone)]
struct Gate {
    at_work: Arc<Semaphore>,
    readers: Readers,
    memory: Memory,
    max_body: usize,
    body_deadline: Duration,
}

impl Gate {
    /// A place among the requests at work.
    fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.at_work).try_acquire_owned().ok()
    }
}

async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    // A wrong method is refused by the router, which knows the right ones; what it sent is not read.
    if request.method() != Method::POST {
        return next.run(request.map(|_| Body::empty())).await;
    }
    if gate.at_work.available_permits() == 0 {
        return overloaded("too many requests at once; try again");
    }
    let (parts, whole) = {
        let (parts, body) = request.into_parts();
        if let Some(answer) = refused_unsent(&parts.headers, gate.max_body) {
            return answer;
        }
        let activity = parts.extensions.get::<Arc<Activity>>();
        let deadline = Instant::now() + gate.body_deadline;
        let deadline =
            activity.and_then(|activity| activity.body_deadline()).map_or(deadline, |first| first.min(deadline));
        let place = gate.readers.enter();
        let read = tokio::select! {
            biased;
            read = body::read(body, gate.max_body, deadline, &gate.memory) => read,
            () = place.lost() => return given_up(),
        };
        match read {
            Ok(whole) => {
                if let Some(activity) = activity {
                    activity.request_is_whole();
                }
                (parts, whole)
            }
            Err(error) => return unread(error),
        }
    };
    // Others may have come first while the body was read.
    let Some(_at_work) = gate.enter() else {
        return overloaded("too many requests at once; try again");
    };
    next.run(Request::from_parts(parts, Body::from(whole.bytes.clone()))).await
}

/// A client that asks before it sends (`Expect: 100-continue`) need not send what is too large.
fn refused_unsent(headers: &HeaderMap, limit: usize) -> Option<Response> {
    let asks = headers.get(header::EXPECT)?.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let length: u64 = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    (asks && length > limit as u64).then(|| unread(BodyError::TooLarge { limit }))
}

fn unread(problem: BodyError) -> Response {
    let status = match problem {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyError::NoMemory => return overloaded(&problem.to_string()),
        BodyError::Broken => StatusCode::BAD_REQUEST,
    };
    error(status, &problem.to_string())
}

/// For a request that has been waited for too long, with others waiting.
fn given_up() -> Response {
    let mut answer = overloaded("too many requests are being sent at once; try again");
    answer.extensions_mut().insert(GivenUp);
    answer
}

fn overloaded(message: &str) -> Response {
    let mut answer = error(StatusCode::TOO_MANY_REQUESTS, message);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

// The signature is tower-http's.
#[expect(clippy::needless_pass_by_value, reason = "tower-http hands the payload over")]
fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of an unknown kind"), "a request's handler panicked; the server goes on");
    error(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the server's log says more")
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
