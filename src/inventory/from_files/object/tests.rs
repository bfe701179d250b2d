use super::*;
use crate::manifest::parse;

fn read_one(text: &str) -> Read {
    let reading = parse("x.yaml", text);
    assert!(reading.problems.is_empty() && reading.documents.len() == 1, "{reading:?}");
    read(&reading.documents[0], "team")
}

/// The only subject.
fn subject(text: &str) -> Subject {
    match read_one(text) {
        Read::Subject(subject) => *subject,
        other => panic!("{text}: {other:?}"),
    }
}

/// Fields, each with whether the API server refuses it.
fn faults(text: &str) -> Vec<(String, bool)> {
    match read_one(text) {
        Read::Faulty { faults, .. } => faults.into_iter().map(|fault| (fault.field, fault.refused)).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

fn policy_with(metadata: &str) -> String {
    format!("{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {metadata}, spec: {{}}}}")
}

fn namespace_with(metadata: &str) -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {metadata}}}")
}

#[test]
fn a_policy_is_in_the_namespace_it_names_or_in_the_default_one() {
    assert_eq!(subject(&policy_with("{name: a, namespace: b}")).object_ref().to_string(), "NetworkPolicy b/a");
    for metadata in ["{name: a}", "{name: a, namespace: ''}", "{name: a, namespace: null, labels: null}"] {
        assert_eq!(subject(&policy_with(metadata)).object_ref().to_string(), "NetworkPolicy team/a");
    }
}

#[test]
fn a_namespace_bears_its_name_as_a_label_and_is_in_none() {
    let subject = subject(&namespace_with("{name: a, namespace: b, labels: {k: null}}"));
    assert_eq!(subject.object_ref().to_string(), "Namespace a");
    let Change::Namespace { new: Some(new), .. } = subject.change else { panic!("a namespace") };
    assert_eq!(new.metadata.namespace, None);
    let labels: Vec<_> = new.metadata.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("k", ""), (METADATA_NAME, "a")]);
}

#[test]
fn what_the_api_server_refuses_is_told_with_its_field() {
    let refused = [
        (policy_with("{}"), "metadata.name"),
        (policy_with("{name: ''}"), "metadata.name"),
        (policy_with("{name: A}"), "metadata.name"),
        (policy_with("{name: on}"), "metadata.name"),
        (policy_with("[a]"), "metadata"),
        (policy_with("{name: a, namespace: a.b}"), "metadata.namespace"),
        (policy_with("{name: a, namespace: 0644}"), "metadata.namespace"),
        (policy_with("{name: a, labels: {app: yes}}"), "metadata.labels[app]"),
        (policy_with("{name: a, labels: {app: 'a b'}}"), "metadata.labels[app]"),
        (policy_with("{name: a, labels: {'-': a}}"), "metadata.labels[-]"),
        (policy_with("{name: a, labels: [a]}"), "metadata.labels"),
        (policy_with("{name: a, annotations: {a: 1}}"), "metadata.annotations[a]"),
        (policy_with("{name: a, creationTimestamp: tomorrow}"), "metadata.creationTimestamp"),
        (namespace_with("{name: a.b}"), "metadata.name"),
        (namespace_with("{labels: {a: b}}"), "metadata.name"),
    ];
    for (text, field) in refused {
        assert_eq!(faults(&text), [(field.to_owned(), true)], "{text}");
    }
    // Free in their values, and compared in lower case.
    subject(&policy_with("{name: a.b-c, annotations: {Example.com/A: 'any text, even this'}}"));
}

#[test]
fn what_it_may_know_and_we_do_not_is_in_doubt() {
    let unknown = [
        (policy_with("{name: a, lables: {}}"), "metadata.lables"),
        (namespace_with("{name: a, lables: {}}"), "metadata.lables"),
        ("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, Spec: {}}".to_owned(), "Spec"),
        ("{kind: NetworkPolicy, metadata: {name: a}}".to_owned(), ""),
        ("[a]".to_owned(), ""),
        ("{apiVersion: v1, kind: List, items: {}}".to_owned(), "items"),
    ];
    for (text, field) in unknown {
        assert_eq!(faults(&text), [(field.to_owned(), false)], "{text}");
    }
}

#[test]
fn a_peer_with_an_unknown_field_is_not_also_called_empty() {
    let text = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {egress: [{to: \
                [{fqdns: [a]}, {}, {ipBlock: {cidr: x/1}}]}]}}";
    let expected = [
        ("spec.egress[0].to[0].fqdns", false),
        ("spec.egress[0].to[1]", true),
        ("spec.egress[0].to[2].ipBlock.cidr", true),
    ];
    assert_eq!(faults(text), expected.map(|(field, refused)| (field.to_owned(), refused)));
}

#[test]
fn versions_and_kinds_that_no_server_knows_are_told_from_those_of_others() {
    let refused = [
        ("extensions/v1beta1", "NetworkPolicy", "apiVersion"),
        ("networking.k8s.io/v1beta1", "NetworkPolicy", "apiVersion"),
        ("v1", "NetworkPolicy", "apiVersion"),
        ("networking.k8s.io/v1", "Namespace", "apiVersion"),
        ("networking.k8s.io/v1", "Networkpolicies", "kind"),
        ("v1", "namespace", "kind"),
    ];
    for (version, kind, field) in refused {
        let text = format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: a}}}}");
        assert_eq!(faults(&text), [(field.to_owned(), true)], "{text}");
    }
    let others = [
        ("projectcalico.org/v3", "NetworkPolicy"),
        ("policy.networking.k8s.io/v1alpha2", "AdminNetworkPolicy"),
        ("networking.k8s.io/v1", "Ingress"),
        ("v1", "Node"),
        ("v1", "List"),
        ("apps/v1", "Deployment"),
    ];
    for (version, kind) in others {
        let text = format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: 5}}}}");
        assert_eq!(read_one(&text), Read::Other, "{text}");
    }
}

#[test]
fn a_generated_name_is_a_name() {
    let name = |text: &str| subject(&policy_with(text)).name;
    assert!(name("{generateName: web-}").starts_with("web-"));
    assert_eq!(name("{generateName: web-, name: a}"), "a");
}
