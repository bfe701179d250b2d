//! As much of an API server as the inventory needs: lists, and watches on which nothing happens.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::{fs, thread};

use serde_json::{Value, json};

/// Listens until the test program ends, for the kubeconfig written to `file`.
///
/// It holds the namespaces `shop` and `legacy`, and in the latter a policy that no version of Portcullis can read.
pub(crate) fn start(file: &Path) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(|| answer(stream));
        }
    });
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    });
    fs::write(file, kubeconfig.to_string()).expect("written");
}

fn namespace(name: &str) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": "1", "labels": {"kubernetes.io/metadata.name": name}}})
}

fn unreadable_policy() -> Value {
    json!({
        "metadata": {"name": "odd", "namespace": "legacy", "resourceVersion": "1"},
        "spec": {"podSelector": {}, "ingress": [{"from": [{"peerOfAnotherDay": {}}]}]},
    })
}

fn listed(path: &str) -> Vec<Value> {
    match path {
        "/api/v1/namespaces" => vec![namespace("shop"), namespace("legacy")],
        "/apis/networking.k8s.io/v1/networkpolicies" => vec![unreadable_policy()],
        _ => Vec::new(),
    }
}

/// One request, and the end of the connection; for a watch the connection stays open until the client has enough.
fn answer(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
    let target = request.split(' ').nth(1).unwrap_or_default();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    let path = target.split('?').next().unwrap_or_default();
    let body = match path.strip_prefix("/api/v1/namespaces/") {
        _ if target.contains("watch=true") => String::new(),
        Some(name) => namespace(name).to_string(),
        None => json!({"metadata": {"resourceVersion": "1"}, "items": listed(path)}).to_string(),
    };
    // The client may be gone.
    let _ = stream.write_all([head, &body].concat().as_bytes());
    if body.is_empty() {
        lines.for_each(drop);
    }
}
