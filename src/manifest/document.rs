//! One object, with the place of each of its fields.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Place;

/// A node's place, and those of what is inside it. It has the shape of the value beside it.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) at: Place,
    pub(super) inside: Inside,
}

/// What is inside a node.
#[derive(Clone, Debug)]
pub(super) enum Inside {
    /// Nothing.
    Scalar,
    /// Items.
    List(Vec<Spot>),
    /// Entries with their key and the key's place, as they stand in the text.
    Map(Vec<(String, Place, Spot)>),
}

/// One object of a text. Items of lists are documents of their own.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line the object begins on.
    pub line: usize,
    /// The object.
    pub value: Value,
    spot: Spot,
}

impl Document {
    pub(super) fn new(file: &Arc<str>, value: Value, spot: Spot) -> Self {
        Self { file: Arc::clone(file), line: spot.at.line, value, spot }
    }

    /// `apiVersion`; empty where there is none.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.value.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
    }

    /// `kind`; empty where there is none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.value.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// Where a field stands, such as `spec.egress[0].to[1].ipBlock` or
    /// `metadata.labels[kubernetes.io/metadata.name]`: its key in a mapping, else its value.
    /// A field that is not there stands where the nearest part of its path does.
    #[must_use]
    pub fn place(&self, field: &str) -> Place {
        let (mut spot, mut place, mut rest) = (&self.spot, self.spot.at, field);
        while let Some((inner, at, after)) = step(spot, rest) {
            (spot, place, rest) = (inner, at, after);
        }
        place
    }

    /// What stands in a field as documents of their own, which know their places as this one does: one, or the
    /// objects of the list it is. None where the field is not there.
    #[must_use]
    pub fn parts(&self, field: &str) -> Vec<Self> {
        let (mut spot, mut value, mut rest) = (&self.spot, &self.value, field);
        while !rest.is_empty() {
            let Some((inner, _, after)) = step(spot, rest) else { return Vec::new() };
            let taken = rest.strip_suffix(after).unwrap_or(rest).trim_start_matches('.');
            let taken = taken.strip_prefix('[').and_then(|taken| taken.strip_suffix(']')).unwrap_or(taken);
            let next = match value {
                Value::Array(items) => taken.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => value.get(taken.trim_matches(['"', '\''])),
            };
            let Some(next) = next else { return Vec::new() };
            (spot, value, rest) = (inner, next, after);
        }
        let mut parts = Vec::new();
        Self::new(&self.file, value.clone(), spot.clone()).unfold_into(&mut parts);
        parts
    }

    /// Puts the object, or the objects of the list it is, into `into`.
    pub(super) fn unfold_into(mut self, into: &mut Vec<Self>) {
        let kind = self.kind().to_owned();
        let Some(item_kind) = kind.strip_suffix("List").filter(|_| self.is_list()) else {
            into.push(self);
            return;
        };
        let api_version = self.api_version().to_owned();
        let items = self.value.get_mut("items").map(Value::take);
        let spots = match self.spot.inside {
            Inside::Map(entries) => entries.into_iter().find(|(key, ..)| key == "items").map(|(.., spot)| spot.inside),
            _ => None,
        };
        if let (Some(Value::Array(items)), Some(Inside::List(spots))) = (items, spots) {
            for (mut item, spot) in items.into_iter().zip(spots) {
                if let (Value::Object(object), false) = (&mut item, item_kind.is_empty()) {
                    inherit(object, &api_version, item_kind);
                }
                Self::new(&self.file, item, spot).unfold_into(into);
            }
        }
    }

    /// A list has items and no name; an object of others' making that is merely called a list has a
    /// name. kubectl unfolds the lists of Kubernetes whatever their metadata say.
    fn is_list(&self) -> bool {
        let named = || self.value.get("metadata").is_some_and(|metadata| metadata.get("name").is_some());
        self.value.get("items").is_some_and(Value::is_array)
            && (matches!(self.kind(), "List" | "NetworkPolicyList" | "NamespaceList") || !named())
    }
}

/// The API server leaves version and kind out of the items of a typed list.
fn inherit(object: &mut Map<String, Value>, api_version: &str, kind: &str) {
    if !object.contains_key("apiVersion") && !object.contains_key("kind") {
        object.insert("apiVersion".to_owned(), api_version.into());
        object.insert("kind".to_owned(), kind.into());
    }
}

/// One step along a path: what it leads to, where that stands, and the path from there on.
fn step<'a, 'p>(spot: &'a Spot, path: &'p str) -> Option<(&'a Spot, Place, &'p str)> {
    if let Some(bracket) = path.strip_prefix('[') {
        let (index, rest) = bracket.split_once(']')?;
        return match &spot.inside {
            Inside::List(items) => items.get(index.parse::<usize>().ok()?).map(|item| (item, item.at, rest)),
            Inside::Map(entries) => {
                let key = index.trim_matches(['"', '\'']);
                entries.iter().find(|entry| entry.0 == key).map(|(_, at, spot)| (spot, *at, rest))
            }
            Inside::Scalar => None,
        };
    }
    let path = path.strip_prefix('.').unwrap_or(path);
    let Inside::Map(entries) = &spot.inside else { return None };
    // Keys of labels have dots in them: the longest key that fits is meant.
    let fits = |key: &str| path.strip_prefix(key).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    entries
        .iter()
        .filter(|(key, ..)| !key.is_empty())
        .filter_map(|(key, at, spot)| fits(key).map(|rest| (spot, *at, rest)))
        .min_by_key(|(.., rest)| rest.len())
}
