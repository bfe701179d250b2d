//! Policies as YAML that kubectl reads back as the same policy.

use serde_json::{Map, Value, json};

use crate::netpol::policy::{Direction, NetworkPolicy, Peer, PolicyRule};
use crate::netpol::port_set::{PortSet, Protocol};
use crate::netpol::selector::{Operator, Selector};

/// A manifest of the policy, ending with a line break.
#[must_use]
pub fn render(policy: &NetworkPolicy) -> String {
    let mut text = String::new();
    write(&manifest(policy), 0, &mut text);
    text
}

fn manifest(policy: &NetworkPolicy) -> Value {
    let NetworkPolicy { namespace, name, spec } = policy;
    let directions = Direction::ALL.into_iter().filter(|direction| spec.isolates(*direction));
    let mut told = Map::new();
    told.insert("podSelector".to_owned(), selector(&spec.pod_selector));
    told.insert("policyTypes".to_owned(), directions.clone().map(Direction::as_str).collect());
    for direction in directions {
        let rules = spec.rules(direction).iter().map(|rule| self::rule(rule, direction.peers_field()));
        told.insert(direction.field().to_owned(), rules.collect());
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": told,
    })
}

fn rule(rule: &PolicyRule, peers_field: &str) -> Value {
    let mut told = Map::new();
    if !rule.peers.is_empty() {
        told.insert(peers_field.to_owned(), rule.peers.iter().map(peer).collect());
    }
    if !rule.ports.is_all() {
        told.insert("ports".to_owned(), ports(&rule.ports));
    }
    Value::Object(told)
}

fn peer(peer: &Peer) -> Value {
    let mut told = Map::new();
    match peer {
        Peer::IpBlock { cidr, except } => {
            let mut block = Map::from_iter([("cidr".to_owned(), json!(cidr))]);
            if !except.is_empty() {
                block.insert("except".to_owned(), json!(except));
            }
            told.insert("ipBlock".to_owned(), Value::Object(block));
        }
        Peer::Pods { namespace, pod } => {
            for (field, which) in [("namespaceSelector", namespace), ("podSelector", pod)] {
                told.extend(which.as_ref().map(|which| (field.to_owned(), selector(which))));
            }
        }
    }
    Value::Object(told)
}

fn ports(ports: &PortSet) -> Value {
    let range = |protocol: Protocol, (first, last): (u16, u16)| match (first, last) {
        (1, u16::MAX) => json!({"protocol": protocol.as_str()}),
        (first, last) if first == last => json!({"protocol": protocol.as_str(), "port": first}),
        (first, last) => json!({"protocol": protocol.as_str(), "port": first, "endPort": last}),
    };
    let ranges = |protocol| ports.ranges(protocol).map(move |ports| range(protocol, ports.into_inner()));
    let names = ports.names().map(|(protocol, name)| json!({"protocol": protocol.as_str(), "port": name}));
    Protocol::ALL.into_iter().flat_map(ranges).chain(names).collect()
}

fn selector(selector: &Selector) -> Value {
    let (mut labels, mut expressions) = (Map::new(), Vec::new());
    for requirement in selector.requirements() {
        let mut values = requirement.values.iter();
        match (requirement.operator, values.next(), values.next()) {
            (Operator::In, Some(value), None) if !labels.contains_key(&requirement.key) => {
                labels.insert(requirement.key.clone(), json!(value));
            }
            (operator, ..) => {
                let mut told = json!({"key": requirement.key, "operator": operator.as_str()});
                if operator.takes_values() {
                    told["values"] = json!(requirement.values);
                }
                expressions.push(told);
            }
        }
    }
    let mut told = Map::new();
    if !labels.is_empty() {
        told.insert("matchLabels".to_owned(), Value::Object(labels));
    }
    if !expressions.is_empty() {
        told.insert("matchExpressions".to_owned(), Value::Array(expressions));
    }
    Value::Object(told)
}

/// Block style, two spaces a level, keys as they are sorted.
fn write(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 || !text.ends_with("- ") {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str(&scalar(key));
                text.push(':');
                write_inner(value, indent, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                text.push_str(&" ".repeat(indent));
                text.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        text.push(' ');
                        write(item, indent + 2, text);
                    }
                    _ => write_inner(item, indent, text),
                }
            }
        }
        _ => {}
    }
}

/// What stands behind a key or a dash.
fn write_inner(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write(value, indent + 2, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write(value, indent + 2, text);
        }
        Value::String(word) => {
            text.push(' ');
            text.push_str(&scalar(word));
            text.push('\n');
        }
        // Numbers and what is empty are the same in JSON.
        other => {
            text.push(' ');
            text.push_str(&other.to_string());
            text.push('\n');
        }
    }
}

/// Plain where it stays text whoever reads it, else as in JSON. To kubectl `n`, `on` and `yes` are booleans, and what
/// begins with a digit or a sign may be a number or a date.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|inner| inner.is_ascii_alphanumeric() || "-_./".contains(inner))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}
