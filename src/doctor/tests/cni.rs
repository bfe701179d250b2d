//! Which plugins are known, and what is said of them.

use super::*;

fn with(daemon_sets: Vec<DaemonSet>) -> Facts {
    Facts { daemon_sets: Ok(daemon_sets), ..mk_facts() }
}

fn running(namespace: &str, name: &str, containers: Vec<Container>) -> DaemonSet {
    DaemonSet { containers, ..mk_daemon_set(namespace, name) }
}

fn said(facts: &Facts) -> Check {
    judge(facts).checks.into_iter().find(|check| check.id == "cni").unwrap()
}

#[test]
fn known_to_enforce() {
    let policy_agent =
        mk_container("aws-eks-nodeagent", "npa:1", &["--enable-ipv6=false", "--enable-network-policy=true"]);
    let kindnetd = |tag: &str| mk_container("kindnet-cni", &format!("docker.io/kindest/kindnetd:{tag}"), &[]);
    for (daemon_set, name) in [
        (mk_daemon_set("kube-system", "calico-node"), "Calico"),
        (mk_daemon_set("kube-system", "canal"), "Canal"),
        (mk_daemon_set("kube-system", "rke2-canal"), "Canal"),
        (mk_daemon_set("cilium", "cilium"), "Cilium"),
        (mk_daemon_set("kube-system", "anetd"), "GKE Dataplane V2"),
        (mk_daemon_set("kube-system", "antrea-agent"), "Antrea"),
        (running("kube-system", "weave-net", vec![mk_container("weave-npc", "i", &[])]), "Weave Net"),
        (running("kube-system", "kube-router", vec![mk_container("k", "i", &["--run-firewall=true"])]), "kube-router"),
        (mk_daemon_set("ovn-kubernetes", "ovnkube-node-dpu"), "OVN-Kubernetes"),
        (mk_daemon_set("openshift-sdn", "sdn"), "OpenShift SDN"),
        (mk_daemon_set("kube-system", "kube-ovn-cni"), "Kube-OVN"),
        (running("kube-system", "aws-node", vec![policy_agent]), "Amazon VPC CNI"),
        (mk_daemon_set("kube-system", "azure-npm"), "Azure NPM"),
        (mk_daemon_set("kube-system", "kube-network-policies"), "kube-network-policies"),
        (running("kube-system", "kindnet", vec![kindnetd("v20240813-c6f155d6")]), "kindnet"),
        (running("kube-system", "kindnet", vec![kindnetd("v20250214-acbabc1a@sha256:1")]), "kindnet"),
    ] {
        let check = said(&with(vec![mk_daemon_set("kube-system", "kube-proxy"), daemon_set]));
        assert_eq!(check.status, Status::Ok, "{check:?}");
        assert!(check.what.starts_with(&format!("{name} enforces NetworkPolicy")), "{check:?}");
    }
}

#[test]
fn known_not_to() {
    let kindnetd = mk_container("kindnet-cni", "docker.io/kindest/kindnetd:v20240513-cd2ac642", &[]);
    let agent = mk_container("aws-eks-nodeagent", "npa:1", &["--enable-network-policy=false"]);
    for (daemon_set, text) in [
        (mk_daemon_set("kube-flannel", "kube-flannel-ds"), "Flannel does not enforce"),
        (mk_daemon_set("kube-system", "azure-cns"), "Azure CNI does not enforce"),
        (mk_daemon_set("kube-system", "weave-net"), "weave-npc"),
        (
            running("kube-system", "kube-router", vec![mk_container("k", "i", &["--run-firewall=false"])]),
            "--run-firewall",
        ),
        (running("kube-system", "aws-node", vec![agent]), "--enable-network-policy=true"),
        (mk_daemon_set("kube-system", "aws-node"), "Amazon VPC CNI does not enforce"),
        (running("kube-system", "kindnet", vec![kindnetd]), "kind v0.24.0"),
    ] {
        assert_fault(&with(vec![daemon_set]), "cni", Status::Error, &[text, "install a plugin that enforces them"]);
    }
}

#[test]
fn one_that_enforces_beside_one_that_does_not_is_fine() {
    let talos = running("kube-system", "kube-flannel", vec![mk_container("kube-network-policies", "i", &[])]);
    assert!(said(&with(vec![talos])).what.contains("kube-network-policies enforces"));
    let check =
        said(&with(vec![mk_daemon_set("kube-system", "aws-node"), mk_daemon_set("calico-system", "calico-node")]));
    assert_eq!(
        check.what,
        "Calico enforces NetworkPolicy (DaemonSet calico-system/calico-node), beside Amazon VPC CNI"
    );
    assert_eq!(check.status, Status::Ok);
}

#[test]
fn several_that_enforce_are_one_too_many() {
    let both = vec![mk_daemon_set("kube-system", "cilium"), mk_daemon_set("calico-system", "calico-node")];
    assert_fault(&with(both), "cni", Status::Warning, &["several", "Cilium, Calico", "leave enforcement to one"]);
    // One plugin, a DaemonSet for each kind of node.
    let one = vec![mk_daemon_set("kube-system", "azure-npm"), mk_daemon_set("kube-system", "azure-npm-win")];
    assert_eq!(said(&with(one)).status, Status::Ok);
}

#[test]
fn a_plugin_that_is_not_ready_everywhere_is_told() {
    let daemon_set = DaemonSet { desired: 3, ready: 1, ..mk_daemon_set("calico-system", "calico-node") };
    assert_fault(&with(vec![daemon_set]), "cni", Status::Warning, &["ready on 1 of 3 nodes", "-n calico-system"]);
}

#[test]
fn without_a_known_plugin() {
    // A name alone could be anything.
    for daemon_sets in
        [vec![], vec![mk_daemon_set("default", "sdn"), mk_daemon_set("kube-system", "calico-node-exporter")]]
    {
        assert_fault(
            &with(daemon_sets),
            "cni",
            Status::Warning,
            &["not known", "--test-plan", "bridge, ptp and kubenet"],
        );
    }
    assert_fault(&with(vec![mk_daemon_set("kube-system", "terway-eniip")]), "cni", Status::Warning, &["eni-config"]);
    let k3s = Facts { version: Version { git: "v1.33.1+k3s1".into(), minor: 33 }, ..with(vec![]) };
    assert!(said(&k3s).status == Status::Ok && said(&k3s).what.contains("--disable-network-policy"));
}

#[test]
fn clouds_are_known_by_their_nodes_where_no_plugin_shows() {
    for (label, status, text) in [
        ("eks.amazonaws.com/compute-type", Status::Warning, "enable-network-policy-controller"),
        ("cloud.google.com/gke-nodepool", Status::Error, "GKE without Dataplane V2"),
        ("kubernetes.azure.com/cluster", Status::Error, "AKS without"),
    ] {
        let labels = BTreeMap::from([(label.to_owned(), "x".to_owned())]);
        let on = |daemon_sets| Facts { nodes: Ok(vec![BTreeMap::new(), labels.clone()]), ..with(daemon_sets) };
        assert_fault(&on(vec![]), "cni", status, &[text]);
        assert_eq!(said(&on(vec![mk_daemon_set("kube-system", "calico-node")])).status, Status::Ok);
    }
}
