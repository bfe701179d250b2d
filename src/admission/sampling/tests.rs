use rstest::rstest;

use super::*;

fn uids() -> impl Iterator<Item = String> {
    (0..10_000).map(|number| format!("705ab4f5-6393-11e8-b7cc-{number:012x}"))
}

fn share(text: &str) -> LogAllowed {
    text.parse().expect("a share")
}

#[rstest]
#[case("all", 1.0)]
#[case("none", 0.0)]
#[case("0", 0.0)]
#[case("1", 1.0)]
#[case("0.01", 0.01)]
#[case("1e-3", 0.001)]
fn shares_are_read(#[case] text: &str, #[case] expected: f64) {
    assert_eq!(share(text), LogAllowed(expected));
}

#[rstest]
#[case("")]
#[case("some")]
#[case("ALL")]
#[case("-0.1")]
#[case("1.1")]
#[case("10%")]
#[case("nan")]
#[case("inf")]
fn what_is_no_share_is_refused(#[case] text: &str) {
    let error = text.parse::<LogAllowed>().expect_err("refused").to_string();
    assert_eq!(error, "want all, none, or a share from 0 to 1 such as 0.01");
}

#[test]
fn about_the_share_is_picked_and_all_and_none_are_exact() {
    let picked = |text: &str| uids().filter(|uid| share(text).picks(uid)).count();
    assert_eq!([picked("all"), picked("none")], [10_000, 0]);
    // Five standard deviations of 10,000 fair draws are 217.
    assert!((2_283..=2_717).contains(&picked("0.25")), "{}", picked("0.25"));
}

#[test]
fn a_larger_share_holds_all_of_a_smaller_one() {
    let (some, more) = (share("0.1"), share("0.3"));
    assert!(uids().filter(|uid| some.picks(uid)).all(|uid| more.picks(&uid) && some.picks(&uid)));
}
