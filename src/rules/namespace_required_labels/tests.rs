use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::groups::Groups;
use crate::object::Metadata;
use crate::rules::find;
use crate::rules::tests::{drafts, fields, labelled, namespace_change, namespace_from_to};

const RULE: &str = "namespace-required-labels";
const TEAM: &str = "metadata.labels[team]";
const ENVIRONMENT: &str = "metadata.labels[environment]";
const FINE: &[(&str, &str)] = &[("team", "a"), ("environment", "staging"), ("tier", "x1")];

fn params() -> Value {
    json!({"labels": [
        {"key": "team"},
        {"key": "environment", "values": ["production", "staging"]},
        {"key": "tier", "pattern": "[a-z][0-9]"},
    ]})
}

#[rstest]
#[case::none_at_all(&[], &[TEAM, ENVIRONMENT, "metadata.labels[tier]"])]
#[case::one_missing(&[("environment", "staging"), ("tier", "x1")], &[TEAM])]
#[case::outside_the_list(&[("team", "a"), ("environment", "prod"), ("tier", "x1")], &[ENVIRONMENT])]
#[case::another_case(&[("team", "a"), ("environment", "Staging"), ("tier", "x1")], &[ENVIRONMENT])]
#[case::empty(&[("team", "a"), ("environment", ""), ("tier", "x1")], &[ENVIRONMENT])]
#[case::part_matches(&[("team", "a"), ("environment", "staging"), ("tier", "x11")], &["metadata.labels[tier]"])]
#[case::another_key(&[("Team", "a"), ("environment", "staging"), ("tier", "x1")], &[TEAM])]
#[case::all_there(FINE, &[])]
#[case::without_a_list_any_value(&[("team", ""), ("environment", "production"), ("tier", "a9")], &[])]
fn at_creation(#[case] labels: &[(&str, &str)], #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &params(), &namespace_change(None, Some(labels), "dev")), found);
}

#[rstest]
#[case::taken_away(&[("team", "a")], &[], &[TEAM])]
#[case::given_a_wrong_value(&[("environment", "staging")], &[("environment", "prod")], &[ENVIRONMENT])]
#[case::set_to_a_wrong_value(&[], &[("environment", "prod")], &[ENVIRONMENT])]
#[case::from_wrong_to_wrong(&[("environment", "prod")], &[("environment", "live")], &[ENVIRONMENT])]
#[case::one_mended_another_broken(&[("team", "a")], &[("environment", "staging")], &[TEAM])]
#[case::lacking_as_before(&[], &[("other", "x")], &[])]
#[case::wrong_as_before(&[("environment", "prod")], &[("environment", "prod"), ("team", "a")], &[])]
#[case::wrong_taken_away(&[("environment", "prod")], &[("team", "a")], &[])]
#[case::mended(&[("environment", "prod")], &[("environment", "production")], &[])]
#[case::from_fine_to_fine(&[("team", "a")], &[("team", "b")], &[])]
fn at_an_update(#[case] old: &[(&str, &str)], #[case] new: &[(&str, &str)], #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &params(), &namespace_change(Some(old), Some(new), "dev")), found);
}

#[test]
fn deletions_and_what_is_on_its_way_out_are_not_judged() {
    assert_eq!(fields(RULE, &params(), &namespace_change(Some(FINE), None, "dev")), [""; 0]);
    let leaving = Metadata { deletion_timestamp: Some(jiff::Timestamp::UNIX_EPOCH), ..labelled(&[]) };
    assert_eq!(fields(RULE, &params(), &namespace_from_to(Some(labelled(FINE)), Some(leaving), "dev")), [""; 0]);
}

#[test]
fn annotations_are_required_alike() {
    let params = json!({"annotations": [{"key": "example.com/Owner", "pattern": "[^@]+@example\\.com"}]});
    let annotated = |value: &str| Metadata {
        annotations: [("example.com/Owner".to_owned(), value.to_owned())].into(),
        ..labelled(&[("example.com/Owner", "a@example.com")])
    };
    let field = ["metadata.annotations[example.com/Owner]"];
    let judged = |old: Option<Metadata>, new| fields(RULE, &params, &namespace_from_to(old, Some(new), "dev"));
    assert_eq!(judged(None, labelled(&[])), field);
    assert_eq!(judged(None, annotated("a@example.org")), field);
    assert_eq!(judged(None, annotated(&format!("{}@example.com", "a".repeat(5_000)))), field);
    assert_eq!(judged(Some(annotated("a@example.com")), labelled(&[])), field);
    assert_eq!(judged(None, annotated("a@example.com")), [""; 0]);
    assert_eq!(judged(Some(annotated("x")), labelled(&[])), [""; 0]);
}

#[test]
fn list_and_pattern_must_both_be_met() {
    let params = json!({"labels": [{"key": "team", "values": ["a", "b1"], "pattern": "[a-z]"}]});
    let found = |value| fields(RULE, &params, &namespace_change(None, Some(&[("team", value)]), "dev")).len();
    assert_eq!([found("a"), found("b1"), found("c")], [0, 1, 1]);
}

#[test]
fn the_message_names_value_and_repair() {
    let outcome = drafts(RULE, &params(), &namespace_change(None, Some(&[("environment", "prod")]), "dev"));
    let drafts = outcome.expect("judged").drafts;
    let told: Vec<String> = drafts.iter().map(|draft| format!("{}; {}", draft.message, draft.help)).collect();
    assert_eq!(
        told,
        [
            "the label team is missing; set the label team",
            "the label environment is \"prod\", which is not allowed; set it to one of: production, staging",
            "the label tier is missing; set it to a value that matches `[a-z][0-9]`",
        ]
    );
    let long = namespace_change(Some(&[("tier", "x1")]), Some(&[("tier", &"x".repeat(300))]), "dev");
    let outcome = super::super::tests::drafts(RULE, &params(), &long).expect("judged");
    assert!(outcome.drafts[0].message.len() < 120, "{outcome:?}");
}

#[rstest]
#[case::a_bare_key(json!({"labels": ["team"]}), "labels[0]", "such as {key: team")]
#[case::no_key(json!({"labels": [{"values": ["a"]}]}), "labels[0]", "key")]
#[case::empty_key(json!({"labels": [{"key": ""}]}), "labels[0].key", "not the key")]
#[case::odd_key(json!({"annotations": [{"key": "a b"}]}), "annotations[0].key", "not the key")]
#[case::twice(json!({"labels": [{"key": "a"}, {"key": "a"}]}), "labels[1].key", "twice")]
#[case::empty_list(json!({"labels": [{"key": "a", "values": []}]}), "labels[0].values", "admits nothing")]
#[case::no_label_value(json!({"labels": [{"key": "a", "values": ["a b"]}]}), "labels[0].values", "`a b`")]
#[case::no_pattern(json!({"labels": [{"key": "a", "pattern": "("}]}), "labels[0].pattern", "not a pattern")]
#[case::unknown(json!({"labels": [{"key": "a", "value": "b"}]}), "labels[0]", "value")]
fn wrong_parameters_are_refused(#[case] params: Value, #[case] param: &str, #[case] told: &str) {
    let rule = find(RULE).expect("the rule");
    let error = rule.bind(&params, &Groups::builtin()).err().expect("refused");
    assert!(error.param.starts_with(param) && error.message.contains(told), "{error}");
}

#[test]
fn a_key_may_be_required_of_both() {
    let rule = find(RULE).expect("the rule");
    let both = json!({"labels": [{"key": "a"}], "annotations": [{"key": "a", "values": ["any text"]}]});
    assert!(rule.bind(&both, &Groups::builtin()).is_ok());
}
