use proptest::prelude::*;

use super::*;
use crate::inventory::Inventory;

fn labels() -> impl Strategy<Value = Labels> {
    let value = prop_oneof![Just("x"), Just("y"), Just("")];
    proptest::collection::btree_map(
        proptest::sample::select(&["k", "l"][..]).prop_map(String::from),
        value.prop_map(String::from),
        0..3,
    )
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let values = proptest::collection::btree_set(prop_oneof![Just("x"), Just("y"), Just("")], 1..3);
    (proptest::sample::select(&["k", "l", "m"][..]), proptest::sample::select(&Operator::ALL[..]), values)
        .prop_map(|(key, operator, values)| Requirement::new(key, operator, values))
}

proptest! {
    /// Against a look at every namespace, whatever came and went before.
    #[test]
    fn it_selects_what_a_scan_selects(
        history in proptest::collection::vec((0..6usize, proptest::option::of(labels())), 0..24),
        requirements in proptest::collection::vec(requirement(), 0..3),
        most in 0..8usize,
    ) {
        let mut inventory = Inventory::default();
        for (number, labels) in history {
            let name = format!("n{number}");
            match labels {
                Some(labels) => inventory.update(&name, |state| state.labels = labels),
                None => inventory.remove(&name),
            }
        }
        let selector = Selector::new(requirements);
        let scanned = inventory.namespaces().filter(|state| selector.matches(&state.labels)).map(|state| state.name.clone());
        let mut scanned: Vec<String> = scanned.collect();
        scanned.sort();
        let asks_for_a_label = selector.requirements().iter().any(|requirement| requirement.operator.needs_a_label());
        match inventory.selected_by(&selector, most) {
            Some(found) => {
                let mut found: Vec<String> = found.iter().map(|state| state.name.clone()).collect();
                found.sort();
                prop_assert_eq!(found, scanned);
            }
            None => prop_assert!(!asks_for_a_label || inventory.len() > most),
        }
    }
}
