use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::groups::Groups;
use crate::rules::find;
use crate::rules::tests::{Pairs, at, drafts, fields, namespace_change};

const RULE: &str = "webhook-exemption";
const KEY: &str = "portcullis.dev/exempt";
const FIELD: &str = "metadata.labels[portcullis.dev/exempt]";

fn params() -> Value {
    json!({"keys": [KEY, "control-plane"], "subjects": {"users": ["admin"], "serviceAccounts": ["ci/*"]}})
}

#[rstest]
#[case::created_with_it(None, at(&[(KEY, "true")]), &[FIELD])]
#[case::set(at(&[]), at(&[(KEY, "true")]), &[FIELD])]
#[case::set_empty(at(&[]), at(&[(KEY, "")]), &[FIELD])]
#[case::changed(at(&[(KEY, "false")]), at(&[(KEY, "true")]), &[FIELD])]
#[case::both(at(&[]), at(&[("control-plane", "a"), (KEY, "a")]), &["metadata.labels[control-plane]", FIELD])]
#[case::one_for_another(at(&[("control-plane", "a")]), at(&[(KEY, "a")]), &[FIELD])]
#[case::removed(at(&[(KEY, "true")]), at(&[]), &[])]
#[case::unchanged(at(&[(KEY, "true")]), at(&[(KEY, "true"), ("team", "a")]), &[])]
#[case::another(None, at(&[("team", "a")]), &[])]
#[case::longer_key(None, at(&[("portcullis.dev/exempt-not", "a")]), &[])]
#[case::other_domain(None, at(&[("example.com/exempt", "a"), ("exempt", "a")]), &[])]
#[case::deleted(at(&[(KEY, "true")]), None, &[])]
fn by_somebody_not_entitled(#[case] old: Pairs<'_>, #[case] new: Pairs<'_>, #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &params(), &namespace_change(old, new, "dev")), found);
    assert_eq!(fields(RULE, &params(), &namespace_change(old, new, "admin")), [""; 0]);
    assert_eq!(fields(RULE, &params(), &namespace_change(old, new, "system:serviceaccount:ci:deployer")), [""; 0]);
    assert_eq!(fields(RULE, &Value::Null, &namespace_change(old, new, "dev")), [""; 0], "no keys are named");
}

#[test]
fn without_subjects_nobody_may() {
    let outcome = drafts(RULE, &json!({"keys": [KEY]}), &namespace_change(None, at(&[(KEY, "true")]), "admin"));
    let outcome = outcome.expect("judged");
    let [draft] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    let told = "admin sets label portcullis.dev/exempt to \"true\", which exempts the namespace from this webhook";
    assert_eq!((draft.message.as_str(), draft.help.as_str()), (told, "leave it out; nobody may set it"));
}

#[rstest]
#[case::empty_key(json!({"keys": [KEY, ""]}), "keys[1]")]
#[case::with_a_value(json!({"keys": ["a=b"]}), "keys[0]")]
#[case::no_account(json!({"keys": [KEY], "subjects": {"serviceAccounts": ["a"]}}), "subjects.serviceAccounts[0]")]
#[case::no_list(json!({"keys": KEY}), "keys")]
#[case::unknown(json!({"subjects": {"everybody": true}}), "subjects")]
fn wrong_parameters_are_refused(#[case] params: Value, #[case] param: &str) {
    let rule = find(RULE).expect("the rule");
    let error = rule.bind(&params, &Groups::builtin()).err().expect("refused");
    assert!(error.param.starts_with(param), "{error}");
}
