//! The binary itself, asked to stop by signals: what a kubelet and an impatient person see.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::harness::{config, h1, handshake, text};

const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","operation":"CREATE","kind":{"group":"networking.k8s.io","version":"v1","kind":"NetworkPolicy"},"object":{"metadata":{"name":"web","namespace":"shop"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}}}}"#;

/// `portcullis serve` on free ports. Dropping it kills it.
struct Binary {
    child: Child,
    webhook: String,
    ops: String,
    dir: tempfile::TempDir,
}

impl Drop for Binary {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Binary {
    fn start(grace: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--inventory=memory", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"])
            .args(["--log-format=json", "--shutdown-grace", grace])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Read on to the end, or it would wait for a full pipe.
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, seen) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(lines.send(line))));
        let start = Instant::now();
        let serving = loop {
            let left = Duration::from_secs(30).saturating_sub(start.elapsed());
            let line: Value = serde_json::from_str(&seen.recv_timeout(left).expect("it serves")).unwrap_or_default();
            if line["message"] == "serving" {
                break line;
            }
        };
        let address = |what: &str| serving[what].as_str().unwrap().to_owned();
        Self { child, webhook: address("webhook"), ops: address("operations"), dir }
    }

    fn signal(&self, signal: &str) {
        // Not waited for yet, so the number is still its own.
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Its status, and when it ended.
    fn ended(&mut self, limit: Duration) -> (ExitStatus, Instant) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, Instant::now());
            }
            assert!(start.elapsed() < limit, "it did not end within {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    async fn ready(&self) -> u16 {
        let mut client = h1(TcpStream::connect(&self.ops).await.unwrap()).await;
        let request =
            hyper::Request::get("/readyz").header("host", "ops").body(super::harness::Body::default()).unwrap();
        text(client.send_request(request).await.unwrap()).await.0
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let trusted = config(&Path::new(self.dir.path()).join("certs/ca.crt"), "http/1.1", rustls::ALL_VERSIONS);
        handshake(TcpStream::connect(&self.webhook).await.unwrap(), trusted).await.unwrap()
    }

    /// A review of which all but the last byte has been sent.
    async fn in_flight(&self) -> TlsStream<TcpStream> {
        let mut stream = self.connect().await;
        let length = REVIEW.len();
        let head = format!(
            "POST /validate HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), &REVIEW.as_bytes()[..length - 1]].concat()).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }
}

async fn finish(mut stream: TlsStream<TcpStream>) -> String {
    stream.write_all(b"}").await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Unready at once, then still accepting, then finishing what is in flight, then gone with 0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_in_order() {
    let mut binary = Binary::start("8s");
    assert_eq!(binary.ready().await, 200);
    let (early, late) = (binary.in_flight().await, binary.in_flight().await);
    binary.signal("-TERM");
    let asked = Instant::now();
    while binary.ready().await == 200 {
        assert!(asked.elapsed() < Duration::from_secs(1), "still ready");
    }
    // Endpoints lag behind: whoever still comes is served, and asked not to come again.
    let new = finish(binary.in_flight().await).await;
    assert!(new.starts_with("HTTP/1.1 200") && new.contains("connection: close"), "{new}");
    let answer = finish(early).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""uid":"u1""#), "{answer}");

    while TcpStream::connect(&binary.webhook).await.is_ok() {
        assert!(asked.elapsed() < Duration::from_secs(6), "still accepting");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(asked.elapsed() >= Duration::from_millis(1900), "it refused connections after {:?}", asked.elapsed());
    assert!(binary.child.try_wait().unwrap().is_none(), "it did not wait for what is in flight");
    assert_eq!(binary.ready().await, 503);
    let answer = finish(late).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""uid":"u1""#), "{answer}");
    let (status, ended) = binary.ended(Duration::from_secs(5));
    assert!(status.success(), "{status}");
    assert!(ended - asked < Duration::from_secs(8), "it waited for nothing: {:?}", ended - asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_in_flight_after_the_grace_period_is_cut_off() {
    let mut binary = Binary::start("2s");
    let mut hanging = binary.in_flight().await;
    binary.signal("-TERM");
    let asked = Instant::now();
    let (status, ended) = binary.ended(Duration::from_secs(6));
    assert!(status.success(), "{status}");
    assert!(ended - asked >= Duration::from_secs(2), "the grace period was cut short: {:?}", ended - asked);
    assert!(matches!(hanging.read(&mut [0; 16]).await, Ok(0) | Err(_)), "an answer to half a request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("-TERM", "-TERM"), ("-INT", "-INT"), ("-TERM", "-INT")] {
        let mut binary = Binary::start("60s");
        let _hanging = binary.in_flight().await;
        binary.signal(first);
        while binary.ready().await == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        binary.signal(second);
        let asked = Instant::now();
        let (status, ended) = binary.ended(Duration::from_secs(5));
        assert_eq!(status.code(), Some(2), "cut off is not in order");
        assert!(ended - asked < Duration::from_secs(2), "{:?}", ended - asked);
    }
}
