//! The ends of a connection by the names that people give them.
//!
//! `namespace/name`, `namespace/Kind/name`, `name` in the namespace of `-n`, or an address.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;

use crate::config::nearest::nearest;
use crate::netpol::connectivity::{End, World};
use crate::netpol::pod::{Pod, PodKind};

#[cfg(test)]
mod tests;

/// How many names of one sort an error tells.
const TOLD: usize = 3;

/// All pods and workloads by name, indexed once.
pub(super) struct Names<'w, 'a> {
    world: &'w World<'a>,
    pods: HashMap<&'a str, HashMap<&'a str, Vec<&'a Pod>>>,
    addresses: HashMap<IpAddr, Vec<&'a Pod>>,
    default_namespace: &'w str,
}

/// An end, and what else there is to say of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) end: End<'a>,
    pub(super) note: Option<String>,
}

impl<'w, 'a> Names<'w, 'a> {
    pub(super) fn new(world: &'w World<'a>, default_namespace: &'w str) -> Self {
        let mut names = Self { world, pods: HashMap::new(), addresses: HashMap::new(), default_namespace };
        for space in world.spaces() {
            let here = names.pods.entry(space.name).or_default();
            for pod in &space.pods {
                here.entry(&pod.name).or_default().push(pod);
                for address in &pod.addresses {
                    names.addresses.entry(address.to_canonical()).or_default().push(pod);
                }
            }
        }
        names
    }

    /// The end that a text names.
    ///
    /// # Errors
    /// One line that says what is not known, or what the text could all mean, with the nearest names.
    pub(super) fn find(&self, text: &str) -> Result<Found<'a>, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return self.by_address(address.to_canonical());
        }
        let end = match text.split('/').collect::<Vec<_>>()[..] {
            [name] if !name.is_empty() => self.by_name(self.default_namespace, name)?,
            [namespace, name] if !namespace.is_empty() && !name.is_empty() => self.by_name(namespace, name)?,
            [namespace, kind, name] => self.by_kind(namespace, kind, name)?,
            _ => {
                return Err(format!(
                    "`{text}` names no end: write namespace/name, namespace/Kind/name or an IP address"
                ));
            }
        };
        Ok(Found { end: End::Pod(end), note: None })
    }

    /// An address that a pod is known to have means that pod.
    fn by_address(&self, address: IpAddr) -> Result<Found<'a>, String> {
        let pods = self.addresses.get(&address).map(Vec::as_slice).unwrap_or_default();
        let governed: Vec<&'a Pod> = pods.iter().copied().filter(|pod| !pod.host_network).collect();
        match (&governed[..], pods) {
            ([], []) => Ok(Found { end: End::Address(address), note: None }),
            ([pod], _) => Ok(Found { end: End::Pod(pod), note: Some(format!("{address} is the address of {pod}")) }),
            // Pods in the network of a node all have its address.
            ([], [pod, ..]) => {
                let note = format!("{address} is the address of a node, and so of {pod}");
                Ok(Found { end: End::Pod(pod), note: Some(note) })
            }
            (several, _) => Err(format!("several pods have the address {address}: {}; name one", listed(several))),
        }
    }

    /// The Pod of that name, else the only workload.
    fn by_name(&self, namespace: &str, name: &str) -> Result<&'a Pod, String> {
        let named = self.named(namespace, name);
        let pod = named.iter().copied().find(|pod| pod.kind == PodKind::Pod);
        match (pod, named) {
            (Some(pod), _) => Ok(pod),
            (None, [only]) => Ok(only),
            (None, []) => Err(self.unknown(namespace, name)),
            (None, several) => Err(format!("{namespace}/{name} is several workloads: {}; name one", listed(several))),
        }
    }

    fn by_kind(&self, namespace: &str, kind: &str, name: &str) -> Result<&'a Pod, String> {
        let wanted = kind_of(kind).ok_or_else(|| {
            let kinds = PodKind::ALL.map(PodKind::as_str);
            let perhaps = nearest(kind, kinds).map(|near| format!("; did you mean `{near}`?"));
            let kinds = perhaps.unwrap_or_else(|| format!("; there are {}", kinds.join(", ")));
            format!("`{kind}` is no kind of pods or workloads{kinds}")
        })?;
        let named = self.named(namespace, name);
        named.iter().copied().find(|pod| pod.kind == wanted).ok_or_else(|| match named {
            [] => self.unknown(namespace, name),
            others => format!("{namespace} has no {wanted} `{name}`; it has {}", listed(others)),
        })
    }

    fn named(&self, namespace: &str, name: &str) -> &[&'a Pod] {
        self.pods.get(namespace).and_then(|here| here.get(name)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Says that nothing is named so, and what might have been meant.
    fn unknown(&self, namespace: &str, name: &str) -> String {
        let mut text = match self.pods.get(namespace) {
            Some(_) => format!("the namespace `{namespace}` has no pod or workload `{name}`"),
            None => format!("there is no namespace `{namespace}`"),
        };
        let alike = match self.pods.get(namespace) {
            Some(here) => nearest(name, sorted(here.keys().copied())).map(|near| format!("{namespace}/{near}")),
            None => nearest(namespace, sorted(self.pods.keys().copied()))
                .map(|near| if self.named(near, name).is_empty() { near.to_owned() } else { format!("{near}/{name}") }),
        };
        let elsewhere = self.world.spaces().flat_map(|space| self.named(space.name, name));
        let elsewhere: Vec<&Pod> = elsewhere.copied().filter(|pod| Some(pod.to_string()) != alike).collect();
        let there_is = if alike.is_some() { " There is" } else { "; there is" };
        text.extend(alike.map(|alike| format!("; did you mean `{alike}`?")));
        if !elsewhere.is_empty() {
            text.push_str(&format!("{there_is} {}", listed(&elsewhere)));
        }
        text
    }
}

/// In an order that does not change from run to run.
fn sorted<'n>(names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

fn listed<T: Display>(pods: &[T]) -> String {
    let told: Vec<String> = pods.iter().take(TOLD).map(ToString::to_string).collect();
    let more = pods.len().saturating_sub(TOLD);
    if more == 0 { told.join(", ") } else { format!("{} and {more} more", told.join(", ")) }
}

/// A kind as kubectl takes it: in any case, in the plural, or short.
/// Source: `kubectl api-resources`.
fn kind_of(text: &str) -> Option<PodKind> {
    let text = text.to_lowercase();
    let short = match text.as_str() {
        "po" => Some(PodKind::Pod),
        "deploy" => Some(PodKind::Deployment),
        "rs" => Some(PodKind::ReplicaSet),
        "sts" => Some(PodKind::StatefulSet),
        "ds" => Some(PodKind::DaemonSet),
        "cj" => Some(PodKind::CronJob),
        "rc" => Some(PodKind::ReplicationController),
        _ => None,
    };
    short.or_else(|| {
        let singular = text.strip_suffix('s').unwrap_or(&text);
        PodKind::ALL.into_iter().find(|kind| [text.as_str(), singular].contains(&kind.as_str().to_lowercase().as_str()))
    })
}
