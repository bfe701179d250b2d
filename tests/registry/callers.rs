//! The same cases by `config test`, by the webhook and by `check`, and what is told of each finding.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use jiff::civil::date;
use portcullis::admission::handler::{Reviewer, routes};
use portcullis::admission::sampling::LogAllowed;
use portcullis::config::load::load;
use portcullis::config::valid::RuleSet;
use portcullis::engine::{Bound, bind};
use portcullis::inventory::from_files::Fixed;
use portcullis::manifest;
use portcullis::rules::{Needs, RULES};
use portcullis::server::{Limits, Metrics, app};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::cases::{Case, Suite, config_test, portcullis, write};

/// What `config test` says of every case, by rule and name.
fn told() -> &'static BTreeMap<(&'static str, String), Value> {
    static TOLD: OnceLock<BTreeMap<(&'static str, String), Value>> = OnceLock::new();
    TOLD.get_or_init(|| {
        let suites = Suite::all();
        let files: Vec<PathBuf> = suites.iter().map(Suite::cases_file).collect();
        let (_, cases) = config_test(&files);
        let names =
            suites.iter().flat_map(|suite| suite.cases.iter().map(|case| (suite.meta.name, case.name().to_owned())));
        let told: BTreeMap<_, _> = names.zip(cases).collect();
        assert_eq!(told.len(), suites.iter().map(|suite| suite.cases.len()).sum::<usize>());
        told
    })
}

/// Every case with its suite and what `config test` says of it.
fn each(mut run: impl FnMut(&Suite, &Case, &Value)) {
    for suite in Suite::all() {
        for case in &suite.cases {
            run(&suite, case, &told()[&(suite.meta.name, case.name().to_owned())]);
        }
    }
}

fn findings(told: &Value) -> &[Value] {
    told["findings"].as_array().expect("findings")
}

// ---- config test -----------------------------------------------------------------------------------------------------

#[test]
fn config_test_finds_what_the_cases_expect() {
    let mut failed = Vec::new();
    each(|suite, case, told| {
        assert_eq!(told["name"], case.name());
        if told["passed"] != true {
            failed.push(format!("{}: {}: {}", suite.meta.name, case.name(), told["failures"]));
        }
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Rules whose proof is the message: a label or a name says all there is.
const PROOF_IN_THE_MESSAGE: [&str; 7] = [
    "namespace-name",
    "namespace-required-labels",
    "no-effect",
    "policy-metadata",
    "protected-namespace",
    "protected-namespace-labels",
    "webhook-exemption",
];

#[test]
fn every_finding_tells_where_it_is_and_what_to_do_and_by_which_entry() {
    let mut found = 0;
    each(|suite, case, told| {
        for finding in findings(told) {
            let about = format!("{}: {}: {finding}", suite.meta.name, case.name());
            let text = |key: &str| finding[key].as_str().unwrap_or_else(|| panic!("{key}: {about}"));
            assert!(text("message").len() > 10 && text("help").len() > 10, "{about}");
            assert!(!text("message").contains('\n') && !text("help").contains('\n'), "{about}");
            let entry = text("decidedBy").strip_prefix("rules[").and_then(|rest| rest.strip_suffix(']'));
            let entry: usize = entry.and_then(|index| index.parse().ok()).unwrap_or_else(|| panic!("{about}"));
            let rules = suite.rules["spec"]["rules"].as_array().expect("rules");
            assert!(rules.get(entry).is_some_and(|entry| applies(entry, case)), "{about}");
            assert!(has(case.about(), text("field")), "there is no such field: {about}");
            let evidence = finding["evidence"].as_object().expect("evidence");
            assert_eq!(evidence.is_empty(), PROOF_IN_THE_MESSAGE.contains(&suite.meta.name), "evidence: {about}");
            found += 1;
        }
    });
    assert!(found > RULES.len(), "{found}");
}

/// Whether an entry's match has the namespace of a case. The patterns are names, but for one star.
fn applies(entry: &Value, case: &Case) -> bool {
    let named = |key: &str| entry["match"][key].as_array().map(|names| names.iter().any(|name| matches(name, case)));
    named("namespaces").unwrap_or(true) && !named("excludeNamespaces").unwrap_or(false)
}

fn matches(pattern: &Value, case: &Case) -> bool {
    let pattern = pattern.as_str().expect("text");
    pattern.strip_suffix('*').map_or(pattern == case.namespace(), |prefix| case.namespace().starts_with(prefix))
}

/// Whether an object has that field. Labels that are asked for or taken away, and lists that the API server has dropped,
/// are not there; then the object has at least what they would be in.
fn has(object: &Value, field: &str) -> bool {
    let list = field.find('[').map_or(field, |bracket| &field[..bracket]);
    let may_be_absent = list.starts_with("metadata.") || list == field;
    let parent = list.rsplit_once('.').map_or("", |(parent, _)| parent);
    at(object, field).is_some() || (may_be_absent && at(object, parent).is_some())
}

/// The value at a path such as `spec.egress[0].to` or `metadata.labels[a.example.com/b]`.
fn at<'v>(object: &'v Value, field: &str) -> Option<&'v Value> {
    let mut value = object;
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(keyed) = rest.strip_prefix('[') {
            let (key, after) = keyed.split_once(']')?;
            value = match value {
                Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
                other => other.get(key)?,
            };
            rest = after.strip_prefix('.').unwrap_or(after);
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            value = value.get(&rest[..end])?;
            rest = rest[end..].strip_prefix('.').unwrap_or(&rest[end..]);
        }
    }
    Some(value)
}

// ---- The webhook -----------------------------------------------------------------------------------------------------

/// The time at which the cases are asked of the webhook: the one that gives a time gives this.
const NOW: &str = "2030-01-01T00:05:00Z";

fn bound(rules: &Value) -> Bound {
    let reading = manifest::parse("rules.yaml", &rules.to_string());
    let loaded = load("rules.yaml", reading, &RuleSet::builtin([]), date(2030, 1, 1));
    assert!(!loaded.is_broken(), "{:?}", loaded.problems);
    bind(loaded.rule_set, RULES).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// A webhook with these rules in a cluster that holds what is given, and what the request changes.
fn webhook(suite: &Suite, case: &Case) -> Router {
    let stored = case.0.get("oldObject").cloned();
    let mut items = suite.given(case);
    if let Some(stored) = stored {
        items.retain(|item| {
            (&item["kind"], &item["metadata"]["name"], &item["metadata"]["namespace"])
                != (&stored["kind"], &stored["metadata"]["name"], &stored["metadata"]["namespace"])
        });
        items.push(stored);
    }
    let given = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let fixed = Fixed::from_reading(&manifest::parse("given.json", &given)).expect("manifests");
    let metrics = Arc::new(Metrics::new());
    let reviewer = Reviewer {
        bound: Arc::new(ArcSwap::from_pointee(bound(&suite.rules))),
        source: Arc::new(fixed),
        observer: metrics,
        clock: || NOW.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        log_allowed: LogAllowed::ALL,
    };
    app(routes(Arc::new(reviewer)), &Limits::default())
}

/// The object as the API server hands it on: defaults filled in, empty lists of rules dropped.
fn stored(object: Option<&Value>) -> Value {
    let Some(mut object) = object.cloned() else { return Value::Null };
    if object["kind"] == "Namespace" {
        let name = object["metadata"]["name"].clone();
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        return object;
    }
    let spec = object["spec"].as_object_mut().expect("a spec");
    spec.retain(|_, value| value.as_array().is_none_or(|items| !items.is_empty()));
    let types = if spec.contains_key("egress") { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    spec.entry("policyTypes").or_insert(types);
    object
}

/// Who asks, as the API server tells it.
fn requester(case: &Case) -> Value {
    let who = &case.0["requester"];
    let mut groups = who["groups"].as_array().cloned().unwrap_or_default();
    groups.push(json!("system:authenticated"));
    let user = match who["serviceAccount"].as_str() {
        Some(account) => format!("system:serviceaccount:{}", account.replace('/', ":")),
        None => who["user"].as_str().unwrap_or_default().to_owned(),
    };
    json!({"username": user, "groups": groups})
}

fn review(case: &Case) -> Value {
    let about = case.about();
    let kind = about["kind"].as_str().expect("a kind");
    let group = if kind == "NetworkPolicy" { "networking.k8s.io" } else { "" };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "7f6b1c9e-0d5a-4f5e-9f43-6f1f3b1c2d10",
        "kind": {"group": group, "version": "v1", "kind": kind},
        "operation": case.operation(),
        "name": about["metadata"]["name"],
        "namespace": case.namespace(),
        "userInfo": requester(case),
        "object": stored(case.0.get("object")),
        "oldObject": stored(case.0.get("oldObject")),
    }})
}

async fn answer(suite: &Suite, case: &Case) -> Value {
    let request = Request::post(case.path()).header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(review(case).to_string())).expect("a request");
    let response = webhook(suite, case).oneshot(request).await.expect("never fails");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice::<Value>(&body).expect("JSON")["response"].take()
}

#[tokio::test]
async fn the_webhook_answers_what_config_test_says() {
    for suite in Suite::all() {
        for case in &suite.cases {
            let told = &told()[&(suite.meta.name, case.name().to_owned())];
            let answer = answer(&suite, case).await;
            let about = format!("{}: {}: {answer:#}", suite.meta.name, case.name());
            assert_eq!(answer["auditAnnotations"]["decision"], told["verdict"], "{about}");
            assert_eq!(answer["allowed"], told["allowed"], "{about}");
            let rules: BTreeSet<&str> = findings(told).iter().filter_map(|finding| finding["rule"].as_str()).collect();
            let rules: Vec<&str> = rules.into_iter().collect();
            assert_eq!(answer["auditAnnotations"]["rules"], rules.join(","), "{about}");
            let causes = answer["status"]["details"]["causes"].as_array().cloned().unwrap_or_default();
            let causes: Vec<[&Value; 2]> = causes.iter().map(|cause| [&cause["reason"], &cause["field"]]).collect();
            let denied = findings(told).iter().filter(|finding| finding["level"] == "deny");
            let denied: Vec<[&Value; 2]> = denied.map(|finding| [&finding["rule"], &finding["field"]]).collect();
            assert_eq!(causes, denied, "{about}");
        }
    }
}

// ---- check -----------------------------------------------------------------------------------------------------------

/// Rule, field and level of everything found.
type Found = BTreeSet<(String, String, String)>;

fn found(findings: &[Value]) -> Found {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings.iter().map(|one| (text(&one["rule"]), text(&one["field"]), text(&one["level"]))).collect()
}

/// What `check` finds in an object that is given to it as a file, with the rest as its cluster.
fn checked(folder: &Path, suite: &Suite, case: &Case) -> Found {
    let [object, given] = ["object.json", "given.json"].map(|file| folder.join(file));
    write(&object, &case.0["object"]);
    write(&given, &json!({"apiVersion": "v1", "kind": "List", "items": suite.given(case)}));
    let rules = suite.folder.join("rules.yaml");
    let [object, given, rules] = [&object, &given, &rules].map(|path| path.to_str().expect("text"));
    let output = portcullis(&["check", object, "--inventory", given, "--config", rules, "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["cannotJudge"], json!([]), "{}: {}", suite.meta.name, case.name());
    let found = found(findings(&report));
    let denied = found.iter().any(|(_, _, level)| level == "deny");
    assert_eq!(output.status.code(), Some(i32::from(denied)), "{}: {}", suite.meta.name, case.name());
    found
}

/// What `check` is to find, where the webhook has found that.
fn wanted(suite: &Suite, case: &Case, told: &Value) -> Found {
    let all = found(findings(told));
    let manifest = |wanted: &str| case.0["object"]["spec"].get(wanted);
    match suite.meta.name {
        // Manifests do not say who asks.
        _ if suite.meta.needs == Needs::Requester => Found::new(),
        // Whoever writes both the label and the policy means it.
        "label-grants-access" => all.into_iter().map(|(rule, field, _)| (rule, field, "audit".to_owned())).collect(),
        // What comes after a default deny is in the same bundle, and not a later request.
        "blocked-dns" => all.into_iter().map(|(rule, field, _)| (rule, field, "deny".to_owned())).collect(),
        // A manifest shows itself what its author wrote, and one with the types in it has them.
        "implicit-policy-types" if manifest("policyTypes").is_some() => Found::new(),
        _ => all,
    }
}

#[test]
fn check_finds_in_manifests_what_the_webhook_finds_in_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    let mut rules = BTreeSet::new();
    each(|suite, case, told| {
        // A manifest is asked for by nobody and at no time in particular, so nobody is trusted with it.
        let trusted = suite.meta.name == "label-grants-access" && case.0["requester"]["groups"] == json!(["platform"]);
        let at_a_time = case.0.get("now").is_some();
        if case.operation() != "CREATE" || case.path() != "/validate" || at_a_time || trusted {
            return;
        }
        let (is, should) = (checked(folder.path(), suite, case), wanted(suite, case, told));
        if is != should {
            wrong.push(format!("{}: {}: {is:?}, not {should:?}", suite.meta.name, case.name()));
        }
        rules.insert(suite.meta.name);
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rules.len(), RULES.len(), "{rules:?}");
}
