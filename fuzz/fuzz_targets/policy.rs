//! Any JSON as the spec of a NetworkPolicy: what is accepted means what the API's own type reads, and no more.
#![no_main]

use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use libfuzzer_sys::{Corpus, fuzz_target};
use portcullis::netpol::extent::{Extent, contained};
use portcullis::netpol::ip_set::IpSet;
use portcullis::netpol::policy::{Direction, NetworkPolicy, Peer, PolicySpec, SpecProblem};
use serde_json::Value;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return Corpus::Reject };
    match NetworkPolicy::parse("shop", "web", &value) {
        Ok(policy) => {
            same_shape(&policy.spec, &value);
            for rule in policy.spec.ingress.iter().chain(&policy.spec.egress) {
                rule.peers.iter().for_each(within_its_block);
            }
            contains_itself(&policy.spec);
        }
        Err(problems) => told(&problems),
    }
    Corpus::Keep
});

/// The API's own type reads it too, with as many rules and peers in the same places.
fn same_shape(spec: &PolicySpec, value: &Value) {
    // Go takes null for the zero value everywhere, and serde does not.
    if has_null(value) {
        return;
    }
    let typed = match serde_json::from_value::<NetworkPolicySpec>(value.clone()) {
        Ok(typed) => typed,
        Err(error) => panic!("accepted, but no NetworkPolicySpec: {error}"),
    };
    let peers = |peers: Option<Vec<_>>| peers.unwrap_or_default().len();
    let ingress: Vec<usize> = typed.ingress.unwrap_or_default().into_iter().map(|rule| peers(rule.from)).collect();
    let egress: Vec<usize> = typed.egress.unwrap_or_default().into_iter().map(|rule| peers(rule.to)).collect();
    assert_eq!(spec.ingress.iter().map(|rule| rule.peers.len()).collect::<Vec<_>>(), ingress);
    assert_eq!(spec.egress.iter().map(|rule| rule.peers.len()).collect::<Vec<_>>(), egress);
    let types = typed.policy_types.unwrap_or_default();
    let named = |name: &str| types.iter().any(|written| written == name);
    assert_eq!(spec.isolates_ingress, types.is_empty() || named("Ingress"));
    assert_eq!(spec.isolates_egress, if types.is_empty() { !egress.is_empty() } else { named("Egress") });
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

/// An ipBlock reaches nothing beyond its cidr and nothing of what is excepted.
fn within_its_block(peer: &Peer) {
    let Peer::IpBlock { cidr, except } = peer else { return };
    let Some(addresses) = peer.addresses() else { panic!("an ipBlock without addresses: {peer:?}") };
    assert_eq!(cidr.trunc(), *cidr, "host bits");
    assert!(addresses.is_subset(&IpSet::from_cidr(*cidr)), "outside of its cidr: {peer:?}");
    assert!(except.iter().all(|block| !addresses.intersects(&IpSet::from_cidr(*block))), "excepted: {peer:?}");
    assert_eq!(addresses.cidrs().into_iter().collect::<IpSet>(), addresses, "the list of CIDRs is the set");
}

/// An update that changes nothing makes nothing worse, as far as that can be told in bounded time.
fn contains_itself(spec: &PolicySpec) {
    for direction in Direction::ALL {
        let mut extents = Vec::new();
        for rule in spec.rules(direction) {
            let extent = |addresses| Extent { pods: spec.pod_selector.clone(), addresses, ports: rule.ports.clone() };
            if rule.peers.is_empty() {
                extents.push(extent(IpSet::all()));
            }
            extents.extend(rule.peers.iter().filter_map(|peer| Some(extent(peer.addresses()?))));
        }
        assert_ne!(contained(&extents, &extents), Some(false), "{direction}: worse than itself");
    }
}

fn told(problems: &[SpecProblem]) {
    assert!(!problems.is_empty(), "refused without a reason");
    for SpecProblem { field, message, .. } in problems {
        assert!(field.starts_with("spec"), "{field}");
        assert!(
            !message.is_empty() && !field.chars().chain(message.chars()).any(char::is_control),
            "{field}: {message:?}"
        );
    }
}
