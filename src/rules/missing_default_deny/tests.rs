use rstest::rstest;
use serde_json::{Value, json};

use crate::finding::Level;
use crate::inventory::Inventory;
use crate::rules::tests::{NAMESPACE, change, create, drafts_in, inventory};
use crate::rules::{Draft, Outcome};

const RULE: &str = "missing-default-deny";

fn deny(types: &[&str]) -> Value {
    json!({"podSelector": {}, "policyTypes": types})
}

fn both() -> Value {
    deny(&["Ingress", "Egress"])
}

fn allow() -> Value {
    json!({"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Ingress"],
           "ingress": [{"from": [{"podSelector": {}}]}]})
}

fn by_app(operator: &str) -> Value {
    json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": operator, "values": ["a"]}]},
           "policyTypes": ["Ingress", "Egress"]})
}

fn judge(inventory: &Inventory, params: &Value, subject: &crate::object::Subject) -> Outcome {
    drafts_in(inventory, RULE, params, subject).expect("judged")
}

fn directions(outcome: &Outcome) -> Vec<&'static str> {
    outcome.drafts.iter().flat_map(|draft| draft.evidence.directions.clone()).collect()
}

#[rstest]
#[case::nothing_there(&[], &["Ingress", "Egress"])]
#[case::only_ingress_covered(&[("d", deny(&["Ingress"]))], &["Egress"])]
#[case::only_egress_covered(&[("d", deny(&["Egress"]))], &["Ingress"])]
#[case::a_policy_that_is_no_default_deny(&[("d", by_app("In"))], &["Ingress", "Egress"])]
#[case::egress_empty_without_types(&[("d", json!({"podSelector": {}, "egress": []}))], &["Egress"])]
#[case::opened_by_an_allow_all(
    &[("d", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}]}))], &["Ingress"])]
#[case::itself_the_missing_half_of_one_direction(&[("d", by_app("NotIn"))], &["Egress"])]
fn an_allow_policy_is_found_where_pods_stay_open(#[case] there: &[(&str, Value)], #[case] open: &[&str]) {
    let outcome = judge(&inventory(there), &Value::Null, &create(&allow()));
    assert_eq!(directions(&outcome), open);
    assert!(outcome.confirm, "a denial is confirmed");
}

#[rstest]
#[case::one_default_deny(&[("d", both())])]
#[case::one_a_direction(&[("i", deny(&["Ingress"])), ("e", deny(&["Egress"]))])]
#[case::two_halves(&[("a", by_app("In")), ("b", by_app("NotIn"))])]
#[case::with_dns_let_through(
    &[("d", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
       "egress": [{"ports": [{"protocol": "UDP", "port": 53}]}]}))])]
#[case::beside_an_open_one(&[("d", both()), ("o", json!({"podSelector": {}, "ingress": [{}]}))])]
fn an_allow_policy_passes_where_all_pods_are_isolated(#[case] there: &[(&str, Value)]) {
    let outcome = judge(&inventory(there), &Value::Null, &create(&allow()));
    assert_eq!(outcome, Outcome::default());
}

#[test]
fn pure_isolation_always_passes() {
    for spec in [both(), deny(&["Egress"]), deny(&["Ingress"]), by_app("In"), json!({"podSelector": {}, "egress": []})]
    {
        assert_eq!(judge(&Inventory::default(), &Value::Null, &create(&spec)), Outcome::default());
    }
}

#[test]
fn rules_of_a_direction_that_is_not_isolated_are_none() {
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"ports": [{"port": 53}]}]});
    assert_eq!(judge(&Inventory::default(), &Value::Null, &create(&spec)), Outcome::default());
}

#[test]
fn a_policy_may_be_the_cover_itself() {
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
                      "ingress": [{"from": [{"podSelector": {}}]}]});
    assert_eq!(judge(&Inventory::default(), &Value::Null, &create(&spec)), Outcome::default());
    let strict = judge(&Inventory::default(), &json!({"accept": "strict"}), &create(&spec));
    assert_eq!(directions(&strict), ["Ingress"]);
}

#[test]
fn a_policy_of_another_namespace_does_not_count() {
    let mut elsewhere = Inventory::default();
    elsewhere.update("other", |namespace| {
        namespace.policies = inventory(&[("d", both())]).namespace(NAMESPACE).policies.clone();
    });
    assert_eq!(directions(&judge(&elsewhere, &Value::Null, &create(&allow()))), ["Ingress", "Egress"]);
}

#[rstest]
#[case::deleted(None, &["Ingress", "Egress"])]
#[case::narrowed(Some(by_app("In")), &["Ingress", "Egress"])]
#[case::one_direction_taken_out(Some(deny(&["Egress"])), &["Ingress"])]
#[case::opened(Some(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]})), &["Egress"])]
fn the_last_default_deny_may_not_go(#[case] after: Option<Value>, #[case] open: &[&str]) {
    let there = inventory(&[("d", both()), ("x", allow())]);
    let outcome = judge(&there, &Value::Null, &change("d", Some(&both()), after.as_ref()));
    assert_eq!(directions(&outcome), open);
    assert!(outcome.confirm);
}

#[test]
fn one_of_two_may_go_but_only_after_a_look_at_the_cluster() {
    let there = inventory(&[("d", both()), ("e", both())]);
    for after in [None, Some(by_app("In"))] {
        let outcome = judge(&there, &Value::Null, &change("d", Some(&both()), after.as_ref()));
        assert_eq!(outcome, Outcome { drafts: Vec::new(), confirm: true });
    }
}

#[test]
fn what_was_no_cover_before_may_go() {
    let there = inventory(&[("a", by_app("In")), ("x", allow())]);
    assert_eq!(directions(&judge(&there, &Value::Null, &change("a", Some(&by_app("In")), None))), [""; 0]);
    assert_eq!(judge(&there, &Value::Null, &change("x", Some(&allow()), None)).drafts, []);
    let wider = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 1}]}]});
    assert_eq!(judge(&there, &Value::Null, &change("x", Some(&allow()), Some(&wider))).drafts, []);
}

#[test]
fn the_first_rule_counts_as_a_creation() {
    let old = by_app("In");
    let mut new = old.clone();
    new["ingress"] = json!([{"ports": [{"port": 80}]}]);
    let outcome = judge(&inventory(&[("a", old.clone())]), &Value::Null, &change("a", Some(&old), Some(&new)));
    assert_eq!(directions(&outcome), ["Ingress", "Egress"]);
}

#[test]
fn policies_of_a_namespace_on_its_way_out_may_go() {
    let mut there = inventory(&[("d", both())]);
    there.update(NAMESPACE, |namespace| namespace.terminating = true);
    assert_eq!(judge(&there, &Value::Null, &change("d", Some(&both()), None)), Outcome::default());
}

#[test]
fn a_policy_that_could_not_be_read_may_be_the_cover() {
    let mut there = Inventory::default();
    there.update(NAMESPACE, |namespace| {
        namespace.odd.insert("strange".to_owned(), "unknown field".to_owned());
    });
    let error = drafts_in(&there, RULE, &Value::Null, &create(&allow())).expect_err("not judged");
    assert!(error.reason.contains("strange") && error.confirm, "{error}");
}

#[test]
fn a_young_namespace_is_warned() {
    let mut there = Inventory::default();
    there.update(NAMESPACE, |namespace| {
        namespace.created = Some(jiff::Timestamp::UNIX_EPOCH - jiff::SignedDuration::from_secs(30))
    });
    assert_eq!(level_in(&there, "1m"), [Level::Warn]);
    assert_eq!(level_in(&there, "30s"), [Level::Deny]);
    assert_eq!(level_in(&there, "0s"), [Level::Deny]);
    // The API server's clock may be ahead.
    there.update(NAMESPACE, |namespace| namespace.created = Some(jiff::Timestamp::MAX));
    assert_eq!(level_in(&there, "0s"), [Level::Deny]);
    assert_eq!(level_in(&there, "1m"), [Level::Warn]);
}

fn level_in(there: &Inventory, grace: &str) -> Vec<Level> {
    let outcome = judge(there, &json!({"gracePeriod": grace}), &create(&allow()));
    outcome.drafts.iter().map(|draft| draft.at_most).collect()
}

#[test]
fn only_the_directions_asked_for_matter() {
    let outcome = judge(&Inventory::default(), &json!({"directions": ["Egress"]}), &create(&allow()));
    assert_eq!(directions(&outcome), ["Egress"]);
    let there = inventory(&[("d", both())]);
    let ingress_left = deny(&["Ingress"]);
    let subject = change("d", Some(&both()), Some(&ingress_left));
    assert_eq!(judge(&there, &json!({"directions": ["Ingress"]}), &subject), Outcome::default());
}

#[test]
fn the_message_names_the_open_pod_and_the_repair() {
    let outcome = judge(&inventory(&[("d", by_app("NotIn"))]), &Value::Null, &create(&by_app_with_rule()));
    let [Draft { message, help, .. }] = &outcome.drafts[..] else { panic!("one finding: {outcome:?}") };
    assert!(message.contains("no default deny for Ingress and Egress: a pod labelled app=a is open"), "{message}");
    assert!(help.contains("`podSelector: {}`, `policyTypes: [Ingress, Egress]`"), "{help}");
}

fn by_app_with_rule() -> Value {
    json!({"podSelector": {"matchLabels": {"app": "b"}}, "ingress": [{"ports": [{"port": 80}]}]})
}
