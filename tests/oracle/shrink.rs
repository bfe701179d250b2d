//! Smaller JSON, by greed: whatever can go without the failure going with it goes.

use serde_json::Value;

/// The objects without all that the failure has no need of.
pub(crate) fn shrink(documents: &[Value], fails: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut smallest = documents.to_vec();
    loop {
        let mut paths = Vec::new();
        let whole = Value::Array(smallest.clone());
        removable(&whole, "", &mut paths);
        // What holds others comes before them, so that much goes at once; and later ones first within a list, so that
        // earlier paths stay true.
        let smaller = paths.iter().rev().fold(smallest.clone(), |best, path| {
            let mut tried = Value::Array(best.clone());
            remove(&mut tried, path);
            let Value::Array(tried) = tried else { return best };
            if tried.len() + 1 >= best.len() && fails(&tried) { tried } else { best }
        });
        if smaller == smallest {
            return smallest;
        }
        smallest = smaller;
    }
}

/// JSON pointers of every element and entry.
pub(crate) fn removable(value: &Value, at: &str, paths: &mut Vec<String>) {
    let mut each = |key: String, inner: &Value| {
        let path = format!("{at}/{key}");
        paths.push(path.clone());
        removable(inner, &path, paths);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| each(index.to_string(), item)),
        Value::Object(entries) => {
            entries.iter().for_each(|(key, inner)| each(key.replace('~', "~0").replace('/', "~1"), inner));
        }
        _ => {}
    }
}

/// Takes out what a pointer leads to, where it still leads somewhere.
pub(crate) fn remove(value: &mut Value, path: &str) {
    let Some((parent, key)) = path.rsplit_once('/') else { return };
    match value.pointer_mut(parent) {
        Some(Value::Array(items)) => {
            if let Some(index) = key.parse().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        Some(Value::Object(entries)) => _ = entries.remove(&key.replace("~1", "/").replace("~0", "~")),
        _ => {}
    }
}
