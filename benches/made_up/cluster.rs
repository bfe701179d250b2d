//! A made-up cluster, the same for the same size: namespaces are tenants in tiers, each with its own default deny and
//! rules for DNS, its own pods, a neighbour, scraping and an external network. The first `changed` policies of the
//! fourth sort are opened wider, as a pull request might.

use std::fmt::Write as _;

/// How much of everything there is.
pub(crate) struct Size {
    pub(crate) namespaces: usize,
    pub(crate) pods: usize,
    pub(crate) policies: usize,
    pub(crate) changed: usize,
}

const TIERS: [&str; 4] = ["web", "api", "worker", "db"];
/// Kinds of policy a namespace has, in turn.
const SORTS: usize = 10;
/// Which of them `changed` opens.
const FROM_NEIGHBOUR: usize = 3;

/// The manifests of one namespace.
pub(crate) fn manifests(namespace: usize, size: &Size) -> String {
    let mut text = String::new();
    let team = namespace / 10;
    let _ = write!(
        text,
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ns-{namespace:04}\n  labels:\n    team: team-{team:03}\n    stage: {}\n",
        if namespace.is_multiple_of(3) { "prod" } else { "test" },
    );
    (namespace..size.pods).step_by(size.namespaces).for_each(|number| pod(&mut text, namespace, number, size));
    for number in (namespace..size.policies).step_by(size.namespaces) {
        policy(&mut text, namespace, number, size);
    }
    text
}

fn pod(text: &mut String, namespace: usize, number: usize, size: &Size) {
    let of_namespace = number / size.namespaces;
    let tier = TIERS[of_namespace % TIERS.len()];
    let address = format!("10.{}.{}.{}", number >> 16, (number >> 8) & 255, number & 255);
    let _ = write!(
        text,
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {tier}-{of_namespace}\n  namespace: ns-{namespace:04}\n  \
         labels:\n    app: {tier}\n    instance: {tier}-{of_namespace}\n    version: v{}\nspec:\n  containers:\n  - name: main\n    \
         image: registry.example.com/{tier}:1.0\n    ports:\n    - name: http\n      containerPort: {}\n    - name: metrics\n      \
         containerPort: 9090\nstatus:\n  podIP: {address}\n  podIPs:\n  - ip: {address}\n",
        of_namespace % 3,
        8080 + of_namespace % 2,
    );
}

fn policy(text: &mut String, namespace: usize, number: usize, size: &Size) {
    let of_namespace = number / size.namespaces;
    let (name, spec) = named_spec(namespace, of_namespace, size);
    let _ = write!(
        text,
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}-{of_namespace}\n  namespace: \
         ns-{namespace:04}\nspec:\n  {spec}"
    );
}

/// What the policies of a namespace are called and say, in turn.
fn named_spec(namespace: usize, of_namespace: usize, size: &Size) -> (&'static str, String) {
    let sort = of_namespace % SORTS;
    let tier = TIERS[of_namespace % TIERS.len()];
    let neighbour = (namespace + 7) % size.namespaces;
    let team = namespace / 10;
    let opened = sort == FROM_NEIGHBOUR && namespace < size.changed;
    match sort {
        0 => ("default-deny", "podSelector: {}\n  policyTypes: [Ingress, Egress]\n".to_owned()),
        1 => (
            "dns",
            "podSelector: {}\n  policyTypes: [Egress]\n  egress:\n  - to:\n    - namespaceSelector:\n        matchLabels: \
             {kubernetes.io/metadata.name: kube-system}\n    ports:\n    - {protocol: UDP, port: 53}\n    - {protocol: TCP, \
             port: 53}\n"
                .to_owned(),
        ),
        2 => (
            "same-namespace",
            "podSelector: {}\n  policyTypes: [Ingress, Egress]\n  ingress:\n  - from:\n    - podSelector: {}\n  egress:\n  - to:\n    \
             - podSelector: {}\n"
                .to_owned(),
        ),
        FROM_NEIGHBOUR => ("from-neighbour", from_neighbour(neighbour, opened)),
        4 => (
            "to-neighbour",
            format!(
                "podSelector:\n    matchLabels: {{app: web}}\n  policyTypes: [Egress]\n  egress:\n  - to:\n    - \
                 namespaceSelector:\n        matchLabels: {{team: team-{team:03}}}\n      podSelector:\n        matchLabels: {{app: api}}\n    \
                 ports:\n    - {{port: 8080}}\n    - {{port: 8081}}\n"
            ),
        ),
        5 => (
            "scraping",
            "podSelector: {}\n  ingress:\n  - from:\n    - namespaceSelector:\n        matchLabels: {kubernetes.io/metadata.name: \
             ns-0000}\n      podSelector:\n        matchLabels: {app: worker}\n    ports:\n    - {port: metrics}\n"
                .to_owned(),
        ),
        6 => (
            "external",
            "podSelector:\n    matchExpressions:\n    - {key: app, operator: NotIn, values: [db]}\n  policyTypes: [Egress]\n  egress:\n  - \
             to:\n    - ipBlock:\n        cidr: 0.0.0.0/0\n        except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]\n    \
             ports:\n    - {port: 443}\n"
                .to_owned(),
        ),
        _ => (
            "instance",
            format!(
                "podSelector:\n    matchLabels: {{app: {tier}}}\n  ingress:\n  - from:\n    - podSelector:\n        matchLabels: \
                 {{instance: {tier}-{of_namespace}}}\n    - ipBlock:\n        cidr: 198.51.{}.0/24\n    ports:\n    - {{protocol: TCP, port: \
                 {}}}\n",
                namespace % 256,
                7000 + of_namespace,
            ),
        ),
    }
}

/// The other side of `to-neighbour`; opened, it lets more pods in on more ports.
fn from_neighbour(neighbour: usize, opened: bool) -> String {
    format!(
        "podSelector:\n    matchLabels: {{app: api}}\n  ingress:\n  - from:\n    - namespaceSelector:\n        matchLabels: \
                 {{kubernetes.io/metadata.name: ns-{neighbour:04}}}\n      podSelector:\n        matchExpressions:\n        - {{key: app, \
                 operator: In, values: [web, worker{}]}}\n    ports:\n    - {{port: http}}\n{}",
        if opened { ", db" } else { "" },
        if opened {
            "    - {port: 8080, endPort: 9100}\n  - from:\n    - ipBlock:\n        cidr: 203.0.113.0/24\n"
        } else {
            ""
        },
    )
}
