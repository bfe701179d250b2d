//! HTTP/2 over TLS, to the API server and to the webhook itself. Nothing is tried a second time: a request that failed
//! is what is looked for.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than the API server waits for the webhook, and than etcd is away.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

type Sender = http2::SendRequest<Full<Bytes>>;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Trusts the certificates in `pem` and nobody else, and speaks `protocol`.
pub(crate) fn trust(pem: &str, protocol: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.expect("a certificate")).expect("a certificate that can be trusted");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    // Each handshake is to look at the certificate.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// A TLS connection to a port of loopback.
pub(crate) async fn tls(port: u16, trust: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, String> {
    let shake = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
        TlsConnector::from(Arc::clone(trust)).connect(name, stream).await
    };
    match timeout(CONNECT, shake).await {
        Ok(shaken) => shaken.map_err(|error| format!("connect: {error}")),
        Err(_) => Err(format!("connect: not within {CONNECT:?}")),
    }
}

/// The certificate that a server shows now, as DER.
pub(crate) async fn shown(port: u16, trust: &Arc<ClientConfig>) -> Result<Vec<u8>, String> {
    let stream = tls(port, trust).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.first().map(|leaf| leaf.to_vec()).ok_or_else(|| "no certificate".to_owned())
}

/// A client with one connection, made anew when it is gone.
pub(crate) struct Client {
    port: u16,
    trust: Arc<ClientConfig>,
    token: Option<String>,
    connection: Mutex<Option<Sender>>,
}

impl Client {
    pub(crate) fn new(port: u16, trust: Arc<ClientConfig>, token: Option<String>) -> Self {
        Self { port, trust, token, connection: Mutex::new(None) }
    }

    /// Sends one request, and says why there was no answer.
    pub(crate) async fn send(&self, method: &str, path: &str, kind: &str, body: String) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://127.0.0.1:{}{path}", self.port))
            .header("content-type", kind);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::from(body)).expect("a request");
        let answer = async {
            let mut sender = self.connected().await?;
            sender.ready().await.map_err(|error| format!("send: {error}"))?;
            let answer = sender.send_request(request).await.map_err(|error| format!("send: {error}"))?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| format!("read: {error}"))?.to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
    }

    /// A review of a request, asked of the webhook itself.
    pub(crate) async fn review(&self, path: &str, review: String) -> Result<Answer, String> {
        self.send("POST", path, "application/json", review).await
    }

    async fn connected(&self) -> Result<Sender, String> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = TokioIo::new(tls(self.port, &self.trust).await?);
        let shaken = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, driver) = shaken.map_err(|error| format!("handshake: {error}"))?;
        // Its end is seen by whoever sends.
        tokio::spawn(driver);
        *connection = Some(sender.clone());
        Ok(sender)
    }
}
