//! Callers that have to show a certificate.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hyper::client::conn::http1;
use portcullis::server::ClientAuth;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;
use super::pki::{Ca, Identity};

/// The harness's client with a certificate to show.
fn config_as(ca: &Path, alpn: &str, caller: Option<&Identity>) -> ClientConfig {
    let mut config = config(ca, alpn, rustls::ALL_VERSIONS);
    if let Some(Identity { cert, key }) = caller {
        let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let signing = provider.key_provider.load_private_key(key).unwrap();
        let certified = rustls::sign::CertifiedKey::new(chain, signing);
        config.client_auth_cert_resolver = std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    }
    config
}

/// Status and body of a review; the error when there was no answer.
async fn ask(tcp: TcpStream, ca: &Path, caller: Option<&Identity>) -> Result<(u16, String), String> {
    let stream = handshake(tcp, config_as(ca, "http/1.1", caller)).await.map_err(|error| error.to_string())?;
    let mut client = h1(stream).await;
    send(&mut client, 100).await
}

async fn send(client: &mut http1::SendRequest<Body>, length: usize) -> Result<(u16, String), String> {
    // With TLS 1.3 a client learns that its certificate is refused only when it reads.
    let answer = client.send_request(post_to("/validate", length)).await.map_err(|error| error.to_string())?;
    Ok(text(answer).await)
}

async fn server(clients: &Ca, names: &[&str]) -> Server {
    Server::start(|options| {
        let dir = match &options.tls {
            portcullis::server::TlsOptions::Generated { dir } => dir.clone(),
            other => panic!("{other:?}"),
        };
        let ca = dir.join("callers.crt");
        fs::write(&ca, &clients.pem).unwrap();
        options.clients = Some(ClientAuth { ca, names: names.iter().map(|&name| name.to_owned()).collect() });
    })
    .await
}

#[tokio::test]
async fn only_callers_of_the_ca_get_past_the_handshake() {
    let (ca, other) = (Ca::new("callers"), Ca::new("callers"));
    let server = server(&ca, &[]).await;
    let trust = server.dir.path().join("ca.crt");
    let ask = async |caller: Option<&Identity>| ask(server.tcp().await, &trust, caller).await;
    assert_eq!(ask(Some(&ca.caller("anybody", &[]))).await, Ok((200, "100".to_owned())));
    ask(None).await.unwrap_err();
    ask(Some(&other.caller("anybody", &[]))).await.unwrap_err();
    // A certificate for servers is none for callers.
    ask(Some(&ca.server())).await.unwrap_err();
    assert_eq!(server.metric("portcullis_tls_handshake_failures_total"), 3.0);
    assert_eq!(server.ops("/readyz").await.0, 200, "nobody is asked on the operations port");
}

/// With TLS 1.3 a client is done with the handshake before it is refused, and may be in the middle of its request.
#[tokio::test]
async fn a_caller_without_a_certificate_learns_why_while_it_sends() {
    let server = server(&Ca::new("callers"), &[]).await;
    let trust = server.dir.path().join("ca.crt");
    let mut stream = handshake(server.tcp().await, config_as(&trust, "http/1.1", None)).await.unwrap();
    for _ in 0..3 {
        stream.write_all(&[b'x'; 100]).await.expect("it is not cut off");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = stream.read_u8().await.unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn a_caller_of_another_name_is_told_so() {
    let ca = Ca::new("callers");
    let server = server(&ca, &["kube-apiserver", "api.example"]).await;
    let trust = server.dir.path().join("ca.crt");
    let ask = async |caller: &Identity| ask(server.tcp().await, &trust, Some(caller)).await.unwrap();
    assert_eq!(ask(&ca.caller("kube-apiserver", &[])).await.0, 200);
    assert_eq!(ask(&ca.caller("other", &["api.example"])).await.0, 200);
    let (status, body) = ask(&ca.caller("kubelet", &["kube-apiserver.example"])).await;
    assert_eq!(
        (status, body.as_str()),
        (403, r#"{"error":"the client certificate has no name that is accepted here"}"#)
    );
    let stream =
        handshake(server.tcp().await, config_as(&trust, "h2", Some(&ca.caller("kubelet", &[])))).await.unwrap();
    let mut client = h2(stream).await;
    for path in ["/", "/validate", "/nowhere/at/all"] {
        assert_eq!(text(client.send_request(post_to(path, 9)).await.unwrap()).await.0, 403, "{path}");
    }
    assert!(server.metrics.render().contains("portcullis_http_responses_total{code=\"403\"} 4"));
}

#[tokio::test]
async fn the_client_ca_is_followed_and_a_broken_one_is_not() {
    let (old, new) = (Ca::new("callers"), Ca::new("callers"));
    let server = server(&old, &[]).await;
    let trust = server.dir.path().join("ca.crt");
    let file = server.dir.path().join("callers.crt");
    let (before, after) = (old.caller("a", &[]), new.caller("a", &[]));
    let stream = handshake(server.tcp().await, config_as(&trust, "http/1.1", Some(&before))).await.unwrap();
    let mut open = h1(stream).await;
    assert_eq!(send(&mut open, 1).await.unwrap().0, 200);
    ask(server.tcp().await, &trust, Some(&after)).await.unwrap_err();

    let reloads = |result: &str| {
        let line = format!("portcullis_tls_reloads_total{{result=\"{result}\"}} ");
        server.metrics.render().lines().find_map(|found| found.strip_prefix(&line)?.parse::<u64>().ok()).unwrap()
    };
    let wait = async |result: &str, count: u64| {
        within(3000, async {
            while reloads(result) < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    fs::write(&file, &new.pem).unwrap();
    wait("success", 1).await;
    assert_eq!(ask(server.tcp().await, &trust, Some(&after)).await.unwrap().0, 200);
    ask(server.tcp().await, &trust, Some(&before)).await.unwrap_err();
    assert_eq!(send(&mut open, 1).await.unwrap().0, 200, "an open connection goes on");

    fs::write(&file, "broken").unwrap();
    wait("failure", 1).await;
    assert_eq!(ask(server.tcp().await, &trust, Some(&after)).await.unwrap().0, 200);
    let (status, lines) = server.ops("/readyz?verbose").await;
    assert!(status == 200 && lines.contains("[+]tls ok (the CAs of the callers in "), "{lines}");
}

/// The program itself, ended with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts the program on free ports, and returns the webhook's and the operations port's address.
fn program(folder: &Path, args: &[&str]) -> (Program, String, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--log-format=json"])
        .args(args)
        .env_clear()
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut program = Program(child);
    let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
    let line = lines.find_map(|line| line.ok().filter(|line| line.contains("\"serving\""))).expect("it serves");
    // It must not fill up.
    std::thread::spawn(move || lines.for_each(drop));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
    let (webhook, operations) = (address("webhook"), address("operations"));
    (program, webhook, operations)
}

/// A Secret's volume: links to `..data`, itself a link that is switched.
fn mount(folder: &Path, version: &str, identity: &Identity) {
    fs::create_dir(folder.join(version)).unwrap();
    identity.write(&folder.join(version), "tls");
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), folder.join(name)).ok();
    }
    std::os::unix::fs::symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn the_program_serves_a_mounted_chain_follows_it_and_asks_for_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (root, callers) = (Ca::new("root"), Ca::new("callers"));
    let chained = |name: &str| {
        let intermediate = root.intermediate(name);
        let Identity { cert, key } = intermediate.server();
        Identity { cert: format!("{cert}{}", intermediate.pem), key }
    };
    mount(folder.path(), "..1", &chained("first"));
    fs::write(path("root.crt"), &root.pem).unwrap();
    fs::write(path("callers.crt"), &callers.pem).unwrap();
    let flags = [
        format!("--tls-cert={}", path("tls.crt")),
        format!("--tls-key={}", path("tls.key")),
        format!("--client-ca={}", path("callers.crt")),
        "--client-name=kube-apiserver".to_owned(),
    ];
    let (_program, webhook, operations) = program(folder.path(), &flags.each_ref().map(String::as_str));

    let trust = folder.path().join("root.crt");
    let caller = callers.caller("kube-apiserver", &[]);
    let shown = async || {
        // The client knows the root alone, so the chain has to come whole.
        let tcp = TcpStream::connect(&webhook).await.unwrap();
        let stream = handshake(tcp, config_as(&trust, "h2", Some(&caller))).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap().to_vec();
        let status = h2(stream).await.send_request(post_to("/validate", 3)).await.unwrap().status().as_u16();
        assert_eq!(status, 415, "the webhook itself answers");
        shown
    };
    let first = shown().await;
    assert_eq!(first.len(), 2);
    let stranger = callers.caller("kubelet", &[]);
    let refused = ask(TcpStream::connect(&webhook).await.unwrap(), &trust, Some(&stranger)).await.unwrap();
    assert_eq!(refused.0, 403);

    mount(folder.path(), "..2", &chained("second"));
    within(15_000, async {
        while shown().await == first {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let mut client = h1(TcpStream::connect(&operations).await.unwrap()).await;
    let request = hyper::Request::get("/metrics").header("host", "ops").body(Body::default()).unwrap();
    let metrics = text(client.send_request(request).await.unwrap()).await.1;
    assert!(metrics.contains("portcullis_tls_reloads_total{result=\"success\"} 1"), "{metrics}");
}
