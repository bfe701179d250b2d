use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::groups::Groups;
use crate::object::Metadata;
use crate::rules::find;
use crate::rules::tests::{drafts, fields, labelled, namespace_change, namespace_from_to};

const RULE: &str = "namespace-name";

fn created(name: &str) -> crate::object::Subject {
    namespace_from_to(None, Some(Metadata { name: name.to_owned(), ..Metadata::default() }), "dev")
}

fn params() -> Value {
    json!({"pattern": "(team|app)-[a-z0-9-]+", "reserved": ["team-platform", "app-x"]})
}

#[rstest]
#[case::no_prefix("shop", 1)]
#[case::prefix_alone("team-", 1)]
#[case::in_the_middle("my-team-a", 1)]
#[case::reserved("team-platform", 1)]
#[case::reserved_and_more("team-platforms", 1)]
#[case::reserved_shorter("app-xyz", 1)]
#[case::fine("team-a", 0)]
#[case::the_other("app-1", 0)]
#[case::reserved_elsewhere("app-team-platform", 0)]
#[case::almost_reserved("team-platfor", 0)]
#[case::longest("team-a234567890123456789012345678901234567890123456789012345678", 0)]
fn names(#[case] name: &str, #[case] found: usize) {
    assert_eq!(fields(RULE, &params(), &created(name)), vec!["metadata.name"; found]);
}

#[test]
fn each_part_stands_alone() {
    assert_eq!(fields(RULE, &json!({"reserved": ["kube-"]}), &created("kube-x")).len(), 1);
    assert_eq!(fields(RULE, &json!({"reserved": ["kube-"]}), &created("kube")).len(), 0);
    assert_eq!(fields(RULE, &json!({"pattern": "[a-z]+"}), &created("a1")).len(), 1);
    assert_eq!(fields(RULE, &Value::Null, &created("anything")).len(), 0);
}

#[test]
fn only_creations_are_judged() {
    for subject in [namespace_change(Some(&[]), Some(&[("a", "b")]), "dev"), namespace_change(Some(&[]), None, "dev")] {
        assert_eq!(fields(RULE, &params(), &subject), [""; 0]);
    }
    let mut unreadable_before = namespace_from_to(None, Some(labelled(&[])), "dev");
    unreadable_before.operation = crate::object::Operation::Update;
    assert_eq!(fields(RULE, &params(), &unreadable_before), [""; 0]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let params = json!({"pattern": "[a-z]+", "reserved": ["kube-"]});
    let outcome = drafts(RULE, &params, &created("kube-1")).expect("judged");
    let [draft] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    assert_eq!(draft.message, "the name kube-1 does not match `[a-z]+` and begins with `kube-`, which is reserved");
    assert_eq!(draft.help, "choose a name that matches `[a-z]+` and does not begin with `kube-`");
}

#[rstest]
#[case::empty_pattern(json!({"pattern": ""}), "pattern")]
#[case::no_pattern(json!({"pattern": "team-("}), "pattern")]
#[case::empty_prefix(json!({"reserved": ["a", ""]}), "reserved[1]")]
#[case::upper_case(json!({"reserved": ["Kube-"]}), "reserved[0]")]
#[case::wildcard(json!({"reserved": ["kube-*"]}), "reserved[0]")]
fn wrong_parameters_are_refused(#[case] params: Value, #[case] param: &str) {
    let rule = find(RULE).expect("the rule");
    assert_eq!(rule.bind(&params, &Groups::builtin()).err().expect("refused").param, param);
}
