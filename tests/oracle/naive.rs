//! A second evaluator, so plain that it can be held against the API reference line by line: every policy and every rule
//! for every question, on the JSON as it was written. It shares nothing with the crate, and no cleverness with anybody.
//!
//! Source: Kubernetes API reference, `networking.k8s.io/v1` NetworkPolicy and `core/v1` Pod; documentation, Network
//! Policies. What they leave open follows the contract: a pod in its node's network is unknown, a block of IPv4-mapped
//! addresses is a v4 block, a policy with a deletionTimestamp is gone.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Map, Value};

const WORKLOADS: [&str; 7] =
    ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController"];

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `namespace/Kind/name`.
    Pod(String),
    Address(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) protocol: &'static str,
    pub(crate) port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    /// `namespace/name` of policies, by name.
    pub(crate) isolated_by: Vec<String>,
    /// `namespace/name egress[0]` of rules.
    pub(crate) allowed_by: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) egress: Side,
    pub(crate) ingress: Side,
}

/// A cluster, object by object.
pub(crate) struct Naive<'a> {
    pub(crate) pods: Vec<Pod<'a>>,
    policies: Vec<&'a Value>,
    namespaces: Vec<&'a Value>,
    ip_blocks_match_pods: bool,
}

pub(crate) struct Pod<'a> {
    pub(crate) id: String,
    namespace: &'a str,
    kind: &'a str,
    labels: &'a Value,
    spec: &'a Value,
    addresses: Vec<Address>,
}

#[derive(Clone, Copy)]
enum Place<'p, 'a> {
    Pod(&'p Pod<'a>),
    Address(Address),
}

impl<'a> Naive<'a> {
    pub(crate) fn new(documents: &'a [Value], ip_blocks_match_pods: bool) -> Self {
        let of_kind = |kind: &'static str| documents.iter().filter(move |object| object["kind"] == kind);
        let mut policies: Vec<&Value> = of_kind("NetworkPolicy")
            .filter(|policy| policy["apiVersion"] == "networking.k8s.io/v1")
            .filter(|policy| policy["metadata"]["deletionTimestamp"].is_null())
            .collect();
        policies.sort_by_key(|policy| (namespace_of(policy), name_of(policy)));
        policies.dedup();
        let mut pods: Vec<Pod<'a>> = documents.iter().filter_map(Pod::new).collect();
        pods.sort_by(|a, b| a.id.cmp(&b.id));
        pods.dedup_by(|a, b| a.id == b.id);
        Self { pods, policies, namespaces: of_kind("Namespace").collect(), ip_blocks_match_pods }
    }

    pub(crate) fn ask(&self, question: &Question) -> Answer {
        let (from, to) = (self.place(&question.from), self.place(&question.to));
        let egress = self.side(question, "Egress", from, to);
        let ingress = self.side(question, "Ingress", to, from);
        Answer { verdict: verdict(from, to, &egress, &ingress), egress, ingress }
    }

    fn place<'p>(&'p self, end: &End) -> Place<'p, 'a> {
        match end {
            End::Address(address) => Place::Address(Address::from(*address)),
            End::Pod(id) => Place::Pod(self.pods.iter().find(|pod| pod.id == *id).expect("a pod of the cluster")),
        }
    }

    fn side(&self, question: &Question, direction: &str, end: Place<'_, '_>, other: Place<'_, '_>) -> Side {
        let mut side = Side::default();
        let Place::Pod(pod) = end else { return side };
        let (list, peers) = if direction == "Egress" { ("egress", "to") } else { ("ingress", "from") };
        let called = if direction == "Egress" { other } else { end };
        for policy in &self.policies {
            let spec = &policy["spec"];
            if namespace_of(policy) != pod.namespace
                || pod.host_network()
                || !has_type(spec, direction)
                || !selects(&spec["podSelector"], |key| label(pod.labels, key))
            {
                continue;
            }
            let policy_name = format!("{}/{}", namespace_of(policy), name_of(policy));
            for (index, rule) in items(&spec[list]).iter().enumerate() {
                let (peers, ports) = (items(&rule[peers]), items(&rule["ports"]));
                let peer_fits = peers.is_empty() || peers.iter().any(|peer| self.is_peer(pod.namespace, peer, other));
                let port_fits = ports.is_empty() || ports.iter().any(|port| is_port(port, question, called));
                if peer_fits && port_fits {
                    side.allowed_by.push(format!("{policy_name} {list}[{index}]"));
                }
            }
            side.isolated_by.push(policy_name);
        }
        side
    }

    fn is_peer(&self, policy_namespace: &str, peer: &Value, end: Place<'_, '_>) -> bool {
        let block = &peer["ipBlock"];
        match end {
            Place::Address(address) => !block.is_null() && in_block(block, address),
            Place::Pod(pod) if !block.is_null() => {
                self.ip_blocks_match_pods && pod.addresses.iter().any(|address| in_block(block, *address))
            }
            Place::Pod(pod) => {
                let there = match &peer["namespaceSelector"] {
                    Value::Null => pod.namespace == policy_namespace,
                    selector => selects(selector, |key| self.namespace_label(pod.namespace, key)),
                };
                // An absent selector of pods takes all of them, as an empty one does.
                there && selects(&peer["podSelector"], |key| label(pod.labels, key))
            }
        }
    }

    fn namespace_label<'n>(&self, namespace: &'n str, key: &str) -> Option<&'n str>
    where
        'a: 'n,
    {
        if key == "kubernetes.io/metadata.name" {
            return Some(namespace);
        }
        let object = self.namespaces.iter().find(|object| name_of(object) == namespace)?;
        label(&object["metadata"]["labels"], key)
    }
}

fn verdict(from: Place<'_, '_>, to: Place<'_, '_>, egress: &Side, ingress: &Side) -> Verdict {
    let in_host_network = |place| matches!(place, Place::Pod(pod) if Pod::host_network(pod));
    if in_host_network(from) || in_host_network(to) {
        return Verdict::Unknown;
    }
    if let (Place::Pod(from), Place::Pod(to)) = (from, to)
        && from.kind == "Pod"
        && from.id == to.id
    {
        return Verdict::Allow;
    }
    let passes = |side: &Side| side.isolated_by.is_empty() || !side.allowed_by.is_empty();
    if passes(egress) && passes(ingress) { Verdict::Allow } else { Verdict::Deny }
}

impl<'a> Pod<'a> {
    fn new(object: &'a Value) -> Option<Self> {
        let kind = object["kind"].as_str()?;
        let template = match kind {
            "Pod" => object,
            "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
            _ if WORKLOADS.contains(&kind) => &object["spec"]["template"],
            _ => return None,
        };
        let namespace = namespace_of(object);
        let mut addresses: Vec<&Value> = items(&object["status"]["podIPs"]).iter().map(|entry| &entry["ip"]).collect();
        addresses.push(&object["status"]["podIP"]);
        let addresses = addresses.into_iter().filter_map(Value::as_str);
        Some(Self {
            id: format!("{namespace}/{kind}/{}", name_of(object)),
            namespace,
            kind,
            labels: &template["metadata"]["labels"],
            spec: &template["spec"],
            addresses: addresses.map(|text| Address::from(text.parse::<IpAddr>().expect("an address"))).collect(),
        })
    }

    pub(crate) fn host_network(&self) -> bool {
        self.spec["hostNetwork"] == true
    }

    /// Whether a container that lives as long as the pod calls this port so.
    fn calls(&self, name: &str, protocol: &str, number: u16) -> bool {
        let sidecars = items(&self.spec["initContainers"]).iter().filter(|one| one["restartPolicy"] == "Always");
        items(&self.spec["containers"]).iter().chain(sidecars).flat_map(|container| items(&container["ports"])).any(
            |port| {
                port["name"] == name
                    && port["containerPort"] == number
                    && text(&port["protocol"]).unwrap_or("TCP") == protocol
            },
        )
    }
}

/// "If this field is not specified, it will default based on the existence of ingress or egress rules; policies that
/// contain an egress section are assumed to affect egress, and all policies are assumed to affect ingress."
fn has_type(spec: &Value, direction: &str) -> bool {
    match items(&spec["policyTypes"]) {
        [] => direction == "Ingress" || !items(&spec["egress"]).is_empty(),
        types => types.iter().any(|one| one == direction),
    }
}

fn is_port(port: &Value, question: &Question, called: Place<'_, '_>) -> bool {
    let protocol = text(&port["protocol"]).unwrap_or("TCP");
    protocol == question.protocol
        && match &port["port"] {
            Value::Null => true,
            Value::String(name) => {
                matches!(called, Place::Pod(pod) if pod.calls(name, protocol, question.port))
            }
            number => {
                let first = number.as_u64().expect("a port");
                let last = port["endPort"].as_u64().unwrap_or(first);
                first <= u64::from(question.port) && u64::from(question.port) <= last
            }
        }
}

// ---- Labels ----------------------------------------------------------------------------------------------------------

fn selects<'l>(selector: &Value, label: impl Fn(&str) -> Option<&'l str>) -> bool {
    let equal = entries(&selector["matchLabels"]).all(|(key, value)| label(key) == Some(value.as_str().unwrap_or("")));
    equal
        && items(&selector["matchExpressions"]).iter().all(|requirement| {
            let found = label(requirement["key"].as_str().expect("a key"));
            let listed = found.is_some_and(|found| items(&requirement["values"]).iter().any(|value| value == found));
            match requirement["operator"].as_str().expect("an operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                other => panic!("{other} is no operator"),
            }
        })
}

/// A null among texts is the empty text, as Go reads it.
fn label<'l>(labels: &'l Value, key: &str) -> Option<&'l str> {
    labels.get(key).map(|value| value.as_str().unwrap_or(""))
}

// ---- Addresses -------------------------------------------------------------------------------------------------------

/// An address by its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    bits: u128,
    width: u32,
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        let bits = match address {
            IpAddr::V4(v4) => return Self { bits: u32::from(v4).into(), width: 32 },
            IpAddr::V6(v6) => u128::from(v6),
        };
        if bits >> 32 == 0xffff { Self { bits: bits & 0xffff_ffff, width: 32 } } else { Self { bits, width: 128 } }
    }
}

fn in_block(block: &Value, address: Address) -> bool {
    let holds = |cidr: &Value| in_cidr(cidr.as_str().expect("a CIDR"), address);
    holds(&block["cidr"]) && !items(&block["except"]).iter().any(holds)
}

fn in_cidr(cidr: &str, address: Address) -> bool {
    let (first, prefix) = cidr.split_once('/').expect("a CIDR");
    let mut prefix: u32 = prefix.parse().expect("a prefix length");
    let (mut bits, mut width) = address_bits(first);
    // A block whose every address is IPv4-mapped is one of v4.
    if width == 128 && prefix >= 96 && bits >> 32 == 0xffff {
        (bits, width, prefix) = (bits & 0xffff_ffff, 32, prefix - 96);
    }
    let beyond = width - prefix;
    width == address.width && (beyond == 128 || bits >> beyond == address.bits >> beyond)
}

/// The bits and how many there are. Octets may have leading zeros, which mean nothing.
fn address_bits(text: &str) -> (u128, u32) {
    let octets = |text: &str| {
        let octets = text.split('.').map(|octet| octet.parse::<u128>().expect("an octet"));
        octets.fold(0, |bits, octet| bits << 8 | octet)
    };
    match text.rsplit_once(':') {
        None => (octets(text), 32),
        Some((head, tail)) if tail.contains('.') => {
            let head: Ipv6Addr = format!("{head}:0:0").parse().expect("an address");
            (u128::from(head) | octets(tail), 128)
        }
        Some(_) => (u128::from(text.parse::<Ipv6Addr>().expect("an address")), 128),
    }
}

// ---- JSON ------------------------------------------------------------------------------------------------------------

/// Absent, null and empty are alike.
fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn namespace_of(object: &Value) -> &str {
    text(&object["metadata"]["namespace"]).unwrap_or("default")
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a name")
}
