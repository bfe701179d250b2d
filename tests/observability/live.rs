//! A real Prometheus scrapes two real replicas, through good times and bad.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::dashboard::{self, Query};
use crate::fake_cluster;
use crate::harness::{Webhook, WebhookOptions, wait_until};
use crate::prometheus::Prometheus;
use crate::promql::Names;
use crate::reviews::{RULE_SET, creation, fine, open_in, open_out, private_out, send, unknown_peer};

/// A scrape and an evaluation take a second each; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A replica with a rule set of its own, which knows what the fake cluster tells.
fn replica(dir: &Path, name: &str, rule_set: &str) -> (Webhook, PathBuf) {
    let (rules, kubeconfig) = (dir.join(format!("{name}.yaml")), dir.join("kubeconfig"));
    fs::write(&rules, rule_set).expect("written");
    let options = WebhookOptions { kubeconfig: Some(kubeconfig), ..WebhookOptions::default() };
    (Webhook::start(&options.args(&[&format!("--config={}", rules.display())])), rules)
}

/// Sends each kind of review so and so often; the outcomes to be counted.
fn traffic(webhook: &Webhook) -> [(&'static str, f64); 5] {
    let mut sent = 0;
    let mut review = |times: usize, spec: &Value, dry_run: bool| {
        for _ in 0..times {
            sent += 1;
            assert_eq!(send(webhook, &creation(&sent.to_string(), spec, dry_run)).0, 200);
        }
    };
    review(4, &fine(), false);
    review(1, &private_out(), false);
    review(3, &open_in(), false);
    review(2, &open_in(), true);
    review(2, &open_out(), false);
    review(2, &unknown_peer(), false);
    for _ in 0..5 {
        assert_eq!(send(webhook, "garbage").0, 400);
    }
    [("allowed", 5.0), ("denied", 5.0), ("warned", 2.0), ("cannot_judge", 2.0), ("error", 5.0)]
}

/// Waits until Prometheus says so.
fn wait_for_value(prometheus: &Prometheus, expression: &str, value: f64) {
    wait_until(SOON, &format!("{expression} to be {value}"), || {
        (prometheus.value(expression) == Some(value)).then_some(())
    });
}

/// Names of the alerts that hold now, once they are those wanted.
fn wait_for_alerts(prometheus: &Prometheus, wanted: &[&str]) -> Vec<Value> {
    let wanted: BTreeSet<_> = wanted.iter().map(|name| format!("Portcullis{name}")).collect();
    let mut seen = BTreeSet::new();
    for _ in 0..SOON.as_secs() * 4 {
        let alerts = prometheus.alerts();
        seen = alerts.iter().filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect();
        if seen == wanted {
            return alerts;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    panic!("alerts {seen:?} in the place of {wanted:?}");
}

/// Each series that an expression names is there, with the labels it asks for, and so are those it sums by.
fn assert_exposed(prometheus: &Prometheus, expression: &str) {
    let names = Names::of(expression);
    assert!(!names.selectors.is_empty(), "{expression}");
    let mut labels: BTreeSet<String> = BTreeSet::new();
    for selector in &names.selectors {
        let samples = prometheus.samples(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
        assert!(!samples.is_empty(), "nothing exposes {selector}, of {expression}");
        labels.extend(
            samples.iter().filter_map(|sample| sample["metric"].as_object()).flat_map(|metric| metric.keys().cloned()),
        );
    }
    let unknown: Vec<_> = names.labels.iter().filter(|label| !labels.contains(*label)).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {expression}: no such label");
}

fn assert_panel_has_data(prometheus: &Prometheus, query: &Query) {
    let Query { panel, expression, legend } = query;
    let samples = prometheus.samples(expression).unwrap_or_else(|error| panic!("{panel}: {expression}: {error}"));
    assert!(!samples.is_empty(), "{panel} is empty: {expression}");
    for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
        assert!(
            samples.iter().all(|sample| !sample["metric"][label].is_null()),
            "{panel}: no label {label}: {samples:?}"
        );
    }
}

fn assert_rule_is_good(prometheus: &Prometheus, rule: &Value) {
    let query = rule["query"].as_str().expect("an expression");
    assert_eq!((rule["health"].as_str(), rule["lastError"].as_str().unwrap_or_default()), (Some("ok"), ""), "{rule}");
    assert_exposed(prometheus, query);
    // What a summary says of an instance or a kind must be left after the sums.
    let annotations = rule["annotations"].to_string();
    let Names { labels, .. } = Names::of(query);
    for label in annotations.split("$labels.").skip(1).filter_map(|rest| rest.split([' ', '}']).next()) {
        assert!(!query.contains(" by (") || labels.iter().any(|kept| kept == label), "{label} is not left of {query}");
        assert!(["instance", "kind"].contains(&label), "{label}");
    }
}

#[test]
fn prometheus_sees_what_happened_and_the_alerts_tell_of_it() {
    let dir = TempDir::new().expect("a folder");
    fake_cluster::start(&dir.path().join("kubeconfig"));
    let (mut first, _) = replica(dir.path(), "first", RULE_SET);
    let (mut second, second_rules) = replica(dir.path(), "second", RULE_SET);
    let prometheus = Prometheus::start(&[first.ops_port(), second.ops_port()]);
    wait_for_value(&prometheus, "count(portcullis_build_info)", 2.0);

    for (outcome, count) in traffic(&first) {
        let requests = format!(r#"sum(portcullis_admission_requests_total{{outcome="{outcome}"}})"#);
        wait_for_value(&prometheus, &requests, count);
    }
    for (expression, value) in [
        (r#"sum(portcullis_admission_requests_total{outcome="denied", dry_run="true"})"#, 2.0),
        (r#"sum(portcullis_findings_total{rule="allow-all-ingress", level="deny"})"#, 5.0),
        (r#"sum(portcullis_findings_total{rule="allow-all-egress", level="warn"})"#, 2.0),
        (r#"sum(portcullis_findings_total{level="audit"})"#, 3.0),
        ("sum(portcullis_admission_duration_seconds_count)", 19.0),
        (r#"sum(portcullis_http_responses_total{code="200"})"#, 14.0),
        (r#"sum(portcullis_http_responses_total{code="400"})"#, 5.0),
        (r#"max(portcullis_inventory_objects{kind="Namespace"})"#, 2.0),
        (r#"max(portcullis_inventory_odd_objects{kind="NetworkPolicy"})"#, 1.0),
        ("count(portcullis_inventory_synced == 1)", 4.0),
        ("max(portcullis_http_max_connections)", 4096.0),
    ] {
        wait_for_value(&prometheus, expression, value);
    }

    let rules = prometheus.rules();
    assert!(rules.len() > 10);
    rules.iter().for_each(|rule| assert_rule_is_good(&prometheus, rule));
    for query in dashboard::queries() {
        assert_exposed(&prometheus, &query.expression);
        assert_panel_has_data(&prometheus, &query);
    }

    // Garbage of ours, reviews that cannot be judged and an odd policy; all else is well.
    let mut known = vec!["Errors", "CannotJudge", "UnreadableObjects"];
    wait_for_alerts(&prometheus, &known);
    fs::write(&second_rules, RULE_SET.replace("deny", "dney")).expect("written");
    known.push("ConfigRefused");
    let alerts = wait_for_alerts(&prometheus, &known);
    let told = Value::from(alerts).to_string();
    assert!(
        !told.contains("error expanding") && !told.contains("no value") && told.contains("refuses 26.32%"),
        "{told}"
    );
    fs::write(&second_rules, RULE_SET.replace("deny", "warn")).expect("written");
    known.pop();
    known.push("ConfigDiffers");
    wait_for_alerts(&prometheus, &known);

    second.kill();
    known.extend(["ReplicaDown"]);
    known.retain(|name| *name != "ConfigDiffers");
    wait_for_alerts(&prometheus, &known);
    first.kill();
    wait_for_alerts(&prometheus, &["CannotJudge", "Errors", "ReplicaDown", "Down"]);
}
