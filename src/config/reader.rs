//! Reading a document by closed key sets, with every problem at its place.

use serde_json::{Map, Value};

use super::nearest::nearest;
use super::problem::{Problem, Severity};
use crate::manifest::Document;

/// How much of a foreign text is repeated in a message.
const QUOTED: usize = 64;

/// A foreign text, shortened and on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

/// One line, whatever line breaks and blanks the YAML has: such texts become lines of answers.
pub(super) fn one_line(text: &str) -> String {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    words(&text.replace(char::is_control, " "))
}

/// Reads one document and keeps what is wrong with it.
pub(super) struct Reader<'a> {
    document: &'a Document,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(document: &'a Document, problems: &'a mut Vec<Problem>) -> Self {
        Self { document, problems }
    }

    /// Something wrong with that field.
    pub(super) fn error(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            file: self.document.file.clone(),
            place: Some(self.document.place(field)),
            severity: Severity::Error,
            message: message.into(),
        });
    }

    /// What has the wrong type. A key without a value is told apart: its value has mostly been commented out.
    pub(super) fn wrong_type(&mut self, field: &str, wanted: &str, found: &Value) {
        let name = name_of(field);
        let message = match found {
            Value::Null => format!("`{name}` has no value; give it {wanted} or drop it"),
            Value::Bool(_) => format!("`{name}` must be {wanted}, not a boolean{}", unquoted(wanted)),
            Value::Number(_) => format!("`{name}` must be {wanted}, not a number{}", unquoted(wanted)),
            Value::String(_) => format!("`{name}` must be {wanted}, not a string"),
            Value::Array(_) => format!("`{name}` must be {wanted}, not a list"),
            Value::Object(_) => format!("`{name}` must be {wanted}, not a mapping"),
        };
        self.error(field, message);
    }

    /// The value as a mapping with no other keys than these.
    pub(super) fn mapping<'v>(
        &mut self,
        field: &str,
        value: &'v Value,
        known: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let Value::Object(map) = value else {
            self.wrong_type(field, "a mapping", value);
            return None;
        };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let at = below(field, key);
            let perhaps = nearest(key, known.iter().copied())
                .map_or_else(|| format!("known here: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            self.error(&at, format!("unknown field {}; {perhaps}", quoted(key)));
        }
        Some(map)
    }

    /// A string.
    pub(super) fn text<'v>(&mut self, field: &str, value: &'v Value) -> Option<&'v str> {
        if let Value::String(text) = value {
            return Some(text);
        }
        self.wrong_type(field, "a string", value);
        None
    }

    /// A string that says something, on one line.
    pub(super) fn line(&mut self, field: &str, value: &Value) -> Option<String> {
        let text = one_line(self.text(field, value)?);
        if text.is_empty() {
            self.error(field, format!("`{}` must not be blank", name_of(field)));
            return None;
        }
        Some(text)
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, field: &str, value: &Value) -> Option<bool> {
        if value.as_bool().is_none() {
            self.wrong_type(field, "true or false", value);
        }
        value.as_bool()
    }

    /// A list. Its items are read by the caller, by index.
    pub(super) fn list<'v>(&mut self, field: &str, value: &'v Value) -> &'v [Value] {
        if let Value::Array(items) = value {
            return items;
        }
        self.wrong_type(field, "a list", value);
        &[]
    }

    /// A list of strings, none of them empty. What is wrong stays as an empty string, so that the
    /// others keep their index.
    pub(super) fn texts(&mut self, field: &str, value: &Value) -> Vec<String> {
        let mut texts = Vec::new();
        for (i, item) in self.list(field, value).iter().enumerate() {
            let at = format!("{field}[{i}]");
            let text = self.text(&at, item);
            if text.is_some_and(|text| text.trim().is_empty()) {
                self.error(&at, format!("an item of `{}` must not be blank", name_of(field)));
            }
            texts.push(text.unwrap_or_default().to_owned());
        }
        texts
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, field: &str, value: &Value, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(field, value)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            self.not_among(field, text, words.iter().map(|(word, _)| *word));
        }
        found
    }

    /// A word that is none of those there are.
    pub(super) fn not_among<'w>(&mut self, field: &str, text: &str, words: impl Iterator<Item = &'w str> + Clone) {
        let perhaps = nearest(text, words.clone()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let words: Vec<&str> = words.collect();
        let name = name_of(field);
        self.error(field, format!("`{name}` must be {}, not {}{perhaps}", either(&words), quoted(text)));
    }
}

/// `a, b or c`.
pub(super) fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// YAML reads `on`, `no` and `123` as what they are not meant to be.
fn unquoted(wanted: &str) -> &'static str {
    if wanted == "a string" { "; put it in quotes" } else { "" }
}

/// The path of a key below a field, in the way that [`Document::place`] reads it.
pub(super) fn below(field: &str, key: &str) -> String {
    if key.contains(['.', '[', ']']) { format!("{field}[{key}]") } else { format!("{field}.{key}") }
}

/// The last part of a path, index included.
fn name_of(field: &str) -> &str {
    let index = field.rfind('[').filter(|_| field.ends_with(']')).unwrap_or(field.len());
    let start = field.get(..index).and_then(|before| before.rfind('.')).map_or(0, |dot| dot + 1);
    field.get(start..).filter(|name| !name.is_empty()).unwrap_or("the document")
}
