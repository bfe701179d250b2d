//! Objects as the text of a manifest, in one of the ways people and tools write them.

use std::fmt::Write as _;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// YAML documents.
    Yaml,
    /// JSON values, one after the other.
    JsonLines,
    /// `kubectl get -o json`.
    List,
    /// YAML documents in flow style, which is JSON.
    Flow,
}

pub(crate) const FORMS: [Form; 4] = [Form::Yaml, Form::JsonLines, Form::List, Form::Flow];

pub(crate) fn manifest(documents: &[Value], form: Form) -> String {
    let mut text = String::new();
    match form {
        Form::List => text = json!({"apiVersion": "v1", "kind": "List", "items": documents}).to_string(),
        Form::Yaml => {
            for document in documents {
                text += "---";
                block(&mut text, document, 0);
                text += "\n";
            }
        }
        Form::JsonLines => documents.iter().for_each(|document| _ = writeln!(text, "{document}")),
        Form::Flow => documents.iter().for_each(|document| _ = writeln!(text, "---\n{document:#}")),
    }
    text
}

/// A value in block style, after a key, a dash or the dashes of a document.
fn block(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                write!(text, "\n{indent}{key}:").expect("written");
                block(text, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                write!(text, "\n{indent}-").expect("written");
                block(text, item, depth + 1);
            }
        }
        Value::Null => {}
        Value::String(plain) if is_plain(plain) => write!(text, " {plain}").expect("written"),
        other => write!(text, " {other}").expect("written"),
    }
}

/// Whether YAML takes it for text without quotes.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-./".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&&*text.to_lowercase())
}
