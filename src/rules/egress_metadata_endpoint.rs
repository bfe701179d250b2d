//! `egress-metadata-endpoint`: egress by address that reaches a cloud's metadata service.

use std::net::Ipv4Addr;

use serde::Deserialize;
use serde_json::Value;

use super::reach::{Ports, Reach};
use super::{CannotTell, Check, Context, Meta, Needs, Outcome, ParamDoc, ParamError, Rule, typed};
use crate::finding::Level;
use crate::netpol::groups::{Groups, parse_all};

/// The rule.
pub(super) struct EgressMetadataEndpoint;

static META: Meta = Meta {
    name: "egress-metadata-endpoint",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Warn),
    needs: Needs::Nothing,
    summary: "egress by ipBlock reaches the metadata service of a cloud",
    what: "Egress by `ipBlock` that still reaches an address at which clouds serve instance metadata and credentials \
           once its `except` entries are taken out, and egress rules without `to`.",
    why: "A pod that reaches the metadata service can often fetch the credentials of the node it runs on, and act \
          in the cloud account with them.",
    example_params: "",
    rejected: "apiVersion: networking.k8s.io/v1
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
    accepted: "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: external, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
    - to:
        - ipBlock:
            cidr: 0.0.0.0/0
            except: [10.0.0.0/8, 100.64.0.0/10, 168.63.129.16/32, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24,
                     192.168.0.0/16]
      ports: [{protocol: TCP, port: 443}]
",
    params: &[
        ParamDoc { name: "cidrs", default: "[]", about: "Further metadata addresses." },
        ParamDoc { name: "allow", default: "[]", about: "Addresses taken out of the list." },
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
        "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html",
        "https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16",
        "https://cloud.google.com/compute/docs/metadata/overview",
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Params {
    cidrs: Vec<String>,
    allow: Vec<String>,
    unrestricted_peers: bool,
    exempt_ports: Ports,
}

impl Default for Params {
    fn default() -> Self {
        Self { cidrs: Vec::new(), allow: Vec::new(), unrestricted_peers: true, exempt_ports: Ports::default() }
    }
}

impl Rule for EgressMetadataEndpoint {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn bind(&self, params: &Value, groups: &Groups) -> Result<Box<dyn Check>, ParamError> {
        let params: Params = typed(params)?;
        let cidrs = parse_all(&params.cidrs).map_err(|error| ParamError::at("cidrs", error))?;
        let allow = parse_all(&params.allow).map_err(|error| ParamError::at("allow", error))?;
        Ok(Box::new(MetadataEndpoint(Reach {
            forbidden: groups
                .get("metadata")
                .map_err(|error| ParamError::at("", error))?
                .union(&cidrs)
                .difference(&allow),
            called: "metadata addresses",
            foremost: Some(Ipv4Addr::new(169, 254, 169, 254).into()),
            unrestricted_peers: params.unrestricted_peers,
            exempt_ports: params.exempt_ports.0,
        })))
    }
}

struct MetadataEndpoint(Reach);

impl Check for MetadataEndpoint {
    fn check(&self, cx: &Context<'_>) -> Result<Outcome, CannotTell> {
        Ok(self.0.drafts(cx).into())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::rules::tests::{create, drafts};

    fn found(params: &Value, cidr: &str, except: &[&str]) -> Vec<String> {
        let spec = json!({"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": cidr, "except": except}}]}]});
        let outcome = drafts("egress-metadata-endpoint", params, &create(&spec)).expect("judged");
        outcome.drafts.iter().flat_map(|draft| &draft.evidence.cidrs).map(ToString::to_string).collect()
    }

    #[rstest]
    #[case::link_local("169.254.0.0/16", &["169.254.0.0/17"], &["169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32"])]
    #[case::the_address_itself("169.254.169.254/32", &[], &["169.254.169.254/32"])]
    #[case::mapped("::ffff:169.254.169.254/128", &[], &["169.254.169.254/32"])]
    #[case::azure("168.0.0.0/8", &[], &["168.63.129.16/32"])]
    #[case::alibaba("100.64.0.0/10", &[], &["100.100.100.200/32"])]
    #[case::aws_v6("fd00:ec2::/32", &[], &["fd00:ec2::23/128", "fd00:ec2::254/128"])]
    fn is_found(#[case] cidr: &str, #[case] except: &[&str], #[case] residual: &[&str]) {
        assert_eq!(found(&Value::Null, cidr, except), residual);
    }

    #[rstest]
    #[case::excepted("169.254.0.0/16", &["169.254.169.254/32", "169.254.170.0/24", "169.254.0.23/32", "169.254.10.10/32"])]
    #[case::the_neighbour("169.254.169.252/31", &[])]
    #[case::private("10.0.0.0/8", &[])]
    #[case::link_local_v6("fe80::/10", &[])]
    #[case::ula_without_them("::/0", &["fc00::/7"])]
    fn is_not_found(#[case] cidr: &str, #[case] except: &[&str]) {
        assert!(found(&Value::Null, cidr, except).is_empty());
    }

    #[test]
    fn parameters_add_and_take_away() {
        assert!(found(&json!({"allow": ["169.254.169.254/32"]}), "169.254.169.254/32", &[]).is_empty());
        assert_eq!(found(&json!({"cidrs": ["192.0.2.1/32"]}), "192.0.2.0/24", &[]), ["192.0.2.1/32"]);
    }
}
