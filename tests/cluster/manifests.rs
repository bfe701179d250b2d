//! The manifests the tests apply, and a cluster that is guarded.

use super::harness::{Cluster, Registration, User, Webhook, WebhookOptions};

/// A cluster whose webhook is registered and has no more rights than it is meant to need.
pub(crate) fn guarded(namespaces: &[&str]) -> (Cluster, Webhook) {
    let cluster = Cluster::start();
    for namespace in namespaces {
        cluster.namespace(namespace).ok();
    }
    let webhook = Webhook::start(&options(&cluster));
    cluster.register(&webhook, &Registration::default());
    (cluster, webhook)
}

/// A webhook that reads the cluster as a ServiceAccount of the deployment would.
pub(crate) fn options(cluster: &Cluster) -> WebhookOptions {
    cluster.grant(User::Portcullis, &["get", "list", "watch"], &["namespaces"]);
    cluster.grant(User::Portcullis, &["list", "watch"], &["networkpolicies.networking.k8s.io"]);
    WebhookOptions { kubeconfig: Some(cluster.kubeconfig(User::Portcullis)), ..WebhookOptions::default() }
}

/// A NetworkPolicy with that spec, as YAML or JSON.
pub(crate) fn policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// Isolation of every pod in these directions.
pub(crate) fn default_deny(namespace: &str, name: &str, directions: &str) -> String {
    policy(namespace, name, &format!("{{podSelector: {{}}, policyTypes: [{directions}]}}"))
}

/// Something harmless that has a rule.
pub(crate) fn allow(namespace: &str, name: &str) -> String {
    let spec = "{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress], \
                ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{protocol: TCP, port: 8080}]}]}";
    policy(namespace, name, spec)
}

/// Egress to everything but these blocks, one rule a block list.
pub(crate) fn external(namespace: &str, name: &str, blocks: &[(&str, &str)]) -> String {
    let rule = |(cidr, except): &(&str, &str)| {
        format!("{{to: [{{ipBlock: {{cidr: {cidr}, except: [{except}]}}}}], ports: [{{protocol: TCP, port: 443}}]}}")
    };
    let rules: Vec<String> = blocks.iter().map(rule).collect();
    let spec = format!(
        "{{podSelector: {{matchLabels: {{app: api}}}}, policyTypes: [Egress], egress: [{}]}}",
        rules.join(", ")
    );
    policy(namespace, name, &spec)
}

/// The whole internet without private and metadata addresses.
pub(crate) const FINE: (&str, &str) = (
    "0.0.0.0/0",
    "10.0.0.0/8, 100.64.0.0/10, 168.63.129.16/32, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16",
);
/// The same with one private range forgotten.
pub(crate) const LEAKY: (&str, &str) =
    ("0.0.0.0/0", "10.0.0.0/8, 100.64.0.0/10, 168.63.129.16/32, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24");
