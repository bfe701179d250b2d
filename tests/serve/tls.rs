//! Versions, protocols, certificates and their reload.

use std::path::Path;
use std::time::Duration;

use portcullis::server::certs::{self, Spec};
use portcullis::server::{ServeError, TlsOptions, clock};
use rustls::version::{TLS12, TLS13};

use super::harness::*;

#[tokio::test]
async fn both_versions_and_both_protocols_are_served() {
    let server = Server::start(|_| {}).await;
    let ca = server.dir.path().join("ca.crt");
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in [("h2", "h2"), ("http/1.1", "http/1.1"), ("http/1.1 h2", "h2"), ("", "")] {
            let stream = handshake(server.tcp().await, config(&ca, offered, &[version])).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol().unwrap_or_default(), chosen.as_bytes());
            let request = post_to("/validate", 3);
            let answer = match chosen {
                "h2" => h2(stream).await.send_request(request).await.unwrap(),
                _ => h1(stream).await.send_request(request).await.unwrap(),
            };
            assert_eq!(text(answer).await, (200, "3".to_owned()), "{version:?} {offered}");
        }
    }
}

#[tokio::test]
async fn a_failed_handshake_is_counted_and_harms_nobody() {
    let server = Server::start(|_| {}).await;
    let ca = server.dir.path().join("ca.crt");
    let unknown = handshake(server.tcp().await, config(&ca, "spdy/3", rustls::ALL_VERSIONS)).await;
    assert!(unknown.is_err());
    server.h1().await.send_request(post_to("/validate", 1)).await.unwrap();
    assert_eq!(server.metric("portcullis_tls_handshake_failures_total"), 1.0);
}

#[tokio::test]
async fn the_generated_certificate_is_for_every_name_of_the_service() {
    let server = Server::start(|_| {}).await;
    let ca = server.dir.path().join("ca.crt");
    for name in
        ["localhost", "127.0.0.1", "::1", "portcullis.portcullis.svc", "portcullis.portcullis.svc.cluster.local"]
    {
        let config = config(&ca, "h2", rustls::ALL_VERSIONS);
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let name = rustls::pki_types::ServerName::try_from(name).unwrap();
        connector.connect(name, server.tcp().await).await.unwrap();
    }
}

fn write_new(dir: &Path) -> i64 {
    // Backdated differently each time, so that the ends of validity differ.
    let age = Duration::from_secs(60 + u64::from(dir.join("tls.crt").exists()) * 60);
    let bundle = certs::generate(&Spec::default(), clock::now() - age).unwrap();
    for (name, text) in [
        ("ca.crt", bundle.ca.cert_pem),
        ("tls.crt", bundle.leaf.cert_pem),
        ("tls.key", bundle.leaf.key_pem.to_string()),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    clock::now().as_second() - i64::try_from(age.as_secs()).unwrap() + 365 * 24 * 3600
}

#[tokio::test]
async fn changed_files_are_shown_to_new_connections_and_old_ones_go_on() {
    let mut first = 0;
    let server = Server::start(|options| {
        let TlsOptions::Generated { dir } = options.tls.clone() else { unreachable!() };
        first = write_new(&dir);
        options.tls = TlsOptions::Files { cert: dir.join("tls.crt"), key: dir.join("tls.key") };
    })
    .await;
    let not_after = || server.metric("portcullis_tls_certificate_not_after_timestamp_seconds");
    assert!((not_after() - first as f64).abs() < 5.0);
    let mut before = server.h2().await;
    assert_eq!(before.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);

    let second = write_new(server.dir.path());
    within(2000, async {
        while (not_after() - second as f64).abs() > 5.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // The harness trusts the CA that is on disk now, and no other.
    let mut after = server.h2().await;
    assert_eq!(after.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);
    assert_eq!(before.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);

    std::fs::write(server.dir.path().join("tls.key"), "broken").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut still = server.h2().await;
    assert_eq!(still.send_request(post_to("/validate", 1)).await.unwrap().status(), 200);
    assert!(server.ops("/readyz?verbose").await.1.contains("[+]tls ok"));
}

#[tokio::test]
async fn a_start_without_a_certificate_says_which_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.tls = TlsOptions::Files { cert: dir.path().join("missing.crt"), key: dir.path().join("missing.key") };
    let error = super::stop::start_failing(options).await;
    assert!(matches!(error, ServeError::Tls(_)));
    assert!(error.to_string().contains("missing.crt") && error.to_string().contains("--tls-cert"), "{error}");
}
