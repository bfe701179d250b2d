//! The operations port: liveness, readiness, metrics and the rule set in force.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use super::app::with_json_errors;
use super::metrics::Metrics;

/// Says whether one part is ready, or why not.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What should be known of a part although it is ready.
pub type Note = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Describes the rule set in force.
pub type ConfigView = Arc<dyn Fn() -> Value + Send + Sync>;

/// Brings metrics up to date that nobody else sets.
pub type Refresh = Arc<dyn Fn(&Metrics) + Send + Sync>;

/// What the operations port tells.
#[derive(Clone)]
pub struct Ops {
    checks: Vec<(String, Check)>,
    notes: Vec<(String, Note)>,
    metrics: Arc<Metrics>,
    config: ConfigView,
    refresh: Option<Refresh>,
    stopping: Arc<AtomicBool>,
}

impl Ops {
    /// `config` is asked for each answer at `/config`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, config: ConfigView) -> Self {
        Self { checks: Vec::new(), notes: Vec::new(), metrics, config, refresh: None, stopping: Arc::default() }
    }

    /// Adds a condition for being ready. It is asked at every probe: keep it quick.
    #[must_use]
    pub fn check(mut self, name: impl Into<String>, check: Check) -> Self {
        self.checks.push((name.into(), check));
        self
    }

    /// Adds a remark to the check of that name, shown by `?verbose` while the check holds.
    #[must_use]
    pub fn note(mut self, name: impl Into<String>, note: Note) -> Self {
        self.notes.push((name.into(), note));
        self
    }

    /// Is called before each scrape.
    #[must_use]
    pub fn before_scrape(mut self, refresh: Refresh) -> Self {
        self.refresh = Some(refresh);
        self
    }

    /// The metrics shown.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// From now on not ready, for good: load balancers must send requests elsewhere.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// One line a check, as the API server's own `/readyz` does; true when all of them hold.
    fn readiness(&self) -> (bool, String) {
        let mut ready = true;
        let mut lines = String::new();
        // Writing to a String cannot fail.
        for (name, check) in &self.checks {
            let _ = match check() {
                Ok(()) => {
                    let notes = self.notes.iter().filter(|(of, _)| of == name).filter_map(|(_, note)| note());
                    let notes: String = notes.map(|note| format!(" ({})", one_line(&note))).collect();
                    writeln!(lines, "[+]{name} ok{notes}")
                }
                Err(reason) => {
                    ready = false;
                    writeln!(lines, "[-]{name} not ready: {reason}")
                }
            };
        }
        if self.stopping.load(Ordering::SeqCst) {
            ready = false;
            lines.push_str("[-]shutdown in progress\n");
        } else {
            lines.push_str("[+]shutdown ok\n");
        }
        lines.push_str(if ready { "readyz check passed\n" } else { "readyz check failed\n" });
        (ready, lines)
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The operations port's routes.
pub fn ops_router(ops: Ops) -> Router {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .with_state(ops);
    with_json_errors(routes, None)
}

async fn readyz(State(ops): State<Ops>, RawQuery(query): RawQuery) -> Response {
    let (ready, lines) = ops.readiness();
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    match (ready, verbose) {
        (true, false) => "ok".into_response(),
        (true, true) => lines.into_response(),
        // Whoever asks why should not have to ask twice.
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, lines).into_response(),
    }
}

async fn metrics(State(ops): State<Ops>) -> Response {
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    if let Some(refresh) = &ops.refresh {
        refresh(&ops.metrics);
    }
    ([(header::CONTENT_TYPE, format)], ops.metrics.render()).into_response()
}

async fn config(State(ops): State<Ops>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], (ops.config)().to_string()).into_response()
}

#[cfg(test)]
#[path = "ops_tests.rs"]
mod tests;
