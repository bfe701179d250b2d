//! From the JSON value of a spec to what it means.
//!
//! Key sets are closed: a field this version does not know makes the whole spec unreadable, because
//! dropping it could turn "only these" into "everyone". Defaults are filled in as the API server
//! does.

use std::fmt::Arguments;

use ipnet::IpNet;
use serde_json::Value;

use super::super::ip_set::parse_cidr;
use super::super::port_set::{PortSet, Protocol};
use super::super::selector::{Operator, Requirement, Selector};
use super::super::value::{Fields, KeyShown, Problems, SpecProblem, quoted};
use super::{Direction, NetworkPolicy, Peer, PolicyRule, PolicySpec, PortRange};

impl NetworkPolicy {
    /// Reads a `spec`. `Null`, as for an absent spec, is the empty one.
    ///
    /// # Errors
    /// Every problem found, each with its field path: an unknown field, or what the API server
    /// would refuse.
    pub fn parse(namespace: &str, name: &str, spec: &Value) -> Result<Self, Vec<SpecProblem>> {
        let mut problems = Problems::default();
        let fields = problems.object(format_args!("spec"), spec, &["podSelector", "policyTypes", "ingress", "egress"]);
        let pod_selector = match fields.get("podSelector") {
            Some(value) => selector(&mut problems, format_args!("spec.podSelector"), value),
            None => Selector::everything(),
        };
        let ingress = rules(&mut problems, fields, Direction::Ingress);
        let egress = rules(&mut problems, fields, Direction::Egress);
        let types = policy_types(&mut problems, fields);
        let isolates = |direction, default| types.as_ref().map_or(default, |types| types.contains(&direction));
        let spec = PolicySpec {
            pod_selector,
            isolates_ingress: isolates(Direction::Ingress, true),
            isolates_egress: isolates(Direction::Egress, !egress.is_empty()),
            ingress,
            egress,
        };
        problems.or(Self { namespace: namespace.to_owned(), name: name.to_owned(), spec })
    }
}

/// The types as written; `None` where they are left to defaulting.
fn policy_types(problems: &mut Problems, fields: Fields<'_>) -> Option<Vec<Direction>> {
    let written = problems.list(format_args!("spec.policyTypes"), fields.get("policyTypes"));
    let mut types = Vec::new();
    for (i, value) in written.iter().enumerate() {
        let field = format_args!("spec.policyTypes[{i}]");
        match problems.string(field, Some(value)) {
            Some("Ingress") => types.push(Direction::Ingress),
            Some("Egress") => types.push(Direction::Egress),
            Some(other) => problems.invalid(field, format!("must be Ingress or Egress, not {}", quoted(other))),
            None => problems.invalid(field, "must be Ingress or Egress"),
        }
    }
    if written.len() > 2 {
        problems.invalid(format_args!("spec.policyTypes"), "may not have more than two items");
    }
    (!written.is_empty()).then_some(types)
}

fn rules(problems: &mut Problems, fields: Fields<'_>, direction: Direction) -> Vec<PolicyRule> {
    let list_field = format_args!("spec.{}", direction.field());
    let list = problems.list(list_field, fields.get(direction.field()));
    list.iter()
        .enumerate()
        .map(|(i, value)| rule(problems, format_args!("{list_field}[{i}]"), value, direction))
        .collect()
}

fn rule(problems: &mut Problems, field: Arguments<'_>, value: &Value, direction: Direction) -> PolicyRule {
    let peers_field = direction.peers_field();
    let fields = problems.object(field, value, &[peers_field, "ports"]);
    let list_field = format_args!("{field}.{peers_field}");
    let peers = problems.list(list_field, fields.get(peers_field));
    let peers = peers
        .iter()
        .enumerate()
        .filter_map(|(i, value)| peer(problems, format_args!("{list_field}[{i}]"), value))
        .collect();
    let list_field = format_args!("{field}.ports");
    let written = problems.list(list_field, fields.get("ports"));
    let ports = written.iter().enumerate().map(|(i, value)| port(problems, format_args!("{list_field}[{i}]"), value));
    let ports = if written.is_empty() { PortSet::all() } else { PortSet::union_of(ports) };
    PolicyRule { peers, ports, ranges: ranges(written) }
}

/// The items with an `endPort`. What is wrong with any of them is found where they are read as ports.
fn ranges(written: &[Value]) -> Vec<PortRange> {
    let number = |value: &Value, key| value.get(key)?.as_u64().and_then(|number| u16::try_from(number).ok());
    let range = |(index, value): (usize, &Value)| {
        let (first, last) = (number(value, "port")?, number(value, "endPort")?);
        let protocol = value.get("protocol").and_then(Value::as_str).and_then(|text| text.parse().ok());
        Some(PortRange { index, protocol: protocol.unwrap_or(Protocol::Tcp), first, last })
    };
    written.iter().enumerate().filter_map(range).collect()
}

fn peer(problems: &mut Problems, field: Arguments<'_>, value: &Value) -> Option<Peer> {
    let fields = problems.object(field, value, &["ipBlock", "namespaceSelector", "podSelector"]);
    let selected = |problems: &mut Problems, key: &str| {
        fields.get(key).map(|value| selector(problems, format_args!("{field}.{key}"), value))
    };
    let namespace = selected(problems, "namespaceSelector");
    let pod = selected(problems, "podSelector");
    match fields.get("ipBlock") {
        Some(block) => {
            if namespace.is_some() || pod.is_some() {
                problems.invalid(field, "ipBlock may not stand beside a selector in one peer");
            }
            ip_block(problems, format_args!("{field}.ipBlock"), block)
        }
        None if namespace.is_none() && pod.is_none() => {
            problems.invalid(field, "must name an ipBlock, a namespaceSelector or a podSelector");
            None
        }
        None => Some(Peer::Pods { namespace, pod }),
    }
}

fn ip_block(problems: &mut Problems, field: Arguments<'_>, value: &Value) -> Option<Peer> {
    let fields = problems.object(field, value, &["cidr", "except"]);
    let cidr_field = format_args!("{field}.cidr");
    let text = problems.string(cidr_field, fields.get("cidr")).unwrap_or_default();
    let cidr = cidr(problems, cidr_field, text);
    let mut except = Vec::new();
    for (i, value) in problems.list(format_args!("{field}.except"), fields.get("except")).iter().enumerate() {
        let except_field = format_args!("{field}.except[{i}]");
        let except_text = problems.string(except_field, Some(value)).unwrap_or_default();
        let Some(block) = self::cidr(problems, except_field, except_text) else { continue };
        if cidr.is_some_and(|cidr| !strictly_inside(&block, except_text, &cidr)) {
            problems.invalid(except_field, format!("must lie strictly inside {}", quoted(text)));
        }
        except.push(block);
    }
    Some(Peer::IpBlock { cidr: cidr?, except })
}

/// Whether an `except` is a strict subset of its block. One written as IPv4-mapped lies inside a wider
/// v6 block by its bits, though both are read as different families here.
fn strictly_inside(block: &IpNet, text: &str, cidr: &IpNet) -> bool {
    let mapped = matches!((block, cidr), (IpNet::V4(_), IpNet::V6(_))) && text.contains(':');
    mapped || (cidr.contains(block) && cidr.prefix_len() < block.prefix_len())
}

fn cidr(problems: &mut Problems, field: Arguments<'_>, text: &str) -> Option<IpNet> {
    parse_cidr(text).map_err(|error| problems.invalid(field, error.to_string())).ok()
}

fn port(problems: &mut Problems, field: Arguments<'_>, value: &Value) -> PortSet {
    let fields = problems.object(field, value, &["protocol", "port", "endPort"]);
    let protocol_field = format_args!("{field}.protocol");
    let protocol = match problems.string(protocol_field, fields.get("protocol")) {
        None | Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(other) => {
            problems.invalid(protocol_field, format!("must be TCP, UDP or SCTP, not {}", quoted(other)));
            Protocol::Tcp
        }
    };
    let port_field = format_args!("{field}.port");
    let end_field = format_args!("{field}.endPort");
    let end = fields.get("endPort").and_then(|value| number(problems, end_field, value));
    match fields.get("port") {
        Some(Value::String(name)) => {
            if !is_port_name(name) {
                let number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
                let hint = if number { "; write a number without quotes" } else { "" };
                problems.invalid(port_field, format!("{} is neither a number nor a port name{hint}", quoted(name)));
            }
            if fields.get("endPort").is_some() {
                problems.invalid(end_field, "needs a numeric port");
            }
            PortSet::named(protocol, name)
        }
        Some(value) => {
            let Some(start) = number(problems, port_field, value) else { return PortSet::empty() };
            if end.is_some_and(|end| end < start) {
                problems.invalid(end_field, format!("must not be below port {start}"));
            }
            PortSet::range(protocol, start, end.unwrap_or(start))
        }
        None => {
            if fields.get("endPort").is_some() {
                problems.invalid(end_field, "needs a port");
            }
            PortSet::protocol(protocol)
        }
    }
}

fn number(problems: &mut Problems, field: Arguments<'_>, value: &Value) -> Option<u16> {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    if number.is_none() {
        if value.is_number() {
            problems.invalid(field, format!("{value} is outside 1 to 65535"));
        } else {
            problems.wrong_type(field, "a number", value);
        }
    }
    number
}

/// RFC 6335 service name, as Kubernetes takes it: at most 15 of `[a-z0-9-]`, a letter among them, no
/// dash at either end or beside another.
fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !(name.starts_with('-') || name.ends_with('-') || name.contains("--"))
}

/// Reads a `metav1.LabelSelector` that stands in `field`.
///
/// # Errors
/// Every problem found, each with its path below `field`.
pub fn label_selector(field: &str, value: &Value) -> Result<Selector, Vec<SpecProblem>> {
    let mut problems = Problems::default();
    let selector = selector(&mut problems, format_args!("{field}"), value);
    problems.or(selector)
}

/// Reads a `metav1.LabelSelector`.
fn selector(problems: &mut Problems, field: Arguments<'_>, value: &Value) -> Selector {
    let fields = problems.object(field, value, &["matchLabels", "matchExpressions"]);
    let mut requirements = Vec::new();
    let labels_field = format_args!("{field}.matchLabels");
    match fields.get("matchLabels") {
        None => {}
        Some(Value::Object(map)) => {
            for (key, value) in map {
                let field = format_args!("{labels_field}[{}]", KeyShown(key));
                label_key(problems, field, key);
                let value = problems.string(field, Some(value)).unwrap_or_default();
                label_value(problems, field, value);
                requirements.push(Requirement::new(key, Operator::In, [value]));
            }
        }
        Some(other) => problems.wrong_type(labels_field, "an object", other),
    }
    let list_field = format_args!("{field}.matchExpressions");
    for (i, value) in problems.list(list_field, fields.get("matchExpressions")).iter().enumerate() {
        requirements.extend(requirement(problems, format_args!("{list_field}[{i}]"), value));
    }
    Selector::new(requirements)
}

fn requirement(problems: &mut Problems, field: Arguments<'_>, value: &Value) -> Option<Requirement> {
    let fields = problems.object(field, value, &["key", "operator", "values"]);
    let key_field = format_args!("{field}.key");
    let key = problems.string(key_field, fields.get("key")).unwrap_or_default();
    label_key(problems, key_field, key);
    let values_field = format_args!("{field}.values");
    let mut values = Vec::new();
    for (i, value) in problems.list(values_field, fields.get("values")).iter().enumerate() {
        let value_field = format_args!("{values_field}[{i}]");
        let value = problems.string(value_field, Some(value)).unwrap_or_default();
        label_value(problems, value_field, value);
        values.push(value);
    }
    let operator_field = format_args!("{field}.operator");
    let operator = match problems.string(operator_field, fields.get("operator")).unwrap_or_default() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            problems
                .invalid(operator_field, format!("must be In, NotIn, Exists or DoesNotExist, not {}", quoted(other)));
            return None;
        }
    };
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            problems.invalid(values_field, "must name at least one value for In and NotIn");
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            problems.invalid(values_field, "may not be set for Exists and DoesNotExist");
        }
        _ => {}
    }
    Some(Requirement::new(key, operator, values))
}

/// Whether an API server accepts the text as the key of a label or annotation: a qualified name,
/// `[prefix/]name`. Source: API reference, labels and selectors, syntax.
#[must_use]
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_ok = prefix.is_none_or(|prefix| {
        prefix.len() <= 253
            && prefix.split('.').all(|part| {
                is_wordlike(part, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), b"-") && !part.is_empty()
            })
    });
    prefix_ok && !name.is_empty() && name.len() <= 63 && is_label_text(name)
}

fn label_key(problems: &mut Problems, field: Arguments<'_>, key: &str) {
    if !is_label_key(key) {
        problems.invalid(field, format!("{} is not a label key", quoted(key)));
    }
}

fn label_value(problems: &mut Problems, field: Arguments<'_>, value: &str) {
    if value.len() > 63 || !is_label_text(value) {
        problems.invalid(field, format!("{} is not a label value", quoted(value)));
    }
}

fn is_label_text(text: &str) -> bool {
    is_wordlike(text, |byte| byte.is_ascii_alphanumeric(), b"-_.")
}

/// Letters (by the test given) with some of the marks between them, never at the ends. Empty is fine.
fn is_wordlike(text: &str, letter: impl Fn(u8) -> bool, marks: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| letter(*byte) || marks.contains(byte))
        && bytes.first().is_none_or(|byte| letter(*byte))
        && bytes.last().is_none_or(|byte| letter(*byte))
}
