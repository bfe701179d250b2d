//! Manifests: YAML and JSON texts as objects that know where each of their fields stands.
//!
//! ```text
//! files ── walk ──> text ── build ──> one tree a YAML document ── lists unfolded ──> Document { file, line, value, place(field) }
//!                                └──> Problem { file, place, what }, and on with the next document
//! ```
//!
//! The reading is kubectl's, not YAML 1.2's: `0644` is 420 and a bare `yes` is true, because that
//! is the object the cluster gets. Where kubectl would silently keep the last of two equal keys,
//! this is an error.
//!
//! Hostile input costs an error, never the process: depth, size and what aliases expand to are
//! bounded, and no step recurses deeper than the depth bound.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

mod build;
mod document;
mod scalar;
#[cfg(test)]
mod tests;
mod walk;

pub use document::Document;

/// Largest text that is read. A dump of ten thousand policies is about 30 MB; a text takes about
/// ten times its size while it is being read.
pub const MAX_BYTES: u64 = 64 << 20;

/// Where something stands in a text. Both count from one, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// What is wrong with a file or a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file or folder could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A folder without a single manifest is a mistyped path more often than an empty cluster.
    #[error("holds no *.yaml, *.yml or *.json file; name the folder of the manifests")]
    NoManifests,
    /// Over [`MAX_BYTES`].
    #[error("is larger than {} MiB; split it", MAX_BYTES >> 20)]
    TooLarge,
    /// Bytes that are no UTF-8.
    #[error("is not UTF-8 text from here on; save it as UTF-8")]
    NotUtf8,
    /// The text breaks the grammar.
    #[error("not valid YAML or JSON: {0}")]
    Syntax(String),
    /// More levels than any Kubernetes object has.
    #[error("nested deeper than {} levels", build::MAX_DEPTH)]
    TooDeep,
    /// The same key twice in one mapping: kubectl would drop the first without a word.
    #[error("the key `{0}` is given twice in this mapping; keep one")]
    DuplicateKey(String),
    /// A key that JSON cannot express.
    #[error("a mapping key must be text, a number or a boolean")]
    OddKey,
    /// `<<` with something else than mappings.
    #[error("`<<` takes a mapping or a list of mappings")]
    OddMerge,
    /// A scalar that its tag or JSON does not admit.
    #[error("`{text}` is no {wanted}")]
    OddScalar {
        /// As written.
        text: String,
        /// What it should have been.
        wanted: &'static str,
    },
    /// An alias inside the node it stands for.
    #[error("the alias stands inside the node it refers to")]
    RecursiveAlias,
    /// An alias bomb.
    #[error("anchors and aliases expand to more than {} MiB", build::MAX_COPIED >> 20)]
    AliasBomb,
}

/// Something that could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Where in it; `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub error: Error,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{}:{}:{}: {}", self.file, place.line, place.column, self.error),
            None => write!(f, "{}: {}", self.file, self.error),
        }
    }
}

/// What a set of texts holds: the objects, and what could not be read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The objects in the order they stand in, lists unfolded, empty documents left out.
    pub documents: Vec<Document>,
    /// Every document and file that could not be read.
    pub problems: Vec<Problem>,
}

/// Reads files, and folders with all their `*.yaml`, `*.yml` and `*.json` in lexical order.
#[must_use]
pub fn read(paths: &[PathBuf]) -> Reading {
    let mut reading = Reading::default();
    for path in paths {
        for found in walk::files(path) {
            match found.and_then(|file| Ok((walk::text(&file)?, file))) {
                Ok((text, file)) => {
                    let mut more = parse(&file.display().to_string(), &text);
                    reading.documents.append(&mut more.documents);
                    reading.problems.append(&mut more.problems);
                }
                Err(problem) => reading.problems.push(problem),
            }
        }
    }
    reading
}

/// Reads one text: any number of YAML documents or JSON values.
#[must_use]
pub fn parse(file: &str, text: &str) -> Reading {
    let file: Arc<str> = file.into();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reading = Reading::default();
    for (offset, part) in json_values(text).unwrap_or_else(|| vec![(0, text)]) {
        for tree in build::trees(part, place_of(text, offset)) {
            match tree {
                Ok(node) if node.value == Value::Null => {}
                Ok(node) => Document::new(&file, node.value, node.spot).unfold_into(&mut reading.documents),
                Err((place, error)) => {
                    reading.problems.push(Problem { file: Arc::clone(&file), place: Some(place), error });
                }
            }
        }
    }
    reading
}

/// JSON values one after the other (`jq -c`, `kubectl get -o json` twice) are no YAML: cut them
/// apart, each with its offset. `None` for everything that is not several JSON objects.
fn json_values(text: &str) -> Option<Vec<(usize, &str)>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let (mut parts, mut from) = (Vec::new(), 0);
    while let Some(value) = values.next() {
        value.ok()?;
        let to = values.byte_offset();
        parts.push((from, text.get(from..to)?));
        from = to;
    }
    (parts.len() > 1).then_some(parts)
}

/// Where the byte at `offset` stands.
fn place_of(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place {
        line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
        column: 1 + before.get(line_start..).map_or(0, |line| line.chars().count()),
    }
}
