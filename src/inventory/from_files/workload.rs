//! Pods and workloads, as far as policies can tell them apart.
//!
//! Unlike policies they are not judged, so that fields which do not matter here may hold what they like.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::object::Fault;
use crate::manifest::Document;
use crate::netpol::pod::{Controller, NamedPort, Pod, PodKind};

/// API groups that workloads have been in. Source: API reference; `extensions` went away in 1.16, and old manifests
/// still name it.
const GROUPS: [&str; 4] = ["", "apps", "batch", "extensions"];

#[derive(Deserialize)]
struct Object {
    metadata: Option<Metadata>,
    spec: Option<Value>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    generate_name: Option<String>,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
    controller: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Template {
    metadata: Option<TemplateMetadata>,
    spec: Option<PodSpec>,
}

#[derive(Deserialize)]
struct TemplateMetadata {
    labels: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    host_network: Option<bool>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    ports: Option<Vec<Port>>,
    restart_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    name: Option<String>,
    container_port: u16,
    protocol: Option<String>,
}

#[derive(Deserialize)]
struct Templated {
    template: Option<Template>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobSpec {
    job_template: Option<JobTemplate>,
}

#[derive(Deserialize)]
struct JobTemplate {
    spec: Option<Templated>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<Address>>,
}

#[derive(Deserialize)]
struct Address {
    ip: Option<String>,
}

/// The pods a document describes; `None` for what describes none.
#[must_use]
pub fn read(document: &Document, default_namespace: &str) -> Option<Result<Pod, Fault>> {
    let group = document.api_version().rsplit_once('/').map_or("", |(group, _)| group);
    let kind = PodKind::ALL.into_iter().find(|kind| kind.as_str() == document.kind())?;
    GROUPS.contains(&group).then(|| pod(document, kind, default_namespace))
}

fn pod(document: &Document, kind: PodKind, default_namespace: &str) -> Result<Pod, Fault> {
    let object: Object = typed("", &document.value)?;
    let metadata = object.metadata.unwrap_or_default();
    let spec = object.spec.unwrap_or_default();
    let template = match kind {
        PodKind::Pod => {
            Template { metadata: Some(TemplateMetadata { labels: metadata.labels }), spec: typed("spec", &spec)? }
        }
        PodKind::CronJob => {
            let spec: Option<CronJobSpec> = typed("spec", &spec)?;
            let job = spec.and_then(|spec| spec.job_template).and_then(|job| job.spec);
            job.and_then(|spec| spec.template).unwrap_or_default()
        }
        _ => {
            let spec: Option<Templated> = typed("spec", &spec)?;
            spec.and_then(|spec| spec.template).unwrap_or_default()
        }
    };
    let made_up = || metadata.generate_name.map(|prefix| format!("{prefix}{}", document.line));
    let Some(name) = metadata.name.filter(|name| !name.is_empty()).or_else(made_up) else {
        return Err(Fault::refused("metadata.name", "the object has no name", "give it a metadata.name"));
    };
    let labels = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
    let spec = template.spec.unwrap_or_default();
    let owners = metadata.owner_references.unwrap_or_default();
    let controller = owners.into_iter().find(|owner| owner.controller == Some(true));
    Ok(Pod {
        namespace: metadata.namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| default_namespace.to_owned()),
        kind,
        name,
        // Go reads a null among texts as the empty text.
        labels: labels.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect(),
        ports: ports(&spec),
        host_network: spec.host_network.unwrap_or(false),
        addresses: addresses(object.status.unwrap_or_default()),
        controller: controller.map(|Owner { kind, name, .. }| Controller { kind, name }),
    })
}

/// The named ports of all containers that run as long as the pod does. Source: API reference, `Container.restartPolicy`:
/// an init container that is always restarted is a sidecar.
fn ports(spec: &PodSpec) -> Vec<NamedPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().flatten().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let named = ports.filter_map(|port| {
        let protocol = port.protocol.as_deref().filter(|text| !text.is_empty()).unwrap_or("TCP").parse().ok()?;
        Some(NamedPort { protocol, name: port.name.clone()?, number: port.container_port })
    });
    let mut named: Vec<NamedPort> = named.collect();
    named.sort();
    named.dedup();
    named
}

fn addresses(status: Status) -> Vec<IpAddr> {
    let all = status.pod_ips.into_iter().flatten().filter_map(|address| address.ip).chain(status.pod_ip);
    let mut all: Vec<IpAddr> = all.filter_map(|text| text.parse::<IpAddr>().ok()).collect();
    all.sort();
    all.dedup();
    all
}

fn typed<T: DeserializeOwned>(at: &str, value: &Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if at.is_empty() || path == "." { path } else { format!("{at}.{path}") };
        Fault::refused(&field, error.inner().to_string(), "mend it: the API server refuses the object as it is")
    })
}

#[cfg(test)]
mod tests;
