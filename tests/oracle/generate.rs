//! Random small clusters, as their users would write them. Few labels, few ports and few addresses, so that things
//! collide; every way to leave something out.

use std::net::{Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use serde_json::{Map, Value, json};

pub(crate) const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
pub(crate) const PORTS: [u16; 6] = [53, 80, 81, 443, 8080, 65535];
const PORT_NAMES: [&str; 2] = ["http", "db"];
pub(crate) const NAMESPACES: [&str; 4] = ["default", "a", "b", "c"];
const KEYS: [&str; 3] = ["app", "tier", "x.io/env"];
const VALUES: [&str; 3] = ["a", "b", ""];
const METADATA_NAME: &str = "kubernetes.io/metadata.name";

/// Objects, and how their blocks are to be read.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) documents: Vec<Value>,
    pub(crate) ip_blocks_match_pods: bool,
}

pub(crate) struct Generator {
    pub(crate) rng: Rng,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed) }
    }

    pub(crate) fn cluster(&mut self) -> Cluster {
        let namespaces: Vec<&str> = self.rng.choose_multiple(NAMESPACES, 2).into_iter().collect();
        let mut documents: Vec<Value> = Vec::new();
        for namespace in &namespaces {
            if self.percent(70) {
                documents.push(self.namespace(namespace));
            }
        }
        for number in 0..self.rng.usize(2..=4) {
            documents.push(self.pods(&namespaces, number));
        }
        for number in 0..self.rng.usize(0..=5) {
            documents.push(self.policy(&namespaces, number));
        }
        if self.percent(10) {
            documents.push(self.unrelated(&namespaces));
        }
        if self.percent(5) {
            let again = self.rng.choice(&documents).expect("some").clone();
            documents.push(again);
        }
        self.rng.shuffle(&mut documents);
        Cluster { documents, ip_blocks_match_pods: self.rng.bool() }
    }

    // ---- Choices -----------------------------------------------------------------------------------------------------

    pub(crate) fn percent(&mut self, share: u32) -> bool {
        self.rng.u32(0..100) < share
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(0..of.len())]
    }

    /// The index of a weight, as often as it weighs.
    fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.rng.u32(0..weights.iter().sum());
        let fits = |weight: &u32| {
            let fits = left < *weight;
            left = left.saturating_sub(*weight);
            fits
        };
        weights.iter().position(fits).expect("below their sum")
    }

    /// Sets a field to an empty list, to null, or not at all.
    fn leave_out(&mut self, object: &mut Map<String, Value>, field: &str, empty: Value) {
        match self.weighted(&[6, 2, 3]) {
            0 => {}
            1 => _ = object.insert(field.to_owned(), Value::Null),
            _ => _ = object.insert(field.to_owned(), empty),
        }
    }

    fn several(&mut self, most: usize, make: impl Fn(&mut Self) -> Value) -> Value {
        (0..self.rng.usize(1..=most)).map(|_| make(self)).collect()
    }

    // ---- Namespaces and pods -----------------------------------------------------------------------------------------

    fn metadata(&mut self, namespace: &str, name: &str) -> Map<String, Value> {
        let mut metadata = Map::from_iter([("name".to_owned(), json!(name))]);
        match namespace {
            "default" if self.percent(60) => match self.weighted(&[8, 1, 1]) {
                0 => {}
                1 => _ = metadata.insert("namespace".to_owned(), Value::Null),
                _ => _ = metadata.insert("namespace".to_owned(), json!("")),
            },
            _ => _ = metadata.insert("namespace".to_owned(), json!(namespace)),
        }
        metadata
    }

    pub(crate) fn labels(&mut self) -> Map<String, Value> {
        let mut labels = Map::new();
        for (key, share) in KEYS.into_iter().zip([80, 50, 20]) {
            if self.percent(share) {
                labels.insert(key.to_owned(), self.label_value());
            }
        }
        labels
    }

    pub(crate) fn label_value(&mut self) -> Value {
        if self.percent(3) { Value::Null } else { json!(VALUES[self.weighted(&[5, 4, 1])]) }
    }

    fn namespace(&mut self, name: &str) -> Value {
        let mut metadata = Map::from_iter([("name".to_owned(), json!(name))]);
        if self.percent(85) {
            let mut labels = self.labels();
            if self.percent(15) {
                // The API server does not let this one be anything else than the name.
                let value = if self.percent(70) { name } else { "c" };
                labels.insert(METADATA_NAME.to_owned(), json!(value));
            }
            metadata.insert("labels".to_owned(), Value::Object(labels));
        }
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    }

    /// A Pod or a workload.
    pub(crate) fn pods(&mut self, namespaces: &[&str], number: usize) -> Value {
        const KINDS: [(&str, &str); 7] = [
            ("apps/v1", "Deployment"),
            ("apps/v1", "ReplicaSet"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("batch/v1", "Job"),
            ("v1", "ReplicationController"),
            ("batch/v1", "CronJob"),
        ];
        let namespace = self.one(namespaces);
        // Equal names of different kinds, too.
        let name = if self.percent(80) { format!("p{number}") } else { "same".to_owned() };
        let mut metadata = self.metadata(namespace, &name);
        let (labels, spec) = (self.labels(), self.pod_spec());
        if self.percent(65) {
            metadata.insert("labels".to_owned(), Value::Object(labels));
            let name = if name == "same" { format!("same-{number}") } else { name };
            metadata.insert("name".to_owned(), json!(name));
            let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
            if self.percent(60) {
                pod["status"] = self.pod_status();
            }
            return pod;
        }
        // The labels of the workload itself mean nothing.
        metadata.insert("labels".to_owned(), Value::Object(self.labels()));
        let name = if name == "same" { name } else { format!("w{number}") };
        metadata.insert("name".to_owned(), json!(name));
        let mut template = json!({"metadata": {"labels": labels}, "spec": spec});
        if self.percent(10) {
            template["metadata"] = Value::Null;
        }
        let (version, kind) = if name == "same" { KINDS[number % KINDS.len()] } else { self.one(&KINDS) };
        let spec = if kind == "CronJob" {
            json!({"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": template}}})
        } else {
            json!({"replicas": 2, "template": template})
        };
        json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
    }

    fn pod_spec(&mut self) -> Value {
        let mut spec = json!({"containers": self.several(2, Self::container)});
        if self.percent(20) {
            let mut container = self.container();
            if self.percent(50) {
                container["restartPolicy"] = json!("Always");
            }
            spec["initContainers"] = json!([container]);
        }
        if self.percent(8) {
            spec["hostNetwork"] = json!(true);
        } else if self.percent(10) {
            spec["hostNetwork"] = self.rng.choice([Value::Null, json!(false)]).expect("some");
        }
        spec
    }

    fn container(&mut self) -> Value {
        let mut container = json!({"name": "c", "image": "registry.example/c:1"});
        let mut names = PORT_NAMES.to_vec();
        self.rng.shuffle(&mut names);
        let ports: Vec<Value> = (0..self.rng.usize(0..=2))
            .map(|_| {
                let mut port = json!({"containerPort": self.one(&PORTS)});
                if self.percent(80) {
                    port["name"] = json!(names.pop());
                }
                match self.weighted(&[12, 3, 3, 2, 1]) {
                    0 => {}
                    4 => port["protocol"] = json!(""),
                    which => port["protocol"] = json!(PROTOCOLS[which - 1]),
                }
                port
            })
            .collect();
        if !ports.is_empty() {
            container["ports"] = json!(ports);
        }
        container
    }

    pub(crate) fn pod_status(&mut self) -> Value {
        let (v4, v6) = (self.v4().to_string(), self.v6().to_string());
        match self.weighted(&[4, 2, 2, 1]) {
            0 => json!({"podIP": v4, "podIPs": [{"ip": v4}, {"ip": v6}]}),
            1 => json!({"podIP": v6}),
            2 => json!({"podIP": v4, "podIPs": [{"ip": v4}]}),
            _ => json!({"phase": "Pending"}),
        }
    }

    /// What is not Portcullis' business.
    fn unrelated(&mut self, namespaces: &[&str]) -> Value {
        let metadata = json!({"name": "p0", "namespace": self.one(namespaces), "labels": self.labels()});
        match self.weighted(&[1, 1, 1]) {
            0 => {
                json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "a"}}})
            }
            1 => json!({"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy", "metadata": metadata,
                        "spec": {"selector": "all()"}}),
            _ => json!({"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "PodGroup", "metadata": metadata}),
        }
    }

    // ---- Policies ----------------------------------------------------------------------------------------------------

    pub(crate) fn policy(&mut self, namespaces: &[&str], number: usize) -> Value {
        let namespace = self.one(namespaces);
        let mut metadata = self.metadata(namespace, &format!("n{number}"));
        if self.percent(3) {
            metadata.insert("deletionTimestamp".to_owned(), json!("2026-01-02T03:04:05Z"));
        }
        let mut spec = Map::new();
        if self.percent(85) {
            spec.insert("podSelector".to_owned(), self.selector());
        } else {
            self.leave_out(&mut spec, "podSelector", json!({}));
        }
        match self.weighted(&[4, 2, 2, 2, 1]) {
            0 => self.leave_out(&mut spec, "policyTypes", json!([])),
            1 => _ = spec.insert("policyTypes".to_owned(), json!(["Ingress"])),
            2 => _ = spec.insert("policyTypes".to_owned(), json!(["Egress"])),
            3 => _ = spec.insert("policyTypes".to_owned(), json!(["Ingress", "Egress"])),
            _ => _ = spec.insert("policyTypes".to_owned(), json!(["Egress", "Ingress"])),
        }
        for (list, peers) in [("ingress", "from"), ("egress", "to")] {
            match self.weighted(&[7, 12]) {
                0 => self.leave_out(&mut spec, list, json!([])),
                _ => _ = spec.insert(list.to_owned(), self.several(3, |this| this.rule(peers))),
            }
        }
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
    }

    fn rule(&mut self, peers: &str) -> Value {
        if self.percent(3) {
            return Value::Null;
        }
        let mut rule = Map::new();
        if self.percent(88) {
            rule.insert(peers.to_owned(), self.several(3, Self::peer));
        } else {
            self.leave_out(&mut rule, peers, json!([]));
        }
        if self.percent(60) {
            rule.insert("ports".to_owned(), self.several(3, Self::port));
        } else {
            self.leave_out(&mut rule, "ports", json!([]));
        }
        Value::Object(rule)
    }

    fn peer(&mut self) -> Value {
        let mut peer = match self.weighted(&[5, 3, 4, 5]) {
            0 => json!({"podSelector": self.selector()}),
            1 => json!({"namespaceSelector": self.namespace_selector()}),
            2 => json!({"namespaceSelector": self.namespace_selector(), "podSelector": self.selector()}),
            _ => json!({"ipBlock": self.block()}),
        };
        if self.percent(4) {
            for field in ["podSelector", "namespaceSelector", "ipBlock"] {
                if peer.get(field).is_none() {
                    peer[field] = Value::Null;
                }
            }
        }
        peer
    }

    fn port(&mut self) -> Value {
        let mut port = Map::new();
        match self.weighted(&[10, 6, 3, 2, 1]) {
            0 => {}
            4 => _ = port.insert("protocol".to_owned(), Value::Null),
            which => _ = port.insert("protocol".to_owned(), json!(PROTOCOLS[which - 1])),
        }
        match self.weighted(&[3, 1, 9, 6, 4]) {
            0 => {}
            1 => _ = port.insert("port".to_owned(), Value::Null),
            2 => _ = port.insert("port".to_owned(), json!(self.one(&PORTS))),
            3 => _ = port.insert("port".to_owned(), json!(self.one(&PORT_NAMES))),
            _ => {
                let first = self.one(&PORTS);
                let last = first.saturating_add(self.one(&[0, 1, 28, 8000]));
                port.insert("port".to_owned(), json!(first));
                port.insert("endPort".to_owned(), json!(last));
            }
        }
        Value::Object(port)
    }

    // ---- Selectors ---------------------------------------------------------------------------------------------------

    fn selector(&mut self) -> Value {
        let mut selector = Map::new();
        let shape = self.weighted(&[7, 8, 6, 2]);
        if shape & 1 == 1 {
            let labels: Map<String, Value> = self.labels();
            let few = labels.into_iter().take(if self.percent(80) { 1 } else { 3 });
            selector.insert("matchLabels".to_owned(), Value::Object(few.collect()));
        }
        if shape & 2 == 2 {
            selector.insert("matchExpressions".to_owned(), self.several(2, |this| this.requirement(&KEYS, &VALUES)));
        }
        if shape == 0 && self.percent(10) {
            self.leave_out(&mut selector, "matchLabels", json!({}));
            self.leave_out(&mut selector, "matchExpressions", json!([]));
        }
        Value::Object(selector)
    }

    fn namespace_selector(&mut self) -> Value {
        match self.weighted(&[5, 3, 2]) {
            0 => self.selector(),
            1 => json!({"matchLabels": {METADATA_NAME: self.one(&NAMESPACES)}}),
            _ => json!({"matchExpressions": [self.requirement(&[METADATA_NAME], &NAMESPACES)]}),
        }
    }

    fn requirement(&mut self, keys: &[&str], values: &[&str]) -> Value {
        let (key, operator) = (self.one(keys), self.one(&["In", "NotIn", "Exists", "DoesNotExist"]));
        let mut requirement = Map::from_iter([("key", key), ("operator", operator)].map(|(k, v)| (k.into(), v.into())));
        if operator.ends_with("In") {
            requirement.insert("values".to_owned(), self.several(2, |this| json!(this.one(values))));
        } else {
            self.leave_out(&mut requirement, "values", json!([]));
        }
        Value::Object(requirement)
    }

    // ---- Addresses ---------------------------------------------------------------------------------------------------

    pub(crate) fn v4(&mut self) -> Ipv4Addr {
        Ipv4Addr::from_bits(
            0x0a00_0000 | self.one(&[0, 0, 0x100, 0x1_0000]) | self.rng.u32(0..16) << 4 | self.rng.u32(0..4),
        )
    }

    pub(crate) fn v6(&mut self) -> Ipv6Addr {
        Ipv6Addr::from_bits(0xfd00 << 112 | self.rng.u128(0..2) << 64 | self.rng.u128(0..16) << 4 | self.rng.u128(0..4))
    }

    fn block(&mut self) -> Value {
        let mapped = self.percent(7);
        let (bits, width, prefix) = if self.percent(65) {
            (u128::from(self.v4().to_bits()), 32, self.one(&[0, 8, 16, 23, 24, 24, 26, 28, 31, 32]))
        } else {
            (self.v6().to_bits(), 128, self.one(&[0, 32, 64, 64, 120, 124, 127, 128]))
        };
        let bits = truncated(bits, width, prefix);
        let cidr = self.cidr(bits, width, prefix, mapped);
        let mut block = Map::from_iter([("cidr".to_owned(), json!(cidr))]);
        if self.percent(45) && prefix < width {
            let except = self.excepts(bits, width, prefix, mapped);
            block.insert("except".to_owned(), json!(except));
        } else {
            self.leave_out(&mut block, "except", json!([]));
        }
        Value::Object(block)
    }

    /// Blocks strictly inside: anywhere, beside one another, or one inside the other.
    fn excepts(&mut self, bits: u128, width: u32, prefix: u32, mapped: bool) -> Vec<String> {
        let inside = if width == 32 { u128::from(self.v4().to_bits()) } else { self.v6().to_bits() };
        let mask = u128::MAX.checked_shr(128 - width + prefix).unwrap_or(0);
        let inner = self.one(&[prefix + 1, width, (prefix + 8).min(width), (prefix + 2).min(width)]);
        let first = truncated(bits | (inside & mask), width, inner);
        let mut blocks = vec![(first, inner)];
        if self.percent(30) {
            blocks.push((first ^ (1 << (width - inner)), inner));
        }
        if self.percent(30) && inner < width {
            blocks.push((first, width));
        }
        let mut texts: Vec<String> =
            blocks.into_iter().map(|(first, inner)| self.cidr(first, width, inner, mapped)).collect();
        // By its bits it lies inside, but it means v4.
        if (bits, prefix) == (0, 0) && width == 128 && self.percent(30) {
            texts.push("::ffff:10.0.0.0/104".to_owned());
        }
        texts
    }

    /// A block as somebody may have written it.
    fn cidr(&mut self, bits: u128, width: u32, prefix: u32, mapped: bool) -> String {
        let noise = if self.percent(10) { self.rng.u128(0..=u128::MAX >> (128 - width)) } else { 0 };
        let bits = bits | (noise & u128::MAX.checked_shr(128 - width + prefix).unwrap_or(0));
        let padded = self.percent(8);
        if width == 128 {
            let address = Ipv6Addr::from_bits(bits);
            let groups = address.segments().map(|group| format!("{group:04X}")).join(":");
            return if padded { format!("{groups}/0{prefix}") } else { format!("{address}/{prefix}") };
        }
        let address = Ipv4Addr::from_bits(u32::try_from(bits).expect("32 bits"));
        let (octets, zero) = if padded {
            (address.octets().map(|octet| format!("{octet:03}")).join("."), "0")
        } else {
            (address.to_string(), "")
        };
        if mapped { format!("::ffff:{octets}/{zero}{}", prefix + 96) } else { format!("{octets}/{zero}{prefix}") }
    }
}

fn truncated(bits: u128, width: u32, prefix: u32) -> u128 {
    let beyond = width - prefix;
    bits.checked_shr(beyond).unwrap_or(0).checked_shl(beyond).unwrap_or(0)
}
