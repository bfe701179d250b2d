//! Starting and stopping: nobody is left without an answer.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use portcullis::server::{Metrics, Ops, Options, ServeError, StopRequests, serve, serve_until};
use tokio::net::TcpStream;

use super::harness::*;

fn ops() -> Ops {
    Ops::new(Arc::new(Metrics::new()), Arc::new(|| serde_json::Value::Null))
}

fn routes() -> Router {
    Router::new().route("/validate", post(|| async { "ok" }))
}

pub(crate) async fn start_failing(options: Options) -> ServeError {
    let (_stopper, stop) = StopRequests::manual();
    serve_until(options, routes(), ops(), stop, |_| panic!("it started")).await.unwrap_err()
}

#[tokio::test]
async fn a_port_in_use_names_the_address_and_the_option() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    for flag in ["--listen", "--ops-listen"] {
        let mut options = options(dir.path());
        let address = taken.local_addr().unwrap();
        if flag == "--listen" {
            options.listen = address
        } else {
            options.ops_listen = address
        }
        let error = start_failing(options).await.to_string();
        assert_eq!(error, format!("cannot listen on {address}: address in use; choose another with {flag}"));
    }
}

/// Requests held in flight by a stop, on either protocol, are answered; new ones are taken during the drain only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_is_answered() {
    let server = Server::start(|options| options.shutdown_grace = Duration::from_millis(2400)).await;
    let (mut h1, mut h2, mut idle) = (server.h1().await, server.h2().await, server.h2().await);
    let held = [tokio::spawn(h1.send_request(post_to("/hold", 1))), tokio::spawn(h2.send_request(post_to("/hold", 1)))];
    server.held.notified().await;
    idle.send_request(post_to("/validate", 1)).await.unwrap();
    assert_eq!(server.ops("/readyz").await.0, 200);

    server.stopper.stop();
    let asked = Instant::now();
    // Not ready at once, but still there: endpoints lag behind.
    within(300, async { while server.ops("/readyz").await.0 == 200 {} }).await;
    assert!(server.ops("/readyz?verbose").await.1.contains("[-]shutdown in progress"));
    assert_eq!(server.h1().await.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);

    while TcpStream::connect(server.bound.webhook).await.is_ok() {
        assert!(asked.elapsed() < Duration::from_millis(1500), "still accepting");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(asked.elapsed() >= Duration::from_millis(500), "the drain was skipped");
    assert!(!server.task.is_finished(), "it waits for what is in flight");
    assert_eq!(server.ops("/livez").await.0, 200);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(idle.is_closed(), "idle connections are told to go");
    server.release.notify_one();
    server.release.notify_one();
    for held in held {
        let release = Arc::clone(&server.release);
        // One permit is kept by Notify: the second waiter may need another.
        let poke = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            release.notify_one();
        });
        assert_eq!(text(held.await.unwrap().unwrap()).await, (200, "released".to_owned()));
        poke.await.unwrap();
    }
    server.ended().await.unwrap();
}

/// A close between two requests can cross the second one on the wire, and then a POST is lost: HTTP/1.1 clients are asked
/// to go while there is still time.
#[tokio::test]
async fn clients_are_told_to_connect_elsewhere_before_they_are_cut() {
    let server = Server::start(|options| options.shutdown_grace = Duration::from_secs(4)).await;
    let (mut h1, mut h2) = (server.h1().await, server.h2().await);
    let before = h1.send_request(post_to("/validate", 1)).await.unwrap();
    assert!(before.headers().get("connection").is_none());
    text(before).await;

    server.stopper.stop();
    within(300, async { while server.ops("/readyz").await.0 == 200 {} }).await;
    h1.ready().await.unwrap();
    let during = h1.send_request(post_to("/validate", 1)).await.unwrap();
    assert_eq!((during.status().as_u16(), &during.headers()["connection"]), (200, &"close".parse().unwrap()));
    text(during).await;
    within(500, async {
        while !h1.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await
        }
    })
    .await;
    // GOAWAY does that for HTTP/2, at the end of the drain.
    let during = h2.send_request(post_to("/validate", 1)).await.unwrap();
    assert!(during.status() == 200 && during.headers().get("connection").is_none());
    assert!(!h2.is_closed());
    server.ended().await.unwrap();
    assert!(h2.is_closed());
}

#[tokio::test]
async fn an_idle_server_stops_soon() {
    let server = Server::start(|options| options.shutdown_grace = Duration::from_secs(20)).await;
    let (_silent, mut h1) = (server.tcp().await, server.h1().await);
    h1.send_request(post_to("/validate", 1)).await.unwrap();
    server.stopper.stop();
    server.ended().await.unwrap();
}

#[tokio::test]
async fn the_grace_period_has_an_end() {
    let server = Server::start(|options| options.shutdown_grace = Duration::from_millis(400)).await;
    let mut client = server.h1().await;
    let held = tokio::spawn(client.send_request(post_to("/hold", 1)));
    server.held.notified().await;
    let begin = Instant::now();
    server.stopper.stop();
    server.ended().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    assert!(held.await.unwrap().is_err(), "cut off");
}

#[tokio::test]
async fn a_second_request_to_stop_ends_at_once() {
    let server = Server::start(|options| options.shutdown_grace = Duration::from_secs(60)).await;
    let mut client = server.h1().await;
    let held = tokio::spawn(client.send_request(post_to("/hold", 1)));
    server.held.notified().await;
    server.stopper.stop();
    server.stopper.stop();
    let error = within(500, server.task).await.unwrap().unwrap_err();
    assert!(matches!(error, ServeError::Cut { open } if open > 0), "{error}");
    assert!(held.await.unwrap().is_err());
}

/// Not a test by itself: the process that the next one sends a signal to.
#[tokio::test]
#[ignore = "run by a_signal_stops_the_process in a process of its own"]
async fn served_by_a_child() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.shutdown_grace = Duration::from_millis(400);
    serve(options, routes(), ops(), |bound| println!("\nlistening {}", bound.webhook)).await.unwrap();
    println!("\nstopped in order");
}

#[test]
fn a_signal_stops_the_process() {
    for signal in ["-TERM", "-INT"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "stop::served_by_a_child", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with("listening ")), "it did not start");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert!(lines.any(|line| line == "stopped in order"), "{signal}");
        assert!(child.wait().unwrap().success());
    }
}
