//! The JSON Schema of rule sets, made from the registry.
//!
//! It says as much as a schema can: keys, types, words, the parameters of each rule. What a name refers to
//! and whether an address is one is for `config check`.

use serde_json::{Map, Value, json};

use crate::config::load::{API_VERSION, KIND};
use crate::manifest;
use crate::netpol::groups::Groups;
use crate::rules::{ParamDoc, RULES, Rule};

/// The schema, draft 2020-12.
pub(super) fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://portcullis.dev/schemas/v1alpha1/ruleset.json",
        "title": "Portcullis rule set",
        "type": "object",
        "required": ["apiVersion", "kind", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": KIND},
            "metadata": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "name": {"type": "string", "pattern": SAYS_SOMETHING},
                    "namespace": {},
                    "labels": {},
                    "annotations": {},
                },
            },
            "spec": spec(),
        },
        "$defs": {
            "texts": {"type": "array", "items": {"type": "string", "pattern": SAYS_SOMETHING}},
            "rule": {"enum": RULES.iter().map(|rule| rule.meta().name).collect::<Vec<_>>()},
            "selector": selector(),
            "entry": entry(),
            "exemption": exemption(),
        },
    })
}

/// Anything but blanks.
const SAYS_SOMETHING: &str = r"\S";

fn spec() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "extends": {"const": "builtin", "description": "Adds to the built-in rule set instead of replacing it."},
            "onCannotJudge": {
                "enum": ["Deny", "Allow"],
                "default": "Deny",
                "description": "What becomes of a request that cannot be judged.",
            },
            "maxLevel": {
                "enum": ["deny", "warn", "audit"],
                "default": "deny",
                "description": "Cap on every level, for rolling out: warn turns every denial into a warning.",
            },
            "maxInventoryAge": {
                "type": "string",
                "pattern": "[0-9]",
                "default": "5m",
                "description": "Knowledge of the cluster older than this is confirmed by a live read, or the request \
                                cannot be judged.",
            },
            "contact": {
                "type": "string",
                "pattern": SAYS_SOMETHING,
                "description": "Whom to ask; appended to denials.",
            },
            "docsUrl": {
                "type": "string",
                "pattern": "^https?://[^\\s/?#]",
                "description": "Where the rules are explained; {rule} stands for the rule's name.",
            },
            "ratchet": {
                "type": "boolean",
                "default": true,
                "description": "An UPDATE is judged by what it makes worse.",
            },
            "explainChanges": {
                "enum": ["off", "warn", false],
                "default": "off",
                "description": "Whether the requester of a NetworkPolicy is told by warnings what it newly opens to \
                                other namespaces and outside the cluster. The server then watches the labels of pods.",
            },
            "cidrGroups": {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
                "additionalProperties": {"$ref": "#/$defs/texts"},
                "description": "Address groups of one's own: names to lists of CIDRs.",
            },
            "rules": {"type": "array", "items": {"$ref": "#/$defs/entry"}},
            "exemptions": {"type": "array", "items": {"$ref": "#/$defs/exemption"}},
        },
    })
}

/// A `metav1.LabelSelector`.
fn selector() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            "matchExpressions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "additionalProperties": false,
                    "properties": {
                        "key": {"type": "string"},
                        "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {"type": "array", "items": {"type": "string"}},
                    },
                },
            },
        },
    })
}

fn operations() -> Value {
    json!({"type": "array", "items": {"enum": ["CREATE", "UPDATE", "DELETE"]}})
}

fn entry() -> Value {
    json!({
        "type": "object",
        "required": ["rule", "level"],
        "additionalProperties": false,
        "properties": {
            "rule": {"$ref": "#/$defs/rule"},
            "level": {
                // A bare `off` is false to YAML 1.1.
                "enum": ["deny", "warn", "audit", "off", false],
                "description": "Weight of its findings; off silences this entry only.",
            },
            "match": {
                "type": "object",
                "additionalProperties": false,
                "description": "Where it applies. All parts must hold; without it, everywhere.",
                "properties": {
                    "namespaceSelector": {"$ref": "#/$defs/selector"},
                    "namespaces": {"$ref": "#/$defs/texts"},
                    "excludeNamespaces": {"$ref": "#/$defs/texts"},
                    "operations": operations(),
                },
            },
            "params": {"type": "object"},
        },
        "allOf": RULES.iter().map(|rule| params(*rule)).collect::<Vec<_>>(),
    })
}

/// The parameters of a rule, for the entries that name it.
fn params(rule: &dyn Rule) -> Value {
    let meta = rule.meta();
    let properties: Map<String, Value> =
        meta.params.iter().map(|param| (param.name.to_owned(), parameter(rule, param))).collect();
    json!({
        "if": {"properties": {"rule": {"const": meta.name}}, "required": ["rule"]},
        "then": {
            "properties": {
                "rule": {"description": meta.summary},
                "params": {"properties": properties, "additionalProperties": false},
            },
        },
    })
}

/// The type of a parameter is that of its default, or where it has none, what the rule takes.
fn parameter(rule: &dyn Rule, param: &ParamDoc) -> Value {
    let mut schema = json!({"description": param.about});
    // A bare scalar is no document of its own, so the default is read in its place.
    let reading = manifest::parse(param.name, &format!("default: {}", param.default));
    let default = reading.documents.first().and_then(|document| document.value.get("default"));
    if let Some(default) = default {
        let kind = match default {
            Value::Array(_) => json!("array"),
            Value::Object(_) => json!("object"),
            Value::Bool(_) => json!("boolean"),
            Value::Number(_) => json!("integer"),
            Value::String(_) => json!("string"),
            Value::Null => json!([optional(rule, param.name), "null"]),
        };
        schema["type"] = kind;
        schema["default"] = default.clone();
    }
    schema
}

/// The type of a parameter without a default: lists and mappings may be empty, and text has no value that every rule
/// takes.
fn optional(rule: &dyn Rule, name: &str) -> &'static str {
    let takes = |value: Value| rule.bind(&json!({ name: value }), &Groups::builtin()).is_ok();
    if takes(json!([])) {
        "array"
    } else if takes(json!({})) {
        "object"
    } else {
        "string"
    }
}

fn exemption() -> Value {
    json!({
        "type": "object",
        "required": ["rules", "reason"],
        "additionalProperties": false,
        "properties": {
            "rules": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/rule"}},
            "match": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "namespaces": {"$ref": "#/$defs/texts"},
                    "names": {"$ref": "#/$defs/texts"},
                    "namespaceSelector": {"$ref": "#/$defs/selector"},
                    "excludeNamespaces": {"$ref": "#/$defs/texts"},
                    "operations": operations(),
                },
            },
            "subjects": {
                "type": "object",
                "additionalProperties": false,
                "description": "For these requesters only; empty lists are everybody.",
                "properties": {
                    "users": {"$ref": "#/$defs/texts"},
                    "groups": {"$ref": "#/$defs/texts"},
                    "serviceAccounts": {
                        "type": "array",
                        "items": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
                    },
                },
            },
            "reason": {"type": "string", "pattern": SAYS_SOMETHING, "description": "Why; required."},
            "expires": {
                "type": "string",
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
                "description": "The last day it holds, in UTC; after it the exemption is void and reported.",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::cli::config::default;

    fn problems(text: &str) -> Vec<String> {
        let reading = manifest::parse("a.yaml", text);
        let validator = jsonschema::draft202012::new(&schema()).expect("a valid schema");
        let errors = reading.documents.iter().flat_map(|document| validator.iter_errors(&document.value));
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    const HEAD: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\n";

    /// The rule sets of the documentation, whole ones.
    fn examples() -> Vec<&'static str> {
        let page = include_str!("../../../docs/rule-sets.md");
        let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.filter(|block| block.starts_with(HEAD)).collect()
    }

    #[test]
    fn the_default_and_the_examples_are_valid() {
        assert!(jsonschema::meta::is_valid(&schema()));
        assert_eq!(problems(&default::text()), [""; 0]);
        assert!(examples().len() >= 2);
        for example in examples() {
            assert_eq!(problems(example), [""; 0], "{example}");
        }
    }

    #[test]
    fn the_examples_are_valid_to_the_reader_too() {
        for example in examples() {
            let reading = manifest::parse("example.yaml", example);
            let today = jiff::civil::date(2026, 1, 1);
            let (bound, problems) = crate::cli::rule_set::bound(std::path::Path::new("example.yaml"), reading, today);
            assert!(bound.is_some() && problems.is_empty(), "{problems:?}\n{example}");
        }
    }

    const ENTRY: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec:\n  rules:\n    - ";
    const EXEMPTION: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec:\n  exemptions:\n    - ";

    #[rstest]
    #[case::fine("{rule: egress-private-cidr, level: deny, params: {groups: [shared]}}", true)]
    #[case::off_is_false_to_yaml("{rule: egress-private-cidr, level: off}", true)]
    #[case::unknown_rule("{rule: egress-privat-cidr, level: deny}", false)]
    #[case::unknown_level("{rule: egress-private-cidr, level: error}", false)]
    #[case::no_level("{rule: egress-private-cidr}", false)]
    #[case::unknown_key("{rule: egress-private-cidr, level: deny, parms: {}}", false)]
    #[case::unknown_parameter("{rule: egress-private-cidr, level: deny, params: {group: [shared]}}", false)]
    #[case::wrong_type("{rule: egress-private-cidr, level: deny, params: {groups: shared}}", false)]
    #[case::text_where_there_is_no_default("{rule: namespace-name, level: deny, params: {pattern: [a]}}", false)]
    #[case::a_list_where_there_is_no_default(
        "{rule: unpinned-namespace-selector, level: deny, params: {protectedKeys: a}}",
        false
    )]
    #[case::unknown_operation("{rule: egress-private-cidr, level: deny, match: {operations: [create]}}", false)]
    fn entries_are_held_to_it(#[case] entry: &str, #[case] valid: bool) {
        assert_eq!(problems(&format!("{ENTRY}{entry}\n")).is_empty(), valid);
    }

    /// The defaults as documented and the parameters of the examples are valid, for each rule its own.
    #[test]
    fn every_rule_has_its_parameters_and_no_others() {
        for meta in RULES.iter().map(|rule| rule.meta()) {
            let problems = |params: &str| {
                let params: String = params.lines().map(|line| format!("        {line}\n")).collect();
                let params = if params.is_empty() { params } else { format!("      params:\n{params}") };
                problems(&format!("{ENTRY}rule: {}\n      level: deny\n{params}", meta.name))
            };
            let defaults = meta.params.iter().map(|param| format!("{}: {}", param.name, param.default));
            for params in defaults.chain([String::new(), meta.example_params.to_owned()]) {
                assert_eq!(problems(&params), [""; 0], "{}: {params}", meta.name);
            }
            assert_ne!(problems("noSuchParameter: 1"), [""; 0], "{}", meta.name);
        }
    }

    #[rstest]
    #[case::fine("{rules: [allow-all-egress], reason: because, expires: 2027-01-31}", true)]
    #[case::no_reason("{rules: [allow-all-egress]}", false)]
    #[case::blank_reason("{rules: [allow-all-egress], reason: ' '}", false)]
    #[case::no_rules("{rules: [], reason: because}", false)]
    #[case::no_day("{rules: [allow-all-egress], reason: because, expires: soon}", false)]
    #[case::no_account("{rules: [allow-all-egress], reason: because, subjects: {serviceAccounts: [x]}}", false)]
    fn exemptions_are_held_to_it(#[case] exemption: &str, #[case] valid: bool) {
        assert_eq!(problems(&format!("{EXEMPTION}{exemption}\n")).is_empty(), valid);
    }

    #[rstest]
    #[case("apiVersion: v1\nkind: RuleSet\nspec: {}\n")]
    #[case("apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\n")]
    #[case("apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec: {maxLevl: warn}\n")]
    #[case("apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec: {docsUrl: wiki}\n")]
    #[case("apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec: {ratchet: 'true'}\n")]
    #[case("apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec: {explainChanges: deny}\n")]
    #[case("apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec: {customRules: []}\n")]
    fn documents_are_held_to_it(#[case] text: &str) {
        assert_ne!(problems(text), [""; 0]);
    }
}
