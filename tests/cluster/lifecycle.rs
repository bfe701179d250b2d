//! Nothing becomes undeletable, and nobody is blamed for what was there before.

use super::harness::{Cluster, Registration, Webhook, wait_until};
use super::manifests::{LEAKY, allow, default_deny, external, options, policy};
use std::time::Duration;

/// A cluster with an old object that breaks the rules, guarded from then on.
fn with_old_sins() -> (Cluster, Webhook) {
    let cluster = Cluster::start();
    cluster.namespace("a").ok();
    let held = external("a", "leaky", &[LEAKY]).replace("name: leaky,", "name: leaky, finalizers: [example.com/hold],");
    cluster.apply(&held).ok();
    cluster.apply(&policy("a", "open", "{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}")).ok();
    let webhook = Webhook::start(&options(&cluster));
    cluster.register(&webhook, &Registration::default());
    (cluster, webhook)
}

#[test]
fn old_sins_can_be_labelled_mended_and_deleted() {
    let (cluster, _webhook) = with_old_sins();
    let patch = |patch: &str| cluster.kubectl(&["patch", "netpol", "leaky", "-n", "a", "--type=json", "-p", patch]);

    cluster.kubectl(&["label", "netpol", "leaky", "open", "-n", "a", "team=a"]).ok();
    // Better, though not good: admitted, and said.
    let narrower =
        patch(r#"[{"op":"add","path":"/spec/egress/0/to/0/ipBlock/except/-","value":"192.168.0.0/17"}]"#).ok();
    assert!(narrower.warnings().iter().any(|warning| warning.contains("192.168.128.0/17")), "{narrower:?}");
    // Worse again: denied.
    patch(r#"[{"op":"remove","path":"/spec/egress/0/to/0/ipBlock/except/0"}]"#).denied_by("egress-private-cidr");
    patch(r#"[{"op":"replace","path":"/spec/podSelector","value":{}}]"#).denied_by("egress-private-cidr");

    // On its way out it is held by its finalizer, and the finalizer may go.
    cluster.kubectl(&["delete", "netpol", "leaky", "-n", "a"]).ok();
    let finalizers = || {
        let outcome = cluster.kubectl(&["get", "netpol", "leaky", "-n", "a", "-o", "jsonpath={.metadata.finalizers}"]);
        outcome.succeeded().then_some(outcome.stdout)
    };
    assert!(finalizers().is_some_and(|held| held.contains("example.com/hold")));
    patch(r#"[{"op":"remove","path":"/metadata/finalizers"}]"#).ok();
    assert_eq!(finalizers(), None);
    cluster.kubectl(&["delete", "netpol", "open", "-n", "a"]).ok();
}

/// The namespace controller deletes what is in a namespace once that is terminating; so does this test.
#[test]
fn the_policies_of_a_deleted_namespace_go() {
    let (cluster, webhook) = with_old_sins();
    cluster.namespace("b").ok();
    cluster.apply(&default_deny("b", "default-deny", "Ingress, Egress")).ok();
    cluster.apply(&allow("b", "web")).ok();
    let collection = "/apis/networking.k8s.io/v1/namespaces/b/networkpolicies";
    cluster.kubectl(&["delete", "--raw", collection]).failed();
    cluster.kubectl(&["delete", "netpol", "default-deny", "-n", "b"]).denied_by("missing-default-deny");

    // At once, when the watch may not have told the webhook yet.
    cluster.kubectl(&["delete", "namespace", "b"]).ok();
    cluster.kubectl(&["delete", "netpol", "default-deny", "-n", "b"]).ok();
    cluster.kubectl(&["delete", "--raw", collection]).ok();
    wait_until(Duration::from_secs(10), "the policies of b to be gone", || {
        cluster.kubectl(&["get", "netpol", "-n", "b", "-o", "name"]).ok().stdout.is_empty().then_some(())
    });
    let errors = webhook.metric("portcullis_admission_requests_total", &[("outcome", "cannot_judge")]);
    assert!(errors.abs() < f64::EPSILON, "{}", webhook.log());
}

#[test]
fn names_of_the_servers_making_are_judged_like_any_other() {
    let (cluster, _webhook) = with_old_sins();
    let generated = allow("a", "x").replace("name: x", "generateName: gen-");
    cluster.kubectl_stdin(&["create", "-f", "-"], &generated).denied_by("missing-default-deny");
    cluster.apply(&default_deny("a", "default-deny", "Ingress, Egress")).ok();
    cluster.kubectl_stdin(&["create", "-f", "-"], &generated).ok().stdout_has("gen-");
}
