//! `egress-private-cidr` and its siblings, by every way a policy can reach the API server.

use super::harness::Cluster;
use super::manifests::{FINE, LEAKY, default_deny, external, guarded, policy};

const RULE: &str = "egress-private-cidr";
const WHAT: &str = "spec.egress[0].to[0].ipBlock: reaches private addresses 192.168.0.0/16 on TCP/443; add 192.168.0.0/16 to its `except`";

fn start() -> (Cluster, super::harness::Webhook) {
    let (cluster, webhook) = guarded(&["a"]);
    cluster.apply(&default_deny("a", "default-deny", "Ingress, Egress")).ok();
    let names = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]}";
    cluster.apply(&policy("a", "names", names)).ok();
    (cluster, webhook)
}

#[test]
fn a_forgotten_private_range_is_denied_however_it_comes() {
    let (cluster, _webhook) = start();
    let (leaky, fine) = (external("a", "x", &[LEAKY]), external("a", "x", &[FINE]));
    let from_stdin = |args: &[&str], manifest: &str| cluster.kubectl_stdin(&[args, &["-f", "-"]].concat(), manifest);

    let before: [&[&str]; 4] = [&["apply"], &["apply", "--server-side"], &["create"], &["apply", "--dry-run=server"]];
    for args in before {
        let outcome = from_stdin(args, &leaky).denied_by(RULE).stderr_has(WHAT);
        assert!(!outcome.stderr.contains("172.16.0.0/12"), "exactly that range: {outcome:?}");
    }
    cluster.kubectl(&["get", "netpol", "x", "-n", "a"]).failed();

    let created = from_stdin(&["create"], &fine).ok();
    assert!(created.warnings().is_empty(), "{created:?}");
    let after: [&[&str]; 3] = [&["apply"], &["apply", "--server-side", "--force-conflicts"], &["replace"]];
    for args in after {
        from_stdin(args, &leaky).denied_by(RULE).stderr_has(WHAT);
    }
    let remove = r#"[{"op":"remove","path":"/spec/egress/0/to/0/ipBlock/except/6"}]"#;
    cluster.kubectl(&["patch", "netpol", "x", "-n", "a", "--type=json", "-p", remove]).denied_by(RULE).stderr_has(WHAT);
    from_stdin(&["replace"], &fine).ok();
}

#[test]
fn the_arithmetic_is_over_all_rules_and_both_families() {
    let (cluster, _webhook) = start();
    let private = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16";
    for (blocks, told) in [
        // Two halves of everything.
        (
            &[("0.0.0.0/1", ""), ("128.0.0.0/1", "172.16.0.0/12")][..],
            &[
                "egress[0].to[0].ipBlock: reaches private addresses 10.0.0.0/8 on",
                "egress[1].to[0].ipBlock: reaches private addresses 192.168.0.0/16 on",
            ][..],
        ),
        // What one rule excepts the next one reopens.
        (
            &[("0.0.0.0/0", private), ("10.0.0.0/9", "")],
            &["egress[1].to[0].ipBlock: reaches private addresses 10.0.0.0/9 on"],
        ),
        (&[("'::/0'", "")], &["reaches private addresses fc00::/7 on"]),
        (&[("10.0.0.0/8", "10.64.0.0/10")], &["reaches private addresses 10.0.0.0/10, 10.128.0.0/9 on"]),
    ] {
        let mut outcome = cluster.apply(&external("a", "x", blocks)).denied_by(RULE);
        for text in told {
            outcome = outcome.stderr_has(text);
        }
    }
}

#[test]
fn the_metadata_endpoint_is_warned_of() {
    let (cluster, _webhook) = start();
    let private_only = ("0.0.0.0/0", "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16");
    let outcome = cluster.apply(&external("a", "x", &[private_only])).ok();
    let warnings = outcome.warnings();
    let [warning] = &warnings[..] else { panic!("one warning: {outcome:?}") };
    assert!(warning.contains("[egress-metadata-endpoint] spec.egress[0].to[0].ipBlock: reaches"), "{warning}");
    assert!(warning.contains("169.254.169.254"), "{warning}");
}

#[test]
fn rules_that_allow_everything_are_denied() {
    let (cluster, _webhook) = start();
    let spec = "{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}";
    cluster
        .apply(&policy("a", "x", spec))
        .denied_by("allow-all-ingress")
        .stderr_has("[allow-all-ingress] spec.ingress[0]: ")
        .stderr_has("[allow-all-egress] spec.egress[0]: ")
        .stderr_has("[egress-private-cidr] spec.egress[0]: reaches private addresses 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7");
}
