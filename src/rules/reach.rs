//! What the egress rules about addresses share: the forbidden addresses a policy still reaches.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Context, Draft, SHOWN, some_of};
use crate::finding::{Evidence, Level};
use crate::netpol::extent::Extent;
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, Peer, PolicyRule};
use crate::netpol::port_set::{PortSet, Protocol};
use crate::netpol::selector::Selector;

/// What may not be reached, and what is left out of the question.
pub(super) struct Reach {
    /// The forbidden addresses.
    pub(super) forbidden: IpSet,
    /// What they are called in messages.
    pub(super) called: &'static str,
    /// The one among them that a short text must not leave out.
    pub(super) foremost: Option<IpAddr>,
    /// Whether a rule without `to` is held to reach them.
    pub(super) unrestricted_peers: bool,
    /// A rule limited to these ports is not judged.
    pub(super) exempt_ports: PortSet,
}

impl Reach {
    /// A draft for each field of the policy through which forbidden addresses are reached.
    pub(super) fn drafts(&self, cx: &Context<'_>) -> Vec<Draft> {
        let Some(policy) = cx.policy() else { return Vec::new() };
        let mut drafts = Vec::new();
        for (i, rule) in policy.spec.rules(Direction::Egress).iter().enumerate() {
            if rule.ports.is_subset(&self.exempt_ports) {
                continue;
            }
            for (field, addresses) in self.reached(i, rule) {
                let pods = policy.spec.pod_selector.clone();
                drafts.push(self.draft(field, &rule.ports, addresses, pods));
            }
        }
        drafts
    }

    /// The forbidden addresses reached through each field of one rule.
    fn reached(&self, i: usize, rule: &PolicyRule) -> Vec<(String, IpSet)> {
        if rule.peers.is_empty() {
            let everything = self.unrestricted_peers && !self.forbidden.is_empty();
            return everything.then(|| (format!("spec.egress[{i}]"), self.forbidden.clone())).into_iter().collect();
        }
        let residual = |(j, addresses): (usize, IpSet)| {
            let residual = addresses.intersection(&self.forbidden);
            (!residual.is_empty()).then(|| (format!("spec.egress[{i}].to[{j}].ipBlock"), residual))
        };
        // Most blocks are nowhere near: no set is made of those.
        let near = |peer: &Peer| matches!(peer, Peer::IpBlock { cidr, .. } if self.forbidden.touches(*cidr));
        let blocks = rule.peers.iter().enumerate().filter(|(_, peer)| near(peer));
        let blocks = blocks.filter_map(|(j, peer)| Some((j, peer.addresses()?)));
        blocks.filter_map(residual).collect()
    }

    fn draft(&self, field: String, ports: &PortSet, addresses: IpSet, pods: Selector) -> Draft {
        let cidrs = addresses.cidrs();
        let mut named: Vec<&IpNet> = cidrs.iter().collect();
        // The address everybody knows goes first, or a short text would leave it out. The sort is stable.
        named.sort_by_key(|block| !self.foremost.is_some_and(|address| block.contains(&address)));
        let (shown, port_items) = (some_of(named.iter(), SHOWN), ports.items());
        let on = if ports.is_all() { "all ports".to_owned() } else { some_of(port_items.iter(), SHOWN) };
        let help = if field.ends_with("ipBlock") {
            format!("add {shown} to its `except`, or narrow its `cidr`")
        } else {
            format!("name the peers under `to`, with {shown} left out by `except`")
        };
        Draft {
            field,
            message: format!("reaches {} {shown} on {on}", self.called),
            brief: format!("reaches {}", some_of(named.iter(), 2)),
            help,
            evidence: Evidence {
                cidrs,
                ports: if ports.is_all() { vec![on] } else { port_items },
                ..Evidence::default()
            },
            at_most: Level::Deny,
            extents: vec![Extent { pods, addresses, ports: ports.clone() }],
        }
    }
}

/// A list of ports as parameters write it: `TCP/443`, `UDP/30000-32767`, `TCP/*`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(super) struct Ports(pub(super) PortSet);

impl Default for Ports {
    fn default() -> Self {
        Self(PortSet::single(Protocol::Udp, 53).union(&PortSet::single(Protocol::Tcp, 53)))
    }
}

impl TryFrom<Vec<String>> for Ports {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let sets: Result<Vec<PortSet>, String> = texts.iter().map(|text| port_item(text)).collect();
        Ok(Self(PortSet::union_of(sets?)))
    }
}

fn port_item(text: &str) -> Result<PortSet, String> {
    let wrong = || format!("`{text}` is not PROTOCOL/PORT, such as TCP/443, UDP/30000-32767 or TCP/*");
    let (protocol, port) = text.split_once('/').ok_or_else(wrong)?;
    let protocol: Protocol = protocol.parse().map_err(|_| wrong())?;
    if port == "*" {
        return Ok(PortSet::protocol(protocol));
    }
    let (first, last) = port.split_once('-').unwrap_or((port, port));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(PortSet::range(protocol, first, last)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_documented() {
        let read = |texts: &[&str]| Ports::try_from(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let Ports(ports) = read(&["UDP/53", "TCP/30000-32767", "SCTP/*"]).expect("valid");
        assert!(ports.contains(Protocol::Udp, 53) && !ports.contains(Protocol::Tcp, 53));
        assert!(ports.contains(Protocol::Tcp, 30000) && ports.contains(Protocol::Sctp, 1));
        for wrong in ["53", "TCP/", "tcp/53", "TCP/0", "TCP/2-1", "TCP/70000", "TCP/http-alt-"] {
            assert!(read(&[wrong]).is_err_and(|error| error.contains(wrong)), "{wrong}");
        }
    }
}
