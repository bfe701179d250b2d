//! Does anything in this cluster enforce NetworkPolicies? The API server takes them in any case.
//!
//! Nothing in the API says which CNI plugin a node uses, so the plugins are known by what they run on every node.

use super::facts::{DaemonSet, Facts};
use super::{Check, some_of};

const ID: &str = "cni";

/// Whether a plugin enforces.
enum Enforces {
    Yes,
    No,
    /// When it is set up so: the reason why it does not, as far as its DaemonSet tells.
    If(fn(&DaemonSet) -> Option<&'static str>),
    /// By a setting that cannot be seen from here.
    Setting(&'static str),
}

use Enforces::{If, No, Setting, Yes};

struct Plugin {
    name: &'static str,
    /// Names of its DaemonSet, with the namespace where the name alone could be anything; `*` at the end stands for any
    /// end, `container:` for the name of a container.
    known_by: &'static [&'static str],
    enforces: Enforces,
}

/// The plugins with what is known of them, by their own documentation and manifests:
/// - Calico, Canal: docs.tigera.io/calico, network policy; Canal is Flannel with Calico's policy engine (rke2-canal is RKE2's).
/// - Cilium: docs.cilium.io, Kubernetes NetworkPolicy. AKS' Cilium dataplane runs the same DaemonSet.
/// - GKE Dataplane V2: cloud.google.com/kubernetes-engine/docs/concepts/dataplane-v2: always on, DaemonSet `anetd`.
/// - Antrea: antrea.io/docs. OVN-Kubernetes: ovn-kubernetes.io. Kube-OVN: kubeovn.github.io/docs. OpenShift SDN: docs of OpenShift 4.
/// - Weave Net: the container `weave-npc` does it, and is left out by EXPECT_NPC=0 installations.
/// - kube-router: `--run-firewall` (default true) is its policy controller.
/// - Amazon VPC CNI: docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html: the agent in `aws-node` needs
///   `--enable-network-policy=true`, which is not the default.
/// - Azure: learn.microsoft.com/azure/aks/use-network-policies: `azure-npm`, Calico or Cilium; `azure-cns` alone assigns addresses.
/// - kube-network-policies: github.com/kubernetes-sigs/kube-network-policies; Talos adds it to Flannel as a container.
/// - kindnet: enforces since kind v0.24.0 (kubernetes-sigs/kind#842), whose image is kindnetd:v20240813.
/// - Flannel: github.com/flannel-io/flannel, "focused on networking"; its README names Calico for policies.
/// - Terway: github.com/AliyunContainerService/terway: `disable_network_policy` in a ConfigMap.
const PLUGINS: &[Plugin] = &[
    Plugin { name: "Canal", known_by: &["canal", "rke2-canal"], enforces: Yes },
    Plugin { name: "Calico", known_by: &["calico-node"], enforces: Yes },
    Plugin { name: "Cilium", known_by: &["cilium"], enforces: Yes },
    Plugin { name: "GKE Dataplane V2", known_by: &["anetd"], enforces: Yes },
    Plugin { name: "Antrea", known_by: &["antrea-agent"], enforces: Yes },
    Plugin { name: "Weave Net", known_by: &["weave-net"], enforces: If(weave) },
    Plugin { name: "kube-router", known_by: &["kube-router"], enforces: If(kube_router) },
    Plugin { name: "OVN-Kubernetes", known_by: &["ovnkube-node*"], enforces: Yes },
    Plugin { name: "OpenShift SDN", known_by: &["openshift-sdn/sdn"], enforces: Yes },
    Plugin { name: "Kube-OVN", known_by: &["kube-ovn-cni"], enforces: Yes },
    Plugin { name: "Amazon VPC CNI", known_by: &["aws-node"], enforces: If(amazon) },
    Plugin { name: "Azure NPM", known_by: &["azure-npm*"], enforces: Yes },
    Plugin {
        name: "kube-network-policies",
        known_by: &["kube-network-policies", "container:kube-network-policies"],
        enforces: Yes,
    },
    Plugin { name: "kindnet", known_by: &["kindnet"], enforces: If(kindnet) },
    Plugin {
        name: "Terway",
        known_by: &["terway*"],
        enforces: Setting("`disable_network_policy` in the ConfigMap kube-system/eni-config must be \"false\""),
    },
    Plugin { name: "Flannel", known_by: &["kube-flannel*"], enforces: No },
    Plugin { name: "Azure CNI", known_by: &["azure-cns*", "azure-cni*"], enforces: No },
];

/// Who runs nodes that show no plugin: a label of the nodes, whose clusters they are, whether they enforce.
/// - EKS Auto Mode: docs.aws.amazon.com/eks/latest/userguide/auto-net-pol.html.
/// - GKE without Dataplane V2 enforces by Calico or not at all: cloud.google.com/kubernetes-engine/docs/how-to/network-policy.
/// - AKS with kubenet enforces by Calico or not at all: learn.microsoft.com/azure/aks/use-network-policies.
const CLOUDS: &[(&str, &str, Enforces)] = &[
    (
        "eks.amazonaws.com/compute-type",
        "EKS Auto Mode",
        Setting("`enable-network-policy-controller` in the ConfigMap kube-system/amazon-vpc-cni must be \"true\""),
    ),
    ("cloud.google.com/gke-nodepool", "GKE without Dataplane V2 and without Calico", No),
    ("kubernetes.azure.com/cluster", "AKS without a network policy engine", No),
];

const ADVICE: &str = "NetworkPolicies are stored and have no effect: install a plugin that enforces them, such as Calico or \
                      Cilium, or switch enforcement on where the plugin can";
const TRY: &str = "find out by trying: `portcullis explain … --test-plan` prints connections that must fail; the plugins \
                   bridge, ptp and kubenet leave no trace in the API and enforce nothing";

fn weave(daemon_set: &DaemonSet) -> Option<&'static str> {
    let has_npc = daemon_set.containers.iter().any(|container| container.name == "weave-npc");
    (!has_npc).then_some("it runs without its policy controller, the container weave-npc")
}

fn kube_router(daemon_set: &DaemonSet) -> Option<&'static str> {
    has_arg(daemon_set, "--run-firewall=false").then_some("its policy controller is off (--run-firewall=false)")
}

fn amazon(daemon_set: &DaemonSet) -> Option<&'static str> {
    let on = has_arg(daemon_set, "--enable-network-policy=true");
    (!on).then_some(
        "its policy agent is off (the add-on's `enableNetworkPolicy`, the agent's --enable-network-policy=true)",
    )
}

fn kindnet(daemon_set: &DaemonSet) -> Option<&'static str> {
    const FIRST: u32 = 20_240_813;
    let dated = |image: &str| image.rsplit_once(":v")?.1.get(..8)?.parse::<u32>().ok();
    let old = daemon_set.containers.iter().all(|container| dated(&container.image).is_none_or(|date| date < FIRST));
    old.then_some("it does so only since kind v0.24.0, by the date in its image's tag")
}

fn has_arg(daemon_set: &DaemonSet, arg: &str) -> bool {
    daemon_set.containers.iter().any(|container| container.args.iter().any(|given| given == arg))
}

impl Plugin {
    fn is(&self, daemon_set: &DaemonSet) -> bool {
        self.known_by.iter().any(|pattern| {
            if let Some(container) = pattern.strip_prefix("container:") {
                return daemon_set.containers.iter().any(|has| has.name == container);
            }
            let (namespace, name) = pattern.split_once('/').map_or((None, *pattern), |(at, name)| (Some(at), name));
            let named = match name.strip_suffix('*') {
                Some(start) => daemon_set.name.starts_with(start),
                None => daemon_set.name == name,
            };
            named && namespace.is_none_or(|namespace| namespace == daemon_set.namespace)
        })
    }
}

/// What was found, by what it means.
#[derive(Default)]
struct Found<'a> {
    enforcing: Vec<(&'static str, &'a DaemonSet)>,
    /// Could, and does not.
    off: Vec<(&'static str, &'static str)>,
    by_setting: Vec<(&'static str, &'static str)>,
    never: Vec<&'static str>,
}

fn look(daemon_sets: &[DaemonSet]) -> Found<'_> {
    let mut found = Found::default();
    for daemon_set in daemon_sets {
        for plugin in PLUGINS.iter().filter(|plugin| plugin.is(daemon_set)) {
            let name = plugin.name;
            match plugin.enforces {
                Yes => found.enforcing.push((name, daemon_set)),
                No => found.never.push(name),
                Setting(setting) => found.by_setting.push((name, setting)),
                If(missing) => match missing(daemon_set) {
                    None => found.enforcing.push((name, daemon_set)),
                    Some(why) => found.off.push((name, why)),
                },
            }
        }
    }
    // Some plugins have one DaemonSet an architecture.
    found.enforcing.dedup_by_key(|(name, _)| *name);
    found.never.dedup();
    found
}

pub(super) fn check(facts: &Facts) -> Check {
    let daemon_sets = match &facts.daemon_sets {
        Ok(daemon_sets) => daemon_sets,
        Err(gap) => return Check::unknown(ID, gap),
    };
    let found = look(daemon_sets);
    match &found.enforcing[..] {
        [] => nobody_enforces(&found, facts),
        [(name, daemon_set)] => enforced(name, daemon_set, &found),
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
            let what = format!("several enforce NetworkPolicy: {}", some_of(&names));
            Check::warning(ID, what, "each of them may drop what another one lets through: leave enforcement to one")
        }
    }
}

fn enforced(name: &str, daemon_set: &DaemonSet, found: &Found<'_>) -> Check {
    let DaemonSet { namespace, name: object, desired, ready, .. } = daemon_set;
    let mut what = format!("{name} enforces NetworkPolicy (DaemonSet {namespace}/{object})");
    let others: Vec<&str> = found.never.iter().copied().chain(found.off.iter().map(|(name, _)| *name)).collect();
    if !others.is_empty() {
        what.push_str(&format!(", beside {}", some_of(&others)));
    }
    if ready < desired {
        what.push_str(&format!(", but is ready on {ready} of {desired} nodes only"));
        let repair = format!("on the other nodes policies may not be up to date: kubectl -n {namespace} get pods");
        return Check::warning(ID, what, repair);
    }
    Check::ok(ID, what)
}

fn nobody_enforces(found: &Found<'_>, facts: &Facts) -> Check {
    // k3s has kube-router's policy controller built in: https://docs.k3s.io/networking/networking-services
    if facts.version.git.contains("+k3s") {
        return Check::ok(
            ID,
            "k3s enforces NetworkPolicy by itself, unless it was started with --disable-network-policy",
        );
    }
    if let Some((name, why)) = found.off.first() {
        return Check::error(ID, format!("{name} does not enforce NetworkPolicy: {why}"), ADVICE);
    }
    if let Some((name, setting)) = found.by_setting.first() {
        return Check::warning(ID, format!("{name} enforces NetworkPolicy only by a setting"), *setting);
    }
    if !found.never.is_empty() {
        return Check::error(ID, format!("{} does not enforce NetworkPolicy", some_of(&found.never)), ADVICE);
    }
    let nodes = facts.nodes.as_deref().unwrap_or_default();
    let cloud = CLOUDS.iter().find(|(label, ..)| nodes.iter().any(|labels| labels.contains_key(*label)));
    match cloud {
        Some((_, name, Setting(setting))) => {
            Check::warning(ID, format!("{name} enforces NetworkPolicy only by a setting"), *setting)
        }
        Some((_, name, _)) => Check::error(ID, format!("{name} does not enforce NetworkPolicy"), ADVICE),
        None => {
            let what =
                "no CNI plugin that is known here was found, so whether NetworkPolicies are enforced is not known";
            Check::warning(ID, what, TRY)
        }
    }
}
