use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::inventory::{Inventory, NamespaceState};
use crate::netpol::policy::PolicyRule;
use crate::netpol::port_set::PortSet;
use crate::netpol::selector::Operator;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A policy of namespace `a` with one rule for those namespaces.
fn mk_policy(namespace: &str, name: &str, selector: Selector) -> Arc<NetworkPolicy> {
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    let mut policy = NetworkPolicy::parse(namespace, name, &spec).unwrap();
    let peers = vec![Peer::Pods { namespace: Some(selector), pod: None }];
    policy.spec.ingress.push(PolicyRule { peers, ports: PortSet::all(), ranges: Vec::new() });
    Arc::new(policy)
}

fn put(inventory: &mut Inventory, policy: &Arc<NetworkPolicy>) {
    inventory.update(&policy.namespace, |state| {
        state.policies.insert(policy.name.clone(), Arc::clone(policy));
    });
}

/// The same without the index.
fn scan(inventory: &Inventory, before: &Labels, after: &Labels) -> Vec<Turned> {
    let mut found: BTreeMap<Selector, BTreeMap<(String, String), Arc<NetworkPolicy>>> = BTreeMap::new();
    for state in inventory.namespaces() {
        for (name, policy) in &state.policies {
            for direction in Direction::ALL {
                for peer in policy.spec.rules(direction).iter().flat_map(|rule| &rule.peers) {
                    let Peer::Pods { namespace: Some(selector), .. } = peer else { continue };
                    if selector.matches(before) != selector.matches(after) {
                        let users = found.entry(selector.clone()).or_default();
                        users.insert((state.name.clone(), name.clone()), Arc::clone(policy));
                    }
                }
            }
        }
    }
    let turned = |(selector, users): (Selector, BTreeMap<_, _>)| Turned {
        selects: selector.matches(after),
        selector: Arc::new(selector),
        policies: users.into_values().collect(),
    };
    found.into_iter().map(turned).collect()
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let values = proptest::collection::btree_set(prop_oneof![Just("x"), Just("y"), Just("")], 1..3);
    (0..3usize, proptest::sample::select(&Operator::ALL[..]), values)
        .prop_map(|(key, operator, values)| Requirement::new(["k", "l", "m"][key], operator, values))
}

fn selector() -> impl Strategy<Value = Selector> {
    proptest::collection::vec(requirement(), 0..4).prop_map(Selector::new)
}

fn policy() -> impl Strategy<Value = Arc<NetworkPolicy>> {
    let peer = prop_oneof![
        4 => (selector(), proptest::option::of(selector()))
            .prop_map(|(namespace, pod)| Peer::Pods { namespace: Some(namespace), pod }),
        1 => selector().prop_map(|pod| Peer::Pods { namespace: None, pod: Some(pod) }),
    ];
    let rule = proptest::collection::vec(peer, 0..3).prop_map(|peers| PolicyRule {
        peers,
        ports: PortSet::all(),
        ranges: Vec::new(),
    });
    let rules = proptest::collection::vec(rule, 0..3);
    (0..3usize, 0..3usize, rules.clone(), rules, any::<(bool, bool)>()).prop_map(
        |(namespace, name, ingress, egress, (isolates_ingress, isolates_egress))| {
            let policy = mk_policy(["a", "b", "c"][namespace], ["p", "q", "r"][name], Selector::everything());
            let mut policy = Arc::unwrap_or_clone(policy);
            policy.spec.ingress = ingress;
            policy.spec.egress = egress;
            (policy.spec.isolates_ingress, policy.spec.isolates_egress) = (isolates_ingress, isolates_egress);
            Arc::new(policy)
        },
    )
}

/// What may happen to an inventory.
#[derive(Clone, Debug)]
enum Step {
    Put(Arc<NetworkPolicy>),
    Drop(&'static str, &'static str),
    /// The whole namespace comes anew, with these policies.
    Replace(&'static str, Vec<Arc<NetworkPolicy>>),
    Forget(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let namespace = || proptest::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        6 => policy().prop_map(Step::Put),
        2 => (namespace(), proptest::sample::select(vec!["p", "q", "r"])).prop_map(|(ns, name)| Step::Drop(ns, name)),
        1 => (namespace(), proptest::collection::vec(policy(), 0..3)).prop_map(|(ns, all)| Step::Replace(ns, all)),
        1 => namespace().prop_map(Step::Forget),
    ]
}

fn take(inventory: &mut Inventory, step: Step) {
    match step {
        Step::Put(policy) => put(inventory, &policy),
        Step::Drop(namespace, name) => inventory.update(namespace, |state| _ = state.policies.remove(name)),
        Step::Replace(namespace, policies) => {
            let policies = policies.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
            inventory.insert(Arc::new(NamespaceState { policies, ..NamespaceState::unseen(namespace) }));
        }
        Step::Forget(namespace) => inventory.remove(namespace),
    }
}

fn some_labels() -> impl Strategy<Value = Labels> {
    let value = prop_oneof![Just(None), Just(Some("x")), Just(Some("y")), Just(Some("z")), Just(Some(""))];
    proptest::collection::vec(value, 3).prop_map(|values| {
        let pairs = ["k", "l", "m"].into_iter().zip(values);
        pairs.filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()
    })
}

proptest! {
    #[test]
    fn the_index_says_what_a_scan_says(
        steps in proptest::collection::vec(step(), 1..20),
        before in some_labels(),
        after in some_labels(),
    ) {
        let mut inventory = Inventory::default();
        for step in steps {
            // What was published stays what it was.
            let published = inventory.clone();
            let said = published.turned(&before, &after);
            take(&mut inventory, step);
            prop_assert_eq!(inventory.turned(&before, &after), scan(&inventory, &before, &after));
            prop_assert_eq!(published.turned(&before, &after), said);
        }
        for namespace in ["a", "b", "c"] {
            inventory.remove(namespace);
        }
        prop_assert_eq!(inventory, Inventory::default(), "nothing is left behind");
    }
}

/// A cluster of tenants, each with ten policies, and the rules that all of them have.
fn tenants(count: usize) -> Inventory {
    let mut inventory = Inventory::default();
    for i in 0..count {
        let namespace = format!("tenant-{i}");
        let common = ["kube-system", "ingress"].map(|name| Selector::labels([(crate::netpol::METADATA_NAME, name)]));
        let mut selectors = Vec::from(common);
        selectors.extend((0..7).map(|j| Selector::labels([("team".to_owned(), format!("t{i}-{j}"))])));
        selectors.push(Selector::everything());
        for (j, selector) in selectors.into_iter().enumerate() {
            put(&mut inventory, &mk_policy(&namespace, &format!("p{j}"), selector));
        }
    }
    inventory
}

#[test]
fn what_is_looked_at_does_not_grow_with_the_number_of_namespaces() {
    for count in [10, 1_000] {
        let inventory = tenants(count);
        let index = &inventory.selectors;
        assert_eq!(index.users.len(), count * 9, "all but those for every namespace");
        assert_eq!(index.triggers.len(), count * 7 + 2, "each distinct selector once");
        let looked_at = |key, value: &str| index.triggered(key, Some(&value.to_owned())).count();
        assert_eq!([looked_at("team", "t5-3"), looked_at("team", "nobody"), looked_at("env", "x")], [1, 0, 0]);
        let turned = inventory.turned(&Labels::new(), &labels(&[("team", "t5-3"), ("owner", "x")]));
        assert_eq!(turned.len(), 1);
        assert_eq!(turned[0].policies.iter().map(|policy| &policy.namespace).collect::<Vec<_>>(), ["tenant-5"]);
    }
}

#[test]
fn rules_without_an_effect_do_not_count() {
    let mut policy = Arc::unwrap_or_clone(mk_policy("a", "p", Selector::labels([("k", "x")])));
    policy.spec.isolates_ingress = false;
    let mut inventory = Inventory::default();
    put(&mut inventory, &Arc::new(policy));
    assert_eq!(inventory.turned(&Labels::new(), &labels(&[("k", "x")])), []);
}
