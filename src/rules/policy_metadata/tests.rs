use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::groups::Groups;
use crate::object::{Metadata, Subject};
use crate::rules::find;
use crate::rules::tests::{change, drafts, fields, labelled, namespace_from_to};

const RULE: &str = "policy-metadata";
const OWNER: &str = "metadata.labels[owner]";
const TICKET: &str = "metadata.annotations[example.com/ticket]";
const FINE: &[(&str, &str)] = &[("owner", "shop"), ("tier", "x1")];

fn params() -> Value {
    json!({
        "labels": [{"key": "owner", "values": ["shop", "checkout"]}, {"key": "tier", "pattern": "[a-z][0-9]"}],
        "namePattern": "(allow|deny)-[a-z-]+",
    })
}

/// A policy of that name whose labels were and become these.
fn relabelled(name: &str, old: Option<&[(&str, &str)]>, new: Option<&[(&str, &str)]>) -> Subject {
    let spec = json!({"podSelector": {}});
    let mut subject = change(name, old.map(|_| &spec), new.map(|_| &spec));
    let crate::object::Change::NetworkPolicy { old: before, new: after } = &mut subject.change else { panic!() };
    for (object, labels) in [(before, old), (after, new)] {
        if let (Some(object), Some(labels)) = (object, labels) {
            object.metadata.labels = labelled(labels).labels;
        }
    }
    subject
}

#[rstest]
#[case::none_at_all("allow-a", &[], &[OWNER, "metadata.labels[tier]"])]
#[case::one_missing("allow-a", &[("tier", "x1")], &[OWNER])]
#[case::outside_the_list("allow-a", &[("owner", "Shop"), ("tier", "x1")], &[OWNER])]
#[case::outside_the_pattern("allow-a", &[("owner", "shop"), ("tier", "x11")], &["metadata.labels[tier]"])]
#[case::another_name("test", FINE, &["metadata.name"])]
#[case::part_of_a_name_matches("x-allow-a", FINE, &["metadata.name"])]
#[case::a_name_that_ends_otherwise("allow-a1", FINE, &["metadata.name"])]
#[case::fine("allow-a", FINE, &[])]
#[case::fine_with_more("deny-all", &[("owner", "checkout"), ("tier", "a9"), ("app", "x")], &[])]
fn at_creation(#[case] name: &str, #[case] labels: &[(&str, &str)], #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &params(), &relabelled(name, None, Some(labels))), found);
}

#[rstest]
#[case::taken_away(FINE, &[("tier", "x1")], &[OWNER])]
#[case::given_a_wrong_value(FINE, &[("owner", "x"), ("tier", "x1")], &[OWNER])]
#[case::from_wrong_to_wrong(&[("owner", "x")], &[("owner", "y")], &[OWNER])]
#[case::lacking_as_before(&[], &[("other", "x")], &[])]
#[case::wrong_as_before(&[("owner", "x")], &[("owner", "x"), ("other", "x")], &[])]
#[case::mended(&[("owner", "x")], FINE, &[])]
fn at_an_update_of_a_misnamed_policy(
    #[case] old: &[(&str, &str)],
    #[case] new: &[(&str, &str)],
    #[case] found: &[&str],
) {
    assert_eq!(fields(RULE, &params(), &relabelled("test", Some(old), Some(new))), found);
}

#[test]
fn deletions_and_what_is_on_its_way_out_and_namespaces_are_not_judged() {
    assert_eq!(fields(RULE, &params(), &relabelled("test", Some(FINE), None)), [""; 0]);
    let mut leaving = relabelled("test", Some(FINE), Some(&[]));
    let crate::object::Change::NetworkPolicy { new: Some(new), .. } = &mut leaving.change else { panic!() };
    new.metadata.deletion_timestamp = Some(jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(fields(RULE, &params(), &leaving), [""; 0]);
    let namespace = namespace_from_to(None, Some(Metadata { name: "test".to_owned(), ..Metadata::default() }), "dev");
    assert_eq!(fields(RULE, &params(), &namespace), [""; 0]);
}

#[test]
fn each_part_stands_alone() {
    let bare = relabelled("test", None, Some(&[]));
    assert_eq!(fields(RULE, &Value::Null, &bare), [""; 0]);
    assert_eq!(fields(RULE, &json!({"annotations": [{"key": "example.com/ticket"}]}), &bare), [TICKET]);
    assert_eq!(fields(RULE, &json!({"namePattern": "[a-z]+"}), &bare), [""; 0]);
    assert_eq!(fields(RULE, &json!({"namePattern": "[a-s]+"}), &bare), ["metadata.name"]);
}

#[test]
fn messages_name_value_and_repair() {
    let outcome = drafts(RULE, &params(), &relabelled("test", None, Some(&[("owner", "x"), ("tier", "x1")])));
    let drafts = outcome.expect("judged").drafts;
    let told: Vec<String> = drafts.iter().map(|draft| format!("{}; {}", draft.message, draft.help)).collect();
    assert_eq!(
        told,
        [
            "the label owner is \"x\", which is not allowed; set it to one of: shop, checkout",
            "the name test does not match `(allow|deny)-[a-z-]+`; choose a name that matches `(allow|deny)-[a-z-]+`",
        ]
    );
}

#[rstest]
#[case::odd_key(json!({"labels": [{"key": "a b"}]}), "labels[0].key")]
#[case::empty_list(json!({"annotations": [{"key": "a", "values": []}]}), "annotations[0].values")]
#[case::no_pattern(json!({"namePattern": "("}), "namePattern")]
#[case::empty_pattern(json!({"namePattern": ""}), "namePattern")]
fn wrong_parameters_are_refused(#[case] params: Value, #[case] param: &str) {
    let rule = find(RULE).expect("the rule");
    assert_eq!(rule.bind(&params, &Groups::builtin()).err().expect("refused").param, param);
}
