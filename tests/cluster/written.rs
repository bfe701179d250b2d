//! `ineffective-section` by what the API server leaves of the author's text.

use super::manifests::{default_deny, guarded, policy};

const RULE: &str = "ineffective-section";
const WHAT: &str = "spec.egress: `egress: []` restricts nothing: `policyTypes` has no Egress";

/// Reads as "no egress" and is none; nothing else is wrong with it.
fn no_egress() -> String {
    policy("a", "no-egress", "{podSelector: {matchLabels: {app: db}}, egress: []}")
}

#[test]
fn an_empty_egress_is_found_after_both_kinds_of_apply() {
    let (cluster, _webhook) = guarded(&["a"]);
    cluster.apply(&default_deny("a", "default-deny", "Ingress")).ok();
    for args in [&["apply"][..], &["apply", "--server-side"]] {
        let args = [args, &["-f", "-"]].concat();
        cluster.kubectl_stdin(&args, &no_egress()).denied_by(RULE).stderr_has(WHAT);
    }
    // A plain create leaves no trace of it.
    cluster.kubectl_stdin(&["create", "-f", "-"], &no_egress()).ok();
    cluster.kubectl(&["delete", "netpol", "no-egress", "-n", "a"]).ok();

    // Beside a default deny the intent holds.
    cluster.apply(&default_deny("a", "default-deny-egress", "Egress")).ok();
    for args in [&["apply"][..], &["apply", "--server-side"]] {
        let outcome = cluster.kubectl_stdin(&[args, &["-f", "-"]].concat(), &no_egress()).ok();
        assert!(outcome.warnings().is_empty(), "{outcome:?}");
        cluster.kubectl(&["delete", "netpol", "no-egress", "-n", "a"]).ok();
    }
}

/// An edit leaves the annotation as it was, and what is edited then tells more than what was applied.
#[test]
fn a_stale_annotation_is_not_believed_and_managed_fields_follow_the_edit() {
    let (cluster, _webhook) = guarded(&["a"]);
    cluster.apply(&default_deny("a", "default-deny", "Ingress")).ok();
    let types = |types: &str| format!(r#"{{"spec":{{"policyTypes":{types}}}}}"#);
    let patch = |patch: &str| cluster.kubectl(&["patch", "netpol", "x", "-n", "a", "--type=merge", "-p", patch]);
    let fine = policy("a", "x", "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], egress: []}");

    // The annotation is of a spec that isolates for egress; the one at hand is another.
    cluster.apply(&fine).ok();
    patch(&types(r#"["Ingress"]"#)).ok();
    cluster.kubectl(&["delete", "netpol", "x", "-n", "a"]).ok();

    // The fields are still those that server-side apply wrote, and now one of them has no effect.
    cluster.kubectl_stdin(&["apply", "--server-side", "-f", "-"], &fine).ok();
    patch(&types(r#"["Ingress"]"#)).denied_by(RULE).stderr_has(WHAT);

    // Rules that somebody else takes away are no longer among them.
    cluster.apply(&default_deny("a", "default-deny-egress", "Egress")).ok();
    let dns = fine.replace("egress: []", "egress: [{ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]");
    cluster.kubectl_stdin(&["apply", "--server-side", "-f", "-"], &dns).ok();
    patch(r#"{"spec":{"policyTypes":["Ingress"],"egress":null}}"#).ok();
    let stored = cluster.kubectl(&["get", "netpol", "x", "-n", "a", "-o", "json", "--show-managed-fields"]).ok();
    assert!(stored.stdout.contains("f:podSelector") && !stored.stdout.contains("f:egress"), "{stored:?}");
}
