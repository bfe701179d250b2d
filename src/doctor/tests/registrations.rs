//! How Portcullis is registered.

use super::*;
use crate::doctor::registration::is_ours;

/// The fit cluster with one thing of the registration changed: a JSON pointer and its new value, or none to remove it.
fn changed(pointer: &str, value: Value) -> Facts {
    let mut facts = mk_facts();
    let registration = &mut facts.registrations.as_mut().unwrap()[0];
    let mut object = serde_json::to_value(&*registration).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    *registration = serde_json::from_value(object).unwrap();
    facts
}

const MAIN: &str = "/webhooks/0";
const GUARD: &str = "/webhooks/1";

fn main(field: &str, value: Value) -> Facts {
    changed(&format!("{MAIN}/{field}"), value)
}

fn guard(field: &str, value: Value) -> Facts {
    changed(&format!("{GUARD}/{field}"), value)
}

#[test]
fn nothing_registered() {
    let facts = Facts { registrations: Ok(vec![]), ..mk_facts() };
    assert_fault(
        &facts,
        "registration",
        Status::Error,
        &["nothing is judged", "deploy/install.sh", "--webhook-configuration"],
    );
}

#[test]
fn a_webhook_is_missing_or_calls_elsewhere() {
    let without = |index: usize| {
        let mut facts = mk_facts();
        facts.registrations.as_mut().unwrap()[0].webhooks.as_mut().unwrap().remove(index);
        facts
    };
    assert_fault(&without(1), "registration", Status::Error, &["the guard is missing", "namespaces/status"]);
    assert_fault(&without(0), "registration", Status::Error, &["no NetworkPolicy is judged"]);

    let elsewhere = faults(&guard("clientConfig/service/path", json!("/validate-labels")));
    let said: Vec<&str> = elsewhere.iter().map(|fault| fault.what.as_str()).collect();
    assert!(said[0].contains("\"/validate-labels\", where nothing is served"), "{said:?}");
    assert!(said[1].contains("the guard is missing") && said.len() == 2, "{said:?}");
}

#[test]
fn registered_twice() {
    let mut facts = mk_facts();
    let registrations = facts.registrations.as_mut().unwrap();
    let mut second = registrations[0].clone();
    second.metadata.name = Some("portcullis-old".into());
    registrations.push(second);
    let faults = faults(&facts);
    let twice = faults.iter().find(|fault| fault.id == "registration").unwrap();
    assert!(
        twice.status == Status::Warning && twice.what.contains("2 times: portcullis, portcullis-old"),
        "{faults:?}"
    );
}

#[test]
fn ours_is_known_by_name_label_or_webhooks() {
    let mut registration = registered(mk_registration()).remove(0);
    assert!(is_ours(&registration, "portcullis") && is_ours(&registration, "x"), "by the webhooks' names");
    for hook in registration.webhooks.iter_mut().flatten() {
        hook.name = "a.example.com".into();
    }
    assert!(is_ours(&registration, "portcullis") && !is_ours(&registration, "x"), "by its own name");
    registration.metadata.labels = Some(BTreeMap::from([("app.kubernetes.io/name".into(), "portcullis".into())]));
    assert!(is_ours(&registration, "x"), "by its label");
}

#[test]
fn operations_and_subresources_that_pass_unseen() {
    for (facts, said) in [
        (
            main("rules/0/operations", json!(["CREATE", "UPDATE"])),
            "main webhook is not asked about DELETE of networkpolicies",
        ),
        (main("rules/1/resources", json!(["pods"])), "CREATE, UPDATE, DELETE of namespaces"),
        (main("rules/0/scope", json!("Cluster")), "CREATE, UPDATE, DELETE of networkpolicies"),
        (main("rules/0/apiGroups", json!(["extensions"])), "CREATE, UPDATE, DELETE of networkpolicies"),
        (main("rules/0/apiVersions", json!(["v1beta1"])), "of networkpolicies"),
        (
            guard("rules/0/resources", json!(["namespaces", "namespaces/status"])),
            "guard is not asked about UPDATE of namespaces/finalize",
        ),
        (guard("rules/0/resources", json!(["*"])), "UPDATE of namespaces/status, UPDATE of namespaces/finalize"),
        (guard("rules/0/operations", json!(["UPDATE"])), "CREATE of namespaces"),
    ] {
        assert_fault(&facts, "webhook-rules", Status::Error, &[said, "deploy/base/webhook.yaml"]);
    }
}

#[test]
fn wildcards_cover_what_the_api_server_takes_them_for() {
    for facts in [
        main(
            "rules",
            json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"], "scope": "*"}]),
        ),
        guard("rules/0/resources", json!(["*/*"])),
        guard("rules/0/resources", json!(["namespaces", "namespaces/*"])),
        guard("rules/0/resources", json!(["*", "*/status", "*/finalize"])),
        guard("rules/0/scope", Value::Null),
    ] {
        assert_eq!(faults(&facts), []);
    }
}

#[test]
fn settings() {
    for (facts, id, status, said) in [
        (main("failurePolicy", json!("Ignore")), "webhook-failure-policy", Status::Warning, "passes unjudged"),
        (guard("failurePolicy", json!("Ignore")), "webhook-failure-policy", Status::Warning, "passes unjudged"),
        (main("timeoutSeconds", json!(1)), "webhook-timeout", Status::Warning, "too short"),
        (main("timeoutSeconds", json!(11)), "webhook-timeout", Status::Warning, "timeoutSeconds 11"),
        (main("sideEffects", json!("NoneOnDryRun")), "webhook-protocol", Status::Warning, "NoneOnDryRun"),
        (main("sideEffects", json!("Unknown")), "webhook-protocol", Status::Error, "dry runs are refused"),
        (main("admissionReviewVersions", json!(["v1beta1"])), "webhook-protocol", Status::Error, "without v1"),
        (main("matchPolicy", json!("Exact")), "webhook-protocol", Status::Warning, "Exact"),
    ] {
        assert_fault(&facts, id, status, &[said]);
        let about = &faults(&facts)[0].about;
        assert!(about.len() == 1 && about[0].ends_with(".portcullis.dev"), "{about:?}");
    }
    for facts in
        [main("timeoutSeconds", json!(2)), main("timeoutSeconds", json!(10)), main("timeoutSeconds", Value::Null)]
    {
        assert_eq!(faults(&facts), []);
    }
    assert_eq!(faults(&main("failurePolicy", Value::Null)), [], "Fail is the default");
}

fn selector(key: &str, operator: &str, values: &[&str]) -> Value {
    let values = if values.is_empty() { Value::Null } else { json!(values) };
    let own =
        json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "portcullis"]});
    json!({"matchExpressions": [own, {"key": key, "operator": operator, "values": values}]})
}

#[test]
fn exemptions_that_a_tenant_could_take() {
    const ID: &str = "webhook-exemptions";
    let skip = || selector("skip", "DoesNotExist", &[]);
    let said = ["the label skip", "unless the rule webhook-exemption names it", "keys: [skip]"];
    assert_fault(&main("namespaceSelector", skip()), ID, Status::Warning, &said);

    // Nobody guards the label: the guard is missing, or goes by labels itself.
    let mut unguarded = main("namespaceSelector", skip());
    unguarded.registrations.as_mut().unwrap()[0].webhooks.as_mut().unwrap().remove(1);
    let told = faults(&unguarded);
    assert!(
        told.iter().any(|fault| (fault.id, fault.status) == (ID, Status::Error) && fault.what.contains("escapes")),
        "{told:?}"
    );

    for (facts, said) in [
        (main("objectSelector", json!({"matchLabels": {"judge": "yes"}})), "objectSelector goes by judge"),
        (guard("objectSelector", json!({"matchLabels": {"judge": "yes"}})), "objectSelector goes by judge"),
        (
            guard("namespaceSelector", selector("kubernetes.io/metadata.name", "Exists", &[])),
            "guard has a namespaceSelector",
        ),
        (
            main("matchConditions", json!([{"name": "c", "expression": "!has(object.metadata.labels.skip)"}])),
            "by what the requester writes",
        ),
        (main("namespaceSelector", selector("kubernetes.io/metadata.name", "DoesNotExist", &[])), "nothing is judged"),
    ] {
        assert_fault(&facts, ID, Status::Error, &[said]);
    }
}

#[test]
fn exemptions_that_only_need_a_look() {
    const ID: &str = "webhook-exemptions";
    let by_name = selector("kubernetes.io/metadata.name", "In", &["a", "b"]);
    assert_fault(&main("namespaceSelector", by_name), ID, Status::Warning, &["only these namespaces are judged: a, b"]);
    for expression in ["request.userInfo.username != 'system:node'", "object.metadata.namespace != 'x'"] {
        let facts = main("matchConditions", json!([{"name": "c", "expression": expression}]));
        assert_fault(&facts, ID, Status::Warning, &["\"c\"", expression]);
    }
    let told = judge(&mk_facts());
    let exempt = told.checks.iter().find(|check| check.id == ID).unwrap();
    assert!(exempt.what.ends_with("kube-system, portcullis"), "{exempt:?}");
}

#[test]
fn what_must_be_mendable_without_it() {
    let facts = main("namespaceSelector", Value::Null);
    let said = ["not exempt: kube-system, portcullis", "NotIn [kube-system, portcullis]"];
    assert_fault(&facts, "webhook-self-exemption", Status::Warning, &said);
    let only = json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}]});
    assert_fault(
        &main("namespaceSelector", only),
        "webhook-self-exemption",
        Status::Warning,
        &["not exempt: portcullis;"],
    );
}
