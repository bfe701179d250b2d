use super::*;
use crate::inventory::from_files::{DEFAULT_NAMESPACE, load};
use crate::manifest;

mod agrees;

/// The rows as text, `+` for what appears, and the notes after them.
fn diff(before: &str, after: &str) -> Vec<String> {
    let [before, after] = [before, after].map(|text| {
        let loaded = load(&manifest::read_from("test.yaml", text.as_bytes()), DEFAULT_NAMESPACE);
        assert_eq!(loaded.problems, Vec::<String>::new());
        loaded.inventory
    });
    let found = difference(&before.world(true), &after.world(true), Limit::COMMAND).expect("small");
    let rows = found.rows.iter().map(|Row { change, from, to, ports }| {
        let sign = if *change == Change::Appears { '+' } else { '-' };
        format!("{sign} {from} -> {to}: {}", ports_text(ports))
    });
    rows.chain(found.notes.iter().map(|note| format!("! {note}"))).collect()
}

fn pod(namespace: &str, name: &str, rest: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}, {rest}}}\n"
    )
}

fn policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: {namespace}}}, spec: {spec}}}\n"
    )
}

const DENY: &str = "{podSelector: {}, policyTypes: [Ingress]}";

fn shop() -> String {
    ["web", "api", "db"].map(|name| pod("shop", name, "spec: {}")).concat() + &pod("other", "job", "spec: {}")
}

#[test]
fn nothing_changes_when_nothing_does() {
    let one = shop() + &policy("shop", "deny", DENY);
    let renamed = shop() + &policy("shop", "isolate", DENY);
    assert_eq!(diff(&one, &one), Vec::<String>::new());
    assert_eq!(diff(&one, &renamed), Vec::<String>::new());
}

#[test]
fn a_default_deny_closes_a_namespace() {
    let after = shop() + &policy("shop", "deny", DENY);
    assert_eq!(
        diff(&shop(), &after),
        ["- any address -> all pods of shop: all ports", "- any pod of any namespace -> all pods of shop: all ports",]
    );
}
