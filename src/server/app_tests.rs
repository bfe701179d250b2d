use axum::routing::post;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::*;

fn limits() -> Limits {
    Limits { max_body: 100, body_deadline: Duration::from_millis(100), ..Limits::default() }
}

fn toy() -> Router {
    Router::new()
        .route("/validate", post(|body: Bytes| async move { format!("{} bytes", body.len()) }))
        .route("/panic", post(|| async { panic!("a bug") as &'static str }))
}

fn request(method: &str, uri: &str, body: impl Into<Body>) -> Request {
    Request::builder().method(method).uri(uri).body(body.into()).unwrap()
}

async fn text(answer: Response) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Every error is JSON with one line of text.
async fn assert_error(answer: Response, status: u16) -> String {
    assert_eq!(answer.status().as_u16(), status);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    let body: serde_json::Value = serde_json::from_str(&text(answer).await).unwrap();
    let message = body["error"].as_str().unwrap().to_owned();
    assert!(!message.is_empty() && !message.contains('\n'), "{message}");
    message
}

/// A body that must not be touched.
fn untouched() -> Body {
    Body::from_stream(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
        panic!("the body was read")
    }))
}

fn endless() -> Body {
    Body::from_stream(stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]).chain(stream::pending()))
}

#[tokio::test]
async fn a_good_request_gets_through() {
    let answer = app(toy(), &limits()).oneshot(request("POST", "/validate", vec![b'x'; 100])).await.unwrap();
    assert_eq!((answer.status(), text(answer).await.as_str()), (StatusCode::OK, "100 bytes"));
}

#[tokio::test]
async fn bodies_beyond_axums_own_limit_get_through() {
    let body = vec![b'x'; 3 * 1024 * 1024];
    let answer = app(toy(), &Limits::default()).oneshot(request("POST", "/validate", body)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn too_large_says_the_limit() {
    let answer = app(toy(), &limits()).oneshot(request("POST", "/validate", vec![b'x'; 101])).await.unwrap();
    let message = assert_error(answer, 413).await;
    assert!(message.contains("100 bytes") && message.contains("--max-body"), "{message}");
}

#[tokio::test]
async fn a_client_that_asks_first_need_not_send_too_much() {
    let mut asking = request("POST", "/validate", untouched());
    asking.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    asking.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("101"));
    assert_error(app(toy(), &limits()).oneshot(asking).await.unwrap(), 413).await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    assert_error(app(toy(), &limits()).oneshot(request("POST", "/validate", endless())).await.unwrap(), 408).await;
}

#[tokio::test]
async fn wrong_methods_learn_the_right_one() {
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = app(toy(), &limits()).oneshot(request(method, "/validate", untouched())).await.unwrap();
        assert_eq!(answer.headers()[header::ALLOW], "POST", "{method}");
        assert_error(answer, 405).await;
    }
}

#[tokio::test]
async fn unknown_paths_are_not_read() {
    assert_error(app(toy(), &limits()).oneshot(request("POST", "/nothing", untouched())).await.unwrap(), 404).await;
}

#[tokio::test]
async fn a_panic_is_500_and_the_next_request_is_served() {
    let metrics = Arc::new(Metrics::new());
    let limits = Limits { max_at_work: 1, metrics: Some(Arc::clone(&metrics)), ..limits() };
    let app = app(toy(), &limits);
    for _ in 0..3 {
        let message = assert_error(app.clone().oneshot(request("POST", "/panic", "")).await.unwrap(), 500).await;
        assert!(!message.contains("a bug"), "what went wrong is for the log");
    }
    let answer = app.oneshot(request("POST", "/validate", "x")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(metrics.render().contains(r#"portcullis_http_responses_total{code="500"} 3"#));
}

#[tokio::test]
async fn the_limit_of_requests_at_work_is_one_for_all_connections() {
    let hold = Arc::new(Notify::new());
    let held = Arc::clone(&hold);
    let slow = Router::new().route("/validate", post(move || async move { held.notified().await }));
    let app = app(slow, &Limits { max_at_work: 2, ..limits() });
    // A clone each, as each connection has.
    let mut working: Vec<_> =
        (0..2).map(|_| Box::pin(app.clone().oneshot(request("POST", "/validate", "x")))).collect();
    for work in &mut working {
        assert!(futures::poll!(work.as_mut()).is_pending());
    }
    let refused = app.clone().oneshot(request("POST", "/validate", untouched())).await.unwrap();
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert_error(refused, 429).await;
    hold.notify_waiters();
    for work in working {
        assert_eq!(work.await.unwrap().status(), StatusCode::OK);
    }
    let next = app.oneshot(request("POST", "/validate", "x"));
    let mut next = Box::pin(next);
    assert!(futures::poll!(next.as_mut()).is_pending(), "there is room again");
}

#[tokio::test]
async fn slow_senders_do_not_take_the_places_of_others() {
    let app = app(toy(), &Limits { max_at_work: 1, max_reading: 2, ..limits() });
    let mut slow = Box::pin(app.clone().oneshot(request("POST", "/validate", endless())));
    assert!(futures::poll!(slow.as_mut()).is_pending());
    let answer = app.clone().oneshot(request("POST", "/validate", "x")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut others: Vec<_> =
        (0..2).map(|_| Box::pin(app.clone().oneshot(request("POST", "/validate", endless())))).collect();
    for other in &mut others {
        assert!(futures::poll!(other.as_mut()).is_pending());
    }
    let given_up = slow.await.unwrap();
    assert_eq!(given_up.headers()[header::RETRY_AFTER], "1");
    assert_error(given_up, 429).await;
    // All places are taken by those who send nothing, and whoever sends is served.
    let answer = app.clone().oneshot(request("POST", "/validate", "x")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_error(others.remove(0).await.unwrap(), 429).await;
    assert!(futures::poll!(others[0].as_mut()).is_pending());
}
