use proptest::prelude::*;
use rstest::rstest;

use super::Operator::{DoesNotExist, Exists, In, NotIn};
use super::*;

mod covers;
mod hard;

pub(super) fn req(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement::new(key, operator, values.iter().copied())
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn requirements_treat_objects_without_the_key_as_kubernetes_does() {
    let (without, other) = (labels(&[("tier", "a")]), labels(&[("app", "c")]));
    let cases = [
        (req("app", In, &["a", "b"]), false, true, false),
        (req("app", NotIn, &["a", "b"]), true, false, true),
        (req("app", Exists, &[]), false, true, true),
        (req("app", DoesNotExist, &[]), true, false, false),
    ];
    for (requirement, absent, named, unnamed) in cases {
        let selector = Selector::new(vec![requirement]);
        assert_eq!(selector.matches(&without), absent, "{selector} without the key");
        assert_eq!(selector.matches(&labels(&[("app", "a")])), named, "{selector} with a");
        assert_eq!(selector.matches(&other), unnamed, "{selector} with c");
    }
}

#[test]
fn the_empty_value_is_a_value() {
    let (empty, absent) = (labels(&[("app", "")]), Labels::new());
    assert!(Selector::labels([("app", "")]).matches(&empty) && !Selector::labels([("app", "")]).matches(&absent));
    assert!(Selector::new(vec![req("app", Exists, &[])]).matches(&empty));
    assert!(!Selector::new(vec![req("app", NotIn, &[""])]).matches(&empty));
}

#[test]
fn is_canonical() {
    let one = Selector::new(vec![req("b", In, &["y", "x"]), req("a", Exists, &["ignored"]), req("a", Exists, &[])]);
    let two = Selector::new(vec![req("a", Exists, &[]), req("b", In, &["x", "y", "x"])]);
    assert_eq!(one, two);
    assert_eq!(one.requirements(), [req("a", Exists, &[]), req("b", In, &["x", "y"])]);
    assert_eq!(Selector::labels([("app", "web")]), Selector::new(vec![req("app", In, &["web"])]));
    assert_eq!(Selector::new(vec![]), Selector::everything());
}

#[rstest]
#[case(vec![], "{}")]
#[case(vec![req("app", In, &["web"]), req("tier", In, &["b", "a"])], "app=web,tier in (a, b)")]
#[case(vec![req("app", NotIn, &["web"]), req("tier", NotIn, &["b", "a"])], "app!=web,tier notin (a, b)")]
#[case(vec![req("x", Exists, &[]), req("y", DoesNotExist, &[])], "x,!y")]
#[case(vec![req("app", In, &[""])], "app=")]
#[case(vec![req("app", In, &[])], "app in ()")]
fn is_printed_as_kubectl_reads_it(#[case] requirements: Vec<Requirement>, #[case] text: &str) {
    assert_eq!(Selector::new(requirements).to_string(), text);
}

#[test]
fn operators_are_spelt_as_in_the_api() {
    for operator in Operator::ALL {
        assert_eq!(operator.as_str().parse(), Ok(operator));
    }
    for text in ["in", "Equals", "Gt", ""] {
        assert_eq!(text.parse::<Operator>(), Err(UnknownOperator));
    }
}

#[rstest]
#[case("", true)]
#[case("a", true)]
#[case("A-b_c.9", true)]
#[case("-a", false)]
#[case("a.", false)]
#[case("a b", false)]
#[case("ä", false)]
#[case("a/b", false)]
#[case(&"x".repeat(63), true)]
#[case(&"x".repeat(64), false)]
fn label_values(#[case] text: &str, #[case] valid: bool) {
    assert_eq!(is_label_value(text), valid);
}

#[rstest]
#[case(vec![req("app", In, &["a"]), req("app", In, &["b"])])]
#[case(vec![req("app", Exists, &[]), req("app", DoesNotExist, &[])])]
#[case(vec![req("app", In, &["a"]), req("app", NotIn, &["a", "b"])])]
#[case(vec![req("app", In, &["a"]), req("app", DoesNotExist, &[])])]
#[case(vec![req("app", In, &["a", "b"]), req("app", In, &["b", "c"]), req("app", In, &["a", "c"])])]
#[case(vec![req("app", In, &[])])]
fn contradictions(#[case] requirements: Vec<Requirement>) {
    let nothing = Selector::new(requirements);
    let some = Selector::labels([("zone", "x")]);
    assert!(nothing.is_contradiction());
    assert!(nothing.implies(&some) && !some.implies(&nothing));
    assert!(nothing.disjoint(&Selector::everything()) && Selector::everything().disjoint(&nothing));
}

#[rstest]
#[case(vec![req("app", In, &["a", "b"]), req("app", In, &["b", "c"])])]
#[case(vec![req("app", Exists, &[]), req("app", NotIn, &["a"])])]
#[case(vec![req("app", DoesNotExist, &[]), req("app", NotIn, &["a"])])]
#[case(vec![])]
fn no_contradictions(#[case] requirements: Vec<Requirement>) {
    let selector = Selector::new(requirements);
    assert!(!selector.is_contradiction());
    assert!(!selector.disjoint(&Selector::everything()) && selector.implies(&Selector::everything()));
}

/// A stored selector of the years before values were checked: no object can have such a label.
#[test]
fn values_that_no_label_can_have_reach_nothing() {
    let named = Selector::new(vec![req("app", In, &["not a value"])]);
    let barred = Selector::new(vec![req("app", NotIn, &["not a value"])]);
    assert!(named.is_contradiction() && barred.selects_everything());
    assert!(Selector::everything().implies(&barred));
    assert_eq!(union_covers_everything(&[&barred]), Cover::Covered);
    let half = Selector::new(vec![req("app", NotIn, &["not a value", "b"])]);
    assert_eq!(union_covers_everything(&[&half]), Cover::Uncovered(labels(&[("app", "b")])));
}

/// Three keys, each absent, with one of two values that selectors name, or with another: 64 label sets.
const KEYS: [&str; 3] = ["app", "tier", "zone"];
const VALUES: [&str; 2] = ["a", "b"];

pub(super) fn all_label_sets() -> Vec<Labels> {
    let choices = [None, Some("a"), Some("b"), Some("c")];
    let mut sets = vec![Labels::new()];
    for key in KEYS {
        sets = sets
            .iter()
            .flat_map(|set| {
                choices.map(|choice| {
                    let mut set = set.clone();
                    set.extend(choice.map(|value| (key.to_owned(), value.to_owned())));
                    set
                })
            })
            .collect();
    }
    sets
}

pub(super) fn selector() -> impl Strategy<Value = Selector> {
    let values = prop::sample::subsequence(&VALUES[..], 1..=2);
    let part = (prop::sample::select(&KEYS[..]), prop::sample::select(&Operator::ALL[..]), values)
        .prop_map(|(key, operator, values)| req(key, operator, &values));
    prop::collection::vec(part, 0..5).prop_map(Selector::new)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn proofs_agree_with_all_label_sets(one in selector(), two in selector()) {
        let sets = all_label_sets();
        prop_assert_eq!(one.selects_everything(), sets.iter().all(|set| one.matches(set)));
        prop_assert_eq!(one.is_contradiction(), !sets.iter().any(|set| one.matches(set)));
        prop_assert_eq!(one.disjoint(&two), !sets.iter().any(|set| one.matches(set) && two.matches(set)));
        prop_assert_eq!(one.implies(&two), sets.iter().all(|set| !one.matches(set) || two.matches(set)));
    }

    #[test]
    fn implication_and_disjointness_keep_their_laws(a in selector(), b in selector(), c in selector()) {
        prop_assert!(a.implies(&a) && a.implies(&Selector::everything()));
        prop_assert!(!(a.implies(&b) && b.implies(&c)) || a.implies(&c));
        prop_assert_eq!(a.disjoint(&b), b.disjoint(&a));
        prop_assert!(!(a.implies(&b) && b.disjoint(&c)) || a.disjoint(&c));
        let both = Selector::new([a.requirements(), b.requirements()].concat());
        prop_assert_eq!(both.is_contradiction(), a.disjoint(&b));
        prop_assert!(both.implies(&a) && both.implies(&b));
    }

    #[test]
    fn a_selector_is_the_and_of_its_requirements(a in selector()) {
        for set in all_label_sets() {
            let each = |part: &Requirement| Selector::new(vec![part.clone()]).matches(&set);
            prop_assert_eq!(a.matches(&set), a.requirements().iter().all(each));
        }
    }
}

#[test]
fn a_witness_is_selected_and_has_no_label_more_than_needed() {
    let witness = |requirements: Vec<Requirement>| Selector::new(requirements).witness();
    assert_eq!(witness(vec![]), Some(Labels::new()));
    assert_eq!(witness(vec![req("app", NotIn, &["a"]), req("tier", DoesNotExist, &[])]), Some(Labels::new()));
    assert_eq!(witness(vec![req("app", In, &["b", "a"])]), Some(labels(&[("app", "a")])));
    assert_eq!(witness(vec![req("app", In, &["a", "b"]), req("app", NotIn, &["a"])]), Some(labels(&[("app", "b")])));
    let fresh = Selector::new(vec![req("app", Exists, &[]), req("app", NotIn, &["x0", "x1"])]);
    assert_eq!(fresh.witness(), Some(labels(&[("app", "x2")])));
    assert!(fresh.matches(&fresh.witness().expect("one")));
    assert_eq!(witness(vec![req("app", Exists, &[]), req("app", DoesNotExist, &[])]), None);
    assert_eq!(witness(vec![req("app", In, &["no value!"])]), None);
}
