//! The webhook away, the API server away: closed while it lasts, right again afterwards.

use std::time::Duration;

use super::harness::{Cluster, Registration, Webhook, wait_until};
use super::manifests::{allow, default_deny, guarded, options};

#[test]
fn without_the_webhook_requests_fail_closed() {
    let (cluster, mut webhook) = guarded(&["a"]);
    let deny = default_deny("a", "default-deny", "Ingress, Egress");
    webhook.kill();
    cluster.apply(&deny).webhook_unavailable().stderr_has("failed calling webhook \"validate.portcullis.dev\"");
    // What is not the webhook's business goes on.
    cluster.kubectl(&["create", "configmap", "c", "-n", "a"]).ok();
    webhook.restart();
    cluster.apply(&deny).ok();
    cluster.apply(&allow("a", "web")).ok();
    webhook.terminate(Duration::from_secs(30));
    cluster.kubectl(&["label", "netpol", "web", "-n", "a", "team=a"]).webhook_unavailable();
}

#[test]
fn the_inventory_recovers_when_the_api_server_was_away() {
    let (mut cluster, webhook) = guarded(&["a", "b"]);
    cluster.apply(&default_deny("a", "default-deny", "Ingress, Egress")).ok();
    let objects = |kind: &str| webhook.metric("portcullis_inventory_objects", &[("kind", kind)]);
    let policies = |count: f64| {
        wait_until(Duration::from_secs(30), "the inventory to know the policies", || {
            ((objects("NetworkPolicy") - count).abs() < f64::EPSILON).then_some(())
        });
    };
    policies(1.0);
    let namespaces = objects("Namespace");

    cluster.restart_api_server();
    cluster.wait_for_registrations();
    // Verdicts are right at once, by what was known and by live reads...
    cluster.apply(&allow("a", "web")).ok();
    cluster.apply(&allow("b", "web")).denied_by("missing-default-deny");
    // ...and the watches come back.
    cluster.apply(&default_deny("b", "default-deny", "Ingress, Egress")).ok();
    policies(3.0);
    assert!((objects("Namespace") - namespaces).abs() < f64::EPSILON);
    assert!(webhook.is_ready(), "{}", webhook.log());
}

#[test]
fn it_is_ready_only_once_it_knows_the_cluster() {
    let mut cluster = Cluster::start();
    cluster.namespace("a").ok();
    let options = options(&cluster);
    cluster.stop_api_server();
    let late = Webhook::launch(&options);
    let checks = wait_until(Duration::from_secs(20), "the operations port", || late.ops("/readyz?verbose"));
    assert_eq!(checks.0, 503);
    assert!(checks.1.contains("[-]inventory/networkpolicy"), "{}", checks.1);
    assert!(late.ops("/livez").is_some_and(|(status, _)| status == 200));
    let scraped = |text: &str| late.metrics().lines().any(|line| line == text);
    assert!(scraped(r#"portcullis_inventory_synced{kind="Namespace"} 0"#));
    assert!(scraped(r#"portcullis_inventory_synced{kind="NetworkPolicy"} 0"#));
    let started = late.metric("process_start_time_seconds", &[]);
    cluster.restart_api_server();
    wait_until(Duration::from_secs(20), "the webhook to be ready", || late.is_ready().then_some(()));
    for kind in ["Namespace", "NetworkPolicy"] {
        assert!(scraped(&format!("portcullis_inventory_synced{{kind=\"{kind}\"}} 1")), "{}", late.metrics());
        let heard = late.metric("portcullis_inventory_last_event_timestamp_seconds", &[("kind", kind)]);
        assert!(heard >= started, "{kind}: {heard} is before {started}");
    }
    cluster.register(&late, &Registration::default());
    cluster.apply(&allow("a", "web")).denied_by("missing-default-deny");
}
