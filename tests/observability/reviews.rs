//! Reviews, sent as an API server sends them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::harness::Webhook;

/// A rule set under which each of the reviews below comes to something else.
pub(crate) const RULE_SET: &str = "apiVersion: portcullis.dev/v1alpha1
kind: RuleSet
metadata: {name: observed}
spec:
  rules:
    - {rule: allow-all-ingress, level: deny}
    - {rule: allow-all-egress, level: warn}
    - {rule: egress-private-cidr, level: audit}
";

/// Allowed without a word.
pub(crate) fn fine() -> Value {
    json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"ports": [{"port": 8080}], "from": [{"podSelector": {}}]}]})
}

/// Denied: everybody may come in.
pub(crate) fn open_in() -> Value {
    json!({"podSelector": {}, "ingress": [{}]})
}

/// Warned of, as it may go everywhere, and a finding for the auditors.
pub(crate) fn open_out() -> Value {
    json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]})
}

/// Allowed, with a finding for the auditors alone.
pub(crate) fn private_out() -> Value {
    json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}]})
}

/// Cannot be judged: a peer of an unknown kind.
pub(crate) fn unknown_peer() -> Value {
    json!({"podSelector": {}, "ingress": [{"from": [{"peerOfAnotherDay": {}}]}]})
}

/// The review of the creation of a policy in the namespace `shop`.
pub(crate) fn creation(uid: &str, spec: &Value, dry_run: bool) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid, "operation": "CREATE", "dryRun": dry_run, "userInfo": {"username": "eve"},
            "kind": {"group": "networking.k8s.io", "version": "v1", "kind": "NetworkPolicy"},
            "object": {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec},
        },
    })
    .to_string()
}

/// Posts a body to `/validate`; the status and the body of the answer.
pub(crate) fn send(webhook: &Webhook, body: &str) -> (u16, String) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(webhook.cert_dir().join("ca.crt")).expect("a CA")).expect("usable");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let socket = TcpStream::connect(("127.0.0.1", webhook.port())).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("TLS"), socket);
    let length = body.len();
    write!(
        stream,
        "POST /validate?timeout=10s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
}
