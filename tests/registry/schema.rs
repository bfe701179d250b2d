//! The parameters: as documented, in the JSON Schema, and in the rule set that `config default` prints.

use portcullis::manifest;
use portcullis::netpol::groups::Groups;
use portcullis::rules::RULES;
use serde_json::{Value, json};

use crate::cases::portcullis;

fn printed(what: &str) -> String {
    let output = portcullis(&["config", what]);
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).expect("text")
}

/// The schema of the parameters of a rule.
fn properties<'s>(schema: &'s Value, rule: &str) -> &'s Value {
    let rules = schema["$defs"]["entry"]["allOf"].as_array().expect("rules");
    let mut named = rules.iter().filter(|entry| entry["if"]["properties"]["rule"]["const"] == rule);
    let (Some(entry), None) = (named.next(), named.next()) else { panic!("{rule} is there once") };
    let params = &entry["then"]["properties"]["params"];
    assert_eq!(params["additionalProperties"], false, "{rule}");
    &params["properties"]
}

/// A value of each type that a parameter can have.
fn samples() -> [(&'static str, Value); 5] {
    [
        ("array", json!([1.5])),
        ("boolean", json!(true)),
        ("integer", json!(7)),
        ("object", json!({"": 1})),
        ("string", json!("")),
    ]
}

#[test]
fn every_parameter_is_in_the_schema_with_its_type_its_default_and_what_it_does() {
    let schema: Value = serde_json::from_str(&printed("schema")).expect("JSON");
    let names: Vec<&str> = RULES.iter().map(|rule| rule.meta().name).collect();
    assert_eq!(schema["$defs"]["rule"]["enum"], json!(names));
    assert_eq!(schema["$defs"]["entry"]["allOf"].as_array().map(Vec::len), Some(names.len()));
    for rule in RULES {
        let meta = rule.meta();
        let properties = properties(&schema, meta.name);
        assert_eq!(properties.as_object().map(serde_json::Map::len), Some(meta.params.len()), "{}", meta.name);
        for param in meta.params {
            let (about, property) = (format!("{} {}", meta.name, param.name), &properties[param.name]);
            assert_eq!(property["description"], param.about, "{about}");
            let reading = manifest::parse("a.yaml", &format!("default: {}", param.default));
            let default = &reading.documents[0].value["default"];
            assert_eq!(&property["default"], default, "{about}");
            let mut kinds = property["type"].as_array().cloned().unwrap_or_else(|| vec![property["type"].clone()]);
            kinds.retain(|kind| kind != "null");
            let [Value::String(kind)] = &kinds[..] else { panic!("{about}: {property}") };
            let validator = jsonschema::draft202012::new(property).expect("a schema");
            assert!(validator.is_valid(default), "{about}");
            for (name, sample) in samples() {
                assert_eq!(validator.is_valid(&sample), name == kind, "{about}: {sample}");
                // What the schema refuses the rule does not take either.
                let taken = rule.bind(&json!({param.name: sample}), &Groups::builtin());
                assert!(name == kind || taken.is_err(), "{about}: {sample}");
            }
        }
    }
}

#[test]
fn every_rule_and_parameter_is_in_the_default_rule_set() {
    let default = printed("default");
    for meta in RULES.iter().map(|rule| rule.meta()) {
        let (_, entry) =
            default.split_once(&format!("rule: {}\n", meta.name)).unwrap_or_else(|| panic!("{}", meta.name));
        let entry = entry.split("rule: ").next().expect("an entry");
        for param in meta.params {
            assert!(entry.contains(&format!("{}: {}", param.name, param.default)), "{} {}", meta.name, param.name);
        }
    }
}

#[test]
fn rules_lists_every_rule_in_order() {
    let list = String::from_utf8(portcullis(&["rules"]).stdout).expect("text");
    let listed: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let names: Vec<&str> = RULES.iter().map(|rule| rule.meta().name).collect();
    let listed: Vec<&str> = listed.into_iter().filter(|name| names.contains(name)).collect();
    assert_eq!(listed, names, "{list}");
}
