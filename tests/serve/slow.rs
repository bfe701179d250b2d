//! Clients that take their time. None may hold a connection without a whole first request.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;

/// The start of a TLS record with a ClientHello of 512 bytes, most of them missing.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 7, 7, 7];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const HEADERS: &[u8] = b"POST /validate HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";

/// Sends `first`, then `trickle` byte by byte, and reads until the server closes. Returns how long that is after
/// `begin`, which is before the connection was made, and what came back.
async fn held<S>(begin: Instant, stream: S, first: &[u8], trickle: &[u8]) -> (Duration, String)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut read, mut write) = tokio::io::split(stream);
    write.write_all(first).await.unwrap();
    write.flush().await.unwrap();
    let trickle = trickle.to_vec();
    let writer = tokio::spawn(async move {
        for byte in trickle {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if write.write_all(&[byte]).await.is_err() || write.flush().await.is_err() {
                break;
            }
        }
        // Not closed: a client that closes would be no slow one.
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    let _ = within(4000, read.read_to_end(&mut answer)).await;
    writer.abort();
    (begin.elapsed(), String::from_utf8_lossy(&answer).into_owned())
}

fn assert_closed_in_time(what: &str, (after, answer): (Duration, String)) -> String {
    assert!(after >= FIRST_REQUEST, "{what}: closed early, after {after:?}");
    // Up to two lingers longer for an answer that was due, and the rest for a busy machine.
    assert!(after <= FIRST_REQUEST + Duration::from_secs(2), "{what}: held for {after:?}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_them_holds_a_connection() {
    let server = Server::start(|_| {}).await;
    let trickled_headers: Vec<u8> =
        [b"POST /validate HTTP/1.1\r\n".as_slice(), b"x-a: b\r\n".repeat(50).as_slice()].concat();
    let preface = [PREFACE, EMPTY_SETTINGS].concat();
    let begin = Instant::now();
    let (a, b, c, d, e, f, g, h, i) = tokio::join!(
        held(begin, server.tcp().await, b"", b""),
        held(begin, server.tcp().await, HALF_A_HELLO, &[7; 200]),
        held(begin, server.tls("http/1.1").await, b"", b""),
        held(begin, server.tls("h2").await, b"", b""),
        held(begin, server.tls("h2").await, &PREFACE[..14], b""),
        held(begin, server.tls("h2").await, &preface, b""),
        held(begin, server.tls("http/1.1").await, b"POST /validate HTTP/1.1\r\nhost:", b""),
        held(begin, server.tls("http/1.1").await, b"", &trickled_headers),
        held(begin, server.tls("http/1.1").await, HEADERS, &[b'x'; 200]),
    );
    assert_closed_in_time("silent TCP", a);
    assert_closed_in_time("half a handshake, trickling", b);
    assert_closed_in_time("handshake and silence", c);
    assert_closed_in_time("handshake for h2 and silence", d);
    assert_closed_in_time("half an h2 preface", e);
    assert_closed_in_time("an h2 preface and no request", f);
    assert_closed_in_time("half the headers", g);
    assert_closed_in_time("trickling headers", h);
    let answer = assert_closed_in_time("trickling body", i);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains(r#"{"error":"#), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_for_the_handshake_is_taken_from_the_same_ten_seconds() {
    let server = Server::start(|_| {}).await;
    let begin = Instant::now();
    let tcp = server.tcp().await;
    tokio::time::sleep(FIRST_REQUEST / 2).await;
    let ca = server.dir.path().join("ca.crt");
    let stream = handshake(tcp, config(&ca, "http/1.1", rustls::ALL_VERSIONS)).await.unwrap();
    assert_closed_in_time("slow handshake, then slow body", held(begin, stream, HEADERS, &[b'x'; 200]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickling_body_over_h2_ends_the_connection_too() {
    let server = Server::start(|_| {}).await;
    // HEADERS for stream 1 by HPACK's static table (:method POST, :scheme https, :path and :authority as literals).
    let mut block = vec![0x83, 0x87, 0x44, 9];
    block.extend_from_slice(b"/validate");
    block.extend_from_slice(&[0x41, 9]);
    block.extend_from_slice(b"localhost");
    let mut first = [PREFACE, EMPTY_SETTINGS].concat();
    first.extend_from_slice(&[0, 0, u8::try_from(block.len()).unwrap(), 1, 4, 0, 0, 0, 1]);
    first.extend_from_slice(&block);
    // DATA frames of one byte.
    let trickle = [0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'].repeat(20);
    let result = held(Instant::now(), server.tls("h2").await, &first, &trickle).await;
    assert_closed_in_time("trickling body over h2", result);
    assert!(server.metrics.render().contains(r#"portcullis_http_responses_total{code="408"} 1"#));
}

#[tokio::test]
async fn the_operations_port_is_protected_as_well() {
    let server = Server::start(|_| {}).await;
    let connect = || async { TcpStream::connect(server.bound.ops).await.unwrap() };
    let begin = Instant::now();
    let (a, b, c) = tokio::join!(
        held(begin, connect().await, b"", b""),
        held(begin, connect().await, b"GET /livez HTTP/1.1\r\n", b""),
        held(begin, connect().await, &PREFACE[..10], b""),
    );
    assert_closed_in_time("silent TCP", a);
    assert_closed_in_time("half the headers", b);
    assert_closed_in_time("half an h2 preface", c);
    let mut client = h2(connect().await).await;
    let request = hyper::Request::get("http://ops/livez").body(Body::default()).unwrap();
    assert_eq!(text(client.send_request(request).await.unwrap()).await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn a_client_that_was_quick_once_may_pause() {
    let server = Server::start(|_| {}).await;
    let (mut h1, mut h2) = (server.h1().await, server.h2().await);
    for pause in [FIRST_REQUEST.mul_f32(1.5), Duration::ZERO] {
        assert_eq!(text(h1.send_request(post_to("/validate", 5)).await.unwrap()).await, (200, "5".to_owned()));
        assert_eq!(text(h2.send_request(post_to("/validate", 7)).await.unwrap()).await, (200, "7".to_owned()));
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test]
async fn a_handler_may_take_longer_than_the_first_request_has() {
    let server = Server::start(|_| {}).await;
    let mut client = server.h1().await;
    let answer = tokio::spawn(client.send_request(post_to("/hold", 1)));
    server.held.notified().await;
    tokio::time::sleep(FIRST_REQUEST.mul_f32(1.6)).await;
    server.release.notify_one();
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = Server::start(|options| options.transport.timeouts.idle = Duration::from_millis(300)).await;
    let (mut h1, mut h2) = (server.h1().await, server.h2().await);
    h1.send_request(post_to("/validate", 5)).await.unwrap();
    h2.send_request(post_to("/validate", 5)).await.unwrap();
    assert!(!h1.is_closed() && !h2.is_closed());
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(h1.is_closed() && h2.is_closed());
}

/// The one with the most open requests makes room for others, and is not taken for a client that was quick once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_open_requests_hold_neither_the_places_nor_the_connection() {
    let server = Server::start(|options| options.limits.max_reading = 4).await;
    let mut first = [PREFACE, EMPTY_SETTINGS].concat();
    let block = [&[0x83, 0x87, 4, 9][..], b"/validate", &[1, 9], b"localhost"].concat();
    for stream in (1..40).step_by(2) {
        first.extend_from_slice(&[0, 0, u8::try_from(block.len()).unwrap(), 1, 4, 0, 0, 0, stream]);
        first.extend_from_slice(&block);
    }
    let begin = Instant::now();
    let stream = server.tls("h2").await;
    let flood = tokio::spawn(async move { held(begin, stream, &first, b"").await });
    within(2000, async {
        while !server.metrics.render().contains(r#"portcullis_http_responses_total{code="429"} 16"#) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for mut client in [server.h2().await, server.h2().await] {
        assert_eq!(text(client.send_request(post_to("/validate", 5)).await.unwrap()).await, (200, "5".to_owned()));
    }
    assert_closed_in_time("open requests without bodies", flood.await.unwrap());
}
