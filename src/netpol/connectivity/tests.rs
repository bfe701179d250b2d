use serde_json::{Value, json};

use super::*;
use crate::netpol::pod::NamedPort;

pub(super) mod worlds;

fn pod(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        kind: PodKind::Pod,
        name: name.to_owned(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ports: Vec::new(),
        host_network: false,
        addresses: Vec::new(),
        controller: None,
    }
}

fn policy(namespace: &str, name: &str, spec: &Value) -> NetworkPolicy {
    NetworkPolicy::parse(namespace, name, spec).expect("a valid spec")
}

fn labels(name: &str) -> Labels {
    Labels::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())])
}

/// Asks over two namespaces: `a` with the pods given, `b` with theirs, and each with its policies.
fn ask(pods: &[Pod], policies: &[NetworkPolicy], from: usize, to: usize, port: u16) -> String {
    let all: Vec<(&str, Labels)> = ["a", "b"].map(|name| (name, labels(name))).into();
    let spaces = all.iter().map(|(name, labels)| Space {
        name,
        labels,
        policies: policies.iter().filter(|policy| policy.namespace == *name).collect(),
        pods: pods.iter().filter(|pod| pod.namespace == *name).collect(),
        unread: Vec::new(),
    });
    let world = World::new(spaces, true);
    let question = Question { from: End::Pod(&pods[from]), to: End::Pod(&pods[to]), protocol: Protocol::Tcp, port };
    let Answer { outcome, egress, ingress } = world.ask(question);
    let told = |side: Side<'_>| side.allowed_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    format!("{outcome:?} {}|{}", told(egress), told(ingress))
}

#[test]
fn everything_passes_until_a_policy_isolates_and_then_only_what_a_rule_allows() {
    let pods = [pod("a", "web", &[("app", "web")]), pod("b", "db", &[("app", "db")])];
    assert_eq!(ask(&pods, &[], 0, 1, 5432), "Allowed |");
    let deny = policy("b", "deny", &json!({"podSelector": {}}));
    assert_eq!(ask(&pods, std::slice::from_ref(&deny), 0, 1, 5432), "Denied |");
    assert_eq!(ask(&pods, std::slice::from_ref(&deny), 1, 0, 5432), "Allowed |");
    let from_web = json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]},
        {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "a"}},
                   "podSelector": {"matchLabels": {"app": "web"}}}],
         "ports": [{"port": 5432}]}]});
    let policies = [deny, policy("b", "from-web", &from_web)];
    assert_eq!(ask(&pods, &policies, 0, 1, 5432), "Allowed |b/from-web ingress[1]");
    assert_eq!(ask(&pods, &policies, 0, 1, 5433), "Denied |");
}

#[test]
fn a_pod_reaches_itself_but_one_pod_of_a_workload_does_not_reach_another_so() {
    let deny = policy("a", "deny", &json!({"podSelector": {}}));
    let mut pods = [pod("a", "web", &[])];
    assert_eq!(ask(&pods, std::slice::from_ref(&deny), 0, 0, 80), "Itself |");
    pods[0].kind = PodKind::Deployment;
    assert_eq!(ask(&pods, std::slice::from_ref(&deny), 0, 0, 80), "Denied |");
}

#[test]
fn a_named_port_is_what_the_called_pod_calls_so() {
    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": "http"}]}]});
    let policies = [policy("a", "to-http", &spec)];
    let mut pods = [pod("a", "web", &[]), pod("b", "api", &[])];
    assert_eq!(ask(&pods, &policies, 0, 1, 8080), "Denied |");
    let http = |number| NamedPort { protocol: Protocol::Tcp, name: "http".to_owned(), number };
    pods[1].ports = vec![http(8080), http(8081)];
    assert_eq!(ask(&pods, &policies, 0, 1, 8081), "Allowed a/to-http egress[0]|");
    assert_eq!(ask(&pods, &policies, 0, 1, 80), "Denied |");
}

#[test]
fn a_block_means_a_pod_by_its_address() {
    let spec = json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]});
    let policies = [policy("b", "from-net", &spec)];
    let mut pods = [pod("a", "web", &[]), pod("b", "api", &[])];
    assert_eq!(ask(&pods, &policies, 0, 1, 80), "Denied |");
    pods[0].addresses = vec!["10.1.0.1".parse().expect("an address"), "10.2.0.1".parse().expect("an address")];
    assert_eq!(ask(&pods, &policies, 0, 1, 80), "Allowed |b/from-net ingress[0]");
}

#[test]
fn what_no_policy_governs_or_nobody_could_read_is_not_answered() {
    let mut pods = [pod("a", "web", &[]), pod("b", "api", &[])];
    pods[0].host_network = true;
    assert!(ask(&pods, &[], 0, 1, 80).starts_with("HostNetwork"));

    let (web, api) = (pod("a", "web", &[]), pod("b", "api", &[]));
    let (of_a, of_b) = (labels("a"), labels("b"));
    let deny = policy("a", "deny", &json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    let space = |name, labels, policies, unread| Space { name, labels, policies, pods: Vec::new(), unread };
    let question = |from, to| Question { from: End::Pod(from), to: End::Pod(to), protocol: Protocol::Tcp, port: 80 };
    let open = World::new([space("a", &of_a, vec![], vec![]), space("b", &of_b, vec![], vec![("odd", "why")])], true);
    let unread = Outcome::Unread { namespace: "b", policy: "odd", reason: "why" };
    assert_eq!(open.ask(question(&web, &api)).outcome, unread);
    assert_eq!(open.ask(question(&api, &web)).outcome, unread);
    // Nothing that could be in it would let pass what the other end stops.
    let closed =
        World::new([space("a", &of_a, vec![&deny], vec![]), space("b", &of_b, vec![], vec![("odd", "why")])], true);
    assert_eq!(closed.ask(question(&web, &api)).outcome, Outcome::Denied);
}
