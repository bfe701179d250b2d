//! What would let a connection pass that an end blocks.
//!
//! Policies add up, so a policy more takes nothing from anybody, as long as it isolates no pod that was not isolated
//! before: its pods are among those of a policy that isolates them already.

use super::{Direction, End, NetworkPolicy, Pod, Side, World};
use crate::netpol::METADATA_NAME;
use crate::netpol::policy::{Peer, PolicyRule, PolicySpec, is_label_key};
use crate::netpol::port_set::{PortSet, Protocol};
use crate::netpol::selector::{Labels, Selector, is_label_value};

#[cfg(test)]
mod tests;

/// Labels that controllers put on pods to tell them apart. They change with every rollout, or name one pod of many.
///
/// Source: Kubernetes documentation, well-known labels; workload management.
const OF_CONTROLLERS: [&str; 10] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// How much of a name goes into the name of a policy.
const MAX_NAME: usize = 60;

/// The labels by which a pod is known for good: without those of controllers, unless it has no others, and without
/// what no API server would take.
#[must_use]
pub fn lasting_labels(pod: &Pod) -> Labels {
    let valid = |(key, value): &(&String, &String)| is_label_key(key) && is_label_value(value);
    let own = |(key, _): &(&String, &String)| !OF_CONTROLLERS.contains(&key.as_str());
    let labels = |keep: &dyn Fn(&(&String, &String)) -> bool| -> Labels {
        let kept = pod.labels.iter().filter(|label| keep(label));
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let lasting = labels(&|label| valid(label) && own(label));
    if lasting.is_empty() { labels(&valid) } else { lasting }
}

impl<'a> World<'a> {
    /// A policy that lets a connection pass at the end that blocks it, and nothing else that labels can tell apart
    /// from it. `ports` are the called ports. `None` where nothing is blocked, or no policy could help.
    #[must_use]
    pub fn repair(
        &self,
        (end, side): (End<'a>, &Side<'a>),
        direction: Direction,
        other: End<'a>,
        ports: &PortSet,
    ) -> Option<NetworkPolicy> {
        let End::Pod(pod) = end else { return None };
        if side.allows() {
            return None;
        }
        let rule = PolicyRule { peers: vec![peer(&pod.namespace, other)], ports: ports.clone(), ranges: Vec::new() };
        let (ingress, egress) = match direction {
            Direction::Ingress => (vec![rule], Vec::new()),
            Direction::Egress => (Vec::new(), vec![rule]),
        };
        let spec = PolicySpec {
            pod_selector: selected(pod, side),
            isolates_ingress: direction == Direction::Ingress,
            isolates_egress: direction == Direction::Egress,
            ingress,
            egress,
        };
        let name = self.free_name(&pod.namespace, &name(pod, direction, other, ports));
        Some(NetworkPolicy { namespace: pod.namespace.clone(), name, spec })
    }

    fn free_name(&self, namespace: &str, wanted: &str) -> String {
        let space = self.space(namespace);
        let taken = |name: &str| {
            space.is_some_and(|space| {
                space.policies.iter().any(|policy| policy.name == name)
                    || space.unread.iter().any(|(unread, _)| *unread == name)
            })
        };
        let numbered = (2..).map(|number: u32| format!("{wanted}-{number}"));
        std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
    }
}

/// The pod by its labels, among the pods that a policy isolates already.
fn selected(pod: &Pod, side: &Side<'_>) -> Selector {
    let by_labels = Selector::labels(lasting_labels(pod));
    let mut isolating = side.isolated_by.iter().map(|policy| &policy.spec.pod_selector);
    if isolating.clone().any(|selector| by_labels.implies(selector)) {
        return by_labels;
    }
    let among = isolating.next().map(Selector::requirements).unwrap_or_default();
    Selector::new([by_labels.requirements(), among].concat())
}

fn peer(namespace: &str, other: End<'_>) -> Peer {
    match other {
        End::Address(address) => Peer::IpBlock { cidr: address.to_canonical().into(), except: Vec::new() },
        End::Pod(pod) => {
            let elsewhere = pod.namespace != namespace;
            Peer::Pods {
                namespace: elsewhere.then(|| Selector::labels([(METADATA_NAME, pod.namespace.as_str())])),
                pod: Some(Selector::labels(lasting_labels(pod))),
            }
        }
    }
}

/// `allow-web-to-b-db-tcp-5432-egress`.
fn name(pod: &Pod, direction: Direction, other: End<'_>, ports: &PortSet) -> String {
    let there = match other {
        End::Pod(there) if there.namespace == pod.namespace => there.name.clone(),
        End::Pod(there) => format!("{}-{}", there.namespace, there.name),
        End::Address(address) => address.to_canonical().to_string(),
    };
    let (from, to) = match direction {
        Direction::Egress => (&pod.name, &there),
        Direction::Ingress => (&there, &pod.name),
    };
    let port = Protocol::ALL.into_iter().find_map(|protocol| {
        let first = *ports.ranges(protocol).next()?.start();
        (*ports == PortSet::single(protocol, first)).then(|| format!("{protocol}-{first}"))
    });
    let parts = [short(from), "to".to_owned(), short(to), short(&port.unwrap_or_default())];
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    format!("allow-{}-{}", parts.join("-"), direction.field())
}

/// A text as part of a name: letters, digits, and dashes inside.
fn short(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let letters: String = text.chars().take(MAX_NAME).map(letter).collect();
    letters.trim_matches('-').to_owned()
}
