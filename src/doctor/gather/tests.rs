//! The questions, put to an API server that answers from a table. The real one is asked in `tests/cluster/doctor.rs`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use hyper::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::doctor::facts::Answer;

/// Status and body by method and the start of a path.
type Table = BTreeMap<&'static str, (u16, Value)>;

/// An API server, and what it was asked.
fn mk_server(table: Table) -> (Access, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let service = service_fn(move |request: Request<Body>| {
        let line = format!("{} {}", request.method(), request.uri().path_and_query().unwrap());
        let metadata =
            request.headers().get("accept").is_some_and(|accept| accept.to_str().unwrap().contains("PartialObject"));
        log.lock().unwrap().push(format!("{line}{}", if metadata { " metadata" } else { "" }));
        // The longest prefix answers.
        let found =
            table.iter().filter(|(prefix, _)| line.starts_with(**prefix)).max_by_key(|(prefix, _)| prefix.len());
        let not_found = (404, json!({"kind": "Status", "status": "Failure", "code": 404, "message": "no"}));
        let (status, body) = found.map_or(not_found, |(_, answer)| answer.clone());
        if status == 0 {
            return pending().boxed();
        }
        let response = Response::builder().status(status).header("warning", r#"299 - "say \"a\\b\"""#);
        let response = response.body(Body::from(body.to_string().into_bytes())).unwrap();
        ready(Ok::<_, Infallible>(response)).boxed()
    });
    (Access { client: Client::new(service, "default"), inside: false }, asked)
}

fn refused(code: u16, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}))
}

fn question() -> Question {
    let text = str::to_owned;
    Question {
        configuration: text("portcullis"),
        namespace: text("portcullis"),
        service_account: text("portcullis"),
        connect: None,
        probe: None,
    }
}

fn mk_table() -> Table {
    let allowed = json!({"status": {"allowed": true}});
    let empty = json!({"metadata": {}, "items": null});
    BTreeMap::from([
        ("GET /version", (200, json!({"gitVersion": "v1.33.2-eks-1", "minor": "33+"}))),
        ("GET /apis/admissionregistration.k8s.io", (200, empty.clone())),
        ("GET /apis/apps/v1/daemonsets", (200, empty.clone())),
        ("GET /api/v1/nodes", (200, empty.clone())),
        ("GET /api/v1/namespaces", (200, empty)),
        ("POST /apis/authorization.k8s.io", (201, allowed)),
        ("GET /apis", (200, json!({"groups": []}))),
    ])
}

async fn gathered(table: Table) -> Facts {
    mk_server(table).0.facts(&question()).await.unwrap()
}

#[tokio::test]
async fn everything_is_asked_for_by_pages_and_nothing_is_written() {
    let mut table = mk_table();
    let page =
        |name: &str, next: &str| json!({"metadata": {"continue": next}, "items": [{"metadata": {"name": name}}]});
    table.insert("GET /api/v1/namespaces", (200, page("a", "x")));
    table.insert("GET /api/v1/namespaces?&limit=500&continue=x", (200, page("b", "")));
    let (access, asked) = mk_server(table);
    let facts = access.facts(&question()).await.unwrap();
    assert_eq!(facts.version, Version { git: "v1.33.2-eks-1".into(), minor: 33 });
    let names: Vec<String> = facts.namespaces.unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(facts.registrations, Ok(vec![]));
    assert!(facts.rights.iter().all(|(_, known)| *known == Ok(true)) && facts.probe.is_none());
    let asked = asked.lock().unwrap();
    let writes = asked.iter().filter(|line| !line.starts_with("GET ") && !line.contains("accessreviews"));
    assert_eq!(writes.count(), 0, "{asked:?}");
    assert!(
        asked.iter().any(|line| line.starts_with("GET /api/v1/nodes?&limit=500") && line.ends_with("metadata")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn other_kinds_are_looked_for_in_every_version_and_counted_without_being_read() {
    let mut table = mk_table();
    let group = |name: &str, versions: &[&str]| {
        let versions: Vec<Value> = versions.iter().map(|version| json!({"version": version})).collect();
        json!({"name": name, "versions": versions})
    };
    let groups = [
        group("policy.networking.k8s.io", &["v1alpha2", "v1alpha1"]),
        group("cilium.io", &["v2"]),
        group("apps", &["v1"]),
    ];
    let resources = |names: &[&str]| {
        let resources: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        (200, json!({"resources": resources}))
    };
    let one = |more: Value| (200, json!({"metadata": more, "items": [{"metadata": {"name": "a"}}]}));
    table.insert("GET /apis", (200, json!({"groups": groups})));
    table.insert("GET /apis/policy.networking.k8s.io/v1alpha2", resources(&["clusternetworkpolicies"]));
    table.insert("GET /apis/policy.networking.k8s.io/v1alpha1", resources(&["adminnetworkpolicies"]));
    table.insert(
        "GET /apis/policy.networking.k8s.io/v1alpha2/cl",
        one(json!({"continue": "x", "remainingItemCount": 6})),
    );
    table.insert("GET /apis/policy.networking.k8s.io/v1alpha1/ad", one(json!({"continue": "x"})));
    table.insert("GET /apis/cilium.io/v2", resources(&["ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies"]));
    table.insert("GET /apis/cilium.io/v2/ciliumn", one(json!({})));
    table.insert("GET /apis/cilium.io/v2/ciliumc", refused(403, "no"));
    let found = gathered(table).await.other_policies.unwrap();
    let found: Vec<_> = found.into_iter().map(|(kind, count)| (kind.resource, count)).collect();
    let forbidden = Gap::Forbidden("list ciliumclusterwidenetworkpolicies.cilium.io".into());
    let expected = [
        ("adminnetworkpolicies", Ok(2)),
        ("clusternetworkpolicies", Ok(7)),
        ("ciliumnetworkpolicies", Ok(1)),
        ("ciliumclusterwidenetworkpolicies", Err(forbidden)),
    ];
    assert_eq!(found, expected);
}

#[tokio::test(start_paused = true)]
async fn each_gap_says_what_it_is() {
    let mut table = mk_table();
    table.insert("GET /apis/apps/v1/daemonsets", refused(403, "no"));
    table.insert("GET /api/v1/namespaces", (0, Value::Null));
    table.insert("GET /api/v1/nodes", (200, json!("nonsense")));
    table.insert("GET /apis/admissionregistration.k8s.io", refused(404, "no"));
    let facts = gathered(table).await;
    assert_eq!(facts.daemon_sets, Err(Gap::Forbidden("list daemonsets.apps".into())));
    assert_eq!(facts.namespaces, Err(Gap::Failed("list namespaces".into(), "no answer within 10s".into())));
    assert!(matches!(facts.nodes, Err(Gap::Failed(..))));
    let kind = "validatingwebhookconfigurations.admissionregistration.k8s.io".to_owned();
    assert_eq!(facts.registrations, Err(Gap::Absent(kind)));
}

#[tokio::test(start_paused = true)]
async fn without_a_version_there_is_nothing_to_say() {
    for (answer, said) in
        [((0, Value::Null), "no answer within 10s"), (refused(401, "Unauthorized"), "Unauthorized (401)")]
    {
        let (access, _) = mk_server(Table::from([("GET /version", answer)]));
        let error = access.facts(&question()).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("the API server does not answer: ") && error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn answers_to_the_probe() {
    let told = |message: &str| Answer::Denied(message.into());
    let denied = "admission webhook \"validate.portcullis.dev\" denied the request: [allow-all-ingress] a\nb";
    let calling = "Internal error occurred: failed calling webhook \"validate.portcullis.dev\": refused";
    let rbac =
        "networkpolicies.networking.k8s.io is forbidden: User \"dev\" cannot create resource \"networkpolicies\"";
    for (answer, expected) in [
        ((201, json!({})), Ok(Answer::Admitted(vec!["say \"a\\b\"".into()]))),
        (refused(403, denied), Ok(told(&denied.replace('\n', " ")))),
        (refused(500, calling), Ok(Answer::Unavailable(calling.into()))),
        (refused(404, "namespaces \"x\" not found"), Ok(Answer::Refused("namespaces \"x\" not found".into()))),
        (refused(403, rbac), Err(Gap::Forbidden("create networkpolicies.networking.k8s.io in x".into()))),
    ] {
        let mut table = mk_table();
        table.insert("POST /apis/networking.k8s.io/v1/namespaces/x/networkpolicies?dryRun=All", answer);
        let asked = Question { probe: Some("x".into()), ..question() };
        assert_eq!(mk_server(table).0.facts(&asked).await.unwrap().probe, Some(expected));
    }
}

#[test]
fn where_a_webhook_is_looked_at() {
    let (mut access, _) =
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { mk_server(Table::new()) });
    let hook = |config: Value| -> ValidatingWebhook {
        let hook =
            json!({"name": "a", "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": config});
        serde_json::from_value(hook).unwrap()
    };
    let service = hook(json!({"service": {"name": "p", "namespace": "n"}}));
    let at = |access: &Access, hook: &ValidatingWebhook, connect| access.address(hook, connect);
    assert_eq!(at(&access, &service, None), None);
    assert_eq!(at(&access, &service, Some("127.0.0.1:1")).as_deref(), Some("127.0.0.1:1"));
    for (url, expected) in [("https://h.example/validate", "h.example:443"), ("https://[::1]:8443/", "[::1]:8443")] {
        assert_eq!(at(&access, &hook(json!({"url": url})), Some("127.0.0.1:1")).as_deref(), Some(expected));
    }
    access.inside = true;
    assert_eq!(at(&access, &service, None).as_deref(), Some("p.n.svc:443"));
}

#[tokio::test]
async fn nobody_there_is_told_with_the_reason() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let Served::NoAnswer { address, why } = tls::look(&closed, "localhost").await else { panic!("somebody is there") };
    assert!(address == closed && why.contains("refused"), "{address}: {why}");
}
