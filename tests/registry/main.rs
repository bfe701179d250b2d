//! What holds for every rule, by the cases in `tests/rules`: data that `portcullis config test` reads, one folder a rule.
//!
//! ```text
//! RULE/rules.yaml  the rule alone, at level deny
//! RULE/cases.yaml  requests, and what it finds in each
//!     callers.rs     config test, the webhook and check say the same of all of them
//!     ratchet.rs     an UPDATE answers for what it makes worse, and for nothing else
//!     exemptions.rs  every way to let a finding pass, and ways that look like one
//! schema.rs          the parameters, as documented and in the JSON Schema
//! ```
//!
//! To try a file by itself: `portcullis config test tests/rules/RULE/cases.yaml`.

use std::collections::BTreeSet;
use std::fs;

use cases::{Suite, folder};
use portcullis::rules::RULES;

// `cfg(test)` is always set here; it tells clippy that these are test code.
#[cfg(test)]
mod callers;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod exemptions;
#[cfg(test)]
mod ratchet;
#[cfg(test)]
mod schema;

/// So many cases found, and so many not.
const ENOUGH: usize = 5;

#[test]
fn every_rule_has_its_folder_and_no_other_has() {
    let entries = fs::read_dir(folder()).expect("a folder");
    let folders: BTreeSet<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    let rules: BTreeSet<String> = RULES.iter().map(|rule| rule.meta().name.to_owned()).collect();
    assert_eq!(folders, rules);
}

#[test]
fn every_rule_has_enough_cases_found_and_not_found() {
    for suite in Suite::all() {
        let name = suite.meta.name;
        let found = suite.cases.iter().filter(|case| case.is_found()).count();
        let not_found = suite.cases.len() - found;
        assert!(found >= ENOUGH && not_found >= ENOUGH, "{name}: {found} found, {not_found} not");
        for finding in suite.cases.iter().flat_map(|case| case.expected()) {
            assert_eq!(finding["rule"], name, "{finding}");
            assert!(finding["field"].is_string(), "{name}: {finding}");
        }
    }
}

/// What is found is that rule's doing.
#[test]
fn every_rule_is_alone_in_its_rule_set_with_all_of_its_parameters() {
    // It speaks for the entries of another one.
    let beside =
        |name: &'static str| if name == "namespace-needs-default-deny" { "missing-default-deny" } else { name };
    for suite in Suite::all() {
        let name = suite.meta.name;
        let entries = suite.rules["spec"]["rules"].as_array().expect("rules");
        assert!(suite.rules["spec"].as_object().is_some_and(|spec| spec.len() == 1), "{name}");
        assert!(entries.iter().all(|entry| entry["rule"] == name || entry["rule"] == beside(name)), "{name}");
        assert!(entries.iter().all(|entry| entry["level"] == "deny"), "{name}");
        let own = entries.iter().filter(|entry| entry["rule"] == name);
        let used: BTreeSet<&str> = own
            .filter_map(|entry| entry["params"].as_object())
            .flat_map(|params| params.keys())
            .map(String::as_str)
            .collect();
        let documented: BTreeSet<&str> = suite.meta.params.iter().map(|param| param.name).collect();
        assert_eq!(used, documented, "{name}: left the parameters that its cases use, right those that it has");
    }
}
