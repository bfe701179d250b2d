use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::config::valid::Entry;
use crate::finding::Level;
use crate::finding::Verdict;
use crate::inventory::NamespaceState;
use crate::manifest::Document;
use crate::netpol::policy::NetworkPolicy;
use crate::object::Metadata;
use crate::rules::tests::{change, create, inventory, namespace_from_to};
use crate::rules::{self, Needs, RULES};
use crate::rules::{Check, Meta, Outcome};

mod relabelled;
mod selection;

fn bound() -> Bound {
    builtin(RULES).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn with(entries: &Value) -> Result<Bound, Vec<BindError>> {
    let entry = |(i, entry): (usize, &Value)| Entry {
        rule: entry["rule"].as_str().expect("a rule").to_owned(),
        place: format!("rules[{i}]"),
        level: serde_json::from_value(entry["level"].clone()).expect("a level"),
        matcher: crate::config::valid::Matcher::default(),
        params: entry["params"].clone(),
    };
    let rules = entries.as_array().expect("a list").iter().enumerate().map(entry).collect();
    bind(RuleSet { rules, ..RuleSet::builtin([]) }, RULES)
}

fn report(inventory: &Inventory, bound: &Bound, subject: &Subject) -> Report {
    evaluate(subject, inventory, bound, Timestamp::UNIX_EPOCH, Origin::Request)
}

fn told(report: &Report) -> Vec<(&'static str, &'static str, &str)> {
    report.findings.iter().map(|finding| (finding.rule, finding.level.as_str(), finding.field.as_str())).collect()
}

fn to(cidrs: &[&str]) -> Value {
    let rules: Vec<Value> = cidrs.iter().map(|cidr| json!({"to": [{"ipBlock": {"cidr": cidr}}]})).collect();
    json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules})
}

fn protected() -> Inventory {
    inventory(&[("default-deny", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))])
}

#[test]
fn all_findings_most_severe_first() {
    let subject = create(&json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}));
    let report = report(&Inventory::default(), &bound(), &subject);
    let expected = [
        ("allow-all-egress", "deny", "spec.egress[0]"),
        ("egress-private-cidr", "deny", "spec.egress[0]"),
        ("missing-default-deny", "deny", "spec"),
        ("egress-metadata-endpoint", "warn", "spec.egress[0]"),
    ];
    assert_eq!(told(&report), expected);
    assert_eq!(report.verdict(), Verdict::Deny);
    assert_eq!(report.findings[0].decided_by, "rules[0]");
}

#[test]
fn system_namespaces_are_left_alone() {
    let mut subject = create(&to(&["10.0.0.0/8"]));
    subject.namespace = "kube-system".to_owned();
    assert_eq!(report(&Inventory::default(), &bound(), &subject).findings, []);
}

/// What an UPDATE leaves as bad as it was is told, and is no reason to deny.
#[rstest]
#[case::the_same_in_other_words(to(&["10.0.0.0/8"]), to(&["10.0.0.0/9", "10.128.0.0/9"]), "warn")]
#[case::in_another_place(to(&["10.0.0.0/8"]), to(&["203.0.113.0/24", "10.0.0.0/8"]), "warn")]
#[case::narrower(to(&["10.0.0.0/8"]), to(&["10.1.0.0/16"]), "warn")]
#[case::one_of_two_gone(to(&["10.0.0.0/8", "192.168.0.0/16"]), to(&["192.168.0.0/16"]), "warn")]
#[case::wider(to(&["10.1.0.0/16"]), to(&["10.0.0.0/8"]), "deny")]
#[case::elsewhere(to(&["10.0.0.0/8"]), to(&["192.168.0.0/16"]), "deny")]
#[case::it_was_fine_before(to(&["203.0.113.0/24"]), to(&["10.0.0.0/8"]), "deny")]
fn the_ratchet_goes_by_meaning(#[case] old: Value, #[case] new: Value, #[case] level: &str) {
    let report = report(&protected(), &bound(), &change("x", Some(&old), Some(&new)));
    let private = report.findings.iter().filter(|finding| finding.rule == "egress-private-cidr");
    let levels: Vec<&str> = private.map(|finding| finding.level.as_str()).collect();
    assert!(!levels.is_empty() && levels.iter().all(|found| *found == level), "{:?}", report.findings);
}

#[test]
fn the_ratchet_looks_at_pods_and_ports_as_well() {
    let policy = |pods: Value, ports: Value| json!({"podSelector": pods, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": ports}]});
    let web = json!({"matchLabels": {"app": "web"}});
    let old = policy(web.clone(), json!([{"port": 80, "endPort": 90}]));
    let verdict = |new: &Value| report(&protected(), &bound(), &change("x", Some(&old), Some(new))).verdict();
    assert_eq!(verdict(&policy(web.clone(), json!([{"port": 85}]))), Verdict::Allow);
    assert_eq!(verdict(&policy(web.clone(), json!([{"port": 91}]))), Verdict::Deny);
    assert_eq!(verdict(&policy(json!({}), json!([{"port": 85}]))), Verdict::Deny);
    let fewer = json!({"matchLabels": {"app": "web", "tier": "front"}});
    assert_eq!(verdict(&policy(fewer, json!([{"port": 85}]))), Verdict::Allow);
}

#[test]
fn without_the_ratchet_the_state_counts() {
    let mut rule_set = RuleSet::builtin([("egress-private-cidr", Level::Deny)]);
    rule_set.ratchet = false;
    let bound = bind(rule_set, RULES).unwrap_or_else(|errors| panic!("{errors:?}"));
    let subject = change("x", Some(&to(&["10.0.0.0/8"])), Some(&to(&["10.1.0.0/16"])));
    assert_eq!(report(&protected(), &bound, &subject).verdict(), Verdict::Deny);
}

/// Some rules compare the states themselves.
#[test]
fn the_ratchet_holds_for_rules_that_compare_and_can_be_switched_off() {
    let implicit = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]});
    let subject = change("x", Some(&implicit), Some(&json!({"podSelector": {}, "ingress": []})));
    let mut rule_set = RuleSet::builtin([("implicit-policy-types", Level::Deny)]);
    for (ratchet, expected) in [(true, Verdict::Allow), (false, Verdict::Deny)] {
        rule_set.ratchet = ratchet;
        let bound = bind(rule_set.clone(), RULES).unwrap_or_else(|errors| panic!("{errors:?}"));
        let report = report(&protected(), &bound, &subject);
        assert_eq!(report.verdict(), expected);
        assert_eq!(report.findings[0].message.ends_with(" (as before this request)"), ratchet);
    }
}

#[test]
fn max_level_turns_denials_into_warnings() {
    let mut rule_set = RuleSet::builtin([("egress-private-cidr", Level::Deny)]);
    rule_set.max_level = Level::Warn;
    let bound = bind(rule_set, RULES).unwrap_or_else(|errors| panic!("{errors:?}"));
    let report = report(&protected(), &bound, &create(&to(&["10.0.0.0/8"])));
    assert_eq!(told(&report), [("egress-private-cidr", "warn", "spec.egress[0].to[0].ipBlock")]);
}

#[test]
fn entries_of_one_rule_merge_on_the_field() {
    let bound = with(&json!([
        {"rule": "egress-private-cidr", "level": "warn", "params": {"groups": ["shared"]}},
        {"rule": "egress-private-cidr", "level": "deny", "params": {"groups": ["private"]}},
    ]))
    .unwrap_or_else(|errors| panic!("{errors:?}"));
    let report = report(&Inventory::default(), &bound, &create(&to(&["0.0.0.0/0"])));
    assert_eq!(told(&report), [("egress-private-cidr", "deny", "spec.egress[0].to[0].ipBlock")]);
    let cidrs: Vec<String> = report.findings[0].evidence.cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(cidrs, ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"]);
    assert_eq!(report.findings[0].decided_by, "rules[1]");
}

#[test]
fn every_mistake_of_a_rule_set_is_told() {
    let errors = with(&json!([
        {"rule": "no-such-rule", "level": "deny", "params": null},
        {"rule": "egress-private-cidr", "level": "deny", "params": {"groups": ["privat"]}},
        {"rule": "egress-private-cidr", "level": "deny", "params": {"cidrs": ["10.0.0.0"]}},
    ]))
    .err()
    .unwrap_or_default();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with("rules[0].rule: there is no rule `no-such-rule`"), "{told:?}");
    assert!(told[1].starts_with("rules[1].params.groups: there is no address group `privat`"), "{told:?}");
    assert!(told[2].starts_with("rules[2].params.cidrs: "), "{told:?}");
}

#[test]
fn stale_knowledge_is_no_ground_for_a_verdict() {
    let stale = protected().aged(Duration::from_secs(301));
    let subject = create(&json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}));
    let report = report(&stale, &bound(), &subject);
    assert_eq!(report.verdict(), Verdict::CannotJudge);
    assert!(report.cannot_judge[0].reason.contains("301 s old"), "{report:?}");
    let confirm = report.confirm.expect("a live read may settle it");
    assert_eq!(confirm.namespace, "shop");
    assert!(confirm.rules.contains(&"missing-default-deny"), "{confirm:?}");
}

/// An allow policy in a namespace without a default deny, by one entry of this level.
fn missing(level: &str, age: Duration) -> Report {
    let entries = json!([{"rule": "missing-default-deny", "level": level, "params": {"gracePeriod": "100000h"}}]);
    let known = NamespaceState { known: true, created: Some(Timestamp::UNIX_EPOCH), ..NamespaceState::unseen("shop") };
    let mut inventory = Inventory::default();
    inventory.insert(Arc::new(known));
    let subject = create(&json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}));
    report(&inventory.aged(age), &with(&entries).expect("a valid rule set"), &subject)
}

#[test]
fn what_is_only_told_is_told_by_what_is_known() {
    for level in ["warn", "audit"] {
        let report = missing(level, Duration::from_secs(301));
        assert_eq!((report.verdict(), report.findings.is_empty()), (Verdict::Allow, false), "{level}");
        // A live read may still show that there is nothing to tell; without it nothing is void.
        let confirm = report.confirm.expect("a live read");
        assert_eq!((confirm.namespace.as_str(), confirm.rules.len()), ("shop", 0), "{level}");
    }
    assert_eq!(missing("deny", Duration::from_secs(301)).verdict(), Verdict::CannotJudge);
}

#[test]
fn an_entry_that_may_deny_rests_on_the_live_read_also_where_it_warned() {
    let report = missing("deny", Duration::ZERO);
    let levels: Vec<Level> = report.findings.iter().map(|finding| finding.level).collect();
    assert_eq!(levels, [Level::Warn], "within the grace period");
    assert_eq!(report.confirm.expect("a live read").rules, ["missing-default-deny"]);
}

struct Panics;

static PANICS: Meta = Meta {
    name: "panics",
    kind: "NetworkPolicy",
    guards_labels: false,
    builtin: Some(Level::Deny),
    needs: Needs::Nothing,
    summary: "",
    what: "",
    why: "",
    example_params: "",
    rejected: "",
    accepted: "",
    params: &[],
    references: &[],
};

impl Rule for Panics {
    fn meta(&self) -> &'static Meta {
        &PANICS
    }

    fn bind(&self, _: &Value, _: &Groups) -> Result<Box<dyn Check>, ParamError> {
        Ok(Box::new(Self))
    }
}

impl Check for Panics {
    fn check(&self, _: &Context<'_>) -> Result<Outcome, CannotTell> {
        panic!("as every rule might")
    }
}

#[test]
fn a_rule_that_panics_cannot_judge_and_the_others_do() {
    let find = |name| rules::find(name).expect("a rule");
    let bound = builtin(&[&Panics, find("egress-private-cidr")]).unwrap_or_else(|errors| panic!("{errors:?}"));
    let fine = report(&Inventory::default(), &bound, &create(&to(&["203.0.113.0/24"])));
    assert_eq!(fine.verdict(), Verdict::CannotJudge);
    assert_eq!(fine.cannot_judge[0].rule, Some("panics"));
    let bad = report(&Inventory::default(), &bound, &create(&to(&["10.0.0.0/8"])));
    assert_eq!(bad.verdict(), Verdict::Deny, "what another rule found stands");
}

/// The subject of an example, and the inventory that holds the rest of it. What says `# deleted` is.
fn example(meta: &Meta, text: &str) -> (Inventory, Subject) {
    let reading = crate::manifest::parse(meta.name, text);
    let of_kind = |kind: &str| reading.documents.iter().find(|document| document.value["kind"] == kind);
    let judged = &of_kind(meta.kind).unwrap_or_else(|| panic!("{}: no {}", meta.name, meta.kind)).value;
    let metadata: Metadata = serde_json::from_value(judged["metadata"].clone()).expect("metadata");
    if meta.kind == "NetworkPolicy" {
        let mut subject = create(&judged["spec"]);
        subject.name.clone_from(&metadata.name);
        if let Change::NetworkPolicy { new: Some(new), .. } = &mut subject.change {
            new.metadata = metadata;
        }
        return (Inventory::default(), subject);
    }
    let (old, new) = if text.starts_with("# deleted\n") { (Some(metadata), None) } else { (None, Some(metadata)) };
    let mut beside = Inventory::default();
    if let Some(Document { value, .. }) = of_kind("NetworkPolicy") {
        let namespace = value["metadata"]["namespace"].as_str().expect("its namespace");
        let policy = NetworkPolicy::parse(namespace, "beside", &value["spec"]).expect("a valid spec");
        beside.update(namespace, |state| _ = state.policies.insert("beside".to_owned(), Arc::new(policy)));
    }
    (beside, namespace_from_to(old, new, "dev"))
}

/// The examples of the documentation are what they claim to be.
#[test]
fn examples_are_rejected_and_accepted() {
    for meta in RULES.iter().map(|rule| rule.meta()) {
        let params = crate::manifest::parse(meta.name, meta.example_params);
        assert!(params.problems.is_empty(), "{:?}", params.problems);
        let params = params.documents.first().map(|document| document.value.clone()).unwrap_or_default();
        let bound = with(&json!([{"rule": meta.name, "level": "deny", "params": params}]))
            .unwrap_or_else(|errors| panic!("{errors:?}"));
        let finds = |text: &str| {
            let (inventory, subject) = example(meta, text);
            report(&inventory, &bound, &subject).findings.iter().any(|finding| finding.rule == meta.name)
        };
        assert!(finds(meta.rejected), "{}: the rejected example is not found", meta.name);
        assert!(!finds(meta.accepted), "{}: the accepted example is found", meta.name);
    }
}
