//! What can be said of `deploy/` without Helm, kubectl or a cluster; the rest is in `tests/cluster`.

use std::fs;
use std::process::Command;

use serde_json::Value;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/helm/portcullis");

#[test]
fn chart_and_image_have_the_version_of_the_crate() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, lines) in [
        ("helm/portcullis/Chart.yaml", vec![format!("version: {version}"), format!("appVersion: {version}")]),
        ("base/kustomization.yaml", vec![format!("newTag: {version}")]),
    ] {
        let text = fs::read_to_string(format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"))).expect("read it");
        for line in lines {
            assert!(text.lines().any(|found| found.trim() == line), "no `{line}` in deploy/{file}");
        }
    }
}

#[test]
fn the_chart_checks_rule_sets_by_their_schema() {
    let text = fs::read_to_string(format!("{CHART}/values.schema.json")).expect("read the schema of the values");
    let values: Value = serde_json::from_str(&text).expect("JSON");
    let made = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["config", "schema"]).output();
    let ours: Value = serde_json::from_slice(&made.expect("run portcullis").stdout).expect("JSON");
    assert!(
        values["$defs"]["RuleSet"] == ours && values["properties"]["rules"]["$ref"] == ours["$id"],
        "the schema of rule sets has changed; in {CHART} run:\n\
         portcullis config schema >rules.json && jq --slurpfile rules rules.json '.\"$defs\".RuleSet = $rules[0]' \
         values.schema.json >new.json && mv new.json values.schema.json && rm rules.json"
    );
}

/// A chart cannot reach files outside of its folder.
#[test]
fn the_chart_has_the_alerts_and_the_dashboard_of_deploy() {
    for name in ["alerts.yaml", "dashboard.json"] {
        let original = format!("{}/deploy/observability/{name}", env!("CARGO_MANIFEST_DIR"));
        let read = |path: &str| fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let copy = format!("{CHART}/files/{name}");
        assert!(read(&original) == read(&copy), "not the same any more: cp {original} {copy}");
    }
}

/// `additionalProperties: false` for every object of the values that has named members.
#[test]
fn the_values_are_closed() {
    let text = fs::read_to_string(format!("{CHART}/values.schema.json")).expect("read the schema of the values");
    let mut schema: Value = serde_json::from_str(&text).expect("JSON");
    schema.as_object_mut().expect("an object").remove("$defs");
    let mut open = Vec::new();
    find_open(&schema, "", &mut open);
    assert_eq!(open, Vec::<String>::new());
}

fn find_open(schema: &Value, path: &str, open: &mut Vec<String>) {
    // What is said under a condition adds to what is said without.
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        find_open(member, &format!("{path}.{name}"), open);
    }
    if schema["properties"].is_object() && schema["additionalProperties"] != Value::Bool(false) {
        open.push(path.to_owned());
    }
}
