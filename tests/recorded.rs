//! Reviews recorded from a real API server, replayed in order against a webhook that starts with an empty memory.
#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of this file are test code as well")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use portcullis::admission::handler::{Reviewer, routes};
use portcullis::admission::sampling::LogAllowed;
use portcullis::engine::builtin;
use portcullis::inventory::memory::Memory;
use portcullis::inventory::{Inventory, Source};
use portcullis::rules::RULES;
use portcullis::server::{Limits, Metrics, app};
use serde_json::Value;
use tower::ServiceExt;

/// The reviews that have to be denied, and what the message has to name.
const DENIED: [(&str, &str); 4] = [
    ("04-create-networkpolicy", "[egress-private-cidr] spec.egress[0].to[0].ipBlock: "),
    ("09-create-networkpolicy", "[allow-all-ingress] spec.ingress[0]: "),
    ("14-create-networkpolicy", "192.168.0.0/16"),
    ("16-delete-networkpolicy", "[missing-default-deny] spec: "),
];

/// A little later than the last of the reviews was recorded.
fn soon_after() -> Timestamp {
    "2026-11-23T00:30:00Z".parse().expect("a time")
}

struct Recording {
    name: String,
    review: Value,
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    let read = |path: &PathBuf| Recording {
        name: path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned(),
        review: serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON"),
    };
    files.iter().map(read).collect()
}

fn webhook(memory: &Arc<Memory>) -> Router {
    let reviewer = Reviewer {
        bound: Arc::new(ArcSwap::from_pointee(builtin(RULES).unwrap_or_else(|errors| panic!("{errors:?}")))),
        source: Arc::clone(memory) as _,
        observer: Arc::new(Metrics::new()),
        clock: soon_after,
        log_allowed: LogAllowed::ALL,
    };
    app(routes(Arc::new(reviewer)), &Limits::default())
}

/// The response to a recorded review, of which only its own uid is expected here.
async fn replay(webhook: &Router, recording: &Recording) -> Value {
    let request = Request::post("/validate?timeout=10s").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(recording.review.to_string())).expect("a request");
    let answer = webhook.clone().oneshot(request).await.expect("never fails");
    assert_eq!(answer.status(), StatusCode::OK, "{}", recording.name);
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let mut answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer["response"]["uid"], recording.review["request"]["uid"], "{}", recording.name);
    answer["response"].take()
}

fn known(memory: &Memory) -> Inventory {
    memory.snapshot(soon_after())
}

#[tokio::test]
async fn the_recorded_session_is_judged_as_it_should_be() {
    let memory = Arc::new(Memory::new());
    let webhook = webhook(&memory);
    let recordings = recordings();
    assert_eq!(recordings.len(), 21);
    let mut denied = BTreeMap::new();
    for recording in &recordings {
        let response = replay(&webhook, recording).await;
        if response["allowed"] != Value::Bool(true) {
            denied
                .insert(recording.name.as_str(), response["status"]["message"].as_str().expect("a message").to_owned());
        }
    }
    let expected: Vec<&str> = DENIED.iter().map(|(name, _)| *name).collect();
    assert_eq!(denied.keys().copied().collect::<Vec<_>>(), expected, "{denied:#?}");
    for (name, told) in DENIED {
        assert!(denied[name].contains(told), "{name}: {}", denied[name]);
    }
    let private = &denied["04-create-networkpolicy"];
    assert!(private.contains("192.168.0.0/16") && !private.contains("10.0.0.0/8"), "only what is left open: {private}");
}

#[tokio::test]
async fn only_what_was_admitted_for_good_leaves_a_trace() {
    let memory = Arc::new(Memory::new());
    let webhook = webhook(&memory);
    for recording in recordings() {
        let before = known(&memory);
        let response = replay(&webhook, &recording).await;
        let dry_run = recording.review["request"]["dryRun"] == Value::Bool(true);
        assert_eq!(dry_run, recording.name.ends_with("-dryrun"));
        if dry_run || response["allowed"] == Value::Bool(false) {
            assert_eq!(known(&memory), before, "{}", recording.name);
        }
    }
}

/// A dry run of a whole session: the memory is as empty afterwards as it was.
#[tokio::test]
async fn a_session_of_dry_runs_leaves_no_trace() {
    let memory = Arc::new(Memory::new());
    let webhook = webhook(&memory);
    for mut recording in recordings() {
        recording.review["request"]["dryRun"] = Value::Bool(true);
        replay(&webhook, &recording).await;
    }
    assert!(known(&memory).is_empty());
}

/// The session ends with the namespace on its way out, and the default deny that was kept until then gone with it.
#[tokio::test]
async fn the_session_leaves_a_namespace_that_is_going() {
    let memory = Arc::new(Memory::new());
    let webhook = webhook(&memory);
    for recording in recordings() {
        let last = recording.name.starts_with("21-");
        let before = known(&memory).namespace("production");
        assert!(!last || before.policies.contains_key("default-deny-all"), "16 was denied");
        replay(&webhook, &recording).await;
    }
    let after = known(&memory).namespace("production");
    assert!(after.terminating && after.policies.is_empty());
    assert!(known(&memory).namespaces().all(|namespace| namespace.name != "spoof"), "19 was a dry run");
}
