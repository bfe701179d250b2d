//! What a rule set names once for all of its rules: groups of addresses, and protected labels of namespaces.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::ip_set::{IpSet, parse_cidr};

/// An address group known without being configured.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Its name in rule sets.
    pub name: &'static str,
    /// What it is, for documentation.
    pub about: &'static str,
    /// Its blocks.
    pub cidrs: &'static [&'static str],
}

/// Every built-in group, by name.
pub const GROUPS: [Group; 5] = [
    Group {
        name: "linkLocal",
        about: "link-local addresses (RFC 3927, RFC 4291)",
        cidrs: &["169.254.0.0/16", "fe80::/10"],
    },
    Group { name: "loopback", about: "the host itself (RFC 1122, RFC 4291)", cidrs: &["127.0.0.0/8", "::1/128"] },
    Group { name: "metadata", about: "where clouds serve instance metadata and credentials", cidrs: &METADATA },
    Group {
        name: "private",
        about: "private networks (RFC 1918, RFC 4193)",
        cidrs: &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    },
    Group { name: "shared", about: "carrier-grade NAT (RFC 6598)", cidrs: &["100.64.0.0/10"] },
];

/// Cloud metadata addresses, a closed list.
const METADATA: [&str; 11] = [
    "100.100.100.200/32", // Alibaba Cloud
    "168.63.129.16/32",   // Azure, the wire server
    "169.254.0.23/32",    // Tencent Cloud
    "169.254.10.10/32",   // Tencent Cloud, second address
    "169.254.169.254/32", // AWS, Azure, Google Cloud, OpenStack, DigitalOcean and most others
    "169.254.170.2/32",   // AWS ECS task credentials
    "169.254.170.23/32",  // AWS EKS pod identity
    "192.0.0.192/32",     // Oracle Cloud, classic
    "fd00:ec2::23/128",   // AWS EKS pod identity over IPv6
    "fd00:ec2::254/128",  // AWS over IPv6
    "fd20:ce::254/128",   // Google Cloud over IPv6
];

/// Address groups by name, the built-in ones and those a rule set adds, and the labels of namespaces it protects.
#[derive(Clone, Debug)]
pub struct Groups {
    addresses: BTreeMap<String, IpSet>,
    /// Keys of labels that only some may set on namespaces; with `*` at the end, what such keys begin with.
    pub protected_labels: Vec<String>,
}

impl Groups {
    /// The built-in groups, and no protected labels.
    #[must_use]
    pub fn builtin() -> Self {
        let set = |group: &Group| group.cidrs.iter().filter_map(|text| parse_cidr(text).ok()).collect::<IpSet>();
        let addresses = GROUPS.iter().map(|group| (group.name.to_owned(), set(group))).collect();
        Self { addresses, protected_labels: Vec::new() }
    }

    /// With one more group. A name that is already there is given its new meaning.
    pub fn insert(&mut self, name: &str, addresses: IpSet) {
        self.addresses.insert(name.to_owned(), addresses);
    }

    /// The addresses of a group.
    ///
    /// # Errors
    /// One line with the names there are, for a name that is none.
    pub fn get(&self, name: &str) -> Result<&IpSet, String> {
        self.addresses.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.addresses.keys().map(String::as_str).collect();
            format!("there is no address group `{name}`; there are {}", names.join(", "))
        })
    }
}

/// The blocks of a list of texts.
///
/// # Errors
/// The first text that is no CIDR, with the reason.
pub fn parse_all(texts: &[String]) -> Result<IpSet, String> {
    let blocks: Result<Vec<IpNet>, String> =
        texts.iter().map(|text| parse_cidr(text).map_err(|error| error.to_string())).collect();
    Ok(blocks?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_every_group_is_a_canonical_cidr() {
        for group in GROUPS {
            for text in group.cidrs {
                assert_eq!(parse_cidr(text).map(|block| block.to_string()), Ok((*text).to_owned()), "{}", group.name);
            }
        }
    }

    #[test]
    fn groups_are_sorted_and_found_by_name() {
        assert!(GROUPS.windows(2).all(|pair| pair[0].name < pair[1].name));
        let groups = Groups::builtin();
        assert!(groups.get("private").is_ok_and(|set| set.contains([10, 1, 2, 3].into())));
        assert!(groups.get("Private").is_err_and(|error| error.contains("linkLocal, loopback")));
    }
}
