use super::*;
use crate::inventory::from_files::{DEFAULT_NAMESPACE, load};
use crate::manifest;

mod agrees;
mod scale;

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

#[test]
fn a_rule_opens_what_it_says_and_a_deleted_policy_closes_or_opens() {
    let closed = shop() + &policy("shop", "deny", DENY);
    let allow = policy(
        "shop",
        "to-db",
        "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 5432}]}]}",
    );
    let open = closed.clone() + &allow;
    assert_eq!(diff(&closed, &open), ["+ shop/api -> shop/db: TCP/5432"]);
    assert_eq!(diff(&open, &closed), ["- shop/api -> shop/db: TCP/5432"]);
    // Without the default deny the policy is what closes.
    assert_eq!(
        diff(&shop(), &(shop() + &allow)),
        [
            "- any address -> shop/db: all ports",
            "- other/job, all pods of shop with app!=api -> shop/db: all ports",
            "- shop/api -> shop/db: all ports except TCP/5432",
        ]
    );
}

#[test]
fn egress_opens_to_blocks_with_and_without_exceptions() {
    let to = |peers: &str| {
        shop()
            + &policy(
                "shop",
                "out",
                &format!(
                    "{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{peers}], ports: [{{port: 443}}]}}]}}"
                ),
            )
    };
    let narrow = to("{ipBlock: {cidr: 10.0.0.0/8}}");
    let wide = to("{ipBlock: {cidr: 0.0.0.0/0}}");
    let except = to("{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16]}}");
    assert_eq!(diff(&narrow, &wide), ["+ all pods of shop -> 0.0.0.0/0 except 10.0.0.0/8: TCP/443"]);
    assert_eq!(
        diff(&narrow, &except),
        [
            "+ all pods of shop -> 0.0.0.0/0 except 10.0.0.0/8, 169.254.0.0/16: TCP/443",
            "- all pods of shop -> 10.0.0.0/8: TCP/443",
        ]
    );
}

#[test]
fn a_label_of_a_namespace_lets_its_pods_in() {
    let rest = shop()
        + &policy("shop", "deny", DENY)
        + &policy(
            "shop",
            "in",
            "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: x}}}]}]}",
        );
    let labelled =
        rest.clone() + "---\n{apiVersion: v1, kind: Namespace, metadata: {name: other, labels: {team: x}}}\n";
    assert_eq!(diff(&rest, &labelled), ["+ other/job -> shop/web: all ports"]);
}

#[test]
fn policies_alone_have_a_full_answer() {
    let deny = policy("b", "deny", DENY);
    let allow = policy(
        "b",
        "db",
        "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: x}}}, {podSelector: {matchLabels: {app: web}}}], ports: [{port: postgres}]}]}",
    );
    assert_eq!(
        diff(&deny, &(deny.clone() + &allow)),
        ["+ any pod of any namespace with team=x, any pod of b with app=web -> any pod of b with app=db: TCP/postgres",]
    );
    assert_eq!(
        diff("", &deny),
        ["- any address -> any pod of b: all ports", "- any pod of any namespace -> any pod of b: all ports",]
    );
    let named = policy(
        "b",
        "c",
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: c}}}]}]}",
    );
    assert_eq!(diff(&deny, &(deny.clone() + &named)), ["+ any pod of c -> any pod of b: all ports"]);
    let everybody = policy("b", "all", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}");
    assert_eq!(diff(&deny, &(deny.clone() + &everybody)), ["+ any pod of any namespace -> any pod of b: all ports"]);
}

#[test]
fn a_name_is_the_port_that_the_called_pod_calls_so() {
    let pods = pod("a", "one", "spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}")
        + &pod("a", "two", "spec: {containers: [{ports: [{name: http, containerPort: 9090}]}]}")
        + &pod("a", "three", "spec: {}");
    let deny = pods + &policy("a", "deny", DENY);
    let http = policy("a", "http", "{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: http}]}]}");
    assert_eq!(
        diff(&deny, &(deny.clone() + &http)),
        ["+ all pods of a -> a/one: TCP/8080", "+ all pods of a -> a/two: TCP/9090",]
    );
}

#[test]
fn a_block_means_a_pod_by_its_address_and_a_pod_in_the_network_of_its_node_is_only_noted() {
    let pods = pod("a", "one", "spec: {}")
        + &pod("b", "two", "spec: {}, status: {podIP: 10.0.0.1}")
        + &pod("b", "three", "spec: {hostNetwork: true}");
    let deny = pods + &policy("a", "deny", DENY);
    let open = policy("a", "in", "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]}");
    assert_eq!(
        diff(&deny, &(deny.clone() + &open)),
        [
            "+ 10.0.0.0/24 -> a/one: all ports",
            "+ b/two -> a/one: all ports",
            "! b/three takes no part: policies do not apply in the network of a node",
        ]
    );
}

#[test]
fn a_new_workload_is_told_as_new() {
    let before = shop() + &policy("shop", "deny", "{podSelector: {}}");
    let cache = "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: cache, namespace: shop}, spec: {template: {metadata: {labels: {app: cache}}}}}\n";
    assert_eq!(
        diff(&before, &(before.clone() + cache)),
        [
            "+ shop/Deployment/cache (new) -> any address: all ports",
            "+ shop/Deployment/cache (new) -> other/job: all ports",
        ]
    );
    assert_eq!(
        diff(&(before.clone() + cache), &before),
        [
            "- shop/Deployment/cache (gone) -> any address: all ports",
            "- shop/Deployment/cache (gone) -> other/job: all ports",
        ]
    );
}

/// A Deployment's Pod under its ReplicaSet, as a dump has it.
fn rollout(hash: &str, ip: &str) -> String {
    let owner = |kind: &str, name: &str| {
        format!("ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: {name}, uid: u, controller: true}}]")
    };
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: web-{hash}-x, namespace: a, labels: {{app: web, pod-template-hash: {hash}}}, {}}}, spec: {{}}, status: {{podIP: {ip}}}}}\n",
        owner("ReplicaSet", &format!("web-{hash}"))
    ) + &format!(
        "---\n{{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: web-{hash}, namespace: a, {}}}, spec: {{template: {{metadata: {{labels: {{app: web, pod-template-hash: {hash}}}}}}}}}}}\n",
        owner("Deployment", "web")
    )
}

#[test]
fn pods_go_by_what_controls_them() {
    let deployment = "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: a}, spec: {template: {metadata: {labels: {app: web}}}}}\n";
    let before = rollout("5d4f8", "10.0.0.1") + &pod("a", "db", "spec: {}");
    let after = rollout("6c7d9", "10.0.0.2") + &pod("a", "db", "spec: {}");
    assert_eq!(diff(&before, &after), Vec::<String>::new());
    assert_eq!(diff(&(before.clone() + deployment), &after), Vec::<String>::new());
    let closed = after
        + deployment
        + &policy(
            "a",
            "db",
            "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}",
        );
    assert_eq!(
        diff(&before, &closed),
        ["- any address -> a/db: all ports", "- any pod of any other namespace, a/Deployment/web -> a/db: all ports",]
    );
}

#[test]
fn pods_of_one_controller_that_policies_tell_apart_stay_apart() {
    let member = |index: usize| {
        let owner = "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: u, controller: true}]";
        format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: db-{index}, namespace: a, labels: {{app: db, pod: db-{index}}}, {owner}}}, spec: {{}}}}\n"
        )
    };
    let pods = member(0) + &member(1) + &pod("b", "web", "spec: {}");
    let all = policy("a", "deny", "{podSelector: {matchLabels: {app: db}}}");
    assert_eq!(
        diff(&pods, &(pods.clone() + &all)),
        ["- any address -> a/StatefulSet/db: all ports", "- any pod of any namespace -> a/StatefulSet/db: all ports",]
    );
    let first = policy("a", "deny", "{podSelector: {matchLabels: {pod: db-0}}, policyTypes: [Egress]}");
    assert_eq!(
        diff(&pods, &(pods.clone() + &first)),
        ["- a/StatefulSet/db -> any address: all ports", "- a/StatefulSet/db -> any pod of any namespace: all ports",]
    );
}

#[test]
fn a_part_of_a_namespace_is_told_by_a_selector() {
    let front = |name: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: a, labels: {{app: {name}, tier: front}}}}, spec: {{}}}}\n"
        )
    };
    let pods = front("one") + &front("two") + &pod("a", "db", "spec: {}") + &pod("a", "api", "spec: {}");
    let closed = pods + &policy("a", "deny", DENY);
    let open = policy(
        "a",
        "in",
        "{podSelector: {matchExpressions: [{key: app, operator: In, values: [db, api]}]}, ingress: [{from: [{podSelector: {matchLabels: {tier: front}}}], ports: [{port: 80}, {port: 90}]}]}",
    );
    assert_eq!(
        diff(&closed, &(closed.clone() + &open)),
        ["+ all pods of a with tier=front -> all pods of a with app in (api, db): TCP/80, TCP/90",]
    );
}

#[test]
fn a_party_is_outside_when_any_of_it_is() {
    let member = |namespace| {
        let who = Who::Workload { kind: "Pod".to_owned(), name: "x".to_owned() };
        Arc::new(Member { namespace, who, presence: Presence::Both })
    };
    let named = |name: &str| member(Namespace::Named(name.to_owned()));
    let party = |members: Vec<Arc<Member>>| Party::Pods(Pods { terms: Vec::new(), members: members.into() });
    assert!(!party(vec![named("a")]).is_outside("a"));
    assert!(party(vec![named("a"), named("b")]).is_outside("a"));
    let assumed = Namespace::Assumed(crate::netpol::selector::Selector::everything());
    assert!(party(vec![member(assumed)]).is_outside("a"));
    assert!(Party::Addresses(IpSet::all()).is_outside("a"));
}
