use serde_json::{Value, json};

use super::*;
use crate::inventory::from_files::{DEFAULT_NAMESPACE, load};
use crate::manifest;
use crate::netpol::connectivity::difference::{Limit, difference};

const WEB: &str = "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: a}, spec: {template: {metadata: {labels: {app: web}}}}}\n";
const DB: &str = "---\n{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: a, labels: {app: db}}, spec: {}}\n";
const HOST: &str =
    "---\n{apiVersion: v1, kind: Pod, metadata: {name: host, namespace: a}, spec: {hostNetwork: true}}\n";

fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: a}}, spec: {spec}}}\n"
    )
}

/// One row that appears, one that vanishes, and a note.
fn sample() -> Difference {
    let rest = [WEB, DB, HOST].concat() + &policy("deny", "{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let old = policy(
        "old",
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 443}]}]}",
    );
    let new = policy(
        "to-db",
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 5432}], to: [{podSelector: {matchLabels: {app: db}}}]}]}",
    ) + &policy(
        "db",
        "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}",
    );
    of(&(rest.clone() + &old), &(rest + &new))
}

fn of(before: &str, after: &str) -> Difference {
    let [before, after] =
        [before, after].map(|text| load(&manifest::read_from("x.yaml", text.as_bytes()), DEFAULT_NAMESPACE).inventory);
    difference(&before.world(true), &after.world(true), Limit::COMMAND).expect("small")
}

#[test]
fn text_is_aligned_and_coloured_where_that_is_wanted() {
    let expected = "\
+ a/Deployment/web -> a/db        TCP/5432
- a/Deployment/web -> 10.0.0.0/8  TCP/443
note: a/host takes no part: policies do not apply in the network of a node
1 connection opens, 1 closes
";
    assert_eq!(text::render(&sample(), false), expected);
    let coloured = text::render(&sample(), true);
    assert!(coloured.starts_with("\u{1b}[1;32m+ a/Deployment/web"), "{coloured}");
    assert_eq!(text::render(&of(WEB, WEB), true), "no connection opens or closes\n");
}

#[test]
fn json_has_parties_with_all_their_parts() {
    let found: Value = serde_json::from_str(&json::render(&sample()).expect("JSON")).expect("JSON");
    let web = json!({"text": "a/Deployment/web", "namespaces": ["a"],
        "workloads": [{"namespace": "a", "kind": "Deployment", "name": "web"}]});
    let db =
        json!({"text": "a/db", "namespaces": ["a"], "workloads": [{"namespace": "a", "kind": "Pod", "name": "db"}]});
    let note = "a/host takes no part: policies do not apply in the network of a node";
    assert_eq!(
        found,
        json!({
            "version": "v1",
            "appears": [{"from": web, "to": db, "ports": ["TCP/5432"]}],
            "vanishes": [{"from": web, "to": {"text": "10.0.0.0/8", "cidrs": ["10.0.0.0/8"]}, "ports": ["TCP/443"]}],
            "notes": [note],
            "unknown": false,
        })
    );
}

#[test]
fn json_tells_assumed_pods_by_their_selectors_and_new_ones_as_such() {
    let deny = policy("deny", "{podSelector: {}}");
    let new = policy(
        "db",
        "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: x}}}]}]}",
    );
    let found: Value =
        serde_json::from_str(&json::render(&of(&deny, &(deny.clone() + &new))).expect("JSON")).expect("JSON");
    assert_eq!(
        found["appears"],
        json!([{
            "from": {"text": "any pod of any namespace with team=x",
                "assumed": [{"namespaceSelector": "team=x", "selector": "{}"}]},
            "to": {"text": "any pod of a with app=db", "namespaces": ["a"],
                "assumed": [{"namespace": "a", "selector": "app=db"}]},
            "ports": ["TCP/*", "UDP/*", "SCTP/*"],
        }])
    );
    let found: Value =
        serde_json::from_str(&json::render(&of(DB, &(DB.to_owned() + WEB))).expect("JSON")).expect("JSON");
    assert_eq!(found["appears"][0]["to"]["workloads"][0]["only"], Value::Null);
    assert!(
        found.to_string().contains(r#"{"kind":"Deployment","name":"web","namespace":"a","only":"after"}"#),
        "{found}"
    );
}

#[test]
fn markdown_is_text_and_nothing_else_however_it_is_named() {
    let expected = "\
### Connectivity: 1 connection opens, 1 closes

**Opens**

| from | to | ports |
|---|---|---|
| a/Deployment/web | a/db | TCP/5432 |

**Closes**

| from | to | ports |
|---|---|---|
| a/Deployment/web | 10.0.0.0/8 | TCP/443 |

- Note: a/host takes no part: policies do not apply in the network of a node
";
    assert_eq!(markdown::render(&sample()), expected);
    let mut odd = sample();
    odd.notes = vec!["x | y\n<img src=a> @all #1 `z`".to_owned()];
    let rendered = markdown::render(&odd);
    assert!(rendered.ends_with("- Note: x \\| y\u{fffd}&lt;img src=a&gt; &#64;all &#35;1 \\`z\\`\n"), "{rendered}");
    odd.rows = vec![odd.rows[0].clone(); 11];
    assert!(markdown::render(&odd).contains("<details><summary>Opens: 11 rows</summary>"));
}

#[test]
fn dot_has_an_edge_a_row() {
    let expected = "\
digraph connectivity {
  rankdir=LR;
  label=\"1 connection opens, 1 closes\";
  n2 [label=\"10.0.0.0/8\", shape=ellipse];
  n0 [label=\"a/Deployment/web\", shape=box];
  n1 [label=\"a/db\", shape=box];
  n0 -> n1 [label=\"TCP/5432\", color=darkgreen, fontcolor=darkgreen, style=solid];
  n0 -> n2 [label=\"TCP/443\", color=red, fontcolor=red, style=dashed];
  // a/host takes no part: policies do not apply in the network of a node
}
";
    assert_eq!(dot::render(&sample()), expected);
    let mut odd = sample();
    odd.notes = vec!["\"\\".to_owned()];
    assert!(dot::render(&odd).ends_with("  // \"\\\n}\n"));
}
