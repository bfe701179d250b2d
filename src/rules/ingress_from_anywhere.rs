//! `ingress-from-anywhere`: ingress by address from more of the internet than anybody can know.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::reach::Ports;
use super::{
    CannotTell, Check, Context, Draft, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, SHOWN, some_of, typed,
};
use crate::finding::{Evidence, Level};
use crate::netpol::extent::Extent;
use crate::netpol::groups::Groups;
use crate::netpol::ip_set::IpSet;
use crate::netpol::policy::{Direction, PolicySpec};
use crate::netpol::port_set::PortSet;

/// The rule.
pub(super) struct IngressFromAnywhere;

static META: Meta = Meta {
    name: "ingress-from-anywhere",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "ingress by ipBlock from a wider range of addresses than is allowed, the whole internet above all",
    what: "Ingress by `ipBlock` from a block wider than `maxPrefixV4` or `maxPrefixV6` allow, once its `except` entries \
           are taken out. The blocks of all rules of the policy that share a port count together: halves that add up \
           to everything are found, and so are neighbours that only together are too wide. Rules that open nothing \
           but the `ports` allowed to the world are not judged, nor are rules without `from`.",
    why: "A block as wide as that is no list of known clients: whatever the load balancer or the node lets through \
          reaches the pods, scanners and other tenants of the cloud included.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-outside, namespace: shop}
spec:
  podSelector: {matchLabels: {app: admin}}
  policyTypes: [Ingress]
  ingress:
    - from: [{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: 128.0.0.0/1}}]
      ports: [{protocol: TCP, port: 8443}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-outside, namespace: shop}
spec:
  podSelector: {matchLabels: {app: admin}}
  policyTypes: [Ingress]
  ingress:
    - from: [{ipBlock: {cidr: 198.51.100.0/24}}]
      ports: [{protocol: TCP, port: 8443}]
",
    params: &[
        ParamDoc {
            name: "maxPrefixV4",
            default: "8",
            about: "The widest IPv4 block allowed, as the length of its prefix in bits, 0 to 32; 0 allows everything.",
        },
        ParamDoc {
            name: "maxPrefixV6",
            default: "16",
            about: "The widest IPv6 block allowed, as the length of its prefix in bits, 0 to 128; 0 allows everything.",
        },
        ParamDoc {
            name: "ports",
            default: "[]",
            about: "Ports that may be open to the world, such as `TCP/443`, `UDP/30000-32767` or `TCP/*`.",
        },
    ],
    references: &[
        "https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-to-and-from-selectors",
        "https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/",
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    max_prefix_v4: u8,
    max_prefix_v6: u8,
    ports: Option<Ports>,
}

impl Default for Params {
    fn default() -> Self {
        Self { max_prefix_v4: 8, max_prefix_v6: 16, ports: None }
    }
}

impl Rule for IngressFromAnywhere {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let Params { max_prefix_v4, max_prefix_v6, ports } = typed(params)?;
        for (param, given, max) in [("maxPrefixV4", max_prefix_v4, 32), ("maxPrefixV6", max_prefix_v6, 128)] {
            if given > max {
                return Err(ParamError::at(param, format!("must be a length of a prefix, 0 to {max}, not {given}")));
            }
        }
        let allowed = ports.map_or_else(PortSet::empty, |Ports(ports)| ports);
        Ok(Box::new(Anywhere { max_prefix_v4, max_prefix_v6, allowed }))
    }
}

struct Anywhere {
    max_prefix_v4: u8,
    max_prefix_v6: u8,
    allowed: PortSet,
}

/// One ipBlock of an ingress rule.
struct Block {
    field: String,
    addresses: IpSet,
    /// The ports of its rule, less those that may be open to the world.
    ports: PortSet,
    /// What of its addresses is too wide, and what that is part of.
    wide: IpSet,
    part_of: IpSet,
}

/// How many sets of ports are told apart. Beyond them, blocks count together whatever their ports: that errs towards a
/// finding, and no policy written by hand comes near.
const MAX_CELLS: usize = 128;

impl Check for Anywhere {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        let Some(policy) = cx.policy() else { return Ok(Outcome::default()) };
        let mut blocks = self.blocks(&policy.spec);
        self.mark(&mut blocks);
        let pods = &policy.spec.pod_selector;
        let drafts = blocks.into_iter().filter(|block| !block.wide.is_empty()).map(|block| {
            let extents =
                vec![Extent { pods: pods.clone(), addresses: block.wide.clone(), ports: block.ports.clone() }];
            self.draft(block, extents)
        });
        Ok(drafts.collect::<Vec<_>>().into())
    }
}

impl Anywhere {
    /// The ipBlocks that let anybody in on ports that the world may not have.
    fn blocks(&self, spec: &PolicySpec) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (i, rule) in spec.rules(Direction::Ingress).iter().enumerate() {
            if rule.ports.is_subset(&self.allowed) {
                continue;
            }
            for (j, peer) in rule.peers.iter().enumerate() {
                let Some(addresses) = peer.addresses() else { continue };
                let ports = rule.ports.difference(&self.allowed);
                let field = format!("spec.ingress[{i}].from[{j}].ipBlock");
                blocks.push(Block { field, addresses, ports, wide: IpSet::empty(), part_of: IpSet::empty() });
            }
        }
        blocks
    }

    /// Marks what is too wide of each block: by itself, or else together with others on the same ports.
    fn mark(&self, blocks: &mut [Block]) {
        // Nearly every policy ends here.
        if self.too_wide(&IpSet::union_of(blocks.iter().map(|block| block.addresses.clone()))).is_empty() {
            return;
        }
        for block in blocks.iter_mut() {
            block.wide = self.too_wide(&block.addresses);
            block.part_of = block.wide.clone();
        }
        for together in cells(blocks) {
            let all = IpSet::union_of(together.iter().filter_map(|i| Some(blocks.get(*i)?.addresses.clone())));
            let alone = IpSet::union_of(together.iter().filter_map(|i| Some(blocks.get(*i)?.wide.clone())));
            // What is wide already without the small ones is not their doing.
            let joined: Vec<IpSet> = self.too_wide(&all).cidrs().into_iter().map(IpSet::from_cidr).collect();
            let joined = IpSet::union_of(joined.into_iter().filter(|block| !block.is_subset(&alone)));
            if joined.is_empty() {
                continue;
            }
            for i in together {
                let Some(block) = blocks.get_mut(i) else { continue };
                let adds = block.addresses.intersection(&joined);
                if block.addresses.is_subset(&alone) || adds.is_empty() {
                    continue;
                }
                block.wide = block.wide.union(&adds);
                block.part_of = block.part_of.union(&joined);
            }
        }
    }

    /// The blocks of a set that are wider than allowed.
    fn too_wide(&self, addresses: &IpSet) -> IpSet {
        let wide = |block: &IpNet| match block {
            IpNet::V4(block) => block.prefix_len() < self.max_prefix_v4,
            IpNet::V6(block) => block.prefix_len() < self.max_prefix_v6,
        };
        addresses.cidrs().into_iter().filter(wide).collect()
    }

    fn draft(&self, block: Block, extents: Vec<Extent>) -> Draft {
        let (cidrs, items) = (block.part_of.cidrs(), block.ports.items());
        let all = block.ports.is_all();
        let on = if all { "all ports".to_owned() } else { some_of(items.iter(), SHOWN) };
        let (verb, with) =
            if block.wide == block.part_of { ("lets", "") } else { ("helps to let", ", with the other blocks") };
        let (v4, v6) = (self.max_prefix_v4, self.max_prefix_v6);
        Draft {
            field: block.field,
            message: format!("{verb} {} in on {on}{with}", some_of(cidrs.iter(), SHOWN)),
            brief: format!("{verb} {} in", some_of(cidrs.iter(), 2)),
            help: format!(
                "name the clients' own blocks, none wider than /{v4} (IPv4) or /{v6} (IPv6), such as \
                 `ipBlock: {{cidr: 198.51.100.0/24}}`, or let the ingress controller in by its labels"
            ),
            evidence: Evidence {
                cidrs,
                ports: if all { vec![on] } else { items },
                directions: vec![Direction::Ingress.as_str()],
                labels: None,
            },
            extents,
            ..Draft::default()
        }
    }
}

/// For each set of ports that all have the same blocks open to them: those blocks, by position.
fn cells(blocks: &[Block]) -> Vec<Vec<usize>> {
    let mut cells: Vec<(PortSet, Vec<usize>)> = Vec::new();
    for (i, block) in blocks.iter().enumerate() {
        let mut rest = block.ports.clone();
        for at in 0..cells.len() {
            let Some((ports, members)) = cells.get_mut(at) else { break };
            let common = ports.intersection(&rest);
            if common.is_empty() {
                continue;
            }
            rest = rest.difference(&common);
            let outside = ports.difference(&common);
            let before = members.clone();
            members.push(i);
            *ports = common;
            if !outside.is_empty() {
                cells.push((outside, before));
            }
        }
        if !rest.is_empty() {
            cells.push((rest, vec![i]));
        }
        if cells.len() > MAX_CELLS {
            return vec![(0..blocks.len()).collect()];
        }
    }
    cells.into_iter().map(|(_, members)| members).collect()
}

#[cfg(test)]
mod tests;
