//! The alert rules as files, judged by promtool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::assets::{ALERT_TESTS, ALERTS, DOCS, promtool};

/// The words after a key that opens a line.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let key = format!("{key}: ");
    text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(&key)).collect()
}

fn test_files() -> Vec<String> {
    let files = fs::read_dir(ALERT_TESTS).expect("the cases").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files.map(|path| path.to_str().expect("a path").to_owned()).collect();
    files.sort();
    files
}

#[test]
fn promtool_reads_the_rules_and_their_cases_hold() {
    promtool(&["check", "rules", ALERTS], None).unwrap_or_else(|text| panic!("{text}"));
    let files = test_files();
    let arguments: Vec<_> = ["test", "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
    promtool(&arguments, None).unwrap_or_else(|text| panic!("{text}"));
}

#[test]
fn the_cases_notice_a_rule_that_never_fires_and_one_that_always_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let cases = dir.path().join("tests");
    fs::create_dir(&cases).expect("made");
    let rules = fs::read_to_string(ALERTS).expect("the rules");
    for (what, with) in [("> 0.05", "> 5"), ("> 300", "> 0")] {
        assert!(rules.contains(what));
        fs::write(dir.path().join("alerts.yaml"), rules.replace(what, with)).expect("written");
        let caught = test_files().iter().any(|file| {
            let copy = cases.join(Path::new(file).file_name().expect("a name"));
            fs::copy(file, &copy).expect("copied");
            promtool(&["test", "rules", copy.to_str().expect("a path")], None).is_err()
        });
        assert!(caught, "{what} became {with}");
    }
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_is_silent() {
    let rules = fs::read_to_string(ALERTS).expect("the rules");
    let alerts: BTreeSet<_> = values(&rules, "alert").into_iter().collect();
    // Alert name to: fired, silent.
    let mut seen: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for file in test_files() {
        let text = fs::read_to_string(&file).expect("a file");
        for case in text.split("- expr: ALERTS{alertname=\"").skip(1) {
            let (name, expected) = case.split_once("\"}").expect("an alert's name");
            let (fired, silent) = seen.entry(name.to_owned()).or_default();
            *fired |= expected.contains("alertstate=\"firing\"");
            *silent |= expected.contains("exp_samples: []");
        }
    }
    assert_eq!(seen.keys().map(String::as_str).collect::<BTreeSet<_>>(), alerts);
    let untried: Vec<_> = seen.iter().filter(|(_, (fired, silent))| !(*fired && *silent)).collect();
    assert!(untried.is_empty(), "{untried:?}");
}

#[test]
fn every_alert_says_what_to_do_and_where_to_read_on() {
    let rules = fs::read_to_string(ALERTS).expect("the rules");
    let alerts = values(&rules, "alert");
    let places = values(&rules, "runbook_url");
    let expected: Vec<_> =
        alerts.iter().map(|name| format!("docs/operations.md#alert-{}", name.to_lowercase())).collect();
    assert_eq!(places, expected);
    assert_eq!(values(&rules, "summary").len(), alerts.len());
    assert_eq!(values(&rules, "description").len(), alerts.len());
    assert!(values(&rules, "severity").iter().all(|severity| ["critical", "warning", "info"].contains(severity)));
    // docs/observability.md lists them all.
    let docs = fs::read_to_string(Path::new(DOCS).join("observability.md")).expect("the documentation");
    let told: BTreeSet<_> =
        docs.lines().filter_map(|line| line.strip_prefix("| `Portcullis")?.split('`').next()).collect();
    let named: BTreeSet<_> = alerts.iter().filter_map(|name| name.strip_prefix("Portcullis")).collect();
    assert_eq!(told, named);
}
