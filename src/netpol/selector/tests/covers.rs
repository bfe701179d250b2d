//! The search for an uncovered label set: by example, and against all label sets of three keys.

use proptest::prelude::*;

use super::super::cover::{Budget, Effort, decide, shrink};
use super::*;

pub(super) fn everything(covers: &[Selector]) -> (Cover, Effort) {
    decide(&Selector::everything(), &covers.iter().collect::<Vec<_>>())
}

pub(super) fn one(key: &str, operator: Operator, values: &[&str]) -> Selector {
    Selector::new(vec![req(key, operator, values)])
}

#[test]
fn nothing_covers_nothing() {
    assert_eq!(union_covers_everything(&[]), Cover::Uncovered(Labels::new()));
    assert_eq!(union_covers_everything(&[&Selector::everything()]), Cover::Covered);
}

#[test]
fn the_empty_label_set_is_tried_first() {
    let covers = [one("app", Exists, &[]), one("tier", In, &["a"])];
    assert_eq!(everything(&covers).0, Cover::Uncovered(Labels::new()));
}

#[test]
fn two_selectors_may_cover_together() {
    let pairs = [
        (one("app", In, &["a"]), one("app", NotIn, &["a"])),
        (one("app", Exists, &[]), one("app", DoesNotExist, &[])),
        (one("app", NotIn, &["a"]), one("app", NotIn, &["b"])),
        (one("app", NotIn, &["a"]), one("app", Exists, &[])),
    ];
    for (left, right) in pairs {
        assert_eq!(union_covers_everything(&[&left, &right]), Cover::Covered, "{left} or {right}");
        assert!(matches!(union_covers_everything(&[&left]), Cover::Uncovered(_)), "{left}");
        assert!(matches!(union_covers_everything(&[&right]), Cover::Uncovered(_)), "{right}");
    }
}

#[test]
fn witnesses_are_plain() {
    let cases = [
        (vec![one("app", NotIn, &["a"])], labels(&[("app", "a")])),
        (vec![one("app", DoesNotExist, &[])], labels(&[("app", "other")])),
        (vec![one("app", DoesNotExist, &[]), one("app", In, &["other"])], labels(&[("app", "other-2")])),
        // One label does, though the search may come upon more.
        (vec![one("app", DoesNotExist, &[]), one("tier", In, &["a", "b"])], labels(&[("app", "other")])),
        (vec![one("app", NotIn, &["a"]), one("tier", DoesNotExist, &[])], labels(&[("app", "a"), ("tier", "other")])),
    ];
    for (covers, witness) in cases {
        assert_eq!(everything(&covers).0, Cover::Uncovered(witness));
    }
}

#[test]
fn within_another_selector() {
    let web = Selector::labels([("app", "web")]);
    let ours = one("team", In, &["a", "b"]);
    assert_eq!(uncovered(&web, &[&ours]), Cover::Uncovered(labels(&[("app", "web")])));
    assert_eq!(uncovered(&web, &[&one("app", NotIn, &["db"])]), Cover::Covered);
    let (a, b) = (one("team", In, &["a", "c"]), one("team", In, &["b", "d"]));
    assert_eq!(uncovered(&ours, &[&a, &b]), Cover::Covered);
    assert_eq!(uncovered(&ours, &[&a]), Cover::Uncovered(labels(&[("team", "b")])));
    let nothing = Selector::new(vec![req("app", Exists, &[]), req("app", DoesNotExist, &[])]);
    assert_eq!(uncovered(&nothing, &[]), Cover::Covered);
    assert_eq!(uncovered(&web, &[&nothing]), Cover::Uncovered(labels(&[("app", "web")])));
    let present = Selector::new(vec![req("app", Exists, &[]), req("app", NotIn, &["other"])]);
    assert_eq!(uncovered(&present, &[]), Cover::Uncovered(labels(&[("app", "other-2")])));
}

#[test]
fn one_selector_that_covers_alone_is_seen_at_once() {
    let web = Selector::labels([("app", "web")]);
    assert_eq!(decide(&web, &[&one("app", NotIn, &["db"])]), (Cover::Covered, Effort::default()));
}

#[test]
fn spare_labels_are_left_out() {
    let everything = Selector::everything();
    let shrunk = |pairs: &[(&str, &str)], covers: &[&Selector]| {
        let mut set = labels(pairs);
        shrink(&mut set, &everything, covers, &mut Budget::new(1000));
        set
    };
    let three = [("a", "1"), ("b", "1"), ("c", "1")];
    assert_eq!(shrunk(&three, &[&one("c", DoesNotExist, &[])]), labels(&[("c", "1")]));
    assert_eq!(shrunk(&three, &[&one("a", DoesNotExist, &[])]), labels(&[("a", "1")]));
    // `a` is needed beside `b`, but not without it.
    let b_alone = Selector::new(vec![req("a", DoesNotExist, &[]), req("b", Exists, &[])]);
    assert_eq!(shrunk(&three, &[&b_alone]), Labels::new());
    // Out of budget, nothing is left out unseen.
    let mut set = labels(&three);
    shrink(&mut set, &everything, &[&b_alone], &mut Budget::new(1));
    assert_eq!(set, labels(&three));
}

/// What a witness must be: a label set of real labels that `within` matches, no cover does, and without spare labels.
fn check_witness(witness: &Labels, within: &Selector, covers: &[&Selector]) -> Result<(), TestCaseError> {
    let uncovered = |set: &Labels| within.matches(set) && !covers.iter().any(|cover| cover.matches(set));
    prop_assert!(uncovered(witness), "{:?} is covered", witness);
    for (key, value) in witness {
        prop_assert!(is_label_value(value));
        let mut fewer = witness.clone();
        fewer.remove(key);
        prop_assert!(!uncovered(&fewer), "{:?} does without {}", witness, key);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_all_label_sets(within in selector(), covers in prop::collection::vec(selector(), 0..12)) {
        let covers: Vec<&Selector> = covers.iter().filter(|cover| !cover.requirements().is_empty()).collect();
        let mut sets = all_label_sets().into_iter();
        let expected = sets.any(|set| within.matches(&set) && !covers.iter().any(|cover| cover.matches(&set)));
        match uncovered(&within, &covers) {
            Cover::Covered => prop_assert!(!expected),
            Cover::Uncovered(witness) => check_witness(&witness, &within, &covers)?,
            Cover::Unknown => prop_assert!(false, "undecided"),
        }
    }

    #[test]
    fn one_cover_is_implication(within in selector(), cover in selector()) {
        prop_assert_eq!(uncovered(&within, &[&cover]) == Cover::Covered, within.implies(&cover));
    }

    #[test]
    fn more_covers_cover_more(covers in prop::collection::vec(selector(), 1..10), more in selector()) {
        let with: Vec<Selector> = covers.iter().cloned().chain([more]).collect();
        prop_assert!(everything(&covers).0 != Cover::Covered || everything(&with).0 == Cover::Covered);
    }
}
