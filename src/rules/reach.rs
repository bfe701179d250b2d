//! What the egress rules about addresses share: the forbidden addresses a policy still reaches.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;

use super::peers::peer_yaml;
use super::{Context, Draft, SHOWN, some_of};
use crate::finding::Evidence;
use crate::netpol::extent::Extent;
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, Peer, PolicyRule};
use crate::netpol::port_set::{PortSet, Protocol};
use crate::netpol::selector::Selector;

/// How many addresses a repair lists: one that breaks off cannot be copied.
pub(super) const SHOWN_IN_REPAIRS: usize = 16;

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
            for (peer, field, addresses) in self.reached(i, rule) {
                let pods = policy.spec.pod_selector.clone();
                drafts.push(self.draft((field, self.help(rule, peer)), &rule.ports, addresses, pods));
            }
        }
        drafts
    }

    /// The forbidden addresses reached through each field of one rule.
    fn reached<'a>(&self, i: usize, rule: &'a PolicyRule) -> Vec<(Option<&'a Peer>, String, IpSet)> {
        if rule.peers.is_empty() {
            let everything = self.unrestricted_peers && !self.forbidden.is_empty();
            let whole_rule = || (None, format!("spec.egress[{i}]"), self.forbidden.clone());
            return everything.then(whole_rule).into_iter().collect();
        }
        let residual = |(j, peer): (usize, &'a Peer)| {
            let residual = peer.addresses()?.intersection(&self.forbidden);
            (!residual.is_empty()).then(|| (Some(peer), format!("spec.egress[{i}].to[{j}].ipBlock"), residual))
        };
        // Most blocks are nowhere near: no set is made of those.
        let near = |peer: &Peer| matches!(peer, Peer::IpBlock { cidr, .. } if self.forbidden.touches(*cidr));
        rule.peers.iter().enumerate().filter(|(_, peer)| near(peer)).filter_map(residual).collect()
    }

    /// How to keep the forbidden addresses out of an ipBlock, or out of a rule without `to`.
    fn help(&self, rule: &PolicyRule, peer: Option<&Peer>) -> String {
        let Some(peer) = peer else {
            return match self.everything_else() {
                Some(blocks) => format!("name the peers under `to`; for the internet `to: [{blocks}]`"),
                None => "name the peers under `to`".to_owned(),
            };
        };
        match (excepts(peer, &self.forbidden), peer) {
            (Some(blocks), Peer::IpBlock { cidr, except }) if except.is_empty() && blocks.len() <= SHOWN_IN_REPAIRS => {
                let block = peer_yaml(&Peer::IpBlock { cidr: *cidr, except: blocks });
                format!("write `- {block}`, or narrow its `cidr`")
            }
            (Some(blocks), _) => {
                format!("add {} to its `except`, or narrow its `cidr`", some_of(blocks.iter(), SHOWN_IN_REPAIRS))
            }
            (None, _) => {
                // A `to` that lost its last peer would be everybody.
                let idle = |peer: &Peer| peer.addresses().is_some_and(|all| all.is_subset(&self.forbidden));
                let what = if rule.peers.iter().all(idle) { "rule" } else { "peer" };
                format!(
                    "remove the {what}, or name pods by their labels, such as `to: [{{podSelector: {{matchLabels: \
                     {{app: NAME}}}}}}]`; addresses that have to be reached belong in the rule's parameter `allow`"
                )
            }
        }
    }

    /// All addresses but the forbidden ones, as the ipBlocks of both families; `None` where nobody would write them out.
    fn everything_else(&self) -> Option<String> {
        let families = [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())];
        let blocks = families.into_iter().filter_map(|cidr| {
            let except = excepts(&Peer::IpBlock { cidr, except: Vec::new() }, &self.forbidden)?;
            Some(Peer::IpBlock { cidr, except })
        });
        let written = |block: Peer| {
            let short = matches!(&block, Peer::IpBlock { except, .. } if except.len() <= SHOWN_IN_REPAIRS);
            short.then(|| peer_yaml(&block))
        };
        let blocks: Vec<String> = blocks.map(written).collect::<Option<_>>()?;
        (!blocks.is_empty()).then(|| blocks.join(", "))
    }

    fn draft(&self, (field, help): (String, String), ports: &PortSet, addresses: IpSet, pods: Selector) -> Draft {
        let cidrs = addresses.cidrs();
        let mut named: Vec<&IpNet> = cidrs.iter().collect();
        // The address everybody knows goes first, or a short text would leave it out. The sort is stable.
        named.sort_by_key(|block| !self.foremost.is_some_and(|address| block.contains(&address)));
        let (shown, port_items) = (some_of(named.iter(), SHOWN), ports.items());
        let on = if ports.is_all() { "all ports".to_owned() } else { some_of(port_items.iter(), SHOWN) };
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
            extents: vec![Extent { pods, addresses, ports: ports.clone() }],
            ..Draft::default()
        }
    }
}

/// The blocks whose addition to its `except` keeps the unwanted addresses out of an ipBlock. `None` where nothing of it
/// would be left: the API server refuses an `except` that is all of its block.
pub(super) fn excepts(peer: &Peer, unwanted: &IpSet) -> Option<Vec<IpNet>> {
    let (Peer::IpBlock { cidr, .. }, reached) = (peer, peer.addresses()?) else { return None };
    if reached.is_subset(unwanted) {
        return None;
    }
    // Whole blocks, not the fragments that a present `except` leaves of them.
    let inside = IpSet::from_cidr(*cidr).intersection(unwanted).cidrs();
    Some(inside.into_iter().filter(|block| reached.touches(*block)).collect())
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
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::rules::tests::{create, drafts};

    fn found(params: &Value, egress: &Value) -> Vec<Draft> {
        let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [egress]});
        drafts("egress-private-cidr", params, &create(&spec)).expect("judged").drafts
    }

    fn block(cidr: &str, except: &[&str]) -> Value {
        json!({"to": [{"ipBlock": {"cidr": cidr, "except": except}}], "ports": [{"port": 443}]})
    }

    #[rstest]
    #[case::a_group_as_a_whole("0.0.0.0/0", &[], &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])]
    #[case::whole_blocks_for_fragments("0.0.0.0/0", &["10.0.0.0/24", "10.3.0.0/16", "172.16.0.0/12"],
        &["10.0.0.0/8", "192.168.0.0/16"])]
    #[case::no_wider_than_the_block("10.0.0.0/7", &[], &["10.0.0.0/8"])]
    fn the_excepts_that_the_repair_names_do(#[case] cidr: &str, #[case] except: &[&str], #[case] added: &[&str]) {
        let help = match except {
            [] => {
                format!("write `- {{ipBlock: {{cidr: {cidr}, except: [{}]}}}}`, or narrow its `cidr`", added.join(", "))
            }
            _ => format!("add {} to its `except`, or narrow its `cidr`", added.join(", ")),
        };
        assert_eq!(found(&Value::Null, &block(cidr, except))[0].help, help);
        assert_eq!(found(&Value::Null, &block(cidr, &[except, added].concat())), []);
    }

    #[rstest]
    #[case::the_block_itself("10.0.0.0/24", &[])]
    #[case::what_the_excepts_leave("10.0.0.0/7", &["11.0.0.0/8"])]
    #[case::an_address("192.168.1.1/32", &[])]
    fn a_block_that_is_forbidden_as_a_whole_is_to_go(#[case] cidr: &str, #[case] except: &[&str]) {
        let help = &found(&Value::Null, &block(cidr, except))[0].help;
        assert!(help.starts_with("remove the rule") && !help.contains("except"), "{help}");
        let mut beside = block(cidr, except);
        beside["to"].as_array_mut().expect("peers").push(json!({"podSelector": {}}));
        let help = &found(&Value::Null, &beside)[0].help;
        assert!(help.starts_with("remove the peer"), "{help}");
    }

    #[test]
    fn a_rule_without_to_gets_all_but_the_forbidden_addresses() {
        let help = |params| found(&params, &json!({}))[0].help.clone();
        let (v4, v6) = ("10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16", "fc00::/7");
        let both = format!(
            "name the peers under `to`; for the internet `to: [{{ipBlock: {{cidr: 0.0.0.0/0, except: [{v4}]}}}}, \
             {{ipBlock: {{cidr: '::/0', except: ['{v6}']}}}}]`"
        );
        assert_eq!(help(Value::Null), both);
        let odd: Vec<String> = (1..40).step_by(2).map(|i| format!("10.0.{i}.0/24")).collect();
        assert_eq!(help(json!({"groups": [], "cidrs": odd})), "name the peers under `to`");
        assert_eq!(help(json!({"groups": [], "cidrs": ["0.0.0.0/0", "::/0"]})), "name the peers under `to`");
        assert!(help(json!({"groups": [], "cidrs": ["0.0.0.0/0"]})).ends_with("`to: [{ipBlock: {cidr: '::/0'}}]`"));
    }

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
