//! `egress-private-cidr`: egress by address that still reaches private networks.

use serde::Deserialize;
use serde_json::Value;

use super::reach::{Ports, Reach};
use super::{CannotTell, Check, Context, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::finding::Level;
use crate::netpol::groups::{Groups, parse_all};

/// The rule.
pub(super) struct EgressPrivateCidr;

static META: Meta = Meta {
    name: "egress-private-cidr",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Deny),
    needs: Needs::Nothing,
    summary: "egress by ipBlock still reaches private addresses after its excepts",
    what: "Egress by `ipBlock` that still reaches forbidden addresses once its `except` entries are taken out, and \
           egress rules without `to`. The arithmetic is exact over IPv4 and IPv6: halves that add up to everything, \
           an `except` that another rule reopens and IPv4-mapped blocks are found, and the evidence is the smallest \
           list of blocks left.",
    why: "A policy meant for the internet that leaves one private range open reaches the databases, control planes \
          and office networks in it, and a compromised pod does so as well.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: external, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
    - to:
        - ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12]}
      ports: [{protocol: TCP, port: 443}]
",
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: external, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
    - to:
        - ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}
      ports: [{protocol: TCP, port: 443}]
",
    params: &[
        ParamDoc {
            name: "groups",
            default: "[private]",
            about: "Forbidden address groups, built-in or of the rule set.",
        },
        ParamDoc { name: "cidrs", default: "[]", about: "Further forbidden blocks." },
        ParamDoc { name: "allow", default: "[]", about: "Blocks taken out of what is forbidden." },
        ParamDoc {
            name: "unrestrictedPeers",
            default: "true",
            about: "Whether a rule without `to` is held to reach them.",
        },
        ParamDoc {
            name: "exemptPorts",
            default: "[UDP/53, TCP/53]",
            about: "A rule limited to these ports is not judged.",
        },
    ],
    references: &[
        "https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/",
        "https://www.rfc-editor.org/rfc/rfc1918",
        "https://www.rfc-editor.org/rfc/rfc4193",
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    groups: Vec<String>,
    cidrs: Vec<String>,
    allow: Vec<String>,
    unrestricted_peers: bool,
    exempt_ports: Ports,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            groups: vec!["private".to_owned()],
            cidrs: Vec::new(),
            allow: Vec::new(),
            unrestricted_peers: true,
            exempt_ports: Ports::default(),
        }
    }
}

impl Rule for EgressPrivateCidr {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, groups: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        let mut forbidden = parse_all(&params.cidrs).map_err(|error| ParamError::at("cidrs", error))?;
        for name in &params.groups {
            forbidden = forbidden.union(groups.get(name).map_err(|error| ParamError::at("groups", error))?);
        }
        let allow = parse_all(&params.allow).map_err(|error| ParamError::at("allow", error))?;
        Ok(Box::new(PrivateCidr(Reach {
            forbidden: forbidden.difference(&allow),
            called: "private addresses",
            foremost: None,
            unrestricted_peers: params.unrestricted_peers,
            exempt_ports: params.exempt_ports.0,
        })))
    }
}

struct PrivateCidr(Reach);

impl Check for PrivateCidr {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        Ok(self.0.drafts(cx).into())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::rules::tests::{create, drafts};

    fn found(params: &Value, egress: &Value) -> Vec<(String, String)> {
        let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": egress});
        let drafts = drafts("egress-private-cidr", params, &create(&spec)).expect("judged").drafts;
        let cidrs = |cidrs: &[ipnet::IpNet]| cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        drafts.into_iter().map(|draft| (draft.field, cidrs(&draft.evidence.cidrs))).collect()
    }

    const BLOCK: &str = "spec.egress[0].to[0].ipBlock";
    const PRIVATE: &str = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7";

    #[rstest]
    #[case::one_range_missing("0.0.0.0/0", &["10.0.0.0/8", "172.16.0.0/12"], "192.168.0.0/16")]
    #[case::half_of_a_range_excepted("10.0.0.0/8", &["10.0.0.0/9"], "10.128.0.0/9")]
    #[case::a_hole_leaves_fragments("10.0.0.0/8", &["10.64.0.0/10"], "10.0.0.0/10 10.128.0.0/9")]
    #[case::one_address("10.1.2.3/32", &[], "10.1.2.3/32")]
    #[case::host_bits("10.1.2.3/8", &[], "10.0.0.0/8")]
    #[case::everything_v6("::/0", &[], "fc00::/7")]
    #[case::ula_partly("fd00::/8", &["fd00::/16"],
        "fd01::/16 fd02::/15 fd04::/14 fd08::/13 fd10::/12 fd20::/11 fd40::/10 fd80::/9")]
    #[case::mapped("::ffff:10.0.0.0/104", &[], "10.0.0.0/8")]
    #[case::wider_than_a_range("172.0.0.0/8", &[], "172.16.0.0/12")]
    #[case::the_upper_half("128.0.0.0/1", &[], "172.16.0.0/12 192.168.0.0/16")]
    fn is_found(#[case] cidr: &str, #[case] except: &[&str], #[case] residual: &str) {
        let egress = json!([{"to": [{"ipBlock": {"cidr": cidr, "except": except}}]}]);
        assert_eq!(found(&Value::Null, &egress), [(BLOCK.to_owned(), residual.to_owned())]);
    }

    #[rstest]
    #[case::all_excepted(json!([{"to": [{"ipBlock": {"cidr": "0.0.0.0/0",
        "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]}}]}]))]
    #[case::excepted_in_parts(json!([{"to": [{"ipBlock": {"cidr": "10.0.0.0/7",
        "except": ["10.0.0.0/9", "10.128.0.0/9"]}}]}]))]
    #[case::excepted_by_a_wider_block(json!([{"to": [{"ipBlock": {"cidr": "0.0.0.0/0",
        "except": ["8.0.0.0/6", "172.0.0.0/8", "192.0.0.0/8"]}}]}]))]
    #[case::public(json!([{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}]))]
    #[case::pods(json!([{"to": [{"podSelector": {}}]}]))]
    #[case::dns_anywhere(json!([{"ports": [{"protocol": "UDP", "port": 53}, {"port": 53}]}]))]
    #[case::dns_to_a_private_resolver(json!([{"to": [{"ipBlock": {"cidr": "10.96.0.10/32"}}],
        "ports": [{"protocol": "UDP", "port": 53}]}]))]
    #[case::v6_with_ula_excepted(json!([{"to": [{"ipBlock": {"cidr": "::/0", "except": ["fc00::/7"]}}]}]))]
    #[case::shared_is_no_default(json!([{"to": [{"ipBlock": {"cidr": "100.64.0.0/10"}}]}]))]
    fn is_not_found(#[case] egress: Value) {
        assert_eq!(found(&Value::Null, &egress), []);
    }

    #[test]
    fn halves_that_add_up_to_everything_are_found_in_each_half() {
        let egress = json!([{"to": [{"ipBlock": {"cidr": "0.0.0.0/1"}}, {"ipBlock": {"cidr": "128.0.0.0/1"}}]}]);
        let halves = [
            (BLOCK.to_owned(), "10.0.0.0/8".to_owned()),
            ("spec.egress[0].to[1].ipBlock".to_owned(), "172.16.0.0/12 192.168.0.0/16".to_owned()),
        ];
        assert_eq!(found(&Value::Null, &egress), halves);
    }

    #[test]
    fn an_except_reopened_by_another_rule_is_found_there() {
        let egress = json!([
            {"to": [{"ipBlock": {"cidr": "10.0.0.0/7", "except": ["10.0.0.0/8"]}}]},
            {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]},
        ]);
        assert_eq!(
            found(&Value::Null, &egress),
            [("spec.egress[1].to[0].ipBlock".to_owned(), "10.0.0.0/8".to_owned())]
        );
    }

    #[test]
    fn a_rule_without_to_reaches_all_of_it() {
        for egress in
            [json!([{"ports": [{"port": 443}]}]), json!([{}]), json!([{"to": [], "ports": [{"port": "dns"}]}])]
        {
            assert_eq!(found(&Value::Null, &egress), [("spec.egress[0]".to_owned(), PRIVATE.to_owned())]);
            assert_eq!(found(&json!({"unrestrictedPeers": false}), &egress), []);
        }
    }

    #[test]
    fn parameters_add_and_take_away() {
        let resolver = json!([{"to": [{"ipBlock": {"cidr": "10.96.0.10/32"}}], "ports": [{"port": 443}]}]);
        assert_eq!(found(&json!({"allow": ["10.96.0.10/32"]}), &resolver), []);
        assert_eq!(found(&json!({"groups": [], "exemptPorts": ["TCP/443"]}), &resolver), []);
        let shared = json!([{"to": [{"ipBlock": {"cidr": "100.64.0.0/9"}}]}]);
        let all_of_it = [(BLOCK.to_owned(), "100.64.0.0/10".to_owned())];
        assert_eq!(found(&json!({"groups": ["private", "shared"]}), &shared), all_of_it);
        let office = json!([{"to": [{"ipBlock": {"cidr": "198.51.0.0/16"}}]}]);
        let one = [(BLOCK.to_owned(), "198.51.100.0/24".to_owned())];
        assert_eq!(found(&json!({"cidrs": ["198.51.100.0/24"]}), &office), one);
    }

    #[test]
    fn the_evidence_names_the_ports() {
        let spec = json!({"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
            "ports": [{"port": 443}, {"port": "http"}, {"protocol": "UDP", "port": 5000, "endPort": 5010}]}]});
        let outcome = drafts("egress-private-cidr", &Value::Null, &create(&spec)).expect("judged");
        assert_eq!(outcome.drafts[0].evidence.ports, ["TCP/443", "UDP/5000-5010", "TCP/http"]);
    }
}
