//! Reading a JSON value by closed key sets, with every problem named by its field path.

use std::fmt;

use serde_json::{Map, Value};

/// One thing wrong with a spec: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// Path of the field, such as `spec.egress[0].to[0].fqdns`.
    pub field: String,
    /// What is wrong with it, in one line.
    pub message: String,
    /// The field is not one this version knows, so what the object means is open. The API server
    /// may well accept it; everything else here it refuses.
    pub unknown: bool,
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// How much of a foreign text is repeated in a message.
const QUOTED: usize = 64;
/// How many problems are worth telling; the rest of a hopeless object is not.
const MAX_PROBLEMS: usize = 50;

/// A foreign text, shortened and without control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED).is_some() {
        short.push('…');
    }
    format!("\"{short}\"")
}

/// A foreign key as part of a field path: as [`quoted`], without the quotation marks.
pub(super) struct KeyShown<'a>(pub(super) &'a str);

impl fmt::Display for KeyShown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(quoted(self.0).trim_matches('"'))
    }
}

/// Collects the problems of one spec.
#[derive(Default)]
pub(super) struct Problems(Vec<SpecProblem>);

impl Problems {
    /// Something that the API server refuses.
    pub(super) fn invalid(&mut self, field: fmt::Arguments<'_>, message: impl Into<String>) {
        self.push(SpecProblem { field: field.to_string(), message: message.into(), unknown: false });
    }

    fn push(&mut self, problem: SpecProblem) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(problem);
        }
    }

    /// The value where nothing was wrong, else all that was.
    pub(super) fn or<T>(self, value: T) -> Result<T, Vec<SpecProblem>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    /// The value as an object with no other keys than these. `null` is an empty object, as Go reads it.
    pub(super) fn object<'a>(&mut self, field: fmt::Arguments<'_>, value: &'a Value, keys: &[&str]) -> Fields<'a> {
        match value {
            Value::Null => Fields(None),
            Value::Object(map) => {
                for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
                    self.push(SpecProblem {
                        field: format!("{field}.{}", KeyShown(key)),
                        message: "unknown field: what it means to the cluster is not known to this version".to_owned(),
                        unknown: true,
                    });
                }
                Fields(Some(map))
            }
            other => {
                self.wrong_type(field, "an object", other);
                Fields(None)
            }
        }
    }

    /// The value as a list; absent and `null` are the empty one.
    pub(super) fn list<'a>(&mut self, field: fmt::Arguments<'_>, value: Option<&'a Value>) -> &'a [Value] {
        match value {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong_type(field, "a list", other);
                &[]
            }
        }
    }

    /// The value as a string; absent and `null` are `None`.
    pub(super) fn string<'a>(&mut self, field: fmt::Arguments<'_>, value: Option<&'a Value>) -> Option<&'a str> {
        match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                self.wrong_type(field, "a string", other);
                None
            }
        }
    }

    pub(super) fn wrong_type(&mut self, field: fmt::Arguments<'_>, wanted: &str, found: &Value) {
        // YAML reads `y`, `no` and `123` as what they are not meant to be.
        let quotes = match found {
            Value::Bool(_) | Value::Number(_) if wanted == "a string" => "; put it in quotes",
            _ => "",
        };
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.invalid(field, format!("must be {wanted}, not {found}{quotes}"));
    }
}

/// The fields of an object that has been held to its key set.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(Option<&'a Map<String, Value>>);

impl<'a> Fields<'a> {
    /// A field; absent and `null` are `None`.
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.and_then(|map| map.get(key)).filter(|value| !value.is_null())
    }
}
