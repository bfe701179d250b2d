//! What the rules about peers share: what a peer opens, for the ratchet, and how it is written.

use ipnet::IpNet;

use super::Context;
use crate::finding::Evidence;
use crate::netpol::METADATA_NAME;
use crate::netpol::extent::Extent;
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, NetworkPolicy, Peer, PolicyRule};
use crate::netpol::port_set::{PortSet, Protocol};
use crate::netpol::selector::{Operator, Requirement, Selector};

/// Characters of a selector or a fragment that a message has room for.
const ROOM: usize = 240;

/// A rule of a policy, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) policy: &'a NetworkPolicy,
    pub(super) direction: Direction,
    pub(super) index: usize,
    pub(super) rule: &'a PolicyRule,
}

/// The rules of the policy asked for that have an effect.
pub(super) fn places<'a>(cx: &Context<'a>) -> impl Iterator<Item = Place<'a>> {
    let of = |policy: &'a NetworkPolicy, direction| {
        let rules = policy.spec.rules(direction).iter().enumerate();
        rules.map(move |(index, rule)| Place { policy, direction, index, rule })
    };
    let policies = cx.policy().into_iter();
    policies.flat_map(move |policy| Direction::ALL.into_iter().flat_map(move |direction| of(policy, direction)))
}

impl Place<'_> {
    /// The path of the rule.
    pub(super) fn field(&self) -> String {
        format!("spec.{}[{}]", self.direction.field(), self.index)
    }

    /// The path of its list of peers.
    pub(super) fn peers_field(&self) -> String {
        format!("{}.{}", self.field(), self.direction.peers_field())
    }

    /// The direction and the ports, as proof.
    pub(super) fn evidence(&self) -> Evidence {
        let all = self.rule.ports.is_all();
        let ports = if all { vec!["all ports".to_owned()] } else { self.rule.ports.items() };
        Evidence { directions: vec![self.direction.as_str()], ports, ..Evidence::default() }
    }

    /// What the rule opens for one of its peers.
    ///
    /// Extents know pods and addresses, and nothing of the namespaces and pods at the other end. A selector is a box
    /// over labels, though, so the labels at both ends make one box, each end's keys under a mark of its own that no
    /// label has: whether one opening lies in others is then decided as it is for any extent.
    pub(super) fn opens(&self, peer: &Peer) -> Extent {
        let mut sides = self.sides();
        let addresses = match peer {
            Peer::IpBlock { .. } => {
                sides.push(Requirement::new::<&str>("peer pods", Operator::DoesNotExist, []));
                peer.addresses().unwrap_or_else(IpSet::empty)
            }
            Peer::Pods { namespace, pod } => {
                sides.push(Requirement::new::<&str>("peer pods", Operator::Exists, []));
                match namespace {
                    Some(namespace) => sides.extend(marked("namespace", namespace)),
                    None => {
                        let own = Selector::labels([(METADATA_NAME, self.policy.namespace.as_str())]);
                        sides.extend(marked("namespace", &own));
                    }
                }
                sides.extend(pod.iter().flat_map(|pod| marked("pod", pod)));
                IpSet::all()
            }
        };
        Extent { pods: Selector::new(sides), addresses, ports: self.rule.ports.clone() }
    }

    /// What the rule opens for everybody.
    pub(super) fn opens_to_all(&self) -> Extent {
        Extent { pods: Selector::new(self.sides()), addresses: IpSet::all(), ports: self.rule.ports.clone() }
    }

    /// The selected pods, in this direction.
    fn sides(&self) -> Vec<Requirement> {
        let mut sides = self.policy.spec.pod_selector.requirements().to_vec();
        sides.push(Requirement::new("policy direction", Operator::In, [self.direction.as_str()]));
        sides
    }
}

/// A selector's requirements, on keys with a mark.
fn marked(mark: &'static str, selector: &Selector) -> impl Iterator<Item = Requirement> {
    let one = move |requirement: &Requirement| Requirement {
        key: format!("peer {mark} {}", requirement.key),
        ..requirement.clone()
    };
    selector.requirements().iter().map(one)
}

/// Whether a text is short enough for a message.
pub(super) fn fits(text: &str) -> bool {
    text.chars().count() <= ROOM
}

/// A selector in kubectl's syntax, as far as a message has room for it.
pub(super) fn shown(selector: &Selector) -> String {
    let text = selector.to_string();
    if fits(&text) { text } else { format!("{}…", text.chars().take(ROOM).collect::<String>()) }
}

/// A selector as YAML in one line.
pub(super) fn selector_yaml(selector: &Selector) -> String {
    let (mut labels, mut expressions) = (Vec::new(), Vec::new());
    for Requirement { key, operator, values } in selector.requirements() {
        let texts: Vec<String> = values.iter().map(|value| scalar(value)).collect();
        let key = scalar(key);
        match (operator, &texts[..]) {
            (Operator::In, [value]) => labels.push(format!("{key}: {value}")),
            (_, []) => expressions.push(format!("{{key: {key}, operator: {}}}", operator.as_str())),
            (_, values) => {
                let (operator, values) = (operator.as_str(), values.join(", "));
                expressions.push(format!("{{key: {key}, operator: {operator}, values: [{values}]}}"));
            }
        }
    }
    let mut parts = Vec::new();
    if !labels.is_empty() {
        parts.push(format!("matchLabels: {{{}}}", labels.join(", ")));
    }
    if !expressions.is_empty() {
        parts.push(format!("matchExpressions: [{}]", expressions.join(", ")));
    }
    format!("{{{}}}", parts.join(", "))
}

/// A peer as YAML in one line.
pub(super) fn peer_yaml(peer: &Peer) -> String {
    match peer {
        Peer::IpBlock { cidr, except } if except.is_empty() => format!("{{ipBlock: {{cidr: {}}}}}", cidr_yaml(cidr)),
        Peer::IpBlock { cidr, except } => {
            let except: Vec<String> = except.iter().map(cidr_yaml).collect();
            format!("{{ipBlock: {{cidr: {}, except: [{}]}}}}", cidr_yaml(cidr), except.join(", "))
        }
        Peer::Pods { namespace, pod } => {
            let part = |name: &str, selector: &Option<Selector>| {
                selector.as_ref().map(|selector| format!("{name}: {}", selector_yaml(selector)))
            };
            let parts = [part("namespaceSelector", namespace), part("podSelector", pod)];
            format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
    }
}

/// A CIDR as YAML, in quotes where its colons would end a key.
pub(super) fn cidr_yaml(cidr: &IpNet) -> String {
    if cidr.addr().is_ipv6() { format!("'{cidr}'") } else { cidr.to_string() }
}

/// Ports as YAML in one line.
pub(super) fn ports_yaml(ports: &PortSet) -> String {
    let mut items = Vec::new();
    for protocol in Protocol::ALL {
        for range in ports.ranges(protocol) {
            items.push(match range.into_inner() {
                (1, u16::MAX) => format!("{{protocol: {protocol}}}"),
                (first, last) if first == last => format!("{{protocol: {protocol}, port: {first}}}"),
                (first, last) => format!("{{protocol: {protocol}, port: {first}, endPort: {last}}}"),
            });
        }
    }
    items.extend(ports.names().map(|(protocol, name)| format!("{{protocol: {protocol}, port: {}}}", scalar(name))));
    format!("[{}]", items.join(", "))
}

/// A key or value of a label, in quotes wherever YAML might take it for something else than text.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if plain { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
pub(super) mod tests;
