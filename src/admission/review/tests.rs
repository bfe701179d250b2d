use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn body(request: &Value) -> Vec<u8> {
    json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "request": request}).to_string().into_bytes()
}

fn policy_request(operation: &str, old: &Value, new: &Value) -> Value {
    json!({
        "uid": "u-1", "operation": operation, "name": "", "namespace": "shop", "dryRun": false,
        "kind": {"group": "networking.k8s.io", "version": "v1", "kind": "NetworkPolicy"},
        "userInfo": {"username": "dev", "groups": ["system:authenticated"], "extra": {"a": ["b"]}},
        "object": new, "oldObject": old, "options": {"kind": "CreateOptions"},
    })
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": spec, "metadata":
        {"name": "x", "namespace": "shop", "creationTimestamp": "2026-11-23T00:09:59Z", "managedFields": [{"a": {}}]}})
}

fn task(request: &Value) -> Task {
    let body = body(request);
    envelope(&body).expect("an envelope").task()
}

fn cannot_judge(request: &Value) -> String {
    match task(request) {
        Task::CannotJudge { reason, .. } => reason,
        other => panic!("judged: {other:?}"),
    }
}

fn isolation() -> Value {
    object(&json!({"podSelector": {}, "policyTypes": ["Ingress"]}))
}

#[rstest]
#[case::empty("", "not the JSON")]
#[case::binary("\u{0}\u{1}", "not the JSON")]
#[case::cut_off(r#"{"kind": "AdmissionReview""#, "not the JSON")]
#[case::a_list("[]", "not the JSON")]
#[case::something_else(r#"{"kind": "Pod", "apiVersion": "v1"}"#, "is a `Pod`, not an AdmissionReview")]
#[case::no_kind("{}", "is a ``, not an AdmissionReview")]
#[case::old_version(
    r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "a"}}"#,
    "v1beta1"
)]
#[case::no_request(r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}"#, "has no request")]
#[case::null_request(
    r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": null}"#,
    "has no request"
)]
#[case::no_uid(r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {}}"#, "has no uid")]
#[case::uid_twice(
    r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "a", "uid": "b"}}"#,
    "no uid"
)]
#[case::trailing(
    r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "a"}} x"#,
    "not the JSON"
)]
fn what_is_no_review_is_refused(#[case] body: &str, #[case] told: &str) {
    let error = envelope(body.as_bytes()).expect_err("no review").to_string();
    assert!(error.contains(told) && !error.contains('\n'), "{error}");
}

#[test]
fn a_malformed_request_keeps_its_uid() {
    let body = body(&json!({"uid": "u-1", "operation": 7}));
    let request = envelope(&body).expect("a uid");
    assert_eq!(request.uid, "u-1");
    assert!(matches!(request.task(), Task::CannotJudge { reason, .. } if reason.contains("malformed")));
}

#[test]
fn a_creation_is_read() {
    let Task::Judge(subject) = task(&policy_request("CREATE", &Value::Null, &isolation())) else { panic!("to judge") };
    assert_eq!((subject.namespace.as_str(), subject.name.as_str()), ("shop", "x"));
    assert_eq!((subject.operation, subject.requester.username.as_str()), (Operation::Create, "dev"));
    let Change::NetworkPolicy { old: None, new: Some(new) } = subject.change else { panic!("a creation") };
    assert!(new.policy.spec.isolates_ingress && new.metadata.creation_timestamp.is_some());
}

#[test]
fn a_deletion_is_named_by_what_is_stored() {
    let Task::Judge(subject) = task(&policy_request("DELETE", &isolation(), &Value::Null)) else { panic!("to judge") };
    assert_eq!((subject.namespace.as_str(), subject.name.as_str()), ("shop", "x"));
    assert!(matches!(subject.change, Change::NetworkPolicy { old: Some(_), new: None }));
}

#[test]
fn a_deletion_of_what_cannot_be_read_is_still_a_deletion() {
    for odd in [object(&json!({"fqdns": []})), object(&json!("x")), json!({"metadata": 1}), Value::Null] {
        let task = task(&policy_request("DELETE", &odd, &Value::Null));
        assert!(matches!(task, Task::Judge(Subject { change: Change::NetworkPolicy { old: None, new: None }, .. })));
    }
}

#[test]
fn what_leaves_the_spec_as_it_is_passes_unread() {
    let odd = object(&json!({"fqdns": ["unknown"], "ingress": [{}]}));
    let mut labelled = odd.clone();
    labelled["metadata"]["labels"] = json!({"team": "a"});
    assert_eq!(task(&policy_request("UPDATE", &odd, &labelled)), Task::Admit(None));
    let mut reordered = isolation();
    reordered["spec"] = json!({"policyTypes": ["Ingress"], "podSelector": {}});
    assert!(matches!(task(&policy_request("UPDATE", &isolation(), &reordered)), Task::Admit(Some(_))));
}

#[test]
fn what_changes_the_metadata_alone_is_judged_by_that() {
    let with = |key: &str, value: Value| {
        let mut object = isolation();
        object["metadata"][key] = value;
        object
    };
    for new in [with("labels", json!({"team": "a"})), with("annotations", json!({"reason": "none"}))] {
        let Task::JudgeMetadata(subject) = task(&policy_request("UPDATE", &isolation(), &new)) else {
            panic!("to judge")
        };
        assert!(matches!(subject.change, Change::NetworkPolicy { old: Some(_), new: Some(_) }));
        let mut leaving = new.clone();
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:10:00Z");
        assert!(matches!(task(&policy_request("UPDATE", &isolation(), &leaving)), Task::Admit(Some(_))));
    }
    let touched = with("finalizers", json!(["example.com/a"]));
    assert!(matches!(task(&policy_request("UPDATE", &isolation(), &touched)), Task::Admit(Some(_))));
}

#[test]
fn what_is_on_its_way_out_passes_unread() {
    let mut leaving = object(&json!({"ingress": [{}], "fqdns": []}));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:10:00Z");
    assert_eq!(task(&policy_request("UPDATE", &isolation(), &leaving)), Task::Admit(None));
}

#[test]
fn a_changed_spec_is_judged_even_where_the_old_one_cannot_be_read() {
    let odd = object(&json!({"fqdns": []}));
    let task = task(&policy_request("UPDATE", &odd, &isolation()));
    assert!(matches!(task, Task::Judge(Subject { change: Change::NetworkPolicy { old: None, new: Some(_) }, .. })));
}

#[test]
fn unknown_fields_cannot_be_judged() {
    let told =
        cannot_judge(&policy_request("CREATE", &Value::Null, &object(&json!({"ingress": [{"from": [{"sa": 1}]}]}))));
    assert!(told.contains("spec.ingress[0].from[0].sa: unknown field"), "{told}");
}

#[test]
fn objects_nested_too_deeply_cannot_be_judged() {
    for depth in [200, 100_000] {
        let spec = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = String::from_utf8(body(&policy_request("CREATE", &Value::Null, &object(&json!("DEEP")))));
        let body = body.expect("JSON").replace("\"DEEP\"", &spec);
        let request = envelope(body.as_bytes()).expect("an envelope");
        assert!(matches!(request.task(), Task::CannotJudge { reason, .. } if reason.contains("too deeply")), "{depth}");
    }
}

#[rstest]
#[case::no_object(policy_request("CREATE", &Value::Null, &Value::Null), "carries no object")]
#[case::update_without_object(policy_request("UPDATE", &isolation(), &Value::Null), "carries no object")]
#[case::object_is_a_list(policy_request("CREATE", &Value::Null, &json!([])), "the object cannot be read")]
#[case::bad_time(
    policy_request("CREATE", &Value::Null, &json!({"metadata": {"creationTimestamp": "yesterday"}})), "cannot be read")]
#[case::connect(policy_request("CONNECT", &Value::Null, &isolation()), "the operation CONNECT is not known")]
fn what_the_api_server_never_sends_cannot_be_judged(#[case] request: Value, #[case] told: &str) {
    assert!(cannot_judge(&request).contains(told), "{}", cannot_judge(&request));
}

#[test]
fn other_versions_cannot_be_judged_and_other_kinds_are_no_concern() {
    let mut request = policy_request("CREATE", &Value::Null, &isolation());
    request["kind"]["version"] = json!("v2");
    assert!(cannot_judge(&request).contains("of version v2"));
    request["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"});
    assert_eq!(task(&request), Task::Admit(None));
}

#[test]
fn namespaces_are_judged_by_their_labels() {
    let namespace = |labels: Value| json!({"metadata": {"name": "shop", "labels": labels}, "spec": {"finalizers": []}});
    let mut request = policy_request("UPDATE", &namespace(json!({"a": "b"})), &namespace(json!({"a": "b"})));
    request["kind"] = json!({"group": "", "version": "v1", "kind": "Namespace"});
    assert!(matches!(task(&request), Task::Admit(Some(_))));
    request["object"] = namespace(json!({"a": "c"}));
    let Task::Judge(subject) = task(&request) else { panic!("to judge") };
    assert_eq!((subject.namespace.as_str(), subject.name.as_str()), ("shop", "shop"));
    // On its way out it may still run pods, to which a label can open a firewall...
    request["object"]["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:10:00Z");
    assert!(matches!(task(&request), Task::Judge(_)));
    // ...but to get out it needs no other labels.
    request["object"]["metadata"]["labels"] = json!({"a": "b"});
    assert!(matches!(task(&request), Task::Admit(Some(_))));
    request["object"]["metadata"]["annotations"] = json!({"owner": "a"});
    assert!(matches!(task(&request), Task::Judge(_)));
    request["object"]["metadata"]["annotations"] = Value::Null;
    assert!(matches!(task(&request), Task::Admit(Some(_))));
}

/// An error of serde repeats what it could not read, and the reason goes into the log.
#[test]
fn reasons_are_short_whatever_was_sent() {
    let long = "A".repeat(2_000_000);
    let told = cannot_judge(&policy_request("CREATE", &Value::Null, &json!({ "metadata": long })));
    assert!(told.starts_with("the object cannot be read") && told.len() < 300, "{}", told.len());
    let mut malformed = policy_request("CREATE", &Value::Null, &isolation());
    malformed["operation"] = json!({ "a": long });
    assert!(cannot_judge(&malformed).len() < 300);
    let no_review = json!({ "apiVersion": API_VERSION, "kind": [long] }).to_string();
    assert!(envelope(no_review.as_bytes()).expect_err("no review").to_string().len() < 300);
}

proptest! {
    /// Whatever comes in, the decoder answers; a fuzz target goes further with the same claim.
    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = envelope(&bytes).map(|request| request.task());
    }
}
