//! Every mistake at its place.

use std::path::Path;

use jiff::civil::{Date, date};
use rstest::rstest;
use serde_json::json;

use super::load::{Loaded, fingerprint, load};
use super::problem::Severity;
use super::valid::{OnCannotJudge, RuleSet};
use crate::finding::Level;
use crate::manifest::{self, Reading};

const TODAY: Date = date(2026, 6, 1);

fn builtin() -> RuleSet {
    RuleSet::builtin([("a-rule", Level::Deny), ("b-rule", Level::Warn)])
}

fn load_texts(files: &[(&str, &str)]) -> Loaded {
    let mut reading = Reading::default();
    for (file, text) in files {
        reading.append(manifest::parse(file, text));
    }
    load("folder", reading, &builtin(), TODAY)
}

const HEAD: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nmetadata: {name: test}\nspec:\n";

/// Of a spec, which begins on line 5.
fn loaded(spec: &str) -> Loaded {
    load_texts(&[("f", &format!("{HEAD}{spec}"))])
}

fn told(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(ToString::to_string).collect()
}

fn good(spec: &str) -> RuleSet {
    let loaded = loaded(spec);
    assert_eq!(told(&loaded), [""; 0]);
    loaded.rule_set
}

#[test]
fn everything_is_read() {
    let rule_set = good(
        r##"  onCannotJudge: Allow
  maxLevel: warn
  maxInventoryAge: 1h30m
  contact: "#platform-network"
  docsUrl: https://wiki.example.com/{rule}
  ratchet: false
  explainChanges: warn
  cidrGroups: {office: [198.51.100.0/24, "2001:db8::/32"]}
  rules:
    - rule: a-rule
      level: audit
      match:
        namespaceSelector: {matchLabels: {env: prod}, matchExpressions: [{key: tier, operator: Exists}]}
        namespaces: ["team-*"]
        excludeNamespaces: [team-x]
        operations: [CREATE, DELETE]
      params: {directions: [Ingress]}
    - {rule: b-rule, level: off}
  exemptions:
    - rules: [a-rule]
      match: {namespaces: [payments], names: ["legacy-*"]}
      subjects: {users: [kim], groups: [net], serviceAccounts: [ci/*]}
      reason: >
        until the VPN
        is gone
      expires: 2027-01-31
"##,
    );
    let expected = json!({
        "name": "test", "onCannotJudge": "Allow", "maxLevel": "warn", "maxInventoryAgeSeconds": 5400,
        "contact": "#platform-network", "docsUrl": "https://wiki.example.com/{rule}", "ratchet": false,
        "explainChanges": "warn",
        "cidrGroups": {"office": ["198.51.100.0/24", "2001:db8::/32"]},
        "rules": [
            {"rule": "a-rule", "level": "audit", "match": {"namespaceSelector": "env=prod,tier",
             "namespaces": ["team-*"], "excludeNamespaces": ["team-x"], "operations": ["CREATE", "DELETE"]},
             "params": {"directions": ["Ingress"]}},
            {"rule": "b-rule", "level": "off", "match": {}},
        ],
        "exemptions": [{"rules": ["a-rule"], "match": {"namespaces": ["payments"], "names": ["legacy-*"]},
            "subjects": {"users": ["kim"], "groups": ["net"], "serviceAccounts": ["ci/*"]},
            "reason": "until the VPN is gone", "expires": "2027-01-31"}],
    });
    assert_eq!(serde_json::to_value(&rule_set).expect("JSON"), expected);
    assert_eq!(rule_set.rules[1].place, "rules[1]");
}

#[test]
fn what_is_left_out_is_as_built_in() {
    let rule_set = good("  rules: [{rule: c-rule, level: deny}]\n");
    let rules = rule_set.rules.clone();
    assert_eq!(rule_set, RuleSet { name: "test".to_owned(), rules, ..builtin() });
    assert_eq!((rule_set.on_cannot_judge, rule_set.rules.len()), (OnCannotJudge::Deny, 1));
}

#[test]
fn explaining_changes_belongs_to_the_hash() {
    const RULE: &str = "  rules: [{rule: a-rule, level: deny}]\n";
    let (on, off) = (good(&format!("  explainChanges: warn\n{RULE}")), good(RULE));
    assert_ne!(on.hash(), off.hash());
    for written in ["off", "'off'"] {
        assert_eq!(good(&format!("  explainChanges: {written}\n{RULE}")), off);
    }
    let twice = load_texts(&[
        ("a.yaml", &format!("{HEAD}  explainChanges: warn\n")),
        ("b.yaml", &format!("{HEAD}{RULE}  explainChanges: warn\n")),
    ]);
    assert_eq!(told(&twice)[0], "b.yaml:6:3: error: `explainChanges` is given twice, first at a.yaml:5:3; keep one");
}

#[test]
fn extends_puts_the_builtin_entries_first() {
    let loaded = loaded("  extends: builtin\n  rules: [{rule: c-rule, level: warn}]\n");
    let places: Vec<&str> = loaded.rule_set.rules.iter().map(|entry| entry.place.as_str()).collect();
    assert_eq!(places, ["builtin rules[0]", "builtin rules[1]", "rules[0]"]);
    assert_eq!(loaded.rule_set.rules[2].rule, "c-rule");
    assert_eq!(loaded.locate("rules[0].rule").map(|(_, at)| (at.line, at.column)), Some((6, 12)));
    assert_eq!(loaded.locate("builtin rules[0].rule"), None);
}

/// Line and column, counted in the whole file, and how the message begins and what it holds.
#[rstest]
#[case::unknown_key("  maxLevl: warn\n", "5:3", "unknown field `maxLevl`; did you mean `maxLevel`?")]
#[case::unknown_key_unlike_any("  zzz: 1\n", "5:3", "unknown field `zzz`; known here: extends, ")]
#[case::extends("  extends: default\n", "5:3", "`extends` must be builtin, not `default`")]
#[case::on_cannot_judge(
    "  onCannotJudge: deny\n",
    "5:3",
    "`onCannotJudge` must be Deny or Allow, not `deny`; did you mean `Deny`?"
)]
#[case::max_level("  maxLevel: off\n", "5:3", "`maxLevel` must be a string, not a boolean")]
#[case::age_without_unit("  maxInventoryAge: 300\n", "5:3", "`maxInventoryAge` needs a unit")]
#[case::age("  maxInventoryAge: soon\n", "5:3", "`soon` is no length of time")]
#[case::age_negative("  maxInventoryAge: -5m\n", "5:3", "`maxInventoryAge` must be whole seconds, at least 1s")]
#[case::contact("  contact: '  '\n", "5:3", "`contact` must not be blank")]
#[case::docs_url("  docsUrl: wiki.example.com\n", "5:3", "`docsUrl` must be an http:// or https:// address")]
#[case::docs_url_script("  docsUrl: 'javascript:alert(1)'\n", "5:3", "`docsUrl` must be an http:// or https://")]
#[case::docs_placeholder("  docsUrl: https://x/{rules}\n", "5:3", "`docsUrl` knows one placeholder, {rule}")]
#[case::ratchet("  ratchet: 'yes'\n", "5:3", "`ratchet` must be true or false, not a string")]
#[case::explain_changes("  explainChanges: deny\n", "5:3", "`explainChanges` must be off or warn, not `deny`")]
#[case::explain_changes_on("  explainChanges: on\n", "5:3", "`explainChanges` must be a string, not a boolean")]
#[case::custom_rules("  customRules: []\n", "5:3", "`customRules` are not supported by this version")]
#[case::groups("  cidrGroups: [office]\n", "5:3", "`cidrGroups` must be a mapping of names")]
#[case::group_name("  cidrGroups: {of.fice: [10.0.0.0/8]}\n", "5:16", "a group's name has letters")]
#[case::group_cidr(
    "  cidrGroups:\n    office: [10.0.0.0/8, 10.0.0.0]\n",
    "6:26",
    "`10.0.0.0` is no CIDR: no prefix length"
)]
#[case::rules_null("  rules:\n", "5:3", "`rules` has no value; give it a list or drop it")]
#[case::entry_no_mapping("  rules: [a-rule]\n", "5:11", "`rules[0]` must be a mapping, not a string")]
#[case::no_rule("  rules: [{level: deny}]\n", "5:11", "`rule` is missing")]
#[case::no_level("  rules: [{rule: a-rule}]\n", "5:11", "`level` is missing")]
#[case::level(
    "  rules: [{rule: a-rule, level: dney}]\n",
    "5:26",
    "`level` must be deny, warn, audit or off, not `dney`; did you mean `deny`?"
)]
#[case::level_true("  rules: [{rule: a-rule, level: on}]\n", "5:26", "`level` must be a string, not a boolean")]
#[case::entry_key(
    "  rules:\n    - rule: a-rule\n      levl: deny\n      level: deny\n",
    "7:7",
    "unknown field `levl`; did you mean `level`?"
)]
#[case::match_key(
    "  rules: [{rule: a-rule, level: deny, match: {namespace: [a]}}]\n",
    "5:47",
    "unknown field `namespace`; did you mean `namespaces`?"
)]
#[case::match_names("  rules: [{rule: a-rule, level: deny, match: {names: [a]}}]\n", "5:47", "unknown field `names`")]
#[case::namespaces_text(
    "  rules: [{rule: a-rule, level: deny, match: {namespaces: a}}]\n",
    "5:47",
    "`namespaces` must be a list, not a string"
)]
#[case::namespaces_item(
    "  rules: [{rule: a-rule, level: deny, match: {namespaces: [a, 12]}}]\n",
    "5:63",
    "`namespaces[1]` must be a string, not a number; put it in quotes"
)]
#[case::namespaces_blank(
    "  rules: [{rule: a-rule, level: deny, match: {namespaces: ['']}}]\n",
    "5:60",
    "an item of `namespaces` must not be blank"
)]
#[case::operation(
    "  rules: [{rule: a-rule, level: deny, match: {operations: [CRATE]}}]\n",
    "5:60",
    "`operations[0]` must be CREATE, UPDATE or DELETE, not `CRATE`; did you mean `CREATE`?"
)]
#[case::selector_key(
    "  rules: [{rule: a-rule, level: deny, match: {namespaceSelector: {labels: {}}}}]\n",
    "5:67",
    "unknown field; a selector has matchLabels and matchExpressions"
)]
#[case::selector_value(
    "  rules: [{rule: a-rule, level: deny, match: {namespaceSelector: {matchLabels: {env: yes}}}}]\n",
    "5:81",
    "must be a string, not a boolean"
)]
#[case::params(
    "  rules: [{rule: a-rule, level: deny, params: [a]}]\n",
    "5:39",
    "`params` must be a mapping, not a list"
)]
#[case::exemption_no_rules("  exemptions: [{reason: x}]\n", "5:16", "`rules` is missing")]
#[case::exemption_empty_rules(
    "  exemptions: [{rules: [], reason: x}]\n",
    "5:17",
    "`rules` must name at least one rule"
)]
#[case::exemption_no_reason("  exemptions: [{rules: [a-rule]}]\n", "5:16", "`reason` is missing")]
#[case::exemption_blank_reason(
    "  exemptions: [{rules: [a-rule], reason: ' '}]\n",
    "5:34",
    "`reason` must not be blank"
)]
#[case::expires(
    "  exemptions: [{rules: [a-rule], reason: x, expires: 2027-02-30}]\n",
    "5:45",
    "`expires` must be a day such as 2027-01-31, not `2027-02-30`"
)]
#[case::expires_with_time(
    "  exemptions: [{rules: [a-rule], reason: x, expires: 2027-01-31T00:00:00Z}]\n",
    "5:45",
    "`expires` must be a day"
)]
#[case::subject_key(
    "  exemptions: [{rules: [a-rule], reason: x, subjects: {user: [kim]}}]\n",
    "5:56",
    "unknown field `user`; did you mean `users`?"
)]
#[case::service_account(
    "  exemptions: [{rules: [a-rule], reason: x, subjects: {serviceAccounts: [bot]}}]\n",
    "5:74",
    "a service account is NAMESPACE/NAME or NAMESPACE/*, not `bot`"
)]
fn every_mistake_has_its_place(#[case] spec: &str, #[case] at: &str, #[case] message: &str) {
    let loaded = loaded(spec);
    let told = told(&loaded);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with(&format!("f:{at}: error: ")) && told[0].contains(message), "{told:#?}");
    assert!(loaded.is_broken());
}

#[rstest]
#[case::version(
    "apiVersion: portcullis.dev/v1\nkind: RuleSet\nspec: {}\n",
    "f:1:1: error: `apiVersion` must be portcullis.dev/v1alpha1"
)]
#[case::kind(
    "apiVersion: portcullis.dev/v1alpha1\nkind: Ruleset\nspec: {}\n",
    "f:2:1: error: `kind` must be RuleSet, not `Ruleset`; did you mean `RuleSet`?"
)]
#[case::another_object(
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSelector: {}}\n",
    "f:2:1: error: this is a `NetworkPolicy` of `networking.k8s.io/v1`, no RuleSet"
)]
#[case::nothing_of_the_sort("{}", "f:1:1: error: `apiVersion: portcullis.dev/v1alpha1` is missing")]
#[case::no_spec("apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\n", "f:1:1: error: `spec` is missing")]
#[case::list("- a\n", "f:1:1: error: `the document` must be a mapping, not a list")]
#[case::grammar("kind: [\n", "f:1:7: error: not valid YAML or JSON")]
#[case::twice(
    "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec:\n  maxLevel: warn\n  maxLevel: deny\n",
    "f:5:3: error: the key `maxLevel` is given twice"
)]
#[case::empty("# nothing\n", "folder: error: holds no rule set")]
#[case::metadata(
    "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nmetadata: {nam: x}\nspec: {rules: [{rule: a, level: deny}]}\n",
    "f:3:12: error: unknown field `nam`; did you mean `name`?"
)]
fn documents_that_are_none(#[case] text: &str, #[case] message: &str) {
    let told = told(&load_texts(&[("f", text)]));
    assert!(told[0].starts_with(message), "{told:#?}");
}

#[test]
fn all_mistakes_are_told_in_one_go_and_in_order() {
    let loaded = loaded(
        "  ratchet: 1\n  rules:\n    - {rule: a-rule, level: x}\n    - {level: deny, parms: {}}\n  exemptions: [{}]\n",
    );
    let places: Vec<(usize, usize)> =
        loaded.problems.iter().filter_map(|problem| problem.place).map(|at| (at.line, at.column)).collect();
    assert_eq!(places, [(5, 3), (7, 22), (8, 7), (8, 21), (9, 16), (9, 16)]);
}

#[rstest]
#[case::nothing("  maxLevel: warn\n", "4:1", "no rule is on: everything is let pass")]
#[case::all_off("  rules: [{rule: a-rule, level: off}]\n", "5:3", "no rule is on")]
#[case::not_enabled(
    "  extends: builtin\n  exemptions: [{rules: [a-rul], reason: x}]\n",
    "6:25",
    "no entry of this rule set turns on `a-rul`: there is nothing to exempt; did you mean `a-rule`?"
)]
#[case::expired(
    "  extends: builtin\n  exemptions: [{rules: [a-rule], reason: x, expires: 2026-05-31}]\n",
    "6:45",
    "expired on 2026-05-31"
)]
#[case::nobody(
    "  extends: builtin\n  exemptions: [{rules: [a-rule], reason: x, subjects: {users: []}}]\n",
    "6:45",
    "names nobody, so the exemption holds for everybody"
)]
#[case::excluded_again(
    "  rules: [{rule: a, level: deny, match: {namespaces: [a-b], excludeNamespaces: ['a-*']}}]\n",
    "5:55",
    "`a-b` is excluded again by `a-*`"
)]
#[case::excludes_all(
    "  rules: [{rule: a, level: deny, match: {excludeNamespaces: ['*']}}]\n",
    "5:62",
    "excludes every namespace: this entry never applies"
)]
#[case::contradiction(
    "  rules: [{rule: a, level: deny, match: {namespaceSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: DoesNotExist}]}}}]\n",
    "5:42",
    "no namespace has such labels"
)]
#[case::no_such_name(
    "  rules: [{rule: a, level: deny, match: {namespaces: [Team_A]}}]\n",
    "5:55",
    "no namespace can be called `Team_A`"
)]
fn what_cannot_be_meant_is_a_warning(#[case] spec: &str, #[case] at: &str, #[case] message: &str) {
    let loaded = loaded(spec);
    let told = told(&loaded);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with(&format!("f:{at}: warning: ")) && told[0].contains(message), "{told:#?}");
    assert!(!loaded.is_broken());
}

#[test]
fn what_can_be_meant_is_no_warning() {
    good("  rules: [{rule: a, level: deny, match: {namespaces: ['a-*', b], excludeNamespaces: [a-b, 'b?']}}]\n");
    let last_day = "  extends: builtin\n  exemptions: [{rules: [a-rule], reason: x, expires: 2026-06-01}]\n";
    good(last_day);
}

fn spec(body: &str) -> String {
    format!("{HEAD}{body}")
}

#[test]
fn lists_of_several_files_add_up_and_keep_their_places() {
    let a = spec("  rules: [{rule: a, level: deny}]\n  cidrGroups: {one: [10.0.0.0/8]}\n");
    let b = spec("  maxLevel: warn\n  rules: [{rule: b, level: deny}, {rule: c, level: deny}]\n---\n")
        + &a.replace("one", "two");
    let loaded = load_texts(&[("a", &a), ("b", &b)]);
    assert_eq!(told(&loaded), [""; 0]);
    let rules: Vec<&str> = loaded.rule_set.rules.iter().map(|entry| entry.rule.as_str()).collect();
    assert_eq!(rules, ["a", "b", "c", "a"]);
    assert_eq!(loaded.rule_set.rules[3].place, "rules[3]");
    let at = |field: &str| loaded.locate(field).map(|(file, at)| format!("{file}:{}:{}", at.line, at.column));
    assert_eq!(at("rules[2].rule").as_deref(), Some("b:6:36"));
    assert_eq!(at("rules[3].rule").as_deref(), Some("b:12:12"));
    assert_eq!(at("cidrGroups.two").as_deref(), Some("b:13:16"));
    assert_eq!(at("maxLevel").as_deref(), Some("b:5:3"));
}

#[test]
fn what_is_given_twice_names_both_places() {
    let a = spec("  maxLevel: warn\n  cidrGroups: {office: [10.0.0.0/8]}\n  rules: [{rule: a, level: deny}]\n");
    let told = told(&load_texts(&[("a", &a), ("b", &a)]));
    let expected = [
        "b:5:3: error: `maxLevel` is given twice, first at a:5:3; keep one",
        "b:6:16: error: `cidrGroups.office` is given twice, first at a:6:16; keep one",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_file_without_a_name_gives_its_own() {
    let text = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec: {extends: builtin}\n";
    assert_eq!(load_texts(&[("etc/team.rules.yaml", text)]).rule_set.name, "team");
}

#[test]
fn later_refusals_take_their_place_and_repeat_nothing() {
    let mut loaded = loaded("  rules: [{rule: x, level: deny, params: {a: 1}}]\n");
    loaded.refuse("rules[0].params.a", "no".to_owned());
    loaded.refuse("rules[0].params.a", "again".to_owned());
    loaded.refuse("rules[0].rule", "unknown".to_owned());
    assert_eq!(told(&loaded), ["f:5:12: error: unknown", "f:5:43: error: no"]);
    assert!(loaded.problems.iter().all(|problem| problem.severity == Severity::Error));
}

#[test]
fn the_line_in_question_is_quoted() {
    let text = spec("  maxLevl: warn\n");
    let reading = manifest::parse("f", &text);
    let texts = reading.texts.clone();
    let loaded = load("f", reading, &builtin(), TODAY);
    assert_eq!(loaded.problems[0].excerpt(&texts), "  |\n5 |   maxLevl: warn\n  |   ^^^^^^^\n");
    let whole = load("f", Reading::default(), &builtin(), TODAY);
    assert_eq!(whole.problems[0].excerpt(&texts), "");
}

#[test]
fn fingerprints_tell_contents_and_names_apart() {
    let of = |file: &str, text: &str| fingerprint(&manifest::parse(file, text));
    assert_eq!(of("a", "x: 1"), of("a", "x: 1"));
    assert_ne!(of("a", "x: 1"), of("a", "x: 1 "));
    assert_ne!(of("a", "x: 1"), of("b", "x: 1"));
    assert_ne!(fingerprint(&manifest::read(&[Path::new("/no/such").into()])), fingerprint(&Reading::default()));
}
