use rstest::rstest;
use serde_json::{Value, json};

use crate::inventory::METADATA_NAME;
use crate::netpol::groups::Groups;
use crate::object::{Metadata, Operation};
use crate::rules::find;
use crate::rules::tests::{NAMESPACE, Pairs, at, drafts, fields, labelled, namespace_change, namespace_from_to};

const RULE: &str = "protected-namespace-labels";
const KEY: &str = "team.example.com/firewall";
const FIELD: &str = "metadata.labels[team.example.com/firewall]";
const BOT: &str = "system:serviceaccount:ci:deployer";

fn params() -> Value {
    json!({"keys": [
        {"key": KEY, "subjects": {"users": ["admin"], "groups": ["platform"], "serviceAccounts": ["ci/deployer"]}},
        {"prefix": "net.example.com/", "subjects": {"users": ["netadmin"]}},
        {"prefix": "net.example.com/dev-", "subjects": {"users": ["dev"]}},
        {"key": "net.example.com/dev-frozen"},
    ]})
}

#[rstest]
#[case::created_with_it(None, at(&[(KEY, "a")]), &[FIELD])]
#[case::set(at(&[]), at(&[(KEY, "a")]), &[FIELD])]
#[case::set_empty(at(&[]), at(&[(KEY, "")]), &[FIELD])]
#[case::changed(at(&[(KEY, "a")]), at(&[(KEY, "b")]), &[FIELD])]
#[case::removed(at(&[(KEY, "a")]), at(&[]), &[FIELD])]
#[case::by_prefix(at(&[]), at(&[("net.example.com/zone", "a")]), &["metadata.labels[net.example.com/zone]"])]
#[case::by_its_key_within_a_prefix(
    at(&[]), at(&[("net.example.com/dev-frozen", "a")]), &["metadata.labels[net.example.com/dev-frozen]"])]
#[case::two(
    at(&[("net.example.com/zone", "a")]), at(&[(KEY, "a")]), &["metadata.labels[net.example.com/zone]", FIELD])]
#[case::created_without(None, at(&[("team", "a")]), &[])]
#[case::unchanged(at(&[(KEY, "a")]), at(&[(KEY, "a"), ("team", "b")]), &[])]
#[case::another(at(&[("team", "a")]), at(&[("team", "b")]), &[])]
#[case::longer_key(at(&[]), at(&[("team.example.com/firewall2", "a")]), &[])]
#[case::shorter_key(at(&[]), at(&[("firewall", "a")]), &[])]
#[case::another_case(at(&[]), at(&[("team.example.com/Firewall", "a")]), &[])]
#[case::prefix_elsewhere(at(&[]), at(&[("my.net.example.com/zone", "a")]), &[])]
#[case::by_the_longest_prefix(at(&[]), at(&[("net.example.com/dev-zone", "a")]), &[])]
#[case::deleted(at(&[(KEY, "a")]), None, &[])]
fn by_somebody_not_entitled(#[case] old: Pairs<'_>, #[case] new: Pairs<'_>, #[case] found: &[&str]) {
    assert_eq!(fields(RULE, &params(), &namespace_change(old, new, "dev")), found);
}

#[rstest]
#[case::user("admin", &[], 0)]
#[case::group("somebody", &["platform"], 0)]
#[case::service_account(BOT, &[], 0)]
#[case::its_name_as_a_user("deployer", &[], 1)]
#[case::of_another_namespace("system:serviceaccount:cd:deployer", &[], 1)]
#[case::group_named_as_the_user("dev", &["admin"], 1)]
#[case::user_named_as_the_group("platform", &[], 1)]
#[case::no_rank("root", &["system:masters"], 1)]
#[case::nobody("", &[], 1)]
fn subjects(#[case] user: &str, #[case] groups: &[&str], #[case] found: usize) {
    let mut subject = namespace_change(at(&[]), at(&[(KEY, "a")]), user);
    subject.requester.groups.extend(groups.iter().map(|group| (*group).to_owned()));
    assert_eq!(fields(RULE, &params(), &subject).len(), found);
}

#[test]
fn all_of_a_namespaces_accounts() {
    let params = json!({"keys": [{"key": KEY, "subjects": {"serviceAccounts": ["ci/*"]}}]});
    let found = |user| fields(RULE, &params, &namespace_change(at(&[]), at(&[(KEY, "a")]), user)).len();
    assert_eq!([found(BOT), found("system:serviceaccount:ci2:deployer"), found("ci/deployer")], [0, 1, 1]);
}

#[test]
fn the_label_that_the_server_sets_is_nobodys_doing() {
    let params = json!({"keys": [{"prefix": "kubernetes.io/"}]});
    let found = |old: Pairs<'_>, new: Pairs<'_>| fields(RULE, &params, &namespace_change(old, new, "dev")).len();
    assert_eq!(found(None, at(&[(METADATA_NAME, NAMESPACE)])), 0);
    // Servers before 1.21 let anybody claim another's name.
    assert_eq!(found(None, at(&[(METADATA_NAME, "other")])), 1);
    assert_eq!(found(at(&[(METADATA_NAME, NAMESPACE)]), at(&[])), 1);
}

#[test]
fn one_on_its_way_out_is_no_exception() {
    let leaving = Metadata { deletion_timestamp: Some(jiff::Timestamp::UNIX_EPOCH), ..labelled(&[(KEY, "a")]) };
    assert_eq!(fields(RULE, &params(), &namespace_from_to(Some(labelled(&[])), Some(leaving), "dev")), [FIELD]);
}

#[test]
fn what_cannot_be_compared_counts_as_set() {
    let mut subject = namespace_change(None, at(&[(KEY, "a")]), "dev");
    subject.operation = Operation::Update;
    assert_eq!(fields(RULE, &params(), &subject), [FIELD]);
}

#[rstest]
#[case::set(at(&[]), at(&[(KEY, "a")]),
    "dev sets label team.example.com/firewall to \"a\", and the label is protected",
    "leave it as it is; only user admin, group platform, service account ci/deployer may set it")]
#[case::changed(at(&[(KEY, "a")]), at(&[(KEY, "b")]),
    "dev changes label team.example.com/firewall from \"a\" to \"b\", and the label is protected",
    "leave it as it is; only user admin, group platform, service account ci/deployer may change it")]
#[case::removed(at(&[("net.example.com/dev-frozen", "a")]), at(&[]),
    "dev removes label net.example.com/dev-frozen, which was \"a\", and the label is protected",
    "leave it as it is; nobody may remove it")]
fn the_message_names_all(#[case] old: Pairs<'_>, #[case] new: Pairs<'_>, #[case] message: &str, #[case] help: &str) {
    let outcome = drafts(RULE, &params(), &namespace_change(old, new, "dev")).expect("judged");
    let [draft] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    assert_eq!((draft.message.as_str(), draft.help.as_str()), (message, help));
    assert!(RULE.len() + draft.field.len() + draft.brief.len() < 110, "{}", draft.brief);
}

#[rstest]
#[case::a_bare_key(json!(["team"]), "keys[0]", "such as {key: team")]
#[case::neither(json!([{"subjects": {"users": ["a"]}}]), "keys[0]", "either")]
#[case::both(json!([{"key": "a", "prefix": "b"}]), "keys[0]", "either")]
#[case::empty_key(json!([{"key": ""}]), "keys[0].key", "not the key")]
#[case::wildcard(json!([{"key": "a/*"}]), "keys[0].key", "not the key")]
#[case::empty_prefix(json!([{"prefix": ""}]), "keys[0].prefix", "every label")]
#[case::odd_prefix(json!([{"prefix": "a b"}]), "keys[0].prefix", "begin with `a b`")]
#[case::wildcard_prefix(json!([{"prefix": "a/*"}]), "keys[0].prefix", "begin with")]
#[case::twice(json!([{"key": "a"}, {"prefix": "a"}, {"key": "a"}]), "keys[2]", "twice")]
#[case::no_account(
    json!([{"key": "a", "subjects": {"serviceAccounts": ["deployer"]}}]), "keys[0].subjects.serviceAccounts[0]", "NAMESPACE/NAME")]
#[case::unknown_subjects(json!([{"key": "a", "subjects": {"user": "a"}}]), "keys[0].subjects", "user")]
fn wrong_parameters_are_refused(#[case] keys: Value, #[case] param: &str, #[case] told: &str) {
    let rule = find(RULE).expect("the rule");
    let error = rule.bind(&json!({ "keys": keys }), &Groups::builtin()).err().expect("refused");
    assert!(error.param.starts_with(param) && error.message.contains(told), "{error}");
}
