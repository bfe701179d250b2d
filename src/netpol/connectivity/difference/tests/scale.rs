//! The work grows with what changes, and what is made to be large is given up.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::*;
use crate::netpol::connectivity::Space;
use crate::netpol::policy::NetworkPolicy;
use crate::netpol::selector::Labels;

/// A namespace: its labels, ten pods and ten policies.
struct Team {
    name: String,
    labels: Labels,
    pods: Vec<Pod>,
    policies: Vec<NetworkPolicy>,
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn policy(namespace: &str, name: &str, spec: &Value) -> NetworkPolicy {
    NetworkPolicy::parse(namespace, name, spec).expect("a valid spec")
}

fn team(number: usize) -> Team {
    let name = format!("team-{number}");
    let pod = |index: usize| Pod {
        namespace: name.clone(),
        kind: PodKind::Deployment,
        name: format!("app-{index}"),
        labels: labels(&[("app", &format!("app-{index}")), ("tier", ["front", "back"][index % 2])]),
        ports: Vec::new(),
        host_network: false,
        addresses: Vec::new(),
        controller: None,
    };
    let app = |index: usize| json!({"matchLabels": {"app": format!("app-{index}")}});
    let allow = |index: usize| {
        let peers = json!([{"podSelector": app(index + 1)}, {"podSelector": {"matchLabels": {"tier": "front"}}},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": format!("team-{}", number / 2)}}}]);
        let spec = json!({"podSelector": app(index), "ingress": [{"from": peers, "ports": [{"port": 8000 + index}]}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"namespaceSelector": {}}]}]});
        policy(&name, &format!("allow-{index}"), &spec)
    };
    let deny = policy(&name, "deny", &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    Team {
        labels: labels(&[("kubernetes.io/metadata.name", &name), ("env", ["prod", "test"][number % 2])]),
        pods: (0..10).map(pod).collect(),
        policies: (0..9).map(allow).chain([deny]).collect(),
        name,
    }
}

fn world<'a>(teams: &'a [Team], changed: &'a [NetworkPolicy]) -> World<'a> {
    let spaces = teams.iter().map(|team| {
        let own = changed.iter().filter(|policy| policy.namespace == team.name);
        let replaced = |policy: &&NetworkPolicy| !own.clone().any(|own| own.name == policy.name);
        Space {
            name: &team.name,
            labels: &team.labels,
            policies: team.policies.iter().filter(replaced).chain(own.clone()).collect(),
            pods: team.pods.iter().collect(),
            unread: Vec::new(),
        }
    });
    World::new(spaces, true)
}

fn timed(what: &str, before: &World<'_>, after: &World<'_>, limit: Limit) -> Result<Difference, TooLarge> {
    let began = Instant::now();
    let found = difference(before, after, limit);
    let rows = found.as_ref().map(|found| found.rows.len());
    println!("{what}: {rows:?} rows in {:?}", began.elapsed());
    found
}

#[test]
fn a_thousand_namespaces_that_differ_by_ten_policies() {
    let teams: Vec<Team> = (0..1_000).map(team).collect();
    let open = json!({"podSelector": {"matchLabels": {"app": "app-3"}}, "ingress": [{}]});
    let changed: Vec<NetworkPolicy> =
        (0..10).map(|number| policy(&format!("team-{number}"), "allow-3", &open)).collect();
    let none = world(&teams, &[]);
    let found = timed("ten policies", &none, &world(&teams, &changed), Limit(6_000_000)).expect("within it");
    assert!(!found.rows.is_empty());
    let found = timed("one policy", &none, &world(&teams, &changed[..1]), Limit::REQUEST).expect("within it");
    assert!(!found.rows.is_empty());
}

#[test]
fn a_namespace_that_closes_in_a_large_cluster_is_one_row_with_pods() {
    let mut teams: Vec<Team> = (0..1_000).map(team).collect();
    teams[7].policies.clear();
    let deny = [policy("team-7", "deny", &json!({"podSelector": {}}))];
    let found = timed("default deny", &world(&teams, &[]), &world(&teams, &deny), Limit::REQUEST).expect("within it");
    let rows: Vec<String> = found.rows.iter().map(|row| format!("{} -> {}", row.from, row.to)).collect();
    let pods = "all pods of team-7, all pods with app!=app-9 of 999 namespaces: team-0, team-1, team-10, team-100 and 995 more";
    assert_eq!(rows, [format!("{pods} -> all pods of team-7"), "any address -> all pods of team-7".to_owned()]);
}

#[test]
fn what_is_made_to_be_large_is_answered_or_given_up() {
    let mut teams: Vec<Team> = (0..1_000).map(team).collect();
    teams.iter_mut().for_each(|team| team.policies.clear());
    let peers = |peer: &dyn Fn(usize) -> Value| (0..10_000).map(peer).collect::<Vec<Value>>();
    let cases = [
        (
            "selectors of all pods",
            true,
            json!([{"from": peers(&|n| json!({"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [format!("x{n}")]}]}}))}]),
        ),
        (
            "selectors of no pod",
            true,
            json!([{"from": peers(&|n| json!({"podSelector": {"matchLabels": {"app": format!("x{n}")}}}))}]),
        ),
        (
            "selectors of no namespace",
            true,
            json!([{"from": peers(&|n| json!({"namespaceSelector": {"matchLabels": {"t": format!("x{n}")}}}))}]),
        ),
        (
            "blocks",
            false,
            json!([{"from": peers(&|n| json!({"ipBlock": {"cidr": format!("10.{}.{}.0/25", n / 250, n % 250)}}))}]),
        ),
        (
            "ports",
            true,
            Value::Array(peers(
                &|n| json!({"from": [{"ipBlock": {"cidr": format!("10.{}.{}.0/25", n / 250, n % 250)}}], "ports": [{"port": n + 1}]}),
            )),
        ),
        (
            "ranges",
            false,
            Value::Array(peers(
                &|n| json!({"from": [{"podSelector": {}}], "ports": [{"port": n + 1, "endPort": 40_000 - n}]}),
            )),
        ),
    ];
    for (what, given_up, ingress) in cases {
        let new = [policy("team-0", "new", &json!({"podSelector": {}, "ingress": ingress}))];
        let (before, after) = (world(&teams, &[]), world(&teams, &new));
        assert_eq!(timed(what, &before, &after, Limit::REQUEST).is_err(), given_up, "{what}");
    }
}
