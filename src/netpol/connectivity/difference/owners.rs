//! Pods go by what controls them: a dump of a cluster has a Deployment, its ReplicaSets and their Pods, whose names
//! are made up anew with every rollout.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::ends::Telling;
use crate::netpol::connectivity::Space;
use crate::netpol::pod::{Pod, PodKind};

/// How often one thing may control another: Deployment, ReplicaSet, Pod, and one to spare.
const MAX_CHAIN: usize = 4;

/// The label by which a ReplicaSet of a Deployment tells its pods, also the end of its name.
/// Source: Kubernetes documentation, Deployments, pod-template-hash label.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Kind and name.
pub(super) type Key = (String, String);

/// An object that stands for itself and for those that are alike.
#[derive(Clone, Debug)]
pub(super) struct Kept<'a> {
    /// What it is called.
    pub(super) key: Key,
    pub(super) pod: &'a Pod,
    /// Of all it stands for.
    pub(super) addresses: Vec<IpAddr>,
    /// What else it stands for.
    pub(super) also: Vec<&'a Pod>,
}

/// The pods of a namespace, those of one controller together as long as policies cannot tell them apart.
pub(super) fn fold<'a>(space: &Space<'a>, telling: &Telling<'_>) -> Vec<Kept<'a>> {
    if space.pods.iter().all(|pod| pod.controller.is_none()) {
        return space.pods.iter().map(|pod| Kept::alone(pod)).collect();
    }
    let objects: HashMap<(&str, &str), &'a Pod> =
        space.pods.iter().map(|pod| ((pod.kind.as_str(), pod.name.as_str()), *pod)).collect();
    let mut families: BTreeMap<Key, Vec<&'a Pod>> = BTreeMap::new();
    for pod in &space.pods {
        families.entry(root(pod, &objects)).or_default().push(pod);
    }
    families.into_iter().flat_map(|(key, family)| fold_family(&key, family, telling)).collect()
}

impl<'a> Kept<'a> {
    /// An object that stands for nothing else.
    fn alone(pod: &'a Pod) -> Self {
        let mut addresses = pod.addresses.clone();
        addresses.sort_unstable();
        Self { key: own_key(pod), pod, addresses, also: Vec::new() }
    }
}

fn own_key(pod: &Pod) -> Key {
    (pod.kind.as_str().to_owned(), pod.name.clone())
}

fn fold_family<'a>(key: &Key, mut family: Vec<&'a Pod>, telling: &Telling<'_>) -> Vec<Kept<'a>> {
    let is_root = |pod: &Pod| (pod.kind.as_str(), pod.name.as_str()) == (key.0.as_str(), key.1.as_str());
    // Running pods tell more than the templates of revisions, of which most are old.
    family.sort_by_key(|pod| (!is_root(pod), pod.kind));
    let mut kept: Vec<Kept<'a>> = Vec::new();
    for pod in family {
        let Some(head) = kept.first_mut() else {
            let addresses = pod.addresses.clone();
            let also = if is_root(pod) { Vec::new() } else { vec![pod] };
            kept.push(Kept { key: key.clone(), pod, addresses, also });
            continue;
        };
        // A template between a controller and its pods is no pod.
        let between = pod.kind != PodKind::Pod && is_root(head.pod);
        if between || telling.alike(head.pod, pod) {
            head.addresses.extend(&pod.addresses);
            head.also.push(pod);
        } else {
            kept.push(Kept::alone(pod));
        }
    }
    for kept in &mut kept {
        kept.addresses.sort_unstable();
        kept.addresses.dedup();
    }
    kept
}

/// What controls a pod in the end.
fn root(pod: &Pod, objects: &HashMap<(&str, &str), &Pod>) -> Key {
    let mut pod = pod;
    for _ in 0..MAX_CHAIN {
        let Some(controller) = &pod.controller else { break };
        let Some(next) = objects.get(&(controller.kind.as_str(), controller.name.as_str())) else {
            let hash = pod.labels.get(TEMPLATE_HASH);
            let deployment = hash.and_then(|hash| controller.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
            return match deployment {
                Some(name) if controller.kind == "ReplicaSet" => ("Deployment".to_owned(), name.to_owned()),
                _ => (controller.kind.clone(), controller.name.clone()),
            };
        };
        pod = next;
    }
    own_key(pod)
}
