//! Which entries are meant, and what is let pass.

use super::*;
use crate::config::valid::{Exemption, Matcher, Pattern};
use crate::inventory::METADATA_NAME;
use crate::netpol::selector::Selector;
use crate::object::{Change, Metadata, NamespaceObject, Operation, Requester, Subjects};

const PRIVATE: &str = "egress-private-cidr";

fn rule_set(matcher: Matcher) -> RuleSet {
    let mut rule_set = RuleSet::builtin([(PRIVATE, Level::Deny)]);
    rule_set.rules[0].matcher = matcher;
    rule_set
}

fn bound_to(rule_set: RuleSet) -> Bound {
    bind(rule_set, RULES).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text)).collect()
}

fn denied_by(matcher: Matcher) -> bool {
    let report = report(&protected(), &bound_to(rule_set(matcher)), &create(&to(&["10.0.0.0/8"])));
    report.verdict() == Verdict::Deny
}

fn production() -> Matcher {
    Matcher { namespace_selector: Some(Selector::labels([("environment", "production")])), ..Matcher::default() }
}

/// The namespace of the cases, with these labels.
fn labelled(labels: &[(&str, &str)]) -> Inventory {
    let mut inventory = protected();
    inventory.update("shop", |namespace| {
        namespace.known = true;
        namespace.labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    });
    inventory
}

#[test]
fn entries_are_chosen_by_namespace_and_operation() {
    let names = |namespaces: &[&str], exclude: &[&str]| Matcher {
        namespaces: patterns(namespaces),
        exclude_namespaces: patterns(exclude),
        ..Matcher::default()
    };
    assert!(denied_by(names(&[], &[])) && denied_by(names(&["sh*"], &[])) && denied_by(names(&["x", "shop"], &[])));
    assert!(!denied_by(names(&["shopping", "sho"], &[])) && !denied_by(names(&[], &["sh?p"])));
    assert!(!denied_by(names(&["shop"], &["shop"])), "exclusion wins");
    let on = |operations: &[&str]| Matcher {
        operations: operations.iter().map(|operation| (*operation).to_owned()).collect(),
        ..Matcher::default()
    };
    assert!(denied_by(on(&["UPDATE", "CREATE"])) && !denied_by(on(&["UPDATE", "DELETE"])));
}

#[test]
fn entries_are_chosen_by_the_labels_of_the_namespace() {
    let bound = bound_to(rule_set(production()));
    let subject = create(&to(&["10.0.0.0/8"]));
    let verdict = |inventory: &Inventory| report(inventory, &bound, &subject).verdict();
    assert_eq!(verdict(&labelled(&[("environment", "production")])), Verdict::Deny);
    assert_eq!(verdict(&labelled(&[("environment", "test")])), Verdict::Allow);
    // Nobody has seen the Namespace: a live read has to tell, unless there is nothing to read.
    let open = report(&protected(), &bound, &subject);
    assert_eq!(open.verdict(), Verdict::CannotJudge);
    assert!(open.confirm.is_some_and(|confirm| confirm.rules == [PRIVATE]));
    assert_eq!(verdict(&protected().taken_for_whole()), Verdict::Allow);
}

#[test]
fn manifests_that_do_not_tell_a_namespaces_labels_leave_its_findings_open() {
    let bound = bound_to(rule_set(production()));
    let bad = evaluate(&create(&to(&["10.0.0.0/8"])), &protected(), &bound, Timestamp::UNIX_EPOCH, Origin::Bundle);
    assert_eq!((bad.findings.len(), bad.cannot_judge.len()), (0, 1));
    assert!(bad.cannot_judge[0].reason.contains("10.0.0.0/8"), "{bad:?}");
    let fine = evaluate(&create(&to(&["192.0.2.0/24"])), &protected(), &bound, Timestamp::UNIX_EPOCH, Origin::Bundle);
    assert_eq!(fine.verdict(), Verdict::Allow, "nothing would be found either way");
}

fn exemption(matcher: Matcher) -> Exemption {
    Exemption { rules: vec![PRIVATE.to_owned()], matcher, subjects: None, reason: "known".to_owned(), expires: None }
}

fn exempting(exemption: Exemption) -> Report {
    let rule_set = RuleSet { exemptions: vec![exemption], ..rule_set(Matcher::default()) };
    report(&protected(), &bound_to(rule_set), &create(&to(&["10.0.0.0/8"])))
}

#[test]
fn what_is_exempted_passes_and_is_told() {
    let named = |names: &[&str]| Matcher { names: patterns(names), ..Matcher::default() };
    let report = exempting(exemption(named(&["x*"])));
    assert_eq!(report.verdict(), Verdict::Allow);
    let exempted = report.findings[0].exempted.as_ref().expect("exempted");
    assert_eq!((exempted.by.as_str(), exempted.reason.as_str()), ("exemptions[0]", "known"));
    assert_eq!(report.findings[0].level, Level::Deny, "it is still what it is");

    assert_eq!(exempting(exemption(named(&["y"]))).verdict(), Verdict::Deny);
    let elsewhere = Matcher { namespaces: patterns(&["other"]), ..Matcher::default() };
    assert_eq!(exempting(exemption(elsewhere)).verdict(), Verdict::Deny);
    let other_rule = Exemption { rules: vec!["allow-all-egress".to_owned()], ..exemption(Matcher::default()) };
    assert_eq!(exempting(other_rule).verdict(), Verdict::Deny);
}

#[test]
fn an_expired_exemption_is_void_and_said_to_be() {
    let on = |day: &str| Exemption { expires: day.parse().ok(), ..exemption(Matcher::default()) };
    // The day itself still counts; the cases play on 1970-01-01.
    assert_eq!(exempting(on("1970-01-01")).verdict(), Verdict::Allow);
    let expired = exempting(on("1969-12-31"));
    assert_eq!(expired.verdict(), Verdict::Deny);
    assert_eq!(expired.notes, ["exemptions[0] of egress-private-cidr expired on 1969-12-31: it no longer holds"]);
}

#[test]
fn exemptions_by_requester_hold_for_requests_only() {
    let subjects = Subjects { groups: vec!["network".to_owned()], ..Subjects::default() };
    let exemption = Exemption { subjects: Some(subjects), ..exemption(Matcher::default()) };
    let bound = bound_to(RuleSet { exemptions: vec![exemption], ..rule_set(Matcher::default()) });
    let mut subject = create(&to(&["10.0.0.0/8"]));
    let verdict =
        |subject: &Subject, origin| evaluate(subject, &protected(), &bound, Timestamp::UNIX_EPOCH, origin).verdict();
    assert_eq!(verdict(&subject, Origin::Request), Verdict::Deny);
    subject.requester = Requester { username: "ada".to_owned(), groups: vec!["network".to_owned()] };
    assert_eq!(verdict(&subject, Origin::Request), Verdict::Allow);
    assert_eq!(verdict(&subject, Origin::Bundle), Verdict::Deny);
}

#[test]
fn what_cannot_be_read_concerns_only_where_an_entry_applies() {
    let bound = bound();
    let policy = |namespace: &str| crate::object::policy_ref(namespace.to_owned(), "x".to_owned());
    assert!(bound.concerns(&policy("shop"), "CREATE", Origin::Request));
    assert!(!bound.concerns(&policy("kube-system"), "CREATE", Origin::Request));
    assert!(!bound.concerns(&policy("shop"), "CREATE", Origin::Labels));
}

/// A change of the Namespace's labels.
fn relabelled(old: &[(&str, &str)], new: &[(&str, &str)]) -> Subject {
    let object = |labels: &[(&str, &str)]| {
        let mut labels: crate::netpol::selector::Labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        labels.insert(METADATA_NAME.to_owned(), "shop".to_owned());
        NamespaceObject { metadata: Metadata { name: "shop".to_owned(), labels, ..Metadata::default() } }
    };
    Subject {
        operation: Operation::Update,
        requester: Requester::default(),
        change: Change::Namespace { old: Some(object(old)), new: Some(object(new)) },
        name: "shop".to_owned(),
        namespace: "shop".to_owned(),
    }
}

fn guarding(exemption: Option<Exemption>) -> Bound {
    let params = json!({"keys": [{"key": "firewall", "subjects": {"users": ["admin"]}}]});
    let entry = Entry {
        rule: "protected-namespace-labels".to_owned(),
        place: "rules[0]".to_owned(),
        level: Some(Level::Deny),
        matcher: production(),
        params,
    };
    let exemptions = exemption.into_iter().collect();
    bound_to(RuleSet { rules: vec![entry], exemptions, ..RuleSet::builtin([]) })
}

#[test]
fn a_relabelled_namespace_does_not_slip_past_the_entries_for_its_old_or_new_labels() {
    let (prod, open, inside) =
        (("environment", "production"), ("firewall", "open"), labelled(&[("environment", "production")]));
    let verdict = |old: &[_], new: &[_]| report(&inside, &guarding(None), &relabelled(old, new)).verdict();
    assert_eq!(verdict(&[prod], &[prod, open]), Verdict::Deny);
    assert_eq!(verdict(&[prod], &[open]), Verdict::Deny, "leaving");
    assert_eq!(verdict(&[], &[prod, open]), Verdict::Deny, "entering");
    assert_eq!(verdict(&[], &[open]), Verdict::Allow);
}

#[test]
fn nobody_is_exempted_by_the_labels_the_request_sets() {
    let (prod, open, free) = (("environment", "production"), ("firewall", "open"), ("free", "yes"));
    let exemption = || Exemption {
        rules: vec!["protected-namespace-labels".to_owned()],
        ..exemption(Matcher { namespace_selector: Some(Selector::labels([free])), ..Matcher::default() })
    };
    let verdict = |old: &[_], new: &[_]| {
        report(&Inventory::default(), &guarding(Some(exemption())), &relabelled(old, new)).verdict()
    };
    assert_eq!(verdict(&[prod, free], &[prod, free, open]), Verdict::Allow);
    assert_eq!(verdict(&[prod], &[prod, free, open]), Verdict::Deny);
}

#[test]
fn what_leaves_the_spec_as_it_is_answers_for_its_metadata_alone() {
    let rules = json!([
        {"rule": "allow-all-egress", "level": "deny"},
        {"rule": "policy-metadata", "level": "deny", "params": {"labels": [{"key": "owner"}]}},
    ]);
    let bound = with(&rules).unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut subject = create(&json!({"podSelector": {}, "egress": [{}]}));
    let found = |subject: &Subject, origin: Origin| {
        let report = evaluate(subject, &protected(), &bound, Timestamp::UNIX_EPOCH, origin);
        report.findings.iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    assert_eq!(found(&subject, Origin::Request), ["allow-all-egress", "policy-metadata"]);
    assert_eq!(found(&subject, Origin::Request.of_metadata()), ["policy-metadata"]);
    assert_eq!(found(&subject, Origin::Labels.of_metadata()), [""; 0], "the guard path is not asked about policies");
    let Change::NetworkPolicy { new: Some(new), .. } = &mut subject.change else { panic!("a policy") };
    new.metadata.labels.insert("owner".to_owned(), "a".to_owned());
    assert_eq!(found(&subject, Origin::Metadata), [""; 0]);
}
