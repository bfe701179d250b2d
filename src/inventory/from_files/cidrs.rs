//! CIDRs that are understood and yet not as they should be.

use serde_json::Value;

use super::object::{Fault, shown};
use crate::manifest::Document;
use crate::netpol::ip_set::{cidr_is_canonical, parse_cidr};

/// The CIDRs of a policy that API servers since 1.36 refuse as new values, though stored ones stay and
/// older servers take them. They are no faults: what they mean is clear.
#[must_use]
pub fn odd_cidrs(document: &Document) -> Vec<Fault> {
    let mut found = Vec::new();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = list(document.value.get("spec").and_then(|spec| spec.get(direction)));
        for (i, rule) in rules.iter().enumerate() {
            for (j, peer) in list(rule.get(peers)).iter().enumerate() {
                let Some(block) = peer.get("ipBlock") else { continue };
                let field = format!("spec.{direction}[{i}].{peers}[{j}].ipBlock");
                let excepts = list(block.get("except")).iter().enumerate();
                let excepts = excepts.map(|(k, value)| (format!("{field}.except[{k}]"), Some(value)));
                let all = std::iter::once((format!("{field}.cidr"), block.get("cidr"))).chain(excepts);
                found.extend(all.filter_map(|(field, value)| odd_cidr(&field, value?.as_str()?)));
            }
        }
    }
    found
}

fn odd_cidr(field: &str, text: &str) -> Option<Fault> {
    let meant = parse_cidr(text).ok().filter(|_| !cidr_is_canonical(text))?;
    let message = format!("Kubernetes 1.36 and later refuse {} as a new value; it is judged as {meant}", shown(text));
    Some(Fault::refused(field, message, format!("write {meant}")))
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse;

    #[test]
    fn cidrs_that_newer_servers_refuse_are_found() {
        let text = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {ingress: [{from: \
                [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.1/8, except: [10.1.0.0/16, 010.2.0.0/16]}}]}]}}";
        let reading = parse("x.yaml", text);
        let found: Vec<_> =
            odd_cidrs(&reading.documents[0]).into_iter().map(|fault| (fault.field, fault.help)).collect();
        let expected = [
            ("spec.ingress[0].from[1].ipBlock.cidr", "write 10.0.0.0/8"),
            ("spec.ingress[0].from[1].ipBlock.except[1]", "write 10.2.0.0/16"),
        ];
        assert_eq!(found, expected.map(|(field, help)| (field.to_owned(), help.to_owned())));
    }
}
