//! `explainChanges`: what a policy opens, told by `kubectl apply --dry-run=server`, and the watch of pods behind it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Cluster, Outcome, Registration, User, Webhook, wait_until};
use super::manifests::{default_deny, options, policy};

/// The server reads its rule set every few seconds, and tries a list again within five.
const SOON: Duration = Duration::from_secs(30);

const TO_DB: &str = "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{\
                     from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}}], \
                     ports: [{protocol: TCP, port: 5432}]}]}";

/// A rule set that says nothing of a policy but what it opens, or not even that.
fn rules(file: &Path, explain: &str) {
    let text = format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nmetadata: {{name: explain-{explain}}}\nspec:\n  \
         explainChanges: {explain}\n  rules: [{{rule: allow-all-egress, level: deny}}]\n"
    );
    fs::write(file, text).expect("write a rule set");
}

fn pod(namespace: &str, name: &str, app: &str) -> Value {
    let containers =
        json!([{"name": "c", "image": "example/c", "ports": [{"containerPort": 5432, "name": "postgres"}]}]);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        "spec": {"containers": containers},
    })
}

/// Two namespaces with pods, the first of them isolated, and the file of a rule set.
fn populated(flags: &[&str], explain: &str) -> (Cluster, PathBuf) {
    let cluster = Cluster::start_with(flags);
    for namespace in ["shop", "front"] {
        cluster.namespace(namespace).ok();
    }
    for (namespace, name, app) in [("shop", "db-1", "db"), ("shop", "api-1", "api"), ("front", "web-1", "web")] {
        cluster.kubectl_stdin(&["create", "-f", "-"], &pod(namespace, name, app).to_string()).ok();
    }
    cluster.apply(&default_deny("shop", "default-deny", "Ingress, Egress")).ok();
    let file = cluster.folder().join("rules.yaml");
    rules(&file, explain);
    (cluster, file)
}

fn start(cluster: &Cluster, file: &Path) -> Webhook {
    let webhook = Webhook::start(&options(cluster).args(&["--config", file.to_str().expect("a path")]));
    cluster.register(&webhook, &Registration::default());
    webhook
}

fn pods(webhook: &Webhook) -> f64 {
    webhook.metric("portcullis_inventory_objects", &[("kind", "Pod")])
}

fn wait_for_pods(webhook: &Webhook, count: f64) {
    wait_until(SOON, "the pods to be known", || ((pods(webhook) - count).abs() < f64::EPSILON).then_some(()));
}

fn dry_run(cluster: &Cluster, manifest: &str) -> Outcome {
    cluster.kubectl_stdin(&["apply", "--dry-run=server", "-f", "-"], manifest).ok()
}

#[test]
fn a_dry_run_tells_what_would_open() {
    let (cluster, file) = populated(&[], "warn");
    cluster.grant(User::Portcullis, &["list", "watch"], &["pods"]);
    let webhook = start(&cluster, &file);
    assert!(webhook.ops("/readyz?verbose").is_some_and(|(_, text)| text.contains("[+]inventory/pod ok\n")));
    wait_for_pods(&webhook, 3.0);

    let outcome = dry_run(&cluster, &policy("shop", "to-db", TO_DB));
    let opens = "opens ingress to shop/db-1 from front/web-1: TCP/5432";
    assert_eq!(outcome.warnings(), [opens], "{outcome}");
    // What stays in the namespace, closes something or opens nothing is not worth a word.
    let within =
        TO_DB.replace("namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}", "podSelector: {}");
    for manifest in [policy("shop", "to-db", &within), default_deny("front", "default-deny", "Ingress, Egress")] {
        let outcome = dry_run(&cluster, &manifest);
        assert!(outcome.warnings().is_empty(), "{outcome}");
    }
    cluster.apply(&policy("shop", "to-db", TO_DB)).ok();
    let same = dry_run(&cluster, &policy("shop", "to-db", TO_DB));
    assert!(same.warnings().is_empty(), "{same}");

    // A pod that came a moment ago is known, and one that went is not.
    cluster.kubectl_stdin(&["create", "-f", "-"], &pod("shop", "db-2", "db").to_string()).ok();
    wait_for_pods(&webhook, 4.0);
    let more = dry_run(&cluster, &policy("shop", "to-db", &TO_DB.replace("5432", "6432")));
    assert_eq!(more.warnings(), ["opens ingress to all pods of shop with app=db from front/web-1: TCP/6432"], "{more}");
    cluster.kubectl(&["delete", "pod", "db-1", "-n", "shop", "--force", "--grace-period=0"]).ok();
    wait_for_pods(&webhook, 3.0);
    let less = dry_run(&cluster, &policy("shop", "to-db", &TO_DB.replace("5432", "6432")));
    assert_eq!(less.warnings(), ["opens ingress to shop/db-2 from front/web-1: TCP/6432"], "{less}");

    let deleted = cluster.kubectl(&["delete", "netpol", "default-deny", "-n", "shop", "--dry-run=server"]).ok();
    let warnings = deleted.warnings();
    assert!(warnings.iter().any(|warning| warning.starts_with("opens egress from ")), "{deleted}");
    let allowed = [("kind", "NetworkPolicy"), ("outcome", "allowed")];
    assert!(webhook.metric("portcullis_admission_requests_total", &allowed) > 4.0, "{}", webhook.metrics());
    assert!(webhook.metric("portcullis_admission_requests_total", &[("outcome", "warned")]).abs() < f64::EPSILON);
}

/// What the webhook did with pods.
fn asked(log: &Path) -> BTreeSet<String> {
    let log = fs::read_to_string(log).unwrap_or_default();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| event["verb"].as_str().map(str::to_owned)).collect()
}

#[test]
fn pods_are_watched_from_the_reload_that_asks_for_it_until_the_one_that_does_not() {
    let audit = tempfile::tempdir().expect("temporary folder");
    let (audited, log) = (audit.path().join("policy.json"), audit.path().join("log"));
    let pods_only = json!([{"group": "", "resources": ["pods"]}]);
    let only =
        json!([{"level": "Metadata", "users": [User::Portcullis.name()], "resources": pods_only}, {"level": "None"}]);
    let audit_policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": only});
    fs::write(&audited, audit_policy.to_string()).expect("write the audit policy");
    let flags = [format!("--audit-policy-file={}", audited.display()), format!("--audit-log-path={}", log.display())];
    let (cluster, file) = populated(&flags.each_ref().map(String::as_str), "off");
    cluster.grant(User::Portcullis, &["list", "watch"], &["pods"]);
    let webhook = start(&cluster, &file);
    let silent = dry_run(&cluster, &policy("shop", "to-db", TO_DB));
    assert!(silent.warnings().is_empty(), "{silent}");
    assert_eq!(asked(&log), BTreeSet::new());
    assert!(!webhook.metrics().contains("kind=\"Pod\""), "{}", webhook.metrics());

    rules(&file, "warn");
    wait_until(SOON, "the warning", || {
        assert!(webhook.is_ready(), "{:?}", webhook.ops("/readyz?verbose"));
        dry_run(&cluster, &policy("shop", "to-db", TO_DB)).stderr.contains("shop/db-1").then_some(())
    });
    wait_until(SOON, "list and watch", || (asked(&log) == ["list", "watch"].map(str::to_owned).into()).then_some(()));
    wait_for_pods(&webhook, 3.0);

    rules(&file, "off");
    wait_until(SOON, "the watch to end", || (!webhook.metrics().contains("kind=\"Pod\"")).then_some(()));
    assert!(dry_run(&cluster, &policy("shop", "to-db", TO_DB)).warnings().is_empty());
}

#[test]
fn without_the_right_to_watch_pods_everything_else_goes_on() {
    let (cluster, file) = populated(&[], "warn");
    let webhook = start(&cluster, &file);
    let open = "{podSelector: {}, policyTypes: [Egress], egress: [{}]}";
    cluster.apply(&policy("shop", "open", open)).denied_by("allow-all-egress");
    let outcome = dry_run(&cluster, &policy("shop", "to-db", TO_DB));
    let warnings = outcome.warnings();
    let [opens, doubt] = &warnings[..] else { panic!("two warnings: {outcome}") };
    assert!(opens.starts_with("opens ingress to ") && opens.ends_with(": TCP/5432"), "{opens}");
    assert!(doubt.starts_with("pods are not known here: cannot list: "), "{doubt}");
    let told =
        webhook.ops("/readyz?verbose").map(|(status, text)| (status, text.contains("[!]inventory/pod lacking: ")));
    assert_eq!(told, Some((200, true)));
    assert!(webhook.metrics().contains("portcullis_inventory_synced{kind=\"Pod\"} 0\n"), "{}", webhook.metrics());
    let log = webhook.log();
    assert!(log.contains("\"kind\":\"Pod\"") && log.contains("cannot list: "), "{log}");

    cluster.grant(User::Portcullis, &["list", "watch"], &["pods"]);
    wait_for_pods(&webhook, 3.0);
    let outcome = dry_run(&cluster, &policy("shop", "to-db", TO_DB));
    assert!(outcome.warnings().iter().all(|warning| warning.starts_with("opens ")), "{outcome}");
}
