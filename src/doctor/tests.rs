//! Each check, over facts made up. [`mk_facts`] is a cluster without a fault; a case spoils one thing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use serde_json::{Value, json};

use super::facts::{Answer, Container, DaemonSet, Facts, Gap, Served, Service, Version};
use super::other_policies::{KINDS, wanted};
use super::rights::RIGHTS;
use super::{Check, Diagnosis, Status, diagnose};

mod certificates;
mod cni;
mod registrations;

const NOW: &str = "2026-06-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn mk_daemon_set(namespace: &str, name: &str) -> DaemonSet {
    DaemonSet { namespace: namespace.into(), name: name.into(), ..DaemonSet::default() }
}

fn mk_container(name: &str, image: &str, args: &[&str]) -> Container {
    Container { name: name.into(), image: image.into(), args: args.iter().map(|&arg| arg.to_owned()).collect() }
}

/// The registration of `deploy/base/webhook.yaml`, as the API server has it: with its defaults written out.
fn mk_registration() -> Value {
    let rule = |group: &str, resources: &[&str], operations: &[&str], scope: &str| json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": resources, "operations": operations, "scope": scope});
    let all = ["CREATE", "UPDATE", "DELETE"];
    let hook = |name: &str, path: &str, rules: Value| {
        json!({
            "name": name, "rules": rules, "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 5,
            "matchPolicy": "Equivalent", "admissionReviewVersions": ["v1"], "namespaceSelector": {}, "objectSelector": {},
            "clientConfig": {"service": {"name": "portcullis", "namespace": "portcullis", "path": path, "port": 443}},
        })
    };
    let main_rules = json!([
        rule("networking.k8s.io", &["networkpolicies"], &all, "Namespaced"),
        rule("", &["namespaces"], &all, "Cluster"),
    ]);
    let guarded = ["namespaces", "namespaces/status", "namespaces/finalize"];
    let mut main = hook("validate.portcullis.dev", "/validate", main_rules);
    let exempt =
        json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "portcullis"]});
    main["namespaceSelector"] = json!({"matchExpressions": [exempt]});
    let guard =
        hook("guard.portcullis.dev", "/validate/labels", json!([rule("", &guarded, &["CREATE", "UPDATE"], "Cluster")]));
    json!({"metadata": {"name": "portcullis"}, "webhooks": [main, guard]})
}

fn registered(registration: Value) -> Vec<ValidatingWebhookConfiguration> {
    vec![serde_json::from_value(registration).unwrap()]
}

/// Nothing is wrong here.
fn mk_facts() -> Facts {
    let chain = certificates::mk_chain(certificates::SERVICE, 30, 365);
    let mut registrations = registered(mk_registration());
    for hook in registrations[0].webhooks.iter_mut().flatten() {
        hook.client_config.ca_bundle = Some(ByteString(chain.bundle.clone().into_bytes()));
    }
    let served = ["validate", "guard"].map(|name| (format!("portcullis/{name}.portcullis.dev"), chain.served()));
    let label =
        |name: &str| (name.to_owned(), BTreeMap::from([(super::version::NAME_LABEL.to_owned(), name.to_owned())]));
    Facts {
        version: Version { git: "v1.33.1".into(), minor: 33 },
        daemon_sets: Ok(vec![
            mk_daemon_set("calico-system", "calico-node"),
            mk_daemon_set("kube-system", "kube-proxy"),
        ]),
        nodes: Ok(vec![]),
        namespaces: Ok(vec![label("default"), label("kube-system")]),
        registrations: Ok(registrations),
        services: BTreeMap::from([(
            ("portcullis".to_owned(), "portcullis".to_owned()),
            Service { ports: Ok(vec![443]), ready: Ok(2) },
        )]),
        served: BTreeMap::from(served),
        account: "portcullis:portcullis".into(),
        rights: RIGHTS.iter().map(|right| (*right, Ok(right.needed))).collect(),
        other_policies: Ok(vec![]),
        probe: None,
    }
}

fn forbidden(permission: &str) -> Gap {
    Gap::Forbidden(permission.into())
}

fn judge(facts: &Facts) -> Diagnosis {
    diagnose(facts, now())
}

/// What is not ok in these facts, in full.
#[track_caller]
fn faults(facts: &Facts) -> Vec<Check> {
    let mut checks = judge(facts).checks;
    assert!(checks.iter().all(|check| (check.status == Status::Ok) == check.repair.is_none()), "{checks:#?}");
    assert!(checks.iter().all(|check| !check.what.contains('\n')), "{checks:#?}");
    checks.retain(|check| check.status != Status::Ok);
    checks
}

/// There is one fault, of this check and status, and it says all of `said`.
#[track_caller]
fn assert_fault(facts: &Facts, id: &str, status: Status, said: &[&str]) {
    let faults = faults(facts);
    assert!(
        faults.len() == 1 && (faults[0].id, faults[0].status) == (id, status),
        "not one {status:?} {id}: {faults:#?}"
    );
    let text = format!("{} = {}", faults[0].what, faults[0].repair.clone().unwrap_or_default());
    assert!(said.iter().all(|said| text.contains(said)), "not all of {said:?} in {text:?}");
}

#[test]
fn a_fit_cluster_has_no_fault_and_says_what_was_looked_at() {
    assert_eq!(faults(&mk_facts()), []);
    let diagnosis = judge(&mk_facts());
    let ids: Vec<&str> = diagnosis.checks.iter().map(|check| check.id).collect();
    let expected = [
        "version",
        "cni",
        "namespace-names",
        "registration",
        "webhook-rules",
        "webhook-rules",
        "webhook-failure-policy",
        "webhook-timeout",
        "webhook-protocol",
        "webhook-exemptions",
        "webhook-self-exemption",
        "webhook-exemptions",
        "webhook-service",
        "webhook-ca-bundle",
        "webhook-certificate",
        "rbac",
        "other-policies",
    ];
    assert_eq!(ids, expected);
    let both = ["portcullis/validate.portcullis.dev", "portcullis/guard.portcullis.dev"];
    let service = diagnosis.checks.iter().find(|check| check.id == "webhook-service").unwrap();
    assert_eq!(service.about, both, "what both share is said once");
    assert!(diagnosis.reaches(Status::Ok) && !diagnosis.reaches(Status::Unknown));
    assert_eq!(diagnosis.summary().ok, ids.len());
}

#[test]
fn versions() {
    for (git, minor, expected, said) in [
        ("v1.15.0", 15, Status::Error, "admissionregistration.k8s.io/v1"),
        ("v1.20.2", 20, Status::Warning, "kubernetes.io/metadata.name"),
        ("v1.21.0", 21, Status::Warning, "endPort"),
    ] {
        let facts = Facts { version: Version { git: git.into(), minor }, ..mk_facts() };
        assert_fault(&facts, "version", expected, &[git, said, "upgrade to Kubernetes 1."]);
    }
    for minor in [22, 36, 40] {
        let facts = Facts { version: Version { git: format!("v1.{minor}.0"), minor }, ..mk_facts() };
        assert_eq!(faults(&facts), []);
        assert_eq!(judge(&facts).checks[0].what.contains("newer than 1.36"), minor == 40);
    }
}

#[test]
fn namespaces_without_their_name() {
    let mut facts = mk_facts();
    let named = facts.namespaces.as_mut().unwrap();
    named.push(("other".into(), BTreeMap::from([(super::version::NAME_LABEL.to_owned(), "kube-system".to_owned())])));
    named.extend((0..7).map(|i| (format!("n{i}"), BTreeMap::new())));
    let said = ["8 of 10", "other, n0, n1, n2, n3 and 3 more", "kubectl label"];
    assert_fault(&facts, "namespace-names", Status::Warning, &said);
}

#[test]
fn what_must_not_be_looked_at_is_unknown_and_names_the_permission() {
    type Spoil = fn(&mut Facts, Gap);
    let spoil: [(&str, &str, Spoil); 6] = [
        ("cni", "list daemonsets.apps", |facts, gap| facts.daemon_sets = Err(gap)),
        ("namespace-names", "list namespaces", |facts, gap| facts.namespaces = Err(gap)),
        ("registration", "list validatingwebhookconfigurations", |facts, gap| facts.registrations = Err(gap)),
        ("other-policies", "get /apis", |facts, gap| facts.other_policies = Err(gap)),
        ("probe", "create networkpolicies", |facts, gap| facts.probe = Some(Err(gap))),
        ("rbac", "create subjectaccessreviews", |facts, gap| facts.rights[3].1 = Err(gap)),
    ];
    for (id, permission, spoil) in spoil {
        let mut facts = mk_facts();
        spoil(&mut facts, forbidden(permission));
        assert_fault(&facts, id, Status::Unknown, &["no permission to", &format!("grant `{permission}`")]);
    }
    // Without them a plugin is still known by its DaemonSet.
    assert_eq!(faults(&Facts { nodes: Err(forbidden("list nodes")), ..mk_facts() }), []);
    let mut facts = mk_facts();
    facts.daemon_sets = Err(Gap::Failed("list daemonsets.apps".into(), "no answer within 10s".into()));
    assert_fault(&facts, "cni", Status::Unknown, &["no answer within 10s", "try again"]);
}

#[test]
fn rights() {
    let without = |verb: &str, resource: &str| {
        let mut facts = mk_facts();
        let found =
            facts.rights.iter_mut().find(|(right, _)| (right.verb, right.resource) == (verb, resource)).unwrap();
        found.1 = found.1.clone().map(|allowed| !allowed);
        facts
    };
    let said = ["portcullis/portcullis may not watch networkpolicies.networking.k8s.io", "deploy/base/rbac.yaml"];
    assert_fault(&without("watch", "networkpolicies"), "rbac", Status::Error, &said);
    let said = ["more than it needs, everywhere: list secrets", "remove the binding"];
    assert_fault(&without("list", "secrets"), "rbac", Status::Warning, &said);

    let mut facts = without("get", "namespaces");
    for hook in facts.registrations.as_mut().unwrap()[0].webhooks.iter_mut().flatten() {
        hook.client_config.service = None;
        hook.client_config.url = Some("https://portcullis.portcullis.svc/validate".into());
    }
    assert!(faults(&facts).iter().any(|fault| (fault.id, fault.status) == ("rbac", Status::Unknown)
        && fault.repair.as_ref().is_some_and(|repair| repair.contains("called by URL"))));
}

/// The list of what the server needs is that of the deployment.
#[test]
fn the_needed_rights_are_those_of_the_deployment() {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/base/rbac.yaml");
    let reading = crate::manifest::read(&[path]);
    let role = reading
        .documents
        .iter()
        .map(|document| &document.value)
        .find(|value| value["kind"] == "ClusterRole" && value["metadata"]["name"] == "portcullis");
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = Vec::new();
    for rule in role.unwrap()["rules"].as_array().unwrap() {
        for (group, resource) in texts(&rule["apiGroups"]).iter().zip(texts(&rule["resources"])) {
            granted.extend(texts(&rule["verbs"]).into_iter().map(|verb| (verb, group.clone(), resource.clone())));
        }
    }
    let needed = RIGHTS.iter().filter(|right| right.needed);
    let mut needed: Vec<_> = needed.map(|r| (r.verb.to_owned(), r.group.to_owned(), r.resource.to_owned())).collect();
    granted.sort();
    needed.sort();
    assert_eq!(needed, granted, "RIGHTS of src/doctor/rights.rs on the left, deploy/base/rbac.yaml on the right");
}

#[test]
fn other_policies() {
    let with = |counts: &[Result<u64, Gap>]| Facts {
        other_policies: Ok(KINDS.iter().copied().zip(counts.iter().cloned()).collect()),
        ..mk_facts()
    };
    assert_eq!(faults(&with(&[Ok(0), Ok(0)])), []);
    let said = ["2 baselineadminnetworkpolicies.policy.networking.k8s.io, 7 ciliumnetworkpolicies.cilium.io", "RBAC"];
    assert_fault(&with(&[Ok(0), Ok(2), Err(forbidden("list x")), Ok(7)]), "other-policies", Status::Warning, &said);
    assert_fault(&with(&[Ok(0), Err(forbidden("list x"))]), "other-policies", Status::Unknown, &["list x"]);

    let names = |groups: &[&str]| wanted(groups).map(|kind| (kind.group, kind.resource)).collect::<Vec<_>>();
    assert_eq!(names(&["apps", "networking.k8s.io"]), []);
    let calico = names(&["projectcalico.org", "crd.projectcalico.org"]);
    assert_eq!(calico, ["networkpolicies", "globalnetworkpolicies"].map(|name| ("crd.projectcalico.org", name)));
    assert_eq!(names(&["projectcalico.org"]).len(), 2);
}

#[test]
fn services() {
    let with = |service: Service| {
        let mut facts = mk_facts();
        *facts.services.values_mut().next().unwrap() = service;
        facts
    };
    let absent = || Gap::Absent("services portcullis/portcullis".into());
    for (service, status, said) in [
        (Service { ports: Err(absent()), ready: Err(absent()) }, Status::Error, "does not exist"),
        (Service { ports: Ok(vec![8443]), ready: Ok(2) }, Status::Error, "no port 443, only [8443]"),
        (Service { ports: Ok(vec![443]), ready: Ok(0) }, Status::Error, "no ready endpoint"),
        (Service { ports: Ok(vec![443]), ready: Err(absent()) }, Status::Error, "no ready endpoint"),
        (Service { ports: Ok(vec![443]), ready: Ok(1) }, Status::Warning, "one ready endpoint"),
        (Service { ports: Err(forbidden("get services p/p")), ready: Ok(1) }, Status::Unknown, "get services p/p"),
        (
            Service { ports: Ok(vec![443]), ready: Err(forbidden("get endpoints p/p")) },
            Status::Unknown,
            "get endpoints",
        ),
    ] {
        assert_fault(&with(service), "webhook-service", status, &[said]);
    }
}

#[test]
fn probes() {
    let with = |answer: Answer| Facts { probe: Some(Ok(answer)), ..mk_facts() };
    let text = |text: &str| text.to_owned();
    let denied = "admission webhook \"validate.portcullis.dev\" denied the request: [allow-all-ingress] spec";
    assert_eq!(faults(&with(Answer::Denied(text(denied)))), []);
    for (answer, status, said) in [
        (Answer::Admitted(vec![text("[allow-all-ingress] spec: open")]), Status::Warning, "maxLevel"),
        (Answer::Admitted(vec![text("something else")]), Status::Error, "without a word"),
        (Answer::Admitted(vec![]), Status::Error, "without a word"),
        (Answer::Unavailable(text("failed calling webhook: refused")), Status::Error, "failed calling webhook"),
        (
            Answer::Denied(text("admission webhook \"x\" denied the request: [other]")),
            Status::Warning,
            "not by Portcullis",
        ),
        (Answer::Refused(text("exceeded quota")), Status::Warning, "exceeded quota"),
    ] {
        assert_fault(&with(answer), "probe", status, &[said]);
    }
}

#[test]
fn statuses_are_in_the_order_in_which_they_fail() {
    let order = [Status::Ok, Status::Unknown, Status::Warning, Status::Error];
    assert!(order.is_sorted());
    let mut facts = mk_facts();
    facts.served.values_mut().for_each(|served| *served = Served::NotTried);
    let diagnosis = judge(&facts);
    assert!(diagnosis.reaches(Status::Unknown) && !diagnosis.reaches(Status::Warning));
    assert_eq!(diagnosis.summary().unknown, 1);
}
