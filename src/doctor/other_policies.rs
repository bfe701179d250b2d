//! Policies of other kinds, which open and close connections without the webhook being asked.

use super::Check;
use super::facts::Known;

const ID: &str = "other-policies";

/// A kind that speaks about connections, and is none that Portcullis judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyKind {
    /// Its API group.
    pub group: &'static str,
    /// Its name in the API, in the plural.
    pub resource: &'static str,
}

const fn kind(group: &'static str, resource: &'static str) -> PolicyKind {
    PolicyKind { group, resource }
}

/// By the CRDs that each project installs. Calico serves its policies a second time as projectcalico.org, where they are
/// mixed with the ordinary ones, so that group counts only where it is alone.
pub(super) const KINDS: &[PolicyKind] = &[
    kind("policy.networking.k8s.io", "adminnetworkpolicies"),
    kind("policy.networking.k8s.io", "baselineadminnetworkpolicies"),
    kind("policy.networking.k8s.io", "clusternetworkpolicies"),
    kind("cilium.io", "ciliumnetworkpolicies"),
    kind("cilium.io", "ciliumclusterwidenetworkpolicies"),
    kind("crd.projectcalico.org", "networkpolicies"),
    kind("crd.projectcalico.org", "globalnetworkpolicies"),
    kind("projectcalico.org", "networkpolicies"),
    kind("projectcalico.org", "globalnetworkpolicies"),
    kind("crd.antrea.io", "networkpolicies"),
    kind("crd.antrea.io", "clusternetworkpolicies"),
    kind("kubeovn.io", "security-groups"),
    kind("k8s.ovn.org", "egressfirewalls"),
    kind("networking.k8s.aws", "applicationnetworkpolicies"),
    kind("networking.k8s.aws", "clusternetworkpolicies"),
    kind("networking.gke.io", "fqdnnetworkpolicies"),
];

/// The kinds to count where the API server has these groups.
pub(super) fn wanted<'a>(groups: &'a [&str]) -> impl Iterator<Item = &'static PolicyKind> + use<'a> {
    let has = |group: &str| groups.contains(&group);
    KINDS
        .iter()
        .filter(move |kind| has(kind.group) && !(kind.group == "projectcalico.org" && has("crd.projectcalico.org")))
}

pub(super) fn check(kinds: &Known<Vec<(PolicyKind, Known<u64>)>>) -> Check {
    let kinds = match kinds {
        Ok(kinds) => kinds,
        Err(gap) => return Check::unknown(ID, gap),
    };
    let told = |kind: &PolicyKind| format!("{}.{}", kind.resource, kind.group);
    let some: Vec<String> = kinds
        .iter()
        .filter_map(|(kind, count)| {
            Some(format!("{} {}", count.as_ref().ok().filter(|count| **count > 0)?, told(kind)))
        })
        .collect();
    if !some.is_empty() {
        let what = format!("policies that Portcullis does not see: {}", some.join(", "));
        let repair = "they can allow what the rules deny: keep tenants from writing them (RBAC), and review them apart";
        return Check::warning(ID, what, repair);
    }
    if let Some(gap) = kinds.iter().find_map(|(_, count)| count.as_ref().err()) {
        return Check::unknown(ID, gap);
    }
    if kinds.is_empty() {
        return Check::ok(ID, "the cluster knows no other kind of policy");
    }
    let names: Vec<String> = kinds.iter().map(|(kind, _)| told(kind)).collect();
    Check::ok(ID, format!("the cluster knows other kinds of policies and has none: {}", names.join(", ")))
}
