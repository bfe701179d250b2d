//! Namespaces whose labels change, on both paths.

use super::*;
use crate::config::valid::{Matcher, Pattern};
use crate::netpol::selector::Selector;
use crate::object::Metadata;
use crate::rules::tests::{Pairs, at, labelled, namespace_change, namespace_from_to};

const SPEAKER: &str = "namespace-needs-default-deny";
const PRODUCTION: (&str, &str) = ("environment", "production");

/// `missing-default-deny` for production, and the rule that speaks for it.
fn production() -> RuleSet {
    let mut rule_set = RuleSet::builtin([("missing-default-deny", Level::Deny), (SPEAKER, Level::Warn)]);
    rule_set.rules[0].matcher =
        Matcher { namespace_selector: Some(Selector::labels([PRODUCTION])), ..Matcher::default() };
    rule_set
}

fn found(
    rule_set: RuleSet,
    inventory: &Inventory,
    subject: &Subject,
    origin: Origin,
) -> Vec<(&'static str, &'static str)> {
    let bound = bind(rule_set, RULES).unwrap_or_else(|errors| panic!("{errors:?}"));
    let report = evaluate(subject, inventory, &bound, Timestamp::UNIX_EPOCH, origin);
    assert_eq!(report.cannot_judge, []);
    report.findings.iter().map(|finding| (finding.rule, finding.level.as_str())).collect()
}

#[rstest]
#[case::given_the_label(at(&[]), at(&[PRODUCTION]), true)]
#[case::given_its_value(at(&[("environment", "test")]), at(&[PRODUCTION]), true)]
#[case::had_it(at(&[PRODUCTION]), at(&[PRODUCTION, ("team", "a")]), false)]
#[case::given_another(at(&[]), at(&[("team", "a")]), false)]
#[case::lost_it(at(&[PRODUCTION]), at(&[]), false)]
#[case::deleted(at(&[PRODUCTION]), None, false)]
fn brought_under_an_entry(#[case] old: Pairs<'_>, #[case] new: Pairs<'_>, #[case] denied: bool) {
    let subject = namespace_change(old, new, "dev");
    // The subresources through which labels change are seen by the guard path alone.
    for origin in [Origin::Request, Origin::Labels] {
        let expected = if denied { vec![(SPEAKER, "deny")] } else { Vec::new() };
        assert_eq!(found(production(), &Inventory::default(), &subject, origin), expected, "{origin:?}");
        assert_eq!(found(production(), &protected(), &subject, origin), [], "it has a default deny");
    }
}

#[test]
fn it_speaks_only_where_it_is_asked_to() {
    let subject = namespace_change(Some(&[]), Some(&[PRODUCTION]), "dev");
    let without = RuleSet { rules: production().rules[..1].to_vec(), ..production() };
    assert_eq!(found(without, &Inventory::default(), &subject, Origin::Request), []);
    let mut elsewhere = production();
    elsewhere.rules[1].matcher.exclude_namespaces = vec![Pattern::new("shop")];
    assert_eq!(found(elsewhere, &Inventory::default(), &subject, Origin::Request), []);
    let capped = RuleSet { max_level: Level::Warn, ..production() };
    assert_eq!(found(capped, &Inventory::default(), &subject, Origin::Request), [(SPEAKER, "warn")]);
}

#[test]
fn what_it_finds_is_confirmed_and_a_reminder_is_not() {
    let bound = bind(production(), RULES).unwrap_or_else(|errors| panic!("{errors:?}"));
    let judged = |subject| report(&Inventory::default(), &bound, &subject);
    let under = judged(namespace_change(Some(&[]), Some(&[PRODUCTION]), "dev"));
    assert!(under.confirm.is_some_and(|confirm| confirm.namespace == "shop"));
    let created = judged(namespace_change(None, Some(&[PRODUCTION]), "dev"));
    assert_eq!(told(&created), [(SPEAKER, "warn", "metadata.name")]);
    assert_eq!(created.confirm, None);
    // However old the knowledge of the cluster is: it is no reason to turn a new namespace away.
    let stale = Inventory::default().aged(Duration::from_secs(3_600));
    let created = report(&stale, &bound, &namespace_change(None, Some(&[]), "dev"));
    assert_eq!((told(&created).len(), created.cannot_judge.len()), (1, 0));
}

#[test]
fn the_guard_path_asks_about_labels_alone() {
    let rules = json!([
        {"rule": "namespace-required-labels", "level": "deny", "params": {"annotations": [{"key": "owner"}]}},
        {"rule": "namespace-name", "level": "deny", "params": {"pattern": "x"}},
        {"rule": "protected-namespace", "level": "deny", "params": {}},
    ]);
    let rule_set = || with(&rules).unwrap_or_else(|errors| panic!("{errors:?}")).rule_set;
    let owned = Metadata { annotations: [("owner".to_owned(), "a".to_owned())].into(), ..labelled(&[]) };
    let taken_away = namespace_from_to(Some(owned), Some(labelled(&[])), "dev");
    let judged = |subject: &Subject, origin| found(rule_set(), &Inventory::default(), subject, origin);
    assert_eq!(judged(&taken_away, Origin::Request), [("namespace-required-labels", "deny")]);
    assert_eq!(judged(&taken_away, Origin::Labels), []);
    let created = namespace_change(None, Some(&[]), "dev");
    assert_eq!(judged(&created, Origin::Labels), [("namespace-required-labels", "deny")]);
    let deleted = namespace_change(Some(&[("portcullis.dev/protected", "true")]), None, "dev");
    assert_eq!(judged(&deleted, Origin::Request), [("protected-namespace", "deny")]);
    assert_eq!(judged(&deleted, Origin::Labels), []);
}

#[test]
fn manifests_have_no_requester() {
    let keys = json!({"keys": [{"key": "team"}]});
    let rules = json!([{"rule": "protected-namespace-labels", "level": "deny", "params": keys}]);
    let rule_set = || with(&rules).unwrap_or_else(|errors| panic!("{errors:?}")).rule_set;
    let subject = namespace_change(None, Some(&[("team", "a")]), "");
    let judged = |origin| found(rule_set(), &Inventory::default(), &subject, origin);
    assert_eq!(judged(Origin::Request), [("protected-namespace-labels", "deny")]);
    assert_eq!(judged(Origin::Bundle), []);
}
