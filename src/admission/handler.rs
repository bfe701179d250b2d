//! The webhook's routes: one review in, one answer out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::{SignedDuration, Timestamp};
use tracing::info;

use super::decide::{Circumstances, Decision, decide, rules};
use super::review::{Request, Task, envelope, shortened};
use super::sampling::LogAllowed;
use crate::engine::{Bound, Origin, changes, evaluate};
use crate::finding::{Level, ObjectRef, Report, Unjudged};
use crate::inventory::{Inventory, NamespaceState, Source};
use crate::object::{Change, Subject};

/// Kept back from the API server's deadline for the way there and back.
const MARGIN: Duration = Duration::from_secs(1);
/// The budget at least; the API server's shortest timeout is one second.
const SHORTEST: Duration = Duration::from_millis(300);
/// The budget where the API server names no deadline.
const UNTOLD: Duration = Duration::from_secs(4);

/// Told of every review, for the metrics.
pub trait Observer: Send + Sync {
    /// A review has come in.
    fn begun(&self);
    /// It is answered, or its caller has gone. Follows every `begun`.
    fn ended(&self);
    /// What it came to.
    fn reviewed(&self, review: &Reviewed);
}

/// One review as the metrics see it: closed label sets only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// `NetworkPolicy`, `Namespace` or `other`.
    pub kind: &'static str,
    /// `CREATE`, `UPDATE`, `DELETE` or `other`.
    pub operation: &'static str,
    /// `allowed`, `warned`, `denied`, `exempted`, `cannot_judge` or `error`.
    pub outcome: &'static str,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// From the whole body to the answer.
    pub duration: Duration,
    /// Rule and level of each finding.
    pub findings: Vec<(&'static str, Level)>,
    /// How long each rule took.
    pub rule_durations: Vec<(&'static str, Duration)>,
}

/// Everything a review needs.
pub struct Reviewer {
    /// The rule set in force.
    pub bound: Arc<ArcSwap<Bound>>,
    /// The cluster as far as it is known.
    pub source: Arc<dyn Source>,
    /// The metrics.
    pub observer: Arc<dyn Observer>,
    /// The wall clock, read once a request.
    pub clock: fn() -> Timestamp,
    /// Which plain allows are logged. Metrics count them all.
    pub log_allowed: LogAllowed,
}

/// `POST /validate` and `POST /validate/labels`.
pub fn routes(reviewer: Arc<Reviewer>) -> Router {
    Router::new()
        .route("/validate", post(|state, query, headers, body| review(Origin::Request, state, query, headers, body)))
        .route(
            "/validate/labels",
            post(|state, query, headers, body| review(Origin::Labels, state, query, headers, body)),
        )
        .with_state(reviewer)
}

/// Calls `ended` even where the caller goes away half-way.
struct InFlight<'a>(&'a dyn Observer);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

async fn review(
    origin: Origin,
    State(reviewer): State<Arc<Reviewer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    reviewer.observer.begun();
    let _in_flight = InFlight(&*reviewer.observer);
    if !is_json(&headers) {
        let reason = "the content type must be application/json";
        reviewer.refused(reason, started);
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason);
    }
    let deadline = started + budget(query.as_deref());
    match envelope(&body) {
        Ok(request) => match reviewer.answer(origin, &request, started, deadline).await {
            Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
            Err(error) => {
                refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("the answer could not be written: {error}"))
            }
        },
        Err(error) => {
            let reason = error.to_string();
            reviewer.refused(&reason, started);
            refusal(StatusCode::BAD_REQUEST, &reason)
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn refusal(status: StatusCode, reason: &str) -> Response {
    (status, axum::Json(serde_json::json!({ "error": reason }))).into_response()
}

/// How long an answer may take, from the API server's `?timeout=`, which is a Go duration.
fn budget(query: Option<&str>) -> Duration {
    let parameters = query.unwrap_or_default().split('&').filter_map(|parameter| parameter.split_once('='));
    let text = parameters.into_iter().find(|(name, _)| *name == "timeout").map(|(_, value)| value);
    let told = text.and_then(|text| text.parse::<SignedDuration>().ok()).and_then(|told| Duration::try_from(told).ok());
    told.map_or(UNTOLD, |told| told.saturating_sub(MARGIN).max(SHORTEST))
}

/// A report, and the age of the knowledge it rests on.
struct Judged {
    report: Report,
    inventory_age: Duration,
}

impl Reviewer {
    async fn answer(
        &self,
        origin: Origin,
        request: &Request<'_>,
        started: Instant,
        deadline: Instant,
    ) -> Result<Vec<u8>, serde_json::Error> {
        let now = (self.clock)();
        let bound = self.bound.load_full();
        let dry_run = request.dry_run.unwrap_or(false);
        let task = request.task();
        let (subject, judged) = match &task {
            Task::Judge(subject) => (Some(subject), self.judge(subject, &bound, origin, now, deadline).await),
            Task::JudgeMetadata(subject) => {
                (Some(subject), self.judge(subject, &bound, origin.of_metadata(), now, deadline).await)
            }
            Task::Admit(subject) => (subject.as_ref(), self.unread(Report::default(), now)),
            Task::CannotJudge { object, reason } => {
                (None, self.unread(request.unread(object.as_ref(), reason, &bound, origin), now))
            }
        };
        let object = match &task {
            Task::CannotJudge { object, .. } => object.clone(),
            Task::Judge(_) | Task::JudgeMetadata(_) | Task::Admit(_) => subject.map(Subject::object_ref),
        };
        let about = Circumstances {
            uid: &request.uid,
            object: object.as_ref(),
            inventory_age: judged.inventory_age,
            config: &bound.hash,
        };
        let (review, decision) = decide(&judged.report, &bound.rule_set, about);
        let allowed = review.response.as_ref().is_some_and(|response| response.allowed);
        // The guard path has not looked at policies, so it has nothing to tell of them.
        let seen = |subject: &&Subject| origin == Origin::Request || matches!(subject.change, Change::Namespace { .. });
        if let Some(subject) = subject.filter(seen).filter(|_| allowed && !dry_run) {
            self.source.admitted(subject);
        }
        let json = serde_json::to_vec(&review)?;
        self.tell(request, object.as_ref(), &judged.report, decision, started.elapsed());
        Ok(json)
    }

    fn unread(&self, report: Report, now: Timestamp) -> Judged {
        Judged { report, inventory_age: self.source.snapshot(now).age() }
    }

    /// Judges, and sums up what the request opens where the rule set asks for that.
    async fn judge(
        &self,
        subject: &Subject,
        bound: &Bound,
        origin: Origin,
        now: Timestamp,
        deadline: Instant,
    ) -> Judged {
        let (mut report, inventory) = self.report(subject, bound, origin, now, deadline).await;
        report.changes = changes(subject, &inventory, bound, origin);
        Judged { report, inventory_age: inventory.age() }
    }

    /// Judges by what is known, and where the report asks for it once more by what the API server says. Returns the
    /// knowledge the report rests on, too.
    async fn report(
        &self,
        subject: &Subject,
        bound: &Bound,
        origin: Origin,
        now: Timestamp,
        deadline: Instant,
    ) -> (Report, Inventory) {
        let inventory = self.source.snapshot(now);
        let mut report = evaluate(subject, &inventory, bound, now, origin);
        let read = match &report.confirm {
            Some(confirm) => self.source.live(&confirm.namespace),
            None => None,
        };
        let Some(read) = read else { return (report, inventory) };
        let state = match tokio::time::timeout_at(deadline.into(), read).await {
            Ok(Ok(state)) => state,
            Ok(Err(reason)) => {
                unconfirmed(&mut report, subject, &format!("the API server could not be asked: {reason}"));
                return (report, inventory);
            }
            Err(_) => {
                unconfirmed(&mut report, subject, "the API server did not answer within the deadline of this review");
                return (report, inventory);
            }
        };
        let mut inventory = inventory.aged(Duration::ZERO);
        // Known for certain now, even where it is known to be gone. Pods are not read live.
        let pods = inventory.namespace(&state.name).pods.clone();
        inventory.insert(Arc::new(NamespaceState { known: true, pods, ..state }));
        (evaluate(subject, &inventory, bound, now, origin), inventory)
    }

    fn refused(&self, reason: &str, started: Instant) {
        info!(verdict = "error", reason, duration_ms = millis(started.elapsed()), "not a review");
        self.observer.reviewed(&Reviewed {
            kind: "other",
            operation: "other",
            outcome: "error",
            dry_run: false,
            duration: started.elapsed(),
            findings: Vec::new(),
            rule_durations: Vec::new(),
        });
    }

    /// The log line and the metrics of an answer.
    fn tell(
        &self,
        request: &Request<'_>,
        object: Option<&ObjectRef>,
        report: &Report,
        decision: Decision,
        duration: Duration,
    ) {
        let rules = rules(report);
        // Findings for the auditors alone do not change the decision, and the log is where they can be read.
        if decision != Decision::Allowed || !rules.is_empty() || self.log_allowed.picks(&request.uid) {
            log(request, object, report, (decision, &rules), duration);
        }
        self.observer.reviewed(&Reviewed {
            kind: request.kind_label(),
            operation: request.operation_label(),
            outcome: decision.as_str(),
            dry_run: request.dry_run.unwrap_or(false),
            duration,
            findings: report
                .findings
                .iter()
                .filter(|finding| finding.exempted.is_none())
                .map(|finding| (finding.rule, finding.level))
                .collect(),
            rule_durations: report.rule_durations.clone(),
        });
    }
}

/// The line of a decision. Never the object itself.
fn log(
    request: &Request<'_>,
    object: Option<&ObjectRef>,
    report: &Report,
    (decision, rules): (Decision, &[&str]),
    duration: Duration,
) {
    let reasons: Vec<&str> = report.cannot_judge.iter().map(|what| what.reason.as_str()).collect();
    let named = object.map(|object| match &object.namespace {
        Some(namespace) => format!("{namespace}/{}", object.name),
        None => object.name.clone(),
    });
    info!(
        uid = request.uid,
        kind = request.kind_label(),
        object = shortened(&named.unwrap_or_default()),
        operation = request.operation_label(),
        requester = shortened(&request.user_info.username),
        dry_run = request.dry_run.unwrap_or(false),
        verdict = decision.as_str(),
        rules = rules.join(","),
        cannot_judge = shortened(&reasons.join("; ")),
        duration_ms = millis(duration),
        "reviewed"
    );
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// Takes back what rested on a state that could not be confirmed.
fn unconfirmed(report: &mut Report, subject: &Subject, reason: &str) {
    let Some(confirm) = report.confirm.take() else { return };
    report.findings.retain(|finding| !confirm.rules.contains(&finding.rule));
    for rule in confirm.rules {
        report.cannot_judge.retain(|what| what.rule != Some(rule));
        let object = Some(subject.object_ref());
        report.cannot_judge.push(Unjudged { rule: Some(rule), object, reason: reason.to_owned() });
    }
}

#[cfg(test)]
mod tests;
