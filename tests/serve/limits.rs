//! Too much at once: of bytes, of requests, of connections.

use std::time::{Duration, Instant};

use hyper::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;

const MIB: usize = 1024 * 1024;

async fn with_limit() -> Server {
    Server::start(|options| options.limits.max_body = MIB).await
}

/// Writes a whole request before it reads anything, as simple clients do.
async fn write_then_read(server: &Server, length: usize) -> String {
    let mut stream = server.tls("http/1.1").await;
    let head =
        format!("POST /validate HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; length]).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = String::new();
    within(2000, stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_too_much_sees_the_answer() {
    let server = with_limit().await;
    // Three times as much is no longer read by the handler; closing gently still gets the answer across.
    for length in [MIB * 3 / 2, MIB * 3] {
        let answer = write_then_read(&server, length).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains(r#"{"error":"#), "{length}: {answer}");
        assert!(answer.to_lowercase().contains("content-type: application/json"), "{answer}");
    }
    for length in [MIB * 3 / 2, MIB * 3] {
        let (status, body) = text(server.h2().await.send_request(post_to("/validate", length)).await.unwrap()).await;
        assert!(status == 413 && body.contains("error"), "{length}: {status} {body}");
    }
    let mut client = server.h2().await;
    assert_eq!(text(client.send_request(post_to("/validate", MIB)).await.unwrap()).await, (200, MIB.to_string()));
}

#[tokio::test]
async fn a_connection_outlives_a_refusal_that_was_read_to_its_end() {
    let server = with_limit().await;
    let mut client = server.h1().await;
    let refused = text(client.send_request(post_to("/validate", MIB + 1)).await.unwrap()).await;
    assert_eq!(refused.0, 413);
    client.ready().await.unwrap();
    assert_eq!(client.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn asking_first_saves_the_sending() {
    let server = with_limit().await;
    let mut stream = server.tls("http/1.1").await;
    let head =
        format!("POST /validate HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", MIB * 8);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    within(2000, stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn overload_is_429_on_every_connection() {
    let server = Server::start(|options| options.limits.max_at_work = 1).await;
    let (mut first, mut h1, mut h2) = (server.h1().await, server.h1().await, server.h2().await);
    let held = tokio::spawn(first.send_request(post_to("/hold", 1)));
    server.held.notified().await;
    // 200 kB does not fit into the buffers on the way: it is refused while it is being sent.
    for length in [0, 1, 200_000] {
        for answer in
            [h1.send_request(post_to("/validate", length)).await, h2.send_request(post_to("/validate", length)).await]
        {
            let answer = answer.unwrap();
            assert_eq!(answer.headers()["retry-after"], "1");
            let (status, body) = text(answer).await;
            assert!(status == 429 && body.contains("error"), "{length}: {status} {body}");
        }
        if h1.ready().await.is_err() {
            h1 = server.h1().await;
        }
    }
    server.release.notify_one();
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
    assert_eq!(h2.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn refusals_are_json_over_the_wire() {
    let server = Server::start(|_| {}).await;
    let mut client = server.h2().await;
    for (method, path, expected) in [("GET", "/validate", 405), ("POST", "/nothing", 404)] {
        let request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        let answer = client.send_request(request.body(Body::default()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(
            answer.headers().get("allow").map(|allow| allow.to_str().unwrap()),
            (expected == 405).then_some("POST")
        );
        let (status, body) = text(answer).await;
        assert!(status == expected && body.contains("error"), "{status} {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_thousand_silent_clients_delay_nobody() {
    let server = Server::start(|options| options.transport.timeouts.first_request = Duration::from_secs(10)).await;
    let mut silent = Vec::new();
    for _ in 0..1100 {
        silent.push(server.tcp().await);
    }
    let begin = Instant::now();
    let mut client = server.h2().await;
    assert_eq!(client.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    // All of them are still held.
    let mut byte = [0];
    for stream in silent.iter_mut().step_by(1099) {
        let read = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut byte)).await;
        assert!(read.is_err(), "closed: {read:?}");
    }
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_for_a_place() {
    let server = Server::start(|options| options.transport.max_connections = 3).await;
    let begin = Instant::now();
    let silent: Vec<TcpStream> = futures::future::join_all((0..3).map(|_| server.tcp())).await;
    let mut client = within(3000, server.h1()).await;
    assert_eq!(client.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);
    assert!(begin.elapsed() >= FIRST_REQUEST, "served at once, after {:?}", begin.elapsed());
    drop(silent);
}
