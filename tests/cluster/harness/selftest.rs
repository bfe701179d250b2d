//! Tests of the test bed itself: when these fail, the others say nothing.

use std::time::Duration;

use super::registration::base64;
use super::webhook::sum_of_series;
use super::{Cluster, Outcome, Registration, User, Webhook, WebhookOptions, wait_until};

#[test]
fn base64_is_as_in_the_rfc() {
    for (plain, encoded) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(plain.as_bytes()), encoded, "{plain:?}");
    }
    assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
}

#[test]
fn series_are_added_up_by_name_and_labels() {
    let text = "# HELP a_total x\n# TYPE a_total counter\na_total{kind=\"X\",outcome=\"denied\"} 2\na_total{kind=\"Y\",outcome=\"denied\"} 3\n\
                a_total{kind=\"Y\",outcome=\"allowed\"} 5\na_total_more 7\nsubkind{my_kind=\"X\"} 1\nplain 1.5\n";
    for (name, labels, sum) in [
        ("a_total", &[][..], 10.0),
        ("a_total", &[("outcome", "denied")], 5.0),
        ("a_total", &[("kind", "Y"), ("outcome", "denied")], 3.0),
        ("a_total", &[("kind", "Z")], 0.0),
        ("subkind", &[("kind", "X")], 0.0),
        ("plain", &[], 1.5),
    ] {
        assert!((sum_of_series(text, name, labels) - sum).abs() < f64::EPSILON, "{name} {labels:?}");
    }
}

/// Every verb that the tests use, with today's `kubectl` and whatever server there is.
fn every_verb(cluster: &Cluster) {
    let policy = |value: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: team-a, labels: {{v: '{value}'}}}}, \
             spec: {{podSelector: {{}}, policyTypes: [Ingress]}}}}"
        )
    };
    let from_stdin =
        |args: &[&str], value: &str| cluster.kubectl_stdin(&[args, &["-f", "-"]].concat(), &policy(value)).ok();
    let label = || {
        cluster.kubectl(&["get", "netpol", "p", "-n", "team-a", "-o", "json"]).ok().json()["metadata"]["labels"]["v"]
            .clone()
    };

    from_stdin(&["create", "--dry-run=server"], "never");
    cluster.kubectl(&["get", "netpol", "p", "-n", "team-a"]).failed().stderr_has("NotFound");
    from_stdin(&["create"], "created");
    assert_eq!(label(), "created");
    from_stdin(&["apply"], "applied");
    assert_eq!(label(), "applied");
    from_stdin(&["apply", "--dry-run=server"], "never");
    assert_eq!(label(), "applied");
    from_stdin(&["replace"], "replaced");
    assert_eq!(label(), "replaced");
    from_stdin(&["apply", "--server-side", "--force-conflicts"], "server-side");
    assert_eq!(label(), "server-side");
    for (kind, patch) in [
        ("merge", r#"{"metadata":{"labels":{"v":"merge"}}}"#),
        ("json", r#"[{"op":"replace","path":"/metadata/labels/v","value":"json"}]"#),
        ("strategic", r#"{"metadata":{"labels":{"v":"strategic"}}}"#),
    ] {
        cluster.kubectl(&["patch", "netpol", "p", "-n", "team-a", "--type", kind, "-p", patch]).ok();
        assert_eq!(label(), kind);
    }
    cluster.kubectl(&["label", "netpol", "p", "-n", "team-a", "v=label", "--overwrite"]).ok();
    assert_eq!(label(), "label");
    cluster.kubectl(&["delete", "netpol", "p", "-n", "team-a", "--dry-run=server"]).ok();
    assert_eq!(label(), "label");
    cluster.kubectl(&["delete", "netpol", "--all", "-n", "team-a"]).ok().stdout_has("deleted");
    cluster
        .kubectl(&["get", "--raw", "/apis/networking.k8s.io/v1/networkpolicies"])
        .ok()
        .stdout_has("NetworkPolicyList");
}

/// Users, namespaces, a restart that keeps the objects, and the end of a namespace that nobody finalizes.
#[test]
fn the_cluster_does_what_the_tests_need_of_it() {
    let mut cluster = Cluster::start();
    let (major, minor) = cluster.version();
    assert!((major, minor) >= (1, 20), "{major}.{minor}");
    assert!(cluster.has(20, "this test"));

    cluster.namespace("team-a").ok();
    cluster.namespace_with("team-b", &[("environment", "production")]).ok();
    let team_b = cluster.kubectl(&["get", "namespace", "team-b", "-o", "json"]).ok().json();
    assert_eq!(team_b["metadata"]["labels"]["kubernetes.io/metadata.name"], "team-b");
    assert_eq!(team_b["metadata"]["labels"]["environment"], "production");
    every_verb(&cluster);

    // Users have the rights that a test binds, and no others.
    cluster.kubectl_as(User::Dev, &["get", "namespaces"]).failed().stderr_has("\"dev\" cannot list");
    cluster.grant(User::Dev, &["get", "list"], &["namespaces", "networkpolicies.networking.k8s.io"]);
    cluster.kubectl_as(User::Dev, &["get", "namespaces"]).ok().stdout_has("team-b");
    cluster.kubectl_as(User::Ops, &["get", "namespaces"]).failed();
    let manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: team-b}}";
    cluster.kubectl_stdin_as(User::Dev, &["create", "-f", "-"], manifest).failed().stderr_has("cannot create");
    cluster
        .kubectl(&["get", "namespaces", "--as=system:serviceaccount:ci:deployer"])
        .failed()
        .stderr_has("system:serviceaccount:ci:deployer");

    let impatient = |cluster: &Cluster| cluster.kubectl(&["get", "namespaces", "--request-timeout=1s"]);
    for (freeze, thaw) in [
        (Cluster::freeze_api_server as fn(&mut Cluster), Cluster::thaw_api_server as fn(&mut Cluster)),
        (Cluster::freeze_etcd, Cluster::thaw_etcd),
    ] {
        freeze(&mut cluster);
        impatient(&cluster).failed();
        thaw(&mut cluster);
        cluster.kubectl(&["get", "namespaces"]).ok();
    }
    cluster.restart_api_server();
    cluster.kubectl(&["delete", "namespace", "team-b"]).ok();
    let phase = cluster.kubectl(&["get", "namespace", "team-b", "-o", "jsonpath={.status.phase}"]).ok();
    assert_eq!(phase.stdout, "Terminating");

    cluster.stop_api_server();
    cluster.kubectl(&["get", "namespaces"]).failed().stderr_has(&format!("127.0.0.1:{}", cluster.api_port()));
    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(!folder.exists(), "{} is left behind", folder.display());
}

const OPEN: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: open, namespace: team-a}, \
                    spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}}";

fn try_open(cluster: &Cluster) -> Outcome {
    cluster.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], OPEN)
}

/// In force as soon as `register` returns, gone as soon as `unregister` does, and all the ways to end and to return.
#[test]
fn the_webhook_is_asked_from_its_registration_on() {
    let cluster = Cluster::start();
    cluster.namespace("team-a").ok();
    let mut webhook = cluster.webhook(&[]);
    let registration = Registration::default();
    try_open(&cluster).ok();

    cluster.register(&webhook, &registration);
    try_open(&cluster).denied_by("allow-all-ingress");
    cluster
        .kubectl_stdin(
            &["create", "--dry-run=server", "-n", "kube-system", "-f", "-"],
            &OPEN.replace("team-a", "kube-system"),
        )
        .ok();
    let denied =
        webhook.metric("portcullis_admission_requests_total", &[("kind", "NetworkPolicy"), ("outcome", "denied")]);
    assert!(denied >= 1.0, "{}", webhook.metrics());

    webhook.kill();
    try_open(&cluster).webhook_unavailable();
    webhook.restart();
    try_open(&cluster).denied();
    let status = webhook.terminate(Duration::from_secs(30));
    assert!(status.success(), "{status}\n{}", webhook.log());
    cluster.register(&webhook, &Registration { failure_policy: "Ignore".to_owned(), ..registration.clone() });
    try_open(&cluster).ok();

    webhook.restart();
    try_open(&cluster).denied();
    cluster.unregister(&registration);
    try_open(&cluster).ok();
    assert!(try_open(&cluster).warnings().is_empty());
}

/// A second replica shares the first one's certificates, and a stop can be watched.
#[test]
fn replicas_share_their_certificates() {
    let mut first = Webhook::start(&WebhookOptions::default());
    let second =
        Webhook::launch(&WebhookOptions { cert_dir: Some(first.cert_dir().to_owned()), ..WebhookOptions::default() });
    wait_until(Duration::from_secs(30), "the second replica", || second.is_ready().then_some(()));
    assert_ne!((first.port(), first.ops_port()), (second.port(), second.ops_port()));
    first.ask_to_stop();
    assert!(first.wait(Duration::from_secs(30)).success(), "{}", first.log());
    assert!(!first.is_ready() && second.is_ready());
    assert!(first.ops("/livez").is_none());
    assert!(second.memory_kib() > 1024, "{}", second.memory_kib());
}
