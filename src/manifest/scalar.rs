//! Scalars as kubectl reads them: by the rules of YAML 1.1, as go-yaml v2 has them.
//!
//! Source: sigs.k8s.io/yaml, goyaml.v2/resolve.go and yaml.go. What differs from YAML 1.2:
//! `yes`, `no`, `on`, `off`, `y`, `n` are booleans, a leading zero makes an octal number,
//! underscores separate digits, `0b` and `0o` are known; base 60 is not.

use granit_parser::Tag;
use serde_json::{Number, Value};

use super::Error;

/// The value of a scalar; `plain` when it stands without quotes.
pub(super) fn value(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Value, Error> {
    let Some(tag) = tag else {
        return if plain { resolve(text) } else { Ok(Value::from(text)) };
    };
    let odd = |wanted| Error::OddScalar { text: shorten(text), wanted };
    let wants = |wanted, fits: fn(&Value) -> bool| resolve(text).ok().filter(fits).ok_or_else(|| odd(wanted));
    if !tag.is_yaml_core_schema() {
        // `!!binary` is refused by kubectl's own conversion; tags of others' making mean text.
        return if tag.suffix_in_namespace("tag:yaml.org,2002:").is_some_and(|name| name == "binary") {
            Err(odd("value that JSON has"))
        } else {
            Ok(Value::from(text))
        };
    }
    match tag.core_suffix() {
        Some("int") => wants("integer", |value| value.is_i64() || value.is_u64()),
        Some("float") => wants("number", Value::is_number),
        Some("bool") => wants("boolean", Value::is_boolean),
        Some("null") => wants("null", Value::is_null),
        _ => Ok(Value::from(text)),
    }
}

/// A scalar as a key of a JSON object.
pub(super) fn key(value: Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Error::OddKey),
    }
}

fn resolve(text: &str) -> Result<Value, Error> {
    Ok(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Err(Error::OddScalar { text: text.to_owned(), wanted: "number that JSON has" }),
        _ => match text.as_bytes().first() {
            Some(b'.' | b'+' | b'-' | b'0'..=b'9') => number(text).map_or_else(|| Value::from(text), Value::Number),
            _ => Value::from(text),
        },
    })
}

fn number(text: &str) -> Option<Number> {
    if text.starts_with('.') {
        return float(text);
    }
    let digits = text.replace('_', "");
    integer(&digits).map(Number::from).or_else(|| unsigned(&digits).map(Number::from)).or_else(|| float(&digits))
}

/// Go's `ParseInt(s, 0, 64)`.
fn integer(digits: &str) -> Option<i64> {
    let (negative, bare) = match digits.as_bytes().first()? {
        b'-' => (true, digits.get(1..)?),
        b'+' => (false, digits.get(1..)?),
        _ => (false, digits),
    };
    let size = i128::from(unsigned(bare)?);
    i64::try_from(if negative { -size } else { size }).ok()
}

/// Go's `ParseUint(s, 0, 64)`.
fn unsigned(digits: &str) -> Option<u64> {
    let (radix, bare) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    // Rust takes a sign here, Go does not.
    (!bare.starts_with(['+', '-'])).then(|| u64::from_str_radix(bare, radix).ok()).flatten()
}

/// A decimal number. A whole one becomes an integer, as JSON has no other way to write it: `08`
/// is eight, `1e3` a thousand.
fn float(digits: &str) -> Option<Number> {
    // Rust's grammar also knows names such as `inf` and `nan`.
    if !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E')) {
        return None;
    }
    let value = digits.parse::<f64>().ok().filter(|value| value.is_finite())?;
    if value == 0.0 {
        return Some(Number::from(0)); // A JSON zero has no sign.
    }
    if value.fract() == 0.0 && value.abs() < 1e18 {
        format!("{value:.0}").parse().ok()
    } else {
        Number::from_f64(value)
    }
}

/// A message quotes no more than a line.
fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
