//! `missing-default-deny` at apply time.

use super::harness::Cluster;
use super::manifests::{allow, default_deny, guarded, policy};

const RULE: &str = "missing-default-deny";

fn policies(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let listed = cluster.kubectl(&["get", "netpol", "-n", namespace, "-o", "name"]).ok();
    listed.stdout.lines().map(|line| line.rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn an_allow_policy_needs_a_default_deny_first() {
    let (cluster, webhook) = guarded(&["a", "b", "c"]);

    // Asked first, then for real: the same verdict, and nothing stored either way.
    for args in [&["apply", "--dry-run=server", "-f", "-"][..], &["apply", "-f", "-"]] {
        cluster
            .kubectl_stdin(args, &allow("a", "web"))
            .denied_by(RULE)
            .stderr_has("[missing-default-deny] spec: namespace a has no default deny for Ingress and Egress")
            .stderr_has("first apply a NetworkPolicy to a with `podSelector: {}`, `policyTypes: [Ingress, Egress]`");
    }
    assert!(policies(&cluster, "a").is_empty());

    // A dry run of the repair is admitted and teaches nothing.
    let deny = default_deny("a", "default-deny", "Ingress, Egress");
    cluster.kubectl_stdin(&["apply", "--dry-run=server", "-f", "-"], &deny).ok();
    cluster.kubectl_stdin(&["apply", "--dry-run=server", "-f", "-"], &allow("a", "web")).denied_by(RULE);
    cluster.apply(&deny).ok();
    cluster.kubectl_stdin(&["apply", "--dry-run=server", "-f", "-"], &allow("a", "web")).ok();
    cluster.apply(&allow("a", "web")).ok();
    assert_eq!(policies(&cluster, "a"), ["default-deny", "web"]);

    // One default deny a direction, in either order.
    for (namespace, [first, second]) in [("b", ["Ingress", "Egress"]), ("c", ["Egress", "Ingress"])] {
        cluster.apply(&default_deny(namespace, "first", first)).ok();
        cluster.apply(&allow(namespace, "web")).denied_by(RULE).stderr_has(&format!("no default deny for {second}:"));
        cluster.apply(&default_deny(namespace, "second", second)).ok();
        cluster.apply(&allow(namespace, "web")).ok();
    }
    let denied = webhook.metric("portcullis_findings_total", &[("rule", RULE), ("level", "deny")]);
    assert!((denied - 5.0).abs() < f64::EPSILON, "five denials, counted as {denied}");
}

/// Default deny, DNS and traffic inside the namespace, one file in the order it has.
#[test]
fn the_isolation_template_is_admitted_as_it_stands() {
    let (cluster, _webhook) = guarded(&["shop"]);
    let dns = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]}";
    let within = "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], \
                  egress: [{to: [{podSelector: {}}]}]}";
    let template = [
        default_deny("shop", "default-deny", "Ingress, Egress"),
        policy("shop", "dns", dns),
        policy("shop", "within-namespace", within),
    ]
    .concat();
    let outcome = cluster.apply(&template).ok();
    assert!(outcome.warnings().is_empty(), "{outcome:?}");
    assert_eq!(policies(&cluster, "shop"), ["default-deny", "dns", "within-namespace"]);
    cluster.apply(&template).ok();
}

#[test]
fn the_last_default_deny_stays() {
    let (cluster, _webhook) = guarded(&["a"]);
    cluster.apply(&default_deny("a", "default-deny", "Ingress, Egress")).ok();
    cluster.apply(&allow("a", "web")).ok();

    let delete = |name: &str| cluster.kubectl(&["delete", "netpol", name, "-n", "a"]);
    delete("default-deny").denied_by(RULE).stderr_has("without it namespace a has no default deny");
    let patch =
        |patch: &str| cluster.kubectl(&["patch", "netpol", "default-deny", "-n", "a", "--type=merge", "-p", patch]);
    patch(r#"{"spec":{"podSelector":{"matchLabels":{"app":"api"}}}}"#).denied_by(RULE);
    patch(r#"{"spec":{"policyTypes":["Ingress"]}}"#).denied_by(RULE).stderr_has("for Egress:");
    patch(r#"{"spec":{"ingress":[{}]}}"#).denied_by(RULE);
    patch(r#"{"metadata":{"labels":{"team":"a"}}}"#).ok();
    cluster.kubectl(&["delete", "--raw", "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies"]).failed();
    assert!(policies(&cluster, "a").contains(&"default-deny".to_owned()));

    // Of two default denies one may go, and no more than one, however quickly they are asked for.
    cluster.apply(&default_deny("a", "another", "Ingress, Egress")).ok();
    delete("default-deny").ok();
    delete("another").denied_by(RULE);
    // Two halves are a default deny as well.
    for (name, operator) in [("half", "In"), ("other-half", "NotIn")] {
        let spec = format!(
            "{{podSelector: {{matchExpressions: [{{key: app, operator: {operator}, values: [x]}}]}}, policyTypes: [Ingress, Egress]}}"
        );
        cluster.apply(&policy("a", name, &spec)).ok();
    }
    delete("another").ok();
    delete("half").denied_by(RULE).stderr_has("a pod labelled app=x becomes open");
}

/// What was created a moment ago may not have reached the watch yet.
#[test]
fn back_to_back_is_never_denied() {
    let names: Vec<String> = (0..100).map(|i| format!("n{i}")).collect();
    let (cluster, webhook) = guarded(&[]);
    let namespace = |name: &String| {
        format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{kubernetes.io/metadata.name: {name}}}}}\n"
        )
    };
    cluster.apply(&names.iter().map(namespace).collect::<String>()).ok();
    let pair = |name: &String| [default_deny(name, "default-deny", "Ingress, Egress"), allow(name, "web")].concat();
    let outcome = cluster.kubectl_stdin(&["create", "-f", "-"], &names.iter().map(pair).collect::<String>()).ok();
    assert_eq!(outcome.stdout.lines().count(), 200, "{outcome:?}");
    let denied = webhook.metric("portcullis_admission_requests_total", &[("outcome", "denied")]);
    assert!(denied.abs() < f64::EPSILON, "{denied} were denied\n{}", webhook.log());
}
