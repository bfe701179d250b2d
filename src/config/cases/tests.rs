use super::*;
use crate::manifest::parse;

const HEAD: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSetTest\nspec:\n";
const NAMESPACE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}";

/// A document of this spec, with its problems as `line:column: message`.
fn suite(spec: &str) -> (Suite, Vec<String>) {
    let reading = parse("x.yaml", &format!("{HEAD}{spec}"));
    assert_eq!(reading.problems, []);
    let mut problems = Vec::new();
    let suite = read(&reading.documents[0], &["allow-all-egress", "namespace-name"], &mut problems);
    (suite, problems.iter().map(|problem| problem.to_string().replace("x.yaml:", "").replace("error: ", "")).collect())
}

/// A spec of one case with these fields.
fn case(fields: &str) -> (Option<Case>, Vec<String>) {
    let (suite, problems) = suite(&format!("  cases:\n  - {{name: a, {fields}}}\n"));
    (suite.cases.into_iter().next(), problems)
}

#[test]
fn a_case_is_read_with_its_defaults() {
    let (suite, problems) = suite(&format!(
        "  ruleSet: rules.yaml\n  now: 2026-06-01T00:00:00Z\n  given: [cluster, {NAMESPACE}]\n  cases:\n    - name: a  b\n      \
         object: {NAMESPACE}\n      expect: {{verdict: allowed, allowed: true, findings: [{{rule: namespace-name, level: warn}}]}}\n"
    ));
    assert_eq!(problems, [""; 0]);
    assert_eq!(suite.rule_set.as_deref(), Some("rules.yaml"));
    assert!(matches!(&suite.given[0].given, Given::File(path) if path == "cluster"));
    assert!(matches!(&suite.given[1].given, Given::Here(documents) if documents[0].kind() == "Namespace"));
    let case = &suite.cases[0];
    assert_eq!((case.name.as_str(), case.operation, case.labels), ("a b", Operation::Create, false));
    assert_eq!(case.requester, Requester { username: String::new(), groups: vec![AUTHENTICATED.to_owned()] });
    assert_eq!(case.now.map(|now| now.to_string()).as_deref(), Some("2026-06-01T00:00:00Z"));
    assert_eq!((case.expect.verdict, case.expect.allowed), (Some("allowed"), Some(true)));
    let found = case.expect.findings.as_ref().expect("findings");
    assert_eq!((found[0].rule.as_str(), found[0].level), ("namespace-name", Some(Level::Warn)));
    assert_eq!((found[0].field.as_deref(), found[0].exempted), (None, None));
}

#[test]
fn requesters_have_the_groups_that_the_api_server_gives_them() {
    let of = |requester: &str| {
        let (case, problems) = case(&format!("object: x.yaml, expect: {{allowed: true}}, requester: {requester}"));
        (case.expect("a case").requester, problems)
    };
    let alice = Requester { username: "alice".to_owned(), groups: vec!["dev".to_owned(), AUTHENTICATED.to_owned()] };
    assert_eq!(of("{user: alice, groups: [dev]}"), (alice.clone(), vec![]));
    assert_eq!(of("{user: alice, groups: [dev, 'system:authenticated']}"), (alice, vec![]));
    let (bot, problems) = of("{serviceAccount: ci/deployer}");
    assert_eq!((bot.username.as_str(), problems), ("system:serviceaccount:ci:deployer", vec![]));
    assert_eq!(bot.groups, ["system:serviceaccounts", "system:serviceaccounts:ci", AUTHENTICATED]);
    for odd in ["ci", "ci/*", "/a", "a/", "a/b/c"] {
        let (_, problems) = of(&format!("{{serviceAccount: {odd}}}"));
        assert!(
            problems.concat().ends_with(&format!("a service account is NAMESPACE/NAME, not `{odd}`")),
            "{problems:?}"
        );
    }
    let (_, problems) = of("{serviceAccount: ci/deployer, user: alice}");
    assert!(problems.concat().ends_with("a requester is a `user` or a `serviceAccount`; keep one"), "{problems:?}");
}

#[test]
fn every_mistake_in_a_case_is_told() {
    let object = format!("object: {NAMESPACE}");
    let expect = "expect: {allowed: true}";
    for (fields, wanted) in [
        (object.clone(), "5:5: `expect` is missing: the verdict, the findings or both"),
        (format!("{object}, expect: {{}}"), "`expect` is empty, so that the case would pass whatever is said"),
        (
            format!("{object}, expect: {{verdict: deny}}"),
            "`verdict` must be allowed, warned, exempted, denied or cannot_judge",
        ),
        (format!("{object}, expect: {{findings: [{{level: deny}}]}}"), "`rule` is missing"),
        (format!("{object}, expect: {{findings: [{{rule: namespace-nam}}]}}"), "did you mean `namespace-name`?"),
        (format!("{object}, expect: {{findings: [{{rule: namespace-name, level: off}}]}}"), "`level` must be"),
        (format!("{object}, {expect}, operation: PATCH"), "`operation` must be CREATE, UPDATE or DELETE, not `PATCH`"),
        (format!("{object}, {expect}, path: /labels"), "`path` must be /validate or /validate/labels"),
        (format!("{object}, {expect}, now: 2026-01-01"), "`now` must be a time such as 2027-01-31T12:00:00Z"),
        (format!("{object}, {expect}, oldObject: {NAMESPACE}"), "CREATE has no `oldObject`, but `object`"),
        (format!("{object}, {expect}, operation: UPDATE"), "`oldObject` is missing: UPDATE has one"),
        (
            format!("oldObject: {NAMESPACE}, {object}, {expect}, operation: DELETE"),
            "DELETE has no `object`, but `oldObject`",
        ),
        (expect.to_owned(), "`object` is missing: CREATE has one, a manifest or the path of its file"),
        (format!("object: [], {expect}"), "`object` must be a manifest or the path of its file, not a list"),
        (format!("{object}, {expect}, expects: 1"), "unknown field `expects`; did you mean `expect`?"),
    ] {
        let (_, problems) = case(&fields);
        assert!(problems.len() == 1 && problems[0].contains(wanted), "{fields}\n{problems:#?}");
    }
}

#[test]
fn a_document_without_cases_is_a_mistake() {
    assert_eq!(suite("  ruleSet: x\n").1, ["3:1: `cases` is missing: the requests to try, at least one"]);
    assert_eq!(suite("  cases: []\n").1, ["4:3: `cases` is empty: give at least one"]);
    assert_eq!(suite("  cases:\n").1.len(), 1);
    let twice = format!("{{name: a, object: {NAMESPACE}, expect: {{allowed: true}}}}");
    let (_, problems) = suite(&format!("  cases:\n  - {twice}\n  - {twice}\n"));
    assert_eq!(problems, ["6:6: there is a case of this name already, at line 5"]);
}
