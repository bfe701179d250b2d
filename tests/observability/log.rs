//! A line a decision, and which are left out.

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Webhook, WebhookOptions};
use crate::reviews::{RULE_SET, creation, fine, open_in, open_out, private_out, send, unknown_peer};

const ALLOWS: usize = 100;

/// Uid and verdict of every line about a decision, after many plain allows and one of each that is always logged.
fn decisions(log_allowed: &str) -> Vec<(String, String)> {
    let dir = TempDir::new().expect("a folder");
    let rules = dir.path().join("rules.yaml");
    std::fs::write(&rules, RULE_SET).expect("written");
    let config = format!("--config={}", rules.display());
    let webhook = Webhook::start(&WebhookOptions::default().args(&[&config, "--log-allowed", log_allowed]));
    for number in 0..ALLOWS {
        send(&webhook, &creation(&format!("plain-{number}"), &fine(), number % 2 == 0));
    }
    for (uid, spec) in [("in", open_in()), ("out", open_out()), ("private", private_out()), ("odd", unknown_peer())] {
        send(&webhook, &creation(uid, &spec, false));
    }
    send(&webhook, "garbage");
    // The metrics count what the log leaves out.
    let allowed = webhook.metric("portcullis_admission_requests_total", &[("outcome", "allowed")]);
    assert_eq!(allowed, (ALLOWS + 1) as f64);
    let log = webhook.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let decisions = lines.filter_map(|line| {
        let verdict = line["verdict"].as_str()?.to_owned();
        Some((line["uid"].as_str().unwrap_or_default().to_owned(), verdict))
    });
    decisions.collect()
}

/// What is logged whatever the share: an allow that has a finding for the auditors is not a plain one.
fn always() -> Vec<(String, String)> {
    [("in", "denied"), ("out", "warned"), ("private", "allowed"), ("odd", "cannot_judge"), ("", "error")]
        .map(|(uid, verdict)| (uid.to_owned(), verdict.to_owned()))
        .into()
}

fn split(decisions: Vec<(String, String)>) -> (Vec<String>, Vec<(String, String)>) {
    let (plain, others): (Vec<_>, Vec<_>) = decisions.into_iter().partition(|(uid, _)| uid.starts_with("plain-"));
    (plain.into_iter().map(|(uid, _)| uid).collect(), others)
}

#[test]
fn all_none_or_a_share_of_the_plain_allows_are_logged_and_everything_else_always() {
    let (all, others) = split(decisions("all"));
    assert_eq!((all.len(), others), (ALLOWS, always()));
    let (none, others) = split(decisions("none"));
    assert_eq!((none.len(), others), (0, always()));
    let (some, others) = split(decisions("0.25"));
    // Five standard deviations of 100 fair draws are 22.
    assert!((3..=47).contains(&some.len()), "{}", some.len());
    assert_eq!(others, always());
    // Another process picks the same.
    assert_eq!(split(decisions("0.25")).0, some);
}

#[test]
fn a_share_that_is_none_stops_the_start_and_says_what_is_wanted() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["serve", "--log-allowed", "10%"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--log-allowed") && stderr.contains("a share from 0 to 1"), "{stderr}");
}

#[test]
fn a_line_has_the_fields_that_the_documentation_lists() {
    let webhook = Webhook::start(&WebhookOptions::default());
    send(&webhook, &creation("7", &open_in(), true));
    let log = webhook.log();
    let line = log.lines().find(|line| line.contains("\"verdict\"")).expect("a line");
    let line: Value = serde_json::from_str(line).expect("JSON");
    let fields: Vec<_> = line.as_object().expect("an object").keys().cloned().collect();
    let docs =
        std::fs::read_to_string(std::path::Path::new(crate::assets::DOCS).join("observability.md")).expect("docs");
    let table = docs.split("| field | meaning |").nth(1).expect("the table of fields");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut told: Vec<_> = rows.filter_map(|row| Some(row.split('`').nth(1)?.to_owned())).collect();
    told.sort();
    assert_eq!(told, fields);
    assert_eq!((line["object"].as_str(), line["requester"].as_str()), (Some("shop/web"), Some("eve")));
}
