use std::sync::Mutex;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

fn ops() -> Ops {
    let config = serde_json::json!({"hash": "abc", "lastError": null});
    Ops::new(Arc::new(Metrics::new()), Arc::new(move || config.clone()))
}

async fn send(ops: &Ops, method: &str, uri: &str) -> (StatusCode, String, String) {
    let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
    let answer = ops_router(ops.clone()).oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn text(ops: &Ops, uri: &str) -> (u16, String) {
    let (status, _, body) = send(ops, "GET", uri).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn live_says_ok() {
    assert_eq!(text(&ops(), "/livez").await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn ready_when_every_check_is() {
    let synced = Arc::new(Mutex::new(Err("waiting for the first list".to_owned())));
    let seen = Arc::clone(&synced);
    let ops = ops()
        .check("tls", Arc::new(|| Ok(())))
        .check("inventory/networkpolicies", Arc::new(move || seen.lock().unwrap().clone()));
    let lines = "[+]tls ok\n[-]inventory/networkpolicies not ready: waiting for the first list\n[+]shutdown ok\n\
                 readyz check failed\n";
    assert_eq!(text(&ops, "/readyz").await, (503, lines.to_owned()));
    assert_eq!(text(&ops, "/readyz?verbose").await, (503, lines.to_owned()));
    *synced.lock().unwrap() = Ok(());
    assert_eq!(text(&ops, "/readyz").await, (200, "ok".to_owned()));
    let lines = "[+]tls ok\n[+]inventory/networkpolicies ok\n[+]shutdown ok\nreadyz check passed\n";
    assert_eq!(text(&ops, "/readyz?verbose=1&x").await, (200, lines.to_owned()));
}

#[tokio::test]
async fn not_ready_from_the_moment_a_stop_is_asked_for() {
    let ops = ops();
    ops.clone().stop();
    let (status, body) = text(&ops, "/readyz?verbose").await;
    assert!(status == 503 && body.contains("[-]shutdown in progress\n"), "{body}");
    assert_eq!(text(&ops, "/livez").await.0, 200, "stopping is no reason to be killed");
}

#[tokio::test]
async fn metrics_name_their_format() {
    let (status, kind, body) = send(&ops(), "GET", "/metrics").await;
    assert_eq!((status.as_u16(), kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(body.contains("# TYPE portcullis_admission_in_flight gauge\n"));
}

#[tokio::test]
async fn config_is_what_the_closure_says() {
    let (status, kind, body) = send(&ops(), "GET", "/config").await;
    assert_eq!((status.as_u16(), kind.as_str()), (200, "application/json"));
    assert_eq!(body, r#"{"hash":"abc","lastError":null}"#);
}

#[tokio::test]
async fn errors_are_json() {
    for (method, uri, expected) in [("GET", "/nothing", 404), ("POST", "/metrics", 405)] {
        let (status, kind, body) = send(&ops(), method, uri).await;
        assert_eq!((status.as_u16(), kind.as_str()), (expected, "application/json"));
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string());
    }
}

#[tokio::test]
async fn a_check_that_panics_is_no_end() {
    let ops = ops().check("broken", Arc::new(|| panic!("a bug")));
    assert_eq!(text(&ops, "/readyz").await.0, 500);
    assert_eq!(text(&ops, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_note_is_shown_with_its_check_and_changes_nothing() {
    let ok = |ops: Ops, name: &str| ops.check(name, Arc::new(|| Ok(())));
    let noted = ok(ok(ops(), "tls"), "config").note("tls", Arc::new(|| Some("two\nlines".to_owned())));
    let lines = text(&noted, "/readyz?verbose").await;
    assert_eq!(lines, (200, "[+]tls ok (two lines)\n[+]config ok\n[+]shutdown ok\nreadyz check passed\n".to_owned()));
    assert_eq!(text(&noted, "/readyz").await, (200, "ok".to_owned()));
}
