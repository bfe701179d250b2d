//! What is asked of a random cluster: ends, ports and addresses that its manifests make interesting.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;

use crate::generate::{Cluster, Generator, PROTOCOLS};
use crate::naive::{End, Naive, Question};

/// Every pair of pods, and every pod with some addresses, each on a few protocols and ports.
pub(crate) fn questions(cluster: &Cluster, draw: &mut Generator) -> Vec<Question> {
    let naive = Naive::new(&cluster.documents, cluster.ip_blocks_match_pods);
    let pods: Vec<End> = naive.pods.iter().map(|pod| End::Pod(pod.id.clone())).collect();
    let edges = edges(&cluster.documents);
    let ports = ports(&cluster.documents);
    let address = |draw: &mut Generator| End::Address(draw.one(&edges));
    let mut questions = Vec::new();
    for from in &pods {
        let others = [address(draw), address(draw), address(draw), address(draw)];
        for (to, times) in pods.iter().map(|pod| (pod, 6)).chain(others.iter().map(|address| (address, 3))) {
            for _ in 0..times {
                let (from, to) = if draw.percent(50) { (from, to) } else { (to, from) };
                let (protocol, port) = draw.one(&ports);
                questions.push(Question { from: from.clone(), to: to.clone(), protocol, port });
            }
        }
    }
    questions
}

/// The ports these objects write, with those beside them, of the protocols they write and a little of all others.
pub(crate) fn ports(documents: &[Value]) -> Vec<(&'static str, u16)> {
    let mut found = vec![("TCP", 80), ("UDP", 53), ("SCTP", 443), ("TCP", 1), ("UDP", 65535), ("TCP", 22)];
    let mut entries = Vec::new();
    documents.iter().for_each(|document| port_entries(document, &mut entries));
    for entry in entries {
        let of = PROTOCOLS.into_iter().find(|protocol| entry["protocol"] == *protocol).unwrap_or("TCP");
        let written = |field: &str| entry[field].as_u64().and_then(|number| u16::try_from(number).ok());
        let (first, last) = (written("port").or(written("containerPort")), written("endPort"));
        found.extend(first.into_iter().chain(last).map(|number| (of, number)));
        found.extend(last.map(|number| (of, number.saturating_add(1))));
        found.extend(first.map(|number| if number > 1 { (of, number - 1) } else { ("UDP", number) }));
    }
    found
}

/// Everything in a list called `ports`.
fn port_entries<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| port_entries(item, found)),
        Value::Object(entries) => {
            found.extend(entries.get("ports").and_then(Value::as_array).into_iter().flatten());
            entries.values().for_each(|inner| port_entries(inner, found));
        }
        _ => {}
    }
}

/// Where the blocks of these objects begin and end, with the neighbours outside, and some addresses of no block.
pub(crate) fn edges(documents: &[Value]) -> Vec<IpAddr> {
    let mut found = BTreeSet::from([
        IpAddr::from([10, 0, 0, 1]),
        IpAddr::from([8, 8, 8, 8]),
        IpAddr::V6(Ipv6Addr::from_bits(0xfd00 << 112 | 1)),
        IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped()),
    ]);
    let texts = documents.iter().flat_map(|document| strings(document));
    // What is not read so plainly has the neighbours of others.
    for net in texts.filter_map(|text| text.parse::<IpNet>().ok()).map(|net| net.trunc()) {
        found.extend([net.network(), net.broadcast()]);
        match net {
            IpNet::V4(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                found.extend([first.wrapping_sub(1), last.wrapping_add(1)].map(|bits| IpAddr::V4(bits.into())));
            }
            IpNet::V6(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                found.extend([first.wrapping_sub(1), last.wrapping_add(1)].map(|bits| IpAddr::V6(bits.into())));
            }
        }
    }
    found.into_iter().collect()
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(entries) => entries.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}
