//! Labels and annotations that objects have to have, as parameters name them.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::labelling::check_key;
use super::pattern::Pattern;
use super::{Draft, ParamError};
use crate::netpol::selector::is_label_value;
use crate::object::Metadata;

/// What is required, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object such as {key: team, values: [a, b]}")]
pub(super) struct Item {
    key: String,
    #[serde(default)]
    values: Option<Vec<String>>,
    #[serde(default)]
    pattern: Option<String>,
}

/// Reads both lists.
pub(super) fn required(labels: &[Item], annotations: &[Item]) -> Result<Vec<Required>, ParamError> {
    let mut required = Kind::Label.required(labels)?;
    required.extend(Kind::Annotation.required(annotations)?);
    Ok(required)
}

/// What a request does to what is required. Nothing is asked of an object on its way out.
pub(super) fn drafts(required: &[Required], old: Option<&Metadata>, new: &Metadata) -> Vec<Draft> {
    if new.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let draft = |required: &Required| required.draft(old.map(|old| required.state(old)), required.state(new));
    required.iter().filter_map(draft).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Label,
    Annotation,
}

impl Kind {
    /// Its list in the parameters and in the metadata.
    const fn list(self) -> &'static str {
        match self {
            Self::Label => "labels",
            Self::Annotation => "annotations",
        }
    }

    const fn called(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Annotation => "annotation",
        }
    }

    fn required(self, items: &[Item]) -> Result<Vec<Required>, ParamError> {
        let mut keys = BTreeSet::new();
        let required = |(i, item): (usize, &Item)| {
            let at = |field: &str| format!("{}[{i}].{field}", self.list());
            check_key(&at("key"), &item.key)?;
            if !keys.insert(item.key.clone()) {
                return Err(ParamError::at(&at("key"), format!("`{}` is required twice; keep one", item.key)));
            }
            if item.values.as_ref().is_some_and(Vec::is_empty) {
                return Err(ParamError::at(&at("values"), "admits nothing; leave it out to admit every value"));
            }
            let odd = |value: &&String| self == Self::Label && !is_label_value(value);
            if let Some(odd) = item.values.iter().flatten().find(odd) {
                return Err(ParamError::at(&at("values"), format!("`{odd}` is not a value that a label can have")));
            }
            let pattern = item.pattern.as_deref().map(|pattern| Pattern::parse(&at("pattern"), pattern)).transpose()?;
            Ok(Required { kind: self, key: item.key.clone(), values: item.values.clone().unwrap_or_default(), pattern })
        };
        items.iter().enumerate().map(required).collect()
    }
}

/// One label or annotation that is required.
pub(super) struct Required {
    kind: Kind,
    key: String,
    /// Empty where every value will do.
    values: Vec<String>,
    pattern: Option<Pattern>,
}

/// How an object stands to what is required.
#[derive(Clone, Copy, PartialEq)]
enum State<'a> {
    Fine,
    Missing,
    Wrong(&'a str),
}

impl Required {
    fn state<'a>(&self, metadata: &'a Metadata) -> State<'a> {
        let there = match self.kind {
            Kind::Label => &metadata.labels,
            Kind::Annotation => &metadata.annotations,
        };
        match there.get(&self.key) {
            None => State::Missing,
            Some(value) if self.admits(value) => State::Fine,
            Some(value) => State::Wrong(value),
        }
    }

    fn admits(&self, value: &str) -> bool {
        (self.values.is_empty() || self.values.iter().any(|allowed| allowed == value))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(value))
    }

    /// The finding, where the request is to blame: for what it takes away and for a value that it sets
    /// itself, but not for what it leaves as it was.
    fn draft(&self, before: Option<State<'_>>, after: State<'_>) -> Option<Draft> {
        let Self { kind, key, .. } = self;
        let what = kind.called();
        let (message, brief) = match (before, after) {
            (_, State::Fine) => return None,
            (Some(before), State::Wrong(_)) if before == after => return None,
            (Some(State::Missing | State::Wrong(_)), State::Missing) => return None,
            (None, State::Missing) => (format!("the {what} {key} is missing"), "is missing".to_owned()),
            (Some(State::Fine), State::Missing) => {
                (format!("takes away the {what} {key}, which is required"), "is required".to_owned())
            }
            (_, State::Wrong(value)) => {
                let shown = shortened(value);
                (format!("the {what} {key} is {shown:?}, which is not allowed"), format!("{shown:?} is not allowed"))
            }
        };
        Some(Draft {
            field: format!("metadata.{}[{key}]", kind.list()),
            message,
            brief,
            help: self.help(),
            ..Draft::default()
        })
    }

    fn help(&self) -> String {
        let list = super::some_of(self.values.iter(), super::SHOWN);
        match (&self.pattern, self.values.is_empty()) {
            (None, true) => format!("set the {} {}", self.kind.called(), self.key),
            (None, false) => format!("set it to one of: {list}"),
            (Some(pattern), true) => format!("set it to a value that matches `{}`", pattern.as_str()),
            (Some(pattern), false) => {
                format!("set it to one of: {list}; it has to match `{}` as well", pattern.as_str())
            }
        }
    }
}

/// A value as far as a message has room for it.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 63;
    if value.chars().count() <= SHOWN {
        return value.to_owned();
    }
    format!("{}…", value.chars().take(SHOWN).collect::<String>())
}
