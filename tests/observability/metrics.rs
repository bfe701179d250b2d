//! The metrics of the real binary: as promised, as documented, and as promtool wants them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::assets::{DOCS, promtool};
use crate::harness::{Webhook, WebhookOptions};
use crate::reviews::{creation, fine, open_in, send};
use crate::{fake_cluster, reviews};

/// What dashboards of others rely on, with their labels. Those of the sweep (`portcullis_audit_…`) come with the sweep.
const PROMISED: [(&str, &[&str]); 14] = [
    ("portcullis_admission_requests_total", &["kind", "operation", "outcome", "dry_run"]),
    ("portcullis_admission_duration_seconds", &["kind"]),
    ("portcullis_admission_in_flight", &[]),
    ("portcullis_findings_total", &["rule", "level"]),
    ("portcullis_rule_duration_seconds", &["rule"]),
    ("portcullis_inventory_objects", &["kind"]),
    ("portcullis_inventory_synced", &["kind"]),
    ("portcullis_inventory_last_event_timestamp_seconds", &["kind"]),
    ("portcullis_config_info", &["hash"]),
    ("portcullis_config_reloads_total", &["result"]),
    ("portcullis_config_last_reload_success_timestamp_seconds", &[]),
    ("portcullis_tls_certificate_not_after_timestamp_seconds", &[]),
    ("portcullis_build_info", &["version", "revision"]),
    ("process_resident_memory_bytes", &[]),
];

/// A family as its exposition tells of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            let series = line.rsplit_once(' ').expect("a value").0;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix).filter(|base| families.contains_key(*base)))
                .unwrap_or(name);
            // No value has a comma or an equals sign in it.
            let keys =
                labels.trim_end_matches('}').split(',').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
            families.get_mut(name).expect("told of before").labels.extend(keys.filter(|key| key != "le"));
        }
    }
    families
}

/// The metrics of a server that has had a few reviews, and knows a cluster or nothing but them.
fn exposition(knows_a_cluster: bool) -> String {
    let dir = TempDir::new().expect("a folder");
    let mut options = WebhookOptions::default();
    if knows_a_cluster {
        let file = dir.path().join("kubeconfig");
        fake_cluster::start(&file);
        options.kubeconfig = Some(file);
    }
    let webhook = Webhook::start(&options);
    for body in [creation("1", &fine(), false), creation("2", &open_in(), true), "garbage".to_owned()] {
        send(&webhook, &body);
    }
    webhook.metrics()
}

#[test]
fn what_is_promised_is_there_with_exactly_its_labels_whatever_the_inventory() {
    for knows_a_cluster in [true, false] {
        let families = families(&exposition(knows_a_cluster));
        for (name, labels) in PROMISED {
            let family = families.get(name).unwrap_or_else(|| panic!("no {name} ({knows_a_cluster})"));
            let expected: BTreeSet<_> = labels.iter().map(|&label| label.to_owned()).collect();
            assert_eq!(family.labels, expected, "{name}");
        }
    }
}

#[test]
fn promtool_has_nothing_against_them() {
    let dir = TempDir::new().expect("a folder");
    let file = dir.path().join("metrics.txt");
    fs::write(&file, exposition(true)).expect("written");
    assert_eq!(promtool(&["check", "metrics"], Some(&file)), Ok(String::new()));
    // And it would say so.
    fs::write(&file, "# TYPE requests counter\nrequests 1\n").expect("written");
    assert!(promtool(&["check", "metrics"], Some(&file)).is_err());
}

#[test]
fn no_label_tells_of_an_object_a_namespace_or_a_requester() {
    let dir = TempDir::new().expect("a folder");
    let file = dir.path().join("kubeconfig");
    fake_cluster::start(&file);
    let webhook = Webhook::start(&WebhookOptions { kubeconfig: Some(file), ..WebhookOptions::default() });
    let before = webhook.metrics().lines().count();
    for number in 0..20 {
        let body = creation(&number.to_string(), &reviews::open_out(), false);
        let body = body.replace("\"web\"", &format!("\"web-{number}\"")).replace("shop", &format!("shop-{number}"));
        let body = body.replace("\"CREATE\"", &format!("\"VERB{number}\"")).replace("eve", &format!("eve-{number}"));
        send(&webhook, &body);
        send(&webhook, &body.replace("\"NetworkPolicy\"", &format!("\"Kind{number}\"")));
    }
    let after = webhook.metrics();
    assert!(!["web-", "shop-", "eve-", "VERB", "Kind1"].iter().any(|name| after.contains(name)), "{after}");
    // At most the series of `other`, which are not made beforehand.
    assert!(after.lines().count() < before + 40, "{before} lines became {}", after.lines().count());
}

#[test]
fn the_documentation_has_every_metric_with_its_help() {
    let mut expected = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (name, family) in families(&exposition(true)) {
        if name.starts_with("portcullis_") {
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(expected, "| `{name}` | {} | {} | {} |", family.kind, labels.join(", "), family.help)
                .expect("text");
        }
    }
    let file = Path::new(DOCS).join("observability.md");
    let docs = fs::read_to_string(&file).expect("the documentation");
    assert!(docs.contains(&expected), "the table in {} should be:\n{expected}", file.display());
}
