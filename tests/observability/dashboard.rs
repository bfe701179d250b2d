//! The dashboard as a file: what Grafana has to find in it, and its expressions.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::assets::DASHBOARD;

/// A query of a panel.
pub(crate) struct Query {
    /// The panel's title.
    pub(crate) panel: String,
    /// The expression, with Grafana's variables set as for a minute of everything.
    pub(crate) expression: String,
    /// How its series are named.
    pub(crate) legend: String,
}

pub(crate) fn read() -> Value {
    serde_json::from_str(&fs::read_to_string(DASHBOARD).expect("the dashboard")).expect("JSON")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// Every query of every panel.
pub(crate) fn queries() -> Vec<Query> {
    let dashboard = read();
    let queries = array(&dashboard["panels"]).iter().flat_map(|panel| {
        array(&panel["targets"]).iter().map(|target| {
            let mut expression = text(&target["expr"]);
            for (variable, value) in
                [("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", "1m"), ("$__range", "1m")]
            {
                expression = expression.replace(variable, value);
            }
            assert!(!expression.contains('$'), "a variable that nobody sets: {expression}");
            Query { panel: text(&panel["title"]), expression, legend: text(&target["legendFormat"]) }
        })
    });
    queries.collect()
}

/// All values of a key, at any depth.
fn values_of<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|value| values_of(value, key, found));
        }
        Value::Array(list) => list.iter().for_each(|value| values_of(value, key, found)),
        _ => {}
    }
}

#[test]
fn it_is_bound_to_no_installation_of_grafana() {
    let dashboard = read();
    assert!(dashboard["id"].is_null() && dashboard["schemaVersion"].as_u64() >= Some(39));
    let mut uids = Vec::new();
    values_of(&dashboard, "uid", &mut uids);
    assert!(uids.len() > 20 && uids.iter().all(|uid| **uid == "${datasource}"), "{uids:?}");
    let variables: Vec<_> =
        array(&dashboard["templating"]["list"]).iter().map(|variable| text(&variable["name"])).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
}

#[test]
fn every_panel_is_told_apart_and_explained() {
    let dashboard = read();
    let panels = array(&dashboard["panels"]);
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert!(panels.len() > 20 && ids.len() == panels.len(), "{ids:?}");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        for cell in (place("x")..place("x") + place("w"))
            .flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y)))
        {
            assert!(cell.0 < 24 && taken.insert(cell), "{} lies on another panel", panel["title"]);
        }
        if panel["type"] != "row" {
            assert!(!text(&panel["description"]).is_empty(), "{}", panel["title"]);
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(!array(&panel["targets"]).is_empty(), "{}", panel["title"]);
        }
    }
}
