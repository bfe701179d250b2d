//! An API server that lists what it is told to hold and streams what it is told to stream.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use crate::inventory::from_cluster::Kind;

type Chunk = io::Result<Frame<Bytes>>;

#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    pub(super) namespaces: Vec<Value>,
    pub(super) policies: Vec<Value>,
    pub(super) pods: Vec<Value>,
    /// What pods were asked for as.
    pub(super) accepted: Vec<String>,
    /// Paths and queries of all requests.
    pub(super) requests: Vec<String>,
    /// Open watches.
    watches: Vec<(Kind, UnboundedSender<Chunk>)>,
    /// What the next matching requests are answered with instead: part of the path and query, code.
    pub(super) failures: Vec<(&'static str, u16)>,
    /// Everything fails.
    pub(super) down: bool,
    version: u64,
}

impl Fake {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn client(&self) -> Client {
        let fake = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let answer = fake.answer(&request);
            async move { answer }
        });
        Client::new(service, "default")
    }

    /// Streams an event to every open watch of the kind.
    pub(super) fn send(&self, kind: Kind, event: &str, mut object: Value) {
        let mut state = self.lock();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        let line = json!({"type": event, "object": object}).to_string() + "\n";
        let to = |watch: &&(Kind, UnboundedSender<Chunk>)| watch.0 == kind;
        state.watches.iter().filter(to).for_each(|(_, sender)| {
            let _ = sender.unbounded_send(Ok(Frame::data(line.clone().into())));
        });
    }

    pub(super) fn bookmark(&self, kind: Kind) {
        self.send(kind, "BOOKMARK", json!({"kind": kind.as_str(), "apiVersion": "v1", "metadata": {}}));
    }

    /// Breaks every open watch off, or closes it in good order.
    pub(super) fn disconnect(&self, broken: bool) {
        for (_, sender) in self.lock().watches.drain(..) {
            if broken {
                let _ = sender.unbounded_send(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
    }

    pub(super) fn open_watches(&self) -> usize {
        self.lock().watches.iter().filter(|(_, sender)| !sender.is_closed()).count()
    }

    /// How many requests had this in their path and query.
    pub(super) fn requests(&self, part: &str) -> usize {
        self.lock().requests.iter().filter(|request| request.contains(part)).count()
    }

    fn answer(&self, request: &Request<Body>) -> Result<Response<BoxBody<Bytes, io::Error>>, io::Error> {
        let mut state = self.lock();
        let target = request.uri().path_and_query().unwrap().to_string();
        state.requests.push(target.clone());
        if state.down {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if let Some(at) = state.failures.iter().position(|(part, _)| target.contains(part)) {
            let (_, code) = state.failures.remove(at);
            return Ok(status(code));
        }
        let path = request.uri().path();
        let kind = match path.rsplit('/').next() {
            Some("networkpolicies") => Kind::NetworkPolicy,
            Some("pods") => Kind::Pod,
            _ => Kind::Namespace,
        };
        if kind == Kind::Pod {
            let accept = request.headers()[hyper::header::ACCEPT].to_str().unwrap().to_owned();
            state.accepted.push(accept);
        }
        if target.contains("watch=true") {
            let (sender, receiver) = unbounded();
            state.watches.push((kind, sender));
            return Ok(Response::new(stream(receiver)));
        }
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        Ok(match segments.as_slice() {
            ["api", "v1", "namespaces"] => state.list(&state.namespaces, &target),
            ["api", "v1", "pods"] => state.list(&state.pods, &target),
            ["api", "v1", "namespaces", name] => {
                let found = state.namespaces.iter().find(|object| object["metadata"]["name"] == **name);
                found.map_or_else(|| status(404), json_body)
            }
            ["apis", "networking.k8s.io", "v1", "networkpolicies"] => state.list(&state.policies, &target),
            ["apis", "networking.k8s.io", "v1", "namespaces", name, "networkpolicies"] => {
                let of = |object: &&Value| object["metadata"]["namespace"] == **name;
                let objects: Vec<_> = state.policies.iter().filter(of).cloned().collect();
                state.list(&objects, &target)
            }
            _ => status(404),
        })
    }
}

impl State {
    fn list(&self, objects: &[Value], target: &str) -> Response<BoxBody<Bytes, io::Error>> {
        let number =
            |key: &str| target.split(['?', '&']).find_map(|pair| pair.strip_prefix(key)?.parse::<usize>().ok());
        let from = number("continue=").unwrap_or(0);
        let to = objects.len().min(from + number("limit=").unwrap_or(usize::MAX / 2));
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if to < objects.len() {
            metadata["continue"] = to.to_string().into();
        }
        let items = objects.get(from..to).filter(|items| !items.is_empty());
        json_body(&json!({"metadata": metadata, "items": items}))
    }
}

fn json_body(value: &Value) -> Response<BoxBody<Bytes, io::Error>> {
    Response::new(Full::new(Bytes::from(value.to_string())).map_err(|error: Infallible| match error {}).boxed())
}

fn status(code: u16) -> Response<BoxBody<Bytes, io::Error>> {
    let reason = if code == 404 { "NotFound" } else { "Other" };
    let mut answer = json_body(&json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "a fake\nfailure", "reason": reason,
        "code": code,
    }));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

fn stream(chunks: UnboundedReceiver<Chunk>) -> BoxBody<Bytes, io::Error> {
    // The client asks for a body that is Sync; a channel's receiver is.
    BodyExt::boxed(StreamBody::new(chunks))
}
