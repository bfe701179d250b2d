//! The built-in rule set as a file to start from.
//!
//! Prose stands behind `# `, what may be switched on behind `#` alone, at its own indentation: taking
//! those marks away leaves a rule set that can be read.

use std::fmt::Write as _;

use crate::cli::rule_set::builtin;
use crate::config::load::{API_VERSION, KIND};
use crate::config::valid::{Entry, ExplainChanges, OnCannotJudge, RuleSet};
use crate::finding::Level;
use crate::netpol::groups::GROUPS;
use crate::rules::{Meta, RULES, find};

/// The file.
pub(super) fn text() -> String {
    let rule_set = builtin();
    let mut text = head(&rule_set);
    text.push_str(
        "\n  # Each entry names a rule. Several may name one: each that matches is judged by, and findings on one\n",
    );
    text.push_str("  # field merge, the strictest level first. `portcullis rules NAME` explains a rule.\n  rules:\n");
    for entry in &rule_set.rules {
        if let Some(rule) = find(&entry.rule) {
            push_entry(&mut text, entry, rule.meta());
        }
    }
    let off: Vec<&Meta> = RULES.iter().map(|rule| rule.meta()).filter(|meta| meta.builtin.is_none()).collect();
    if !off.is_empty() {
        text.push_str(
            "    # Off in the built-in rule set, mostly because an organisation has to name something first:\n\n",
        );
    }
    for meta in off {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    # {}: {}.", meta.kind, meta.summary);
        let _ = writeln!(text, "    #- rule: {}\n      #level: warn", meta.name);
        push_params(&mut text, meta);
        text.push('\n');
    }
    text.push_str(EXEMPTIONS);
    text
}

fn head(rule_set: &RuleSet) -> String {
    let on_cannot_judge = match rule_set.on_cannot_judge {
        OnCannotJudge::Deny => "Deny",
        OnCannotJudge::Allow => "Allow",
    };
    let explain_changes = match rule_set.explain_changes {
        ExplainChanges::Off => "off",
        ExplainChanges::Warn => "warn",
    };
    let minutes = rule_set.max_inventory_age_seconds / 60;
    let groups: Vec<String> = GROUPS.iter().map(|group| format!("  #   {}: {}", group.name, group.about)).collect();
    format!(
        "# The built-in rule set of Portcullis {version}: what holds where no --config is given. A copy of it replaces it;
# a shorter file with `extends: builtin` adds to it. `portcullis config check FILE` tells what is wrong with one.
apiVersion: {API_VERSION}
kind: {KIND}
metadata:
  name: {name}
spec:
  # What becomes of a request that cannot be judged: Deny, or Allow with a warning.
  onCannotJudge: {on_cannot_judge}
  # Cap on every level, for rolling out: warn turns every denial into a warning.
  maxLevel: {max_level}
  # Knowledge of the cluster older than this is confirmed by a live read, or the request cannot be judged.
  maxInventoryAge: {minutes}m
  # An UPDATE is judged by what it makes worse.
  ratchet: {ratchet}
  # Whether a NetworkPolicy's requester is told by warnings what it newly opens to other namespaces and outside the
  # cluster: off or warn. With warn, the server watches the labels of pods, and has to be allowed to.
  explainChanges: \"{explain_changes}\"
  # Appended to denials: whom to ask, and where the rules are explained.
  #contact: \"#platform-network\"
  #docsUrl: https://wiki.example.com/portcullis/{{rule}}

  # Address groups of one's own, for the parameter `groups`. Built in:
{groups}
  #cidrGroups:
    #office: [198.51.100.0/24]
",
        version = env!("CARGO_PKG_VERSION"),
        name = rule_set.name,
        max_level = rule_set.max_level,
        ratchet = rule_set.ratchet,
        groups = groups.join("\n"),
    )
}

fn push_entry(text: &mut String, entry: &Entry, meta: &Meta) {
    let excluded: Vec<String> = entry.matcher.exclude_namespaces.iter().map(ToString::to_string).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "    # {}: {}.\n    - rule: {}\n      level: {}\n      match:\n        excludeNamespaces: [{}]",
        meta.kind,
        meta.summary,
        entry.rule,
        entry.level.map_or("\"off\"", Level::as_str),
        excluded.join(", "),
    );
    push_params(text, meta);
    text.push('\n');
}

fn push_params(text: &mut String, meta: &Meta) {
    if !meta.params.is_empty() {
        text.push_str("      #params:\n");
    }
    for param in meta.params {
        let _ = writeln!(text, "        # {}\n        #{}: {}", param.about, param.name, param.default);
    }
}

const EXEMPTIONS: &str = "  # Findings that are known and let pass. They are still reported, as exempted.
  #exemptions:
    #- rules: [egress-private-cidr]
      #match: {namespaces: [payments], names: [\"legacy-*\"]}
      # For these requesters only; everybody without it.
      #subjects: {groups: [network-admins], serviceAccounts: [ci/deployer]}
      #reason: \"TICKET-123, until the VPN is gone\"
      # The last day, in UTC; after it the exemption is void and reported.
      #expires: 2099-12-31
";

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use std::path::Path;

    use super::*;
    use crate::cli::rule_set;
    use crate::manifest;

    fn read(text: &str) -> Result<RuleSet, Vec<String>> {
        let reading = manifest::parse("default.yaml", text);
        let (bound, problems) = rule_set::bound(Path::new("default.yaml"), reading, date(2026, 1, 1));
        bound.map(|bound| bound.rule_set).ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn it_reads_back_as_exactly_the_built_in_rule_set() {
        assert_eq!(read(&text()), Ok(builtin()));
        assert_eq!(builtin().max_inventory_age_seconds % 60, 0, "whole minutes are printed");
    }

    /// With all marks taken away it is a rule set, and the defaults that are documented are the
    /// parameters' own.
    #[test]
    fn whatever_may_be_switched_on_can_be_read() {
        let uncommented = |line: &str| match line.split_once('#') {
            Some((indent, rest)) if indent.trim().is_empty() && !rest.starts_with(' ') => format!("{indent}{rest}\n"),
            _ => format!("{line}\n"),
        };
        let switched_on: String = text().lines().map(uncommented).collect();
        let rule_set = read(&switched_on).unwrap_or_else(|problems| panic!("{problems:?}\n{switched_on}"));
        assert_eq!(rule_set.rules.len(), RULES.len());
        assert_eq!(rule_set.contact.as_deref(), Some("#platform-network"));
        assert_eq!((rule_set.exemptions.len(), rule_set.cidr_groups.len()), (1, 1));
        for entry in &rule_set.rules {
            let documented = find(&entry.rule).map_or(0, |rule| rule.meta().params.len());
            assert_eq!(entry.params.as_object().map_or(0, serde_json::Map::len), documented, "{}", entry.rule);
        }
    }

    #[test]
    fn every_rule_and_parameter_is_in_it() {
        let text = text();
        for meta in RULES.iter().map(|rule| rule.meta()) {
            assert!(text.contains(&format!("- rule: {}\n", meta.name)), "{}", meta.name);
            assert!(meta.params.iter().all(|param| text.contains(param.about)), "{}", meta.name);
        }
    }
}
