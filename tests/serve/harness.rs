//! A server on free ports of loopback with a toy webhook, and clients for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::server::{Bound, Metrics, Ops, Options, ServeError, StopRequests, Stopper, TlsOptions, serve_until};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) type Body = Full<Bytes>;

/// Short enough for tests to be quick, long enough for a busy machine.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_millis(500);

pub(crate) struct Server {
    pub(crate) bound: Bound,
    pub(crate) stopper: Stopper,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) task: JoinHandle<Result<(), ServeError>>,
    /// A request to `/hold` has arrived.
    pub(crate) held: Arc<Notify>,
    /// Lets one request to `/hold` go.
    pub(crate) release: Arc<Notify>,
    pub(crate) dir: Arc<tempfile::TempDir>,
}

/// `/validate` counts the bytes it got; `/hold` answers when told to.
fn toy(held: &Arc<Notify>, release: &Arc<Notify>) -> Router {
    let (held, release) = (Arc::clone(held), Arc::clone(release));
    let hold = move || async move {
        held.notify_one();
        release.notified().await;
        "released"
    };
    Router::new()
        .route("/validate", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/hold", post(hold))
}

pub(crate) fn options(dir: &Path) -> Options {
    let any = ([127, 0, 0, 1], 0).into();
    let mut options = Options::new(any, any, TlsOptions::Generated { dir: dir.to_owned() });
    options.transport.timeouts.first_request = FIRST_REQUEST;
    options.transport.timeouts.linger = Duration::from_millis(200);
    options.tls_poll = Duration::from_millis(20);
    options
}

impl Server {
    pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let mut options = options(dir.path());
        change(&mut options);
        let (held, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let metrics = Arc::new(Metrics::new());
        let ops = Ops::new(Arc::clone(&metrics), Arc::new(|| serde_json::json!({"hash": "abc"})));
        let (stopper, stop) = StopRequests::manual();
        let (ready, bound) = oneshot::channel();
        let webhook = toy(&held, &release);
        let task = tokio::spawn(serve_until(options, webhook, ops, stop, move |bound| {
            ready.send(*bound).unwrap();
        }));
        let Ok(bound) = bound.await else { panic!("it did not start: {:?}", task.await) };
        Self { bound, stopper, metrics, task, held, release, dir }
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.bound.webhook).await.unwrap()
    }

    pub(crate) async fn tls(&self, alpn: &str) -> TlsStream<TcpStream> {
        handshake(self.tcp().await, config(&self.dir.path().join("ca.crt"), alpn, rustls::ALL_VERSIONS)).await.unwrap()
    }

    pub(crate) async fn h1(&self) -> http1::SendRequest<Body> {
        h1(self.tls("http/1.1").await).await
    }

    pub(crate) async fn h2(&self) -> http2::SendRequest<Body> {
        h2(self.tls("h2").await).await
    }

    /// What the operations port answers.
    pub(crate) async fn ops(&self, path: &str) -> (u16, String) {
        let mut client = h1(TcpStream::connect(self.bound.ops).await.unwrap()).await;
        let request = Request::get(path).header("host", "ops").body(Body::default()).unwrap();
        text(client.send_request(request).await.unwrap()).await
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    /// Waits until it has stopped by itself.
    pub(crate) async fn ended(self) -> Result<(), ServeError> {
        within(3000, self.task).await.unwrap()
    }
}

pub(crate) fn config(ca: &Path, alpn: &str, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.split_whitespace().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub(crate) async fn handshake(stream: TcpStream, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

pub(crate) async fn h1<S>(stream: S) -> http1::SendRequest<Body>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

pub(crate) async fn h2<S>(stream: S) -> http2::SendRequest<Body>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

pub(crate) fn post_to(path: &str, length: usize) -> Request<Body> {
    let uri = format!("https://localhost{path}");
    Request::post(uri).header("host", "localhost").body(vec![b'x'; length].into()).unwrap()
}

pub(crate) async fn text(answer: Response<hyper::body::Incoming>) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) async fn within<T>(millis: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_millis(millis), what).await.expect("in time")
}
