use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::groups::Groups;
use crate::object::Metadata;
use crate::rules::find;
use crate::rules::tests::{drafts, fields, labelled, namespace_change, namespace_from_to};

const RULE: &str = "protected-namespace";
const KEY: &str = "portcullis.dev/protected";
const FIELD: &str = "metadata.labels[portcullis.dev/protected]";

#[rstest]
#[case::by_default(Value::Null, &[(KEY, "true")], 1)]
#[case::among_others(Value::Null, &[("a", "b"), (KEY, "true")], 1)]
#[case::any_value(json!({"label": KEY}), &[(KEY, "whatever")], 1)]
#[case::an_empty_value(json!({"label": format!("{KEY}=")}), &[(KEY, "")], 1)]
#[case::somebody_else_may(json!({"subjects": {"users": ["admin"], "serviceAccounts": ["ci/dev"]}}), &[(KEY, "true")], 1)]
#[case::unlabelled(Value::Null, &[], 0)]
#[case::another_value(Value::Null, &[(KEY, "false")], 0)]
#[case::another_key(Value::Null, &[("portcullis.dev/protected-not", "true")], 0)]
#[case::not_the_empty_value(json!({"label": format!("{KEY}=")}), &[(KEY, "true")], 0)]
#[case::entitled(json!({"subjects": {"users": ["dev"]}}), &[(KEY, "true")], 0)]
#[case::by_group(json!({"subjects": {"groups": ["system:authenticated"]}}), &[(KEY, "true")], 0)]
fn deletions(#[case] params: Value, #[case] labels: &[(&str, &str)], #[case] found: usize) {
    assert_eq!(fields(RULE, &params, &namespace_change(Some(labels), None, "dev")), vec![FIELD; found]);
}

#[test]
fn nothing_else_is_judged() {
    let protected: &[(&str, &str)] = &[(KEY, "true")];
    for (old, new) in [(None, Some(protected)), (Some(protected), Some(&[][..])), (None, None)] {
        assert_eq!(fields(RULE, &Value::Null, &namespace_change(old, new, "dev")), [""; 0]);
    }
}

/// The namespace controller asks once more, when everything in it is gone.
#[test]
fn one_on_its_way_out_is_let_go() {
    let leaving = Metadata { deletion_timestamp: Some(jiff::Timestamp::UNIX_EPOCH), ..labelled(&[(KEY, "true")]) };
    let subject = namespace_from_to(Some(leaving), None, "system:serviceaccount:kube-system:namespace-controller");
    assert_eq!(fields(RULE, &Value::Null, &subject), [""; 0]);
}

#[test]
fn the_message_names_requester_label_and_who_may() {
    let params = json!({"label": "keep", "subjects": {"groups": ["platform"]}});
    let outcome = drafts(RULE, &params, &namespace_change(Some(&[("keep", "yes")]), None, "dev")).expect("judged");
    let [draft] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    assert_eq!(draft.message, "dev deletes namespace shop, which is protected by its label keep=yes");
    assert_eq!(draft.help, "keep it; only group platform may delete it");
}

#[rstest]
#[case::empty(json!({"label": ""}), "label")]
#[case::no_key(json!({"label": "=true"}), "label")]
#[case::odd_value(json!({"label": "a=b=c"}), "label")]
#[case::no_account(json!({"subjects": {"serviceAccounts": ["*"]}}), "subjects.serviceAccounts[0]")]
#[case::no_text(json!({"label": true}), "label")]
fn wrong_parameters_are_refused(#[case] params: Value, #[case] param: &str) {
    let rule = find(RULE).expect("the rule");
    assert_eq!(rule.bind(&params, &Groups::builtin()).err().expect("refused").param, param);
}
