//! The whole webhook as its clients see it: one HTTP request in, one answer out, without sockets.
#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of this file are test code as well")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use futures::future::{BoxFuture, pending, ready};
use http_body_util::BodyExt;
use jiff::Timestamp;
use portcullis::admission::handler::{Reviewer, routes};
use portcullis::admission::sampling::LogAllowed;
use portcullis::config::valid::{ExplainChanges, OnCannotJudge, RuleSet};
use portcullis::engine::{Bound, bind, builtin};
use portcullis::finding::Level;
use portcullis::inventory::memory::Memory;
use portcullis::inventory::{Inventory, NamespaceState, Source};
use portcullis::netpol::groups::Groups;
use portcullis::netpol::pod::{Pod, PodKind};
use portcullis::netpol::policy::NetworkPolicy;
use portcullis::object::Subject;
use portcullis::rules::{CannotTell, Check, Context, Meta, Needs, Outcome, ParamError, RULES, Rule};
use portcullis::server::{Limits, Metrics, Ops, app, ops_router};
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;

// ---- The webhook under test ------------------------------------------------------------------------------------------

struct Webhook {
    app: Router,
    metrics: Arc<Metrics>,
    /// Hash of its rule set.
    config: String,
}

impl Webhook {
    fn new(bound: Bound, source: Arc<dyn Source>) -> Self {
        let (metrics, config) = (Arc::new(Metrics::new()), bound.hash.clone());
        let reviewer = Reviewer {
            bound: Arc::new(ArcSwap::from_pointee(bound)),
            source,
            observer: Arc::clone(&metrics) as _,
            clock: || Timestamp::UNIX_EPOCH,
            log_allowed: LogAllowed::ALL,
        };
        let limits = Limits { metrics: Some(Arc::clone(&metrics)), ..Limits::default() };
        Self { app: app(routes(Arc::new(reviewer)), &limits), metrics, config }
    }

    /// The built-in rules, and a memory that knows nothing yet.
    fn in_memory() -> Self {
        Self::new(builtin_rules(), Arc::new(Memory::new()))
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let (parts, body) = self.app.clone().oneshot(request).await.expect("never fails").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("not JSON: {error}: {body:?}"));
        (parts.status, parts.headers, body)
    }

    /// An error's one line; that is all there may be in the answer.
    async fn refused(&self, request: Request<Body>, status: u16) -> String {
        let (answered, headers, body) = self.send(request).await;
        let error = body["error"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
        assert_eq!(
            (answered.as_u16(), &headers[header::CONTENT_TYPE]),
            (status, &"application/json".parse().expect("a value"))
        );
        assert_eq!(body, json!({ "error": error }));
        assert!(!error.is_empty() && !error.contains('\n'), "{error}");
        error
    }

    /// The whole answer to a review, which has to carry the review's own uid.
    async fn review_at(&self, path: &str, review: &str) -> Value {
        let (status, headers, body) = self.send(post(path, review.to_owned())).await;
        assert_eq!(
            (status, &headers[header::CONTENT_TYPE]),
            (StatusCode::OK, &"application/json".parse().expect("a value"))
        );
        assert_eq!(body["response"]["uid"], json!(UID), "{body}");
        body
    }

    async fn response(&self, review: &Value) -> Value {
        self.review_at("/validate", &review.to_string()).await["response"].take()
    }

    async fn allows(&self, review: &Value) -> bool {
        self.response(review).await["allowed"] == json!(true)
    }

    /// The value of one series.
    fn count(&self, series: &str) -> Option<f64> {
        let rendered = self.metrics.render();
        rendered.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }
}

fn builtin_rules() -> Bound {
    builtin(RULES).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn rule_set() -> RuleSet {
    builtin_rules().rule_set
}

fn bound(rule_set: RuleSet) -> Bound {
    bind(rule_set, RULES).unwrap_or_else(|errors| panic!("{errors:?}"))
}

// ---- What is sent ----------------------------------------------------------------------------------------------------

const UID: &str = "7f6b1c9e-0d5a-4f5e-9f43-6f1f3b1c2d10";

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    request.body(body.into()).expect("a request")
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

/// A review as the API server sends it; `null` for the object that is not there.
fn review(operation: &str, old: &Value, new: &Value) -> Value {
    let named = if new.is_null() { old } else { new };
    let gvk = match named["kind"].as_str() {
        Some("Namespace") => json!({"group": "", "version": "v1", "kind": "Namespace"}),
        _ => json!({"group": "networking.k8s.io", "version": "v1", "kind": "NetworkPolicy"}),
    };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": UID, "operation": operation, "kind": gvk, "requestKind": gvk, "dryRun": false,
        "name": named["metadata"]["name"], "namespace": "shop",
        "userInfo": {"username": "dev", "groups": ["system:authenticated"]},
        "object": new, "oldObject": old, "options": null,
    }})
}

fn create(policy: &Value) -> Value {
    review("CREATE", &Value::Null, policy)
}

fn delete(policy: &Value) -> Value {
    review("DELETE", policy, &Value::Null)
}

fn dry(mut review: Value) -> Value {
    review["request"]["dryRun"] = json!(true);
    review
}

fn default_deny() -> Value {
    policy("default-deny", &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
}

/// Fine beside a default deny, denied without one.
fn allow_web() -> Value {
    let ingress = json!([{"from": [{"podSelector": {"matchLabels": {"app": "front"}}}], "ports": [{"port": 8080}]}]);
    policy(
        "web",
        &json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": ingress}),
    )
}

/// Bad wherever it is.
fn to(name: &str, cidrs: &[&str]) -> Value {
    let peers: Vec<Value> = cidrs.iter().map(|cidr| json!({"ipBlock": {"cidr": cidr}})).collect();
    policy(name, &json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": peers}]}))
}

fn unknown_field() -> Value {
    policy("odd", &json!({"podSelector": {}, "egress": [{"to": [{"fqdn": "example.com"}]}]}))
}

fn namespace(labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}, "spec": {"finalizers": ["kubernetes"]}})
}

// ---- Whole answers ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_admission_as_a_whole() {
    let webhook = Webhook::in_memory();
    let expected = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": UID, "allowed": true, "status": {},
        "auditAnnotations": {"decision": "allowed", "rules": "blocked-dns", "inventory-age-ms": "0", "config": webhook.config},
    }});
    // Nobody is warned of what has to come first, and that it lets no DNS through is on record.
    assert_eq!(webhook.review_at("/validate", &create(&default_deny()).to_string()).await, expected);
}

#[tokio::test]
async fn a_denial_as_a_whole() {
    let webhook = Webhook::in_memory();
    let found = "namespace shop has no default deny for Ingress and Egress: a pod without labels is open";
    let repair =
        "first apply a NetworkPolicy to shop with `podSelector: {}`, `policyTypes: [Ingress, Egress]` and no rules";
    let expected = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": UID, "allowed": false,
        "status": {
            "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": format!("[missing-default-deny] spec: {found}; {repair}"),
            "details": {"group": "networking.k8s.io", "kind": "NetworkPolicy", "name": "web", "causes": [
                {"reason": "missing-default-deny", "field": "spec", "message": format!("{found}; {repair}")},
            ]},
        },
        "auditAnnotations": {
            "decision": "denied", "rules": "missing-default-deny", "inventory-age-ms": "0", "config": webhook.config,
        },
    }});
    assert_eq!(webhook.review_at("/validate", &create(&allow_web()).to_string()).await, expected);
}

#[tokio::test]
async fn a_denial_tells_twenty_findings_and_has_a_cause_for_each() {
    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": vec![json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}); 23]});
    let rule_set = RuleSet {
        contact: Some("#network".to_owned()),
        docs_url: Some("https://wiki.example.com/{rule}".to_owned()),
        ..RuleSet::builtin([("egress-private-cidr", Level::Deny)])
    };
    let webhook = Webhook::new(bound(rule_set), Arc::new(Memory::new()));
    let status = webhook.response(&create(&policy("wide", &spec))).await["status"].take();
    let message: Vec<&str> = status["message"].as_str().expect("a message").lines().collect();
    assert!(
        message[..20]
            .iter()
            .all(|line| line.starts_with("[egress-private-cidr] spec.egress[") && line.contains("10.0.0.0/8"))
    );
    assert_eq!(message[20..], ["and 3 more", "contact: #network; see https://wiki.example.com/egress-private-cidr"]);
    let causes = status["details"]["causes"].as_array().expect("causes");
    let fields: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
    assert!(fields.len() == 23 && fields.contains(&"spec.egress[22].to[0].ipBlock"), "{fields:?}");
}

/// A rule that lets names be looked up.
fn dns() -> Value {
    json!({"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]})
}

#[tokio::test]
async fn warnings_keep_within_what_the_api_server_passes_on() {
    let webhook = Webhook::in_memory();
    assert!(webhook.allows(&create(&default_deny())).await);
    let rule = json!({"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80}]});
    let egress = [vec![rule; 100], vec![dns()]].concat();
    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": egress});
    let response = webhook.response(&create(&policy("metadata", &spec))).await;
    assert_eq!((&response["allowed"], &response["auditAnnotations"]["decision"]), (&json!(true), &json!("warned")));
    let warnings = response["warnings"].as_array().expect("warnings");
    let warnings: Vec<&str> = warnings.iter().map(|warning| warning.as_str().expect("text")).collect();
    assert!(warnings.iter().all(|warning| warning.chars().count() <= 120 && !warning.contains(char::is_control)));
    assert!(warnings.iter().map(|warning| warning.chars().count()).sum::<usize>() <= 4096);
    let left_out = format!("and {} more warnings were left out", 100 - (warnings.len() - 1));
    assert_eq!(warnings.last(), Some(&left_out.as_str()));
}

// ---- What is refused -------------------------------------------------------------------------------------------------

#[rstest]
#[case::empty("", "not the JSON")]
#[case::not_json("uid: 1", "not the JSON")]
#[case::cut_off(
    r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "#,
    "not the JSON"
)]
#[case::another_kind(r#"{"apiVersion": "v1", "kind": "Pod", "request": {"uid": "1"}}"#, "not an AdmissionReview")]
#[case::two_lines(r#"{"apiVersion": "v1", "kind": "P\nod"}"#, "not an AdmissionReview")]
#[case::old_version(
    r#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": "1"}}"#,
    "only admission.k8s.io/v1"
)]
#[case::an_answer(
    r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "1"}}"#,
    "no request"
)]
#[case::no_uid(r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {}}"#, "no uid")]
#[case::empty_uid(
    r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": ""}}"#,
    "no uid"
)]
#[tokio::test]
async fn what_is_no_review_is_400(#[case] body: &'static str, #[case] told: &str) {
    let webhook = Webhook::in_memory();
    for path in ["/validate", "/validate/labels", "/validate?timeout=10s"] {
        let error = webhook.refused(post(path, body), 400).await;
        assert!(error.contains(told), "{error}");
    }
    let series =
        r#"portcullis_admission_requests_total{dry_run="false",kind="other",operation="other",outcome="error"}"#;
    assert_eq!(webhook.count(series), Some(3.0));
    assert_eq!(webhook.count(r#"portcullis_http_responses_total{code="400"}"#), Some(3.0));
}

#[rstest]
#[case::plain(Some("application/json"), 200)]
#[case::with_charset(Some("application/json; charset=utf-8"), 200)]
#[case::in_capitals(Some("Application/JSON"), 200)]
#[case::missing(None, 415)]
#[case::text(Some("text/plain"), 415)]
#[case::form(Some("application/x-www-form-urlencoded"), 415)]
#[case::looks_alike(Some("application/jsonp"), 415)]
#[case::not_ascii(Some("application/json\u{e9}"), 415)]
#[tokio::test]
async fn only_json_is_read(#[case] content_type: Option<&str>, #[case] status: u16) {
    let webhook = Webhook::in_memory();
    let mut request = post("/validate", create(&default_deny()).to_string());
    request.headers_mut().remove(header::CONTENT_TYPE);
    if let Some(value) = content_type {
        request.headers_mut().insert(header::CONTENT_TYPE, value.parse().expect("a value"));
    }
    if status == 200 {
        assert_eq!(webhook.send(request).await.0, StatusCode::OK);
    } else {
        assert!(webhook.refused(request, status).await.contains("application/json"));
    }
}

#[tokio::test]
async fn too_large_is_413() {
    let webhook = Webhook::in_memory();
    let error = webhook.refused(post("/validate", vec![b' '; 8 * 1024 * 1024 + 1]), 413).await;
    assert!(error.contains("8388608 bytes"), "{error}");
}

#[rstest]
#[case::get("GET")]
#[case::put("PUT")]
#[case::patch("PATCH")]
#[case::delete("DELETE")]
#[case::options("OPTIONS")]
#[tokio::test]
async fn other_methods_are_405_and_told_the_right_one(#[case] method: &str) {
    let webhook = Webhook::in_memory();
    for path in ["/validate", "/validate/labels"] {
        let request = || Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        assert_eq!(webhook.send(request()).await.1[header::ALLOW], "POST");
        webhook.refused(request(), 405).await;
    }
}

#[rstest]
#[case("/")]
#[case("/validate/")]
#[case("/validate/others")]
#[case("/metrics")]
#[tokio::test]
async fn other_paths_are_404(#[case] path: &str) {
    let webhook = Webhook::in_memory();
    webhook.refused(post(path, create(&default_deny()).to_string()), 404).await;
}

// ---- What cannot be judged -------------------------------------------------------------------------------------------

/// A review of what cannot be judged, and what the answer says of it.
fn unjudgeable(which: &str) -> (String, &'static str) {
    let nested = |depth: usize| {
        let review = create(&policy("deep", &json!("HERE"))).to_string();
        review.replace("\"HERE\"", &format!("{{\"podSelector\":{}{}}}", "[".repeat(depth), "]".repeat(depth)))
    };
    let mut review = create(&default_deny());
    match which {
        "unknown field" => (create(&unknown_field()).to_string(), "spec.egress[0].to[0].fqdn: unknown field"),
        "deep" => (nested(200), "the spec is nested too deeply"),
        "very deep" => (nested(100_000), "the spec is nested too deeply"),
        "malformed" => {
            review["request"]["operation"] = json!(7);
            (review.to_string(), "the request is malformed")
        }
        "version" => {
            review["request"]["kind"]["version"] = json!("v2");
            (review.to_string(), "version v2 is not known")
        }
        other => panic!("no case {other}"),
    }
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_judged_is_told_and_denied_or_allowed_as_configured(
    #[values("unknown field", "deep", "very deep", "malformed", "version")] which: &str,
    #[values(OnCannotJudge::Deny, OnCannotJudge::Allow)] on_cannot_judge: OnCannotJudge,
) {
    let webhook = Webhook::new(bound(RuleSet { on_cannot_judge, ..rule_set() }), Arc::new(Memory::new()));
    let (review, told) = unjudgeable(which);
    let response = webhook.review_at("/validate?timeout=10s", &review).await["response"].take();
    assert_eq!(response["auditAnnotations"]["decision"], json!("cannot_judge"));
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(warning.starts_with("cannot judge: ") && warning.contains(told), "{warning}");
    if on_cannot_judge == OnCannotJudge::Allow {
        assert_eq!((&response["allowed"], &response["status"]), (&json!(true), &json!({})));
    } else {
        let status = &response["status"];
        assert_eq!((&response["allowed"], &status["code"]), (&json!(false), &json!(403)));
        assert!(status["message"].as_str().expect("a message").contains(told), "{status}");
        assert_eq!(status["details"]["causes"][0]["reason"], json!("CannotJudge"));
    }
}

/// A rule with a bug in it.
struct Panics;

static PANICS: Meta = Meta {
    name: "panics",
    kind: "NetworkPolicy",
    builtin: Some(Level::Deny),
    guards_labels: false,
    needs: Needs::Nothing,
    summary: "",
    what: "",
    why: "",
    example_params: "",
    rejected: "",
    accepted: "",
    params: &[],
    references: &[],
};

impl Rule for Panics {
    fn meta(&self) -> &'static Meta {
        &PANICS
    }

    fn bind(&self, _: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        Ok(Box::new(Self))
    }
}

impl Check for Panics {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        assert_ne!(cx.subject.name, "web", "as every rule might");
        Ok(Outcome::default())
    }
}

#[tokio::test]
async fn a_rule_that_panics_cannot_judge_and_the_next_request_is_served() {
    let bound = builtin(&[&Panics]).unwrap_or_else(|errors| panic!("{errors:?}"));
    let webhook = Webhook::new(bound, Arc::new(Memory::new()));
    let response = webhook.response(&create(&allow_web())).await;
    assert_eq!(
        (&response["allowed"], &response["auditAnnotations"]["decision"]),
        (&json!(false), &json!("cannot_judge"))
    );
    assert_eq!(response["status"]["details"]["causes"][0]["reason"], json!("panics"));
    assert!(webhook.allows(&create(&default_deny())).await);
    assert_eq!(webhook.count("portcullis_admission_in_flight"), Some(0.0));
}

// ---- What the webhook remembers --------------------------------------------------------------------------------------

#[tokio::test]
async fn the_default_deny_comes_first_and_goes_last() {
    let webhook = Webhook::in_memory();
    assert!(!webhook.allows(&create(&allow_web())).await);
    assert!(webhook.allows(&create(&default_deny())).await);
    assert!(webhook.allows(&create(&allow_web())).await);
    let response = webhook.response(&delete(&default_deny())).await;
    assert_eq!(response["status"]["details"]["causes"][0]["reason"], json!("missing-default-deny"));
    assert!(webhook.allows(&delete(&allow_web())).await, "it is no part of the default deny");
    assert!(webhook.allows(&review("DELETE", &namespace(&json!({})), &Value::Null)).await);
    assert!(webhook.allows(&delete(&default_deny())).await, "the namespace takes its policies along");
}

// ---- What the author wrote -------------------------------------------------------------------------------------------

/// `egress: []` as the API server hands it on: gone, with the types filled in.
fn without_egress() -> Value {
    policy("no-egress", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}))
}

/// With the annotation of client-side apply.
fn annotated(mut object: Value, spec: &Value) -> Value {
    let mut applied = object.clone();
    applied["spec"] = spec.clone();
    let annotation = json!({"kubectl.kubernetes.io/last-applied-configuration": applied.to_string()});
    object["metadata"]["annotations"] = annotation;
    object
}

/// With an entry of `managedFields` for the spec.
fn managed(mut object: Value, operation: &str, fields: &Value) -> Value {
    object["metadata"]["managedFields"] = json!([{
        "manager": "kubectl", "operation": operation, "apiVersion": "networking.k8s.io/v1", "fieldsType": "FieldsV1",
        "time": "2026-11-23T00:10:00Z", "fieldsV1": {"f:spec": fields},
    }]);
    object
}

fn empty_egress() -> Value {
    json!({"podSelector": {}, "egress": []})
}

#[rstest]
#[case::client_side(annotated(without_egress(), &empty_egress()), true)]
#[case::client_side_with_types(
    annotated(without_egress(), &json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": []})), true)]
#[case::server_side(managed(without_egress(), "Apply", &json!({"f:podSelector": {}, "f:egress": {}})), true)]
#[case::stale(annotated(without_egress(), &json!({"podSelector": {"matchLabels": {"app": "a"}}, "egress": []})), false)]
#[case::create(managed(without_egress(), "Update", &json!({"f:policyTypes": {}})), false)]
#[case::not_written(managed(without_egress(), "Apply", &json!({"f:podSelector": {}})), false)]
#[case::nothing_known(without_egress(), false)]
#[tokio::test]
async fn an_egress_without_effect_is_found_by_what_was_written(#[case] object: Value, #[case] found: bool) {
    let webhook = Webhook::in_memory();
    let response = webhook.response(&create(&object)).await;
    assert_eq!(response["allowed"], json!(!found), "{response}");
    if found {
        let told = response["status"]["message"].as_str().unwrap_or_default();
        assert!(told.contains("[ineffective-section] spec.egress: `egress: []` restricts nothing"), "{told}");
    }
    // Beside a default deny the intent holds.
    assert!(webhook.allows(&create(&default_deny())).await);
    let response = webhook.response(&create(&object)).await;
    assert_eq!(response["allowed"], json!(true), "{response}");
    let rules = response["auditAnnotations"]["rules"].as_str().unwrap_or_default();
    assert_eq!(rules.contains("ineffective-section"), found, "{response}");
}

#[tokio::test]
async fn an_update_answers_for_the_section_it_makes_ineffective() {
    let webhook = Webhook::in_memory();
    let fields = json!({"f:podSelector": {}, "f:policyTypes": {}, "f:egress": {}});
    let types = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let (effective, without) = (
        managed(policy("x", &types), "Apply", &fields),
        managed(policy("x", &without_egress()["spec"]), "Apply", &fields),
    );
    let deny_ingress = policy("deny-ingress", &json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    assert!(webhook.allows(&create(&deny_ingress)).await);
    let denied = webhook.response(&review("UPDATE", &effective, &without)).await;
    assert_eq!(denied["allowed"], json!(false));
    assert!(denied["auditAnnotations"]["rules"].to_string().contains("ineffective-section"), "{denied}");
    assert!(webhook.allows(&review("UPDATE", &without, &effective)).await);
    assert!(webhook.allows(&delete(&without)).await);
    // It was no better before: a warning.
    let mut narrower = without.clone();
    narrower["spec"]["podSelector"] = json!({"matchLabels": {"app": "a"}});
    let response = webhook.response(&review("UPDATE", &without, &narrower)).await;
    assert_eq!(response["allowed"], json!(true), "{response}");
    let warnings = response["warnings"].to_string();
    assert!(warnings.contains("ineffective-section") && warnings.contains("as before"), "{warnings}");
}

/// Much metadata of no use is passed over, and none of it is in the way.
#[tokio::test]
async fn large_and_odd_managed_fields_are_no_obstacle() {
    let webhook = Webhook::in_memory();
    let leaves: serde_json::Map<String, Value> = (0..40_000).map(|i| (format!("f:key-{i}"), json!({}))).collect();
    let mut large = managed(without_egress(), "Apply", &json!({"f:podSelector": {}, "f:egress": {}}));
    large["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] = json!({ "f:labels": leaves });
    let started = Instant::now();
    assert!(!webhook.allows(&create(&large)).await);
    assert!(started.elapsed() < Duration::from_secs(5));
    for odd in [json!("x"), json!([1]), json!([{"operation": {}}]), json!([{"fieldsV1": {"f:spec": []}}]), Value::Null]
    {
        let mut object = without_egress();
        object["metadata"]["managedFields"] = odd;
        assert!(webhook.allows(&create(&object)).await);
    }
}

#[tokio::test]
async fn a_dry_run_gets_the_same_answer_and_leaves_no_trace() {
    let webhook = Webhook::in_memory();
    assert!(webhook.allows(&dry(create(&default_deny()))).await);
    assert!(!webhook.allows(&dry(create(&allow_web()))).await, "the default deny was not for good");
    assert!(!webhook.allows(&create(&allow_web())).await);
    assert!(webhook.allows(&create(&default_deny())).await);
    let second = policy("second", &default_deny()["spec"]);
    assert!(webhook.allows(&create(&second)).await);
    assert!(webhook.allows(&dry(delete(&second))).await);
    assert!(webhook.allows(&delete(&default_deny())).await, "the second one is still there");
}

#[tokio::test]
async fn what_was_denied_is_not_remembered() {
    let webhook = Webhook::in_memory();
    let egress = json!([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]);
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": egress});
    assert!(!webhook.allows(&create(&policy("isolates-too", &spec))).await);
    assert!(!webhook.allows(&create(&allow_web())).await);
}

/// Deleting a collection sends a review an object, with an empty name.
#[tokio::test]
async fn a_deleted_collection_is_judged_by_what_is_stored() {
    let webhook = Webhook::in_memory();
    assert!(webhook.allows(&create(&default_deny())).await);
    let mut review = delete(&default_deny());
    review["request"]["name"] = json!("");
    let response = webhook.response(&review).await;
    assert_eq!((&response["allowed"], &response["status"]["details"]["name"]), (&json!(false), &json!("default-deny")));
    assert!(webhook.allows(&create(&allow_web())).await, "a denied deletion is not learnt");
}

/// The name is resolved before the review is sent, and in the object alone.
#[tokio::test]
async fn generated_names_are_those_of_the_object() {
    let webhook = Webhook::in_memory();
    let mut generated = default_deny();
    generated["metadata"]["generateName"] = json!("isolation-");
    generated["metadata"]["name"] = json!("isolation-x7k2p");
    let mut review = create(&generated);
    review["request"]["name"] = json!("");
    assert!(webhook.allows(&review).await);
    assert!(webhook.allows(&create(&allow_web())).await);
    let response = webhook.response(&delete(&generated)).await;
    assert_eq!(response["status"]["details"]["name"], json!("isolation-x7k2p"));
}

// ---- Nothing becomes undeletable -------------------------------------------------------------------------------------

#[rstest]
#[case::private(to("bad", &["10.0.0.0/8"]))]
#[case::unreadable(unknown_field())]
#[tokio::test]
async fn an_update_that_leaves_the_spec_or_is_on_its_way_out_passes(#[case] bad: Value) {
    let webhook = Webhook::in_memory();
    assert!(!webhook.allows(&create(&bad)).await, "it is bad");
    let mut released = bad.clone();
    released["metadata"]["labels"] = json!({"team": "a"});
    assert!(webhook.allows(&review("UPDATE", &bad, &released)).await);
    let mut leaving = bad.clone();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:10:00Z");
    assert!(webhook.allows(&review("UPDATE", &default_deny(), &leaving)).await, "whatever else it changes");
    assert!(!webhook.allows(&review("UPDATE", &default_deny(), &bad)).await, "a spec that turns bad is judged");
    assert!(webhook.allows(&delete(&leaving)).await);
}

#[rstest]
#[case::spec(policy("x", &json!({"fqdns": []})))]
#[case::no_spec(policy("x", &json!(7)))]
#[case::metadata(json!({"metadata": "none"}))]
#[case::nothing(Value::Null)]
#[tokio::test]
async fn what_is_stored_and_unreadable_can_be_deleted(#[case] stored: Value) {
    assert!(Webhook::in_memory().allows(&delete(&stored)).await);
}

#[tokio::test]
async fn the_guards_path_is_about_the_labels_of_namespaces_alone() {
    let webhook = Webhook::in_memory();
    let relabelled = review("UPDATE", &namespace(&json!({"a": "b"})), &namespace(&json!({"a": "c"})));
    for review in [create(&to("bad", &["10.0.0.0/8"])), relabelled] {
        let answer = webhook.review_at("/validate/labels?timeout=5s", &review.to_string()).await;
        assert_eq!(answer["response"]["allowed"], json!(true));
    }
}

#[rstest]
#[case::main("/validate")]
#[case::guard("/validate/labels")]
#[tokio::test]
async fn a_label_that_opens_another_namespace_is_told_on_both_paths(#[case] path: &str) {
    let webhook = Webhook::in_memory();
    let mut data = default_deny();
    data["metadata"]["namespace"] = json!("data");
    assert!(webhook.allows(&create(&data)).await);
    let from = json!([{"namespaceSelector": {"matchLabels": {"team": "clients"}}}]);
    let mut allow =
        policy("allow", &json!({"podSelector": {}, "ingress": [{"from": from, "ports": [{"port": 5432}]}]}));
    allow["metadata"]["namespace"] = json!("data");
    assert!(webhook.allows(&create(&allow)).await);
    let relabelled = |team: &str| review("UPDATE", &namespace(&json!({})), &namespace(&json!({"team": team})));
    for (team, warnings) in [("clients", 1), ("others", 0)] {
        let answer = webhook.review_at(path, &relabelled(team).to_string()).await["response"].take();
        let told = answer["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!((&answer["allowed"], told.len()), (&json!(true), warnings), "{answer}");
        let expected = "[label-grants-access] metadata.labels[team]: opens all pods of data on TCP/5432";
        assert!(told.iter().all(|warning| warning == expected), "{answer}");
    }
}

/// What no rule could have a word about is nobody's concern, readable or not; its name is told where it is known.
#[tokio::test]
async fn what_cannot_be_read_is_denied_only_where_a_rule_applies() {
    let webhook = Webhook::in_memory();
    let mut review = create(&unknown_field());
    let response = webhook.response(&review).await;
    assert_eq!(response["allowed"], json!(false));
    assert_eq!(response["status"]["details"]["kind"], json!("NetworkPolicy"));
    assert!(!response["status"]["details"]["name"].as_str().expect("a name").is_empty());
    let guarded = webhook.review_at("/validate/labels", &review.to_string()).await;
    assert_eq!(guarded["response"]["allowed"], json!(true), "policies are not the guard path's business");
    review["request"]["object"]["metadata"]["namespace"] = json!("kube-system");
    assert!(webhook.allows(&review).await, "the built-in rules leave kube-system alone");
}

#[tokio::test]
async fn the_guards_path_teaches_nothing_of_policies() {
    let webhook = Webhook::in_memory();
    webhook.review_at("/validate/labels", &create(&default_deny()).to_string()).await;
    assert!(!webhook.allows(&create(&allow_web())).await);
}

#[tokio::test]
async fn a_deadline_given_twice_is_no_reason_to_fail() {
    let review = create(&default_deny()).to_string();
    let answer = Webhook::in_memory().review_at("/validate?timeout=1s&timeout=2s", &review).await;
    assert_eq!(answer["response"]["allowed"], json!(true));
}

// ---- Metrics ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn every_answer_is_counted_once_by_its_outcome() {
    let webhook = Webhook::in_memory();
    let warned = to("warned", &["169.254.169.254/32"]);
    for review in [
        create(&allow_web()),
        dry(create(&default_deny())),
        create(&default_deny()),
        create(&unknown_field()),
        create(&warned),
        review("CREATE", &Value::Null, &namespace(&json!({}))),
        delete(&default_deny()),
    ] {
        webhook.response(&review).await;
    }
    let requests = |kind, operation, outcome, dry_run| {
        let labels = format!(r#"dry_run="{dry_run}",kind="{kind}",operation="{operation}",outcome="{outcome}""#);
        webhook.count(&format!("portcullis_admission_requests_total{{{labels}}}"))
    };
    assert_eq!(requests("NetworkPolicy", "CREATE", "denied", "false"), Some(1.0));
    assert_eq!(requests("NetworkPolicy", "CREATE", "allowed", "true"), Some(1.0));
    assert_eq!(requests("NetworkPolicy", "CREATE", "allowed", "false"), Some(1.0));
    assert_eq!(requests("NetworkPolicy", "CREATE", "cannot_judge", "false"), Some(1.0));
    assert_eq!(requests("NetworkPolicy", "CREATE", "warned", "false"), Some(1.0));
    assert_eq!(requests("NetworkPolicy", "DELETE", "denied", "false"), Some(1.0));
    assert_eq!(requests("Namespace", "CREATE", "allowed", "false"), Some(1.0));
    let rendered = webhook.metrics.render();
    let all = rendered.lines().filter(|line| line.starts_with("portcullis_admission_requests_total{"));
    let all: f64 = all.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
    assert!((all - 7.0).abs() < f64::EPSILON, "{rendered}");
    assert_eq!(webhook.count(r#"portcullis_admission_duration_seconds_count{kind="NetworkPolicy"}"#), Some(6.0));
    assert_eq!(webhook.count(r#"portcullis_findings_total{level="deny",rule="missing-default-deny"}"#), Some(2.0));
    assert_eq!(webhook.count(r#"portcullis_findings_total{level="warn",rule="egress-metadata-endpoint"}"#), Some(1.0));
    assert_eq!(webhook.count("portcullis_admission_in_flight"), Some(0.0));
    assert_eq!(webhook.count(r#"portcullis_http_responses_total{code="200"}"#), Some(7.0));
}

// ---- Live reads ------------------------------------------------------------------------------------------------------

type Live = fn(&str) -> BoxFuture<'static, Result<NamespaceState, String>>;

/// A cluster whose snapshot and whose live state are told apart.
struct Cluster {
    snapshot: Inventory,
    live: Live,
    reads: AtomicUsize,
}

impl Cluster {
    /// The snapshot has these policies in the namespace.
    fn of(policies: &[Value], live: Live) -> Arc<Self> {
        let mut snapshot = Inventory::default();
        snapshot.insert(Arc::new(state("shop", policies)));
        Arc::new(Self { snapshot, live, reads: AtomicUsize::new(0) })
    }

    fn webhook(self: &Arc<Self>) -> Webhook {
        Webhook::new(builtin_rules(), Arc::clone(self) as _)
    }
}

impl Source for Cluster {
    fn snapshot(&self, _: Timestamp) -> Inventory {
        self.snapshot.clone()
    }

    fn live(&self, namespace: &str) -> Option<BoxFuture<'static, Result<NamespaceState, String>>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Some((self.live)(namespace))
    }

    fn admitted(&self, _: &Subject) {}
}

fn state(namespace: &str, policies: &[Value]) -> NamespaceState {
    let parsed = policies.iter().map(|policy| {
        let name = policy["metadata"]["name"].as_str().expect("a name");
        let parsed = NetworkPolicy::parse(namespace, name, &policy["spec"]);
        (name.to_owned(), Arc::new(parsed.unwrap_or_else(|problems| panic!("{problems:?}"))))
    });
    NamespaceState { known: true, policies: parsed.collect(), ..NamespaceState::unseen(namespace) }
}

#[tokio::test]
async fn a_default_deny_that_only_a_live_read_shows_counts() {
    let cluster = Cluster::of(&[], |name| Box::pin(ready(Ok(state(name, &[default_deny()])))));
    assert!(cluster.webhook().allows(&create(&allow_web())).await);
    assert_eq!(cluster.reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_denial_that_a_live_read_confirms_stands() {
    let cluster = Cluster::of(&[], |name| Box::pin(ready(Ok(state(name, &[])))));
    let response = cluster.webhook().response(&create(&allow_web())).await;
    assert_eq!((&response["allowed"], &response["auditAnnotations"]["decision"]), (&json!(false), &json!("denied")));
}

/// Both of two default denies may be deleted at once: what the snapshot still has may be gone.
#[tokio::test]
async fn a_default_deny_that_only_the_snapshot_has_does_not_count() {
    let second = policy("second", &default_deny()["spec"]);
    let cluster = Cluster::of(&[default_deny(), second], |name| Box::pin(ready(Ok(state(name, &[default_deny()])))));
    assert!(!cluster.webhook().allows(&delete(&default_deny())).await);
}

#[tokio::test]
async fn the_policies_of_a_namespace_that_is_gone_may_go() {
    let cluster = Cluster::of(&[default_deny()], |name| Box::pin(ready(Ok(NamespaceState::gone(name)))));
    assert!(cluster.webhook().allows(&delete(&default_deny())).await);
}

/// The rule set's limit is five minutes.
#[rstest]
#[case::young(60, 0, "60000")]
#[case::old(600, 1, "0")]
#[tokio::test]
async fn old_knowledge_is_confirmed_by_a_live_read(#[case] seconds: u64, #[case] reads: usize, #[case] told: &str) {
    let mut snapshot = Inventory::default();
    snapshot.insert(Arc::new(state("shop", &[default_deny()])));
    let snapshot = snapshot.aged(Duration::from_secs(seconds));
    let live: Live = |name| Box::pin(ready(Ok(state(name, &[default_deny()]))));
    let cluster = Arc::new(Cluster { snapshot, live, reads: AtomicUsize::new(0) });
    let response = cluster.webhook().response(&create(&allow_web())).await;
    assert_eq!((&response["allowed"], &response["auditAnnotations"]["inventory-age-ms"]), (&json!(true), &json!(told)));
    assert_eq!(cluster.reads.load(Ordering::SeqCst), reads);
}

#[tokio::test]
async fn nothing_is_read_live_for_what_rests_on_the_object_alone() {
    let cluster = Cluster::of(&[default_deny()], |_| Box::pin(pending()));
    assert!(!cluster.webhook().allows(&create(&to("bad", &["10.0.0.0/8"]))).await);
    assert!(cluster.webhook().allows(&create(&allow_web())).await);
    assert_eq!(cluster.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_live_read_that_fails_cannot_judge_and_says_why() {
    let cluster = Cluster::of(&[], |_| Box::pin(ready(Err("connection refused".to_owned()))));
    let response = cluster.webhook().response(&create(&allow_web())).await;
    assert_eq!(
        (&response["allowed"], &response["auditAnnotations"]["decision"]),
        (&json!(false), &json!("cannot_judge"))
    );
    let told = "[missing-default-deny] cannot judge: the API server could not be asked: connection refused";
    assert_eq!((&response["status"]["message"], &response["warnings"]), (&json!(told), &json!([told])));
    assert_eq!(response["auditAnnotations"]["rules"], json!("missing-default-deny"));
    let denied = cluster.webhook().response(&create(&to("bad", &["10.0.0.0/8"]))).await;
    let message = denied["status"]["message"].as_str().expect("a message");
    assert!(message.starts_with("[egress-private-cidr] "), "what needs no live read stands: {message}");
    assert_eq!(
        denied["auditAnnotations"]["decision"],
        json!("cannot_judge"),
        "of several, the first in the contract's order"
    );
}

#[tokio::test]
async fn a_warning_that_no_live_read_could_back_denies_nothing() {
    let cluster = Cluster::of(&[default_deny()], |_| Box::pin(ready(Err("connection refused".to_owned()))));
    let mut policy = to("shopping", &["203.0.113.0/24"]);
    policy["spec"]["egress"][0]["ports"] = json!([{"port": 443}]);
    let response = cluster.webhook().response(&create(&policy)).await;
    assert_eq!(
        (&response["allowed"], &response["auditAnnotations"]["decision"]),
        (&json!(true), &json!("warned")),
        "{response}"
    );
    let warnings = response["warnings"].as_array().expect("warnings");
    assert!(warnings.iter().any(|warning| warning.as_str().is_some_and(|text| text.starts_with("[blocked-dns] "))));
    assert_eq!(cluster.reads.load(Ordering::SeqCst), 1);
}

/// The clock is the runtime's own, which jumps ahead when everybody waits: the budgets are exact.
#[rstest]
#[case::untold("/validate", 4_000)]
#[case::the_shortest("/validate?timeout=1s", 300)]
#[case::the_default("/validate?timeout=10s", 9_000)]
#[case::the_longest("/validate?timeout=30s", 29_000)]
#[case::in_minutes("/validate?timeout=1m0s", 59_000)]
#[case::not_alone("/validate?x=1&timeout=5s", 4_000)]
#[case::empty("/validate?timeout=", 4_000)]
#[case::garbage("/validate?timeout=soon", 4_000)]
#[tokio::test(start_paused = true)]
async fn a_live_read_is_given_up_in_time(#[case] path: &str, #[case] budget: u64) {
    let webhook = Cluster::of(&[], |_| Box::pin(pending())).webhook();
    let started = tokio::time::Instant::now();
    let response = webhook.review_at(path, &create(&allow_web()).to_string()).await["response"].take();
    let (took, budget) = (started.elapsed(), Duration::from_millis(budget));
    assert!(took >= budget && took < budget + Duration::from_millis(500), "{took:?}");
    assert_eq!(response["auditAnnotations"]["decision"], json!("cannot_judge"));
    let told = "[missing-default-deny] cannot judge: the API server did not answer within the deadline of this review";
    assert_eq!(response["status"]["message"], json!(told));
}

#[tokio::test]
async fn the_answer_beats_a_deadline_of_one_second() {
    let webhook = Cluster::of(&[], |_| Box::pin(pending())).webhook();
    let started = Instant::now();
    webhook.review_at("/validate?timeout=1s", &create(&allow_web()).to_string()).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_caller_that_goes_away_is_no_longer_in_flight() {
    let webhook = Cluster::of(&[], |_| Box::pin(pending())).webhook();
    let mut waiting = Box::pin(webhook.send(post("/validate", create(&allow_web()).to_string())));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    assert_eq!(webhook.count("portcullis_admission_in_flight"), Some(1.0));
    drop(waiting);
    assert_eq!(webhook.count("portcullis_admission_in_flight"), Some(0.0));
}

// ---- Large objects ---------------------------------------------------------------------------------------------------

/// The largest object that the API server stores, as it is and as it becomes.
#[rstest]
#[case::many_rules(true)]
#[case::much_else(false)]
#[tokio::test]
async fn the_largest_objects_are_judged_in_time(#[case] rules: bool) {
    const SIZE: usize = 1_500_000;
    let webhook = Webhook::in_memory();
    assert!(webhook.allows(&create(&default_deny())).await);
    let rule = |i: usize| json!({"to": [{"ipBlock": {"cidr": format!("203.{}.{}.0/24", i / 256, i % 256)}}], "ports": [{"protocol": "TCP", "port": 443}]});
    let count = if rules { SIZE / rule(1_000).to_string().len() - 1 } else { 1 };
    let egress: Vec<Value> = (0..count).map(rule).chain([dns()]).collect();
    let mut old = policy("large", &json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}));
    old["metadata"]["annotations"] = json!({"note": "x".repeat(SIZE.saturating_sub(old.to_string().len()))});
    let mut new = old.clone();
    new["spec"]["egress"][0]["to"][0]["ipBlock"]["cidr"] = json!("10.0.0.0/8");
    let review = review("UPDATE", &old, &new).to_string();
    assert!(review.len() > 2 * SIZE - 1_000, "{}", review.len());
    let started = Instant::now();
    let response = webhook.review_at("/validate?timeout=10s", &review).await["response"].take();
    let took = started.elapsed();
    assert_eq!(
        (&response["allowed"], &response["auditAnnotations"]["rules"]),
        (&json!(false), &json!("egress-private-cidr"))
    );
    assert_eq!(response["status"]["details"]["causes"][0]["field"], json!("spec.egress[0].to[0].ipBlock"));
    // A second or so, unoptimised, on one idle core; what grows with the square of the rules would take minutes.
    assert!(took < Duration::from_secs(9), "{took:?}");
}

// ---- The operations port ---------------------------------------------------------------------------------------------

async fn operations(ops: &Ops, path: &str) -> (u16, String, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let (parts, body) = ops_router(ops.clone()).oneshot(request).await.expect("never fails").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let content_type = parts.headers[header::CONTENT_TYPE].to_str().expect("text").to_owned();
    (parts.status.as_u16(), content_type, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn the_operations_port_tells_of_the_webhook_beside_it() {
    let webhook = Webhook::in_memory();
    webhook.response(&create(&allow_web())).await;
    let view = json!({"hash": webhook.config, "source": "builtin", "lastReload": "1970-01-01T00:00:00Z", "lastError": null, "ruleSet": rule_set()});
    let shown = view.clone();
    let ops =
        Ops::new(Arc::clone(&webhook.metrics), Arc::new(move || shown.clone())).check("config", Arc::new(|| Ok(())));
    let text = "text/plain; charset=utf-8".to_owned();
    assert_eq!(operations(&ops, "/livez").await, (200, text.clone(), "ok".to_owned()));
    assert_eq!(operations(&ops, "/readyz").await, (200, text.clone(), "ok".to_owned()));
    let verbose = "[+]config ok\n[+]shutdown ok\nreadyz check passed\n".to_owned();
    assert_eq!(operations(&ops, "/readyz?verbose").await, (200, text, verbose));
    let (status, content_type, metrics) = operations(&ops, "/metrics").await;
    assert_eq!((status, content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.contains(r#"kind="NetworkPolicy",operation="CREATE",outcome="denied"} 1"#));
    let (status, content_type, config) = operations(&ops, "/config").await;
    assert_eq!((status, content_type.as_str()), (200, "application/json"));
    assert_eq!(serde_json::from_str::<Value>(&config).expect("JSON"), view);
    let built_in = RULES.iter().filter(|rule| rule.meta().builtin.is_some()).count();
    assert_eq!(view["ruleSet"]["rules"].as_array().map(Vec::len), Some(built_in));
    let ops = ops.check("inventory", Arc::new(|| Err("no list yet".to_owned())));
    let (status, _, lines) = operations(&ops, "/readyz").await;
    assert!(status == 503 && lines.contains("[-]inventory not ready: no list yet\n"), "{lines}");
}

// ---- What a policy opens ---------------------------------------------------------------------------------------------

/// A cluster with an isolated namespace and another one, each with a pod, whose webhook tells of changes.
fn explaining(live: Live) -> (Webhook, Arc<Cluster>) {
    let mut cluster = Cluster::of(&[default_deny()], live);
    let snapshot = &mut Arc::get_mut(&mut cluster).expect("nobody else's").snapshot;
    for (namespace, app) in [("shop", "web"), ("front", "proxy")] {
        let pod = Pod {
            namespace: namespace.to_owned(),
            kind: PodKind::Pod,
            name: format!("{app}-1"),
            labels: [("app".to_owned(), app.to_owned())].into(),
            ports: Vec::new(),
            host_network: false,
            addresses: Vec::new(),
            controller: None,
        };
        snapshot.update(namespace, |state| {
            state.known = true;
            state.pods.insert((pod.name.clone(), pod.kind), Arc::new(pod));
        });
    }
    let rule_set = RuleSet { explain_changes: ExplainChanges::Warn, ..rule_set() };
    (Webhook::new(bound(rule_set), Arc::clone(&cluster) as _), cluster)
}

fn web_from_front() -> Value {
    let from = json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "front"}}}]);
    let ingress = json!([{"from": from, "ports": [{"port": 8080}]}]);
    policy(
        "web",
        &json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": ingress}),
    )
}

const OPENS_WEB: &str = "opens ingress to shop/web-1 from front/proxy-1: TCP/8080";

#[tokio::test]
async fn what_a_policy_opens_is_a_warning_and_no_finding() {
    let (webhook, _) = explaining(|name| Box::pin(ready(Ok(state(name, &[default_deny()])))));
    let none = json!(null);
    for (request, told) in [
        (create(&web_from_front()), json!([OPENS_WEB])),
        (dry(review("UPDATE", &allow_web(), &web_from_front())), json!([OPENS_WEB])),
        (review("UPDATE", &web_from_front(), &allow_web()), none.clone()),
        (review("UPDATE", &web_from_front(), &web_from_front()), none.clone()),
        (delete(&web_from_front()), none.clone()),
        (create(&allow_web()), none),
    ] {
        let response = webhook.response(&request).await;
        assert_eq!((&response["allowed"], &response["warnings"]), (&json!(true), &told), "{request}");
        assert_eq!(response["auditAnnotations"]["decision"], json!("allowed"));
    }
    let series = r#"portcullis_admission_requests_total{dry_run="true",kind="NetworkPolicy",operation="UPDATE",outcome="allowed"}"#;
    assert_eq!(webhook.count(series), Some(1.0));
    let guard = webhook.review_at("/validate/labels", &create(&web_from_front()).to_string()).await;
    assert_eq!(guard["response"]["warnings"], json!(null), "the guard path has not looked at it");
}

/// The last default deny is about to go: denied, after a live read, which knows no pods.
#[tokio::test]
async fn a_denial_tells_what_would_open() {
    let (webhook, cluster) = explaining(|name| Box::pin(ready(Ok(state(name, &[default_deny()])))));
    let response = webhook.response(&delete(&default_deny())).await;
    assert_eq!((&response["allowed"], cluster.reads.load(Ordering::SeqCst)), (&json!(false), 1));
    let warnings: Vec<&str> =
        response["warnings"].as_array().expect("warnings").iter().filter_map(Value::as_str).collect();
    let world = [
        "opens ingress to shop/web-1 from any address: all ports",
        "opens egress from shop/web-1 to any address: all ports",
    ];
    assert_eq!(warnings[..2], world);
    assert!(warnings.iter().all(|warning| warning.contains("shop/web-1")), "{warnings:?}");
}
