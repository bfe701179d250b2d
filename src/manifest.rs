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

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
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

/// How many broken documents of one text are told. Beyond that it is no manifest, whatever its name.
const MAX_BROKEN: usize = 100;

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
    /// What breaks a text with `{{` in it, which is a template more often than a broken manifest.
    #[error("{0}; a template has to be rendered first, such as by `helm template`")]
    Template(Box<Error>),
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
    /// Over [`MAX_BROKEN`].
    #[error("has more than {MAX_BROKEN} broken documents; what comes after them is not read")]
    Hopeless,
    /// An alias inside the node it stands for.
    #[error("the alias stands inside the node it refers to")]
    RecursiveAlias,
    /// An alias bomb.
    #[error("anchors and aliases expand to more than {} MiB", build::MAX_COPIED >> 20)]
    AliasBomb,
    /// More anchors than anybody writes.
    #[error("has more than {} anchors; write out what they stand for, or split it", build::MAX_ANCHORS)]
    TooManyAnchors,
}

impl Error {
    /// The error of a text that may be a `template`.
    fn of(self, template: bool) -> Self {
        match self {
            Self::Syntax(_) | Self::OddKey if template => Self::Template(Box::new(self)),
            other => other,
        }
    }
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
    /// The texts by file, for messages that quote a line.
    pub texts: BTreeMap<Arc<str>, Arc<str>>,
}

impl Reading {
    /// Adds what else was read.
    pub fn append(&mut self, mut more: Self) {
        self.documents.append(&mut more.documents);
        self.problems.append(&mut more.problems);
        self.texts.append(&mut more.texts);
    }
}

/// Reads files, and folders with all their `*.yaml`, `*.yml` and `*.json` in lexical order. A file
/// that is named twice, alone and by its folder, is read once.
#[must_use]
pub fn read(paths: &[PathBuf]) -> Reading {
    let (mut reading, mut seen) = (Reading::default(), HashSet::new());
    for found in paths.iter().flat_map(|path| walk::files(path)) {
        match found {
            Ok(file) if !seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) => {}
            Ok(file) => reading.append(of_text(&file.display().to_string(), walk::text(&file))),
            Err(problem) => reading.problems.push(problem),
        }
    }
    reading
}

/// Reads what a stream holds; messages call it `name`.
#[must_use]
pub fn read_from(name: &str, stream: impl io::Read) -> Reading {
    of_text(name, walk::text_of(name, stream))
}

fn of_text(name: &str, text: Result<String, Problem>) -> Reading {
    match text {
        Ok(text) => parse(name, &text),
        Err(problem) => Reading { problems: vec![problem], ..Reading::default() },
    }
}

/// Reads one text: any number of YAML documents or JSON values.
#[must_use]
pub fn parse(file: &str, text: &str) -> Reading {
    let file: Arc<str> = file.into();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reading = Reading::default();
    let mut start = Place { line: 1, column: 1 };
    let template = LazyCell::new(|| text.contains("{{"));
    for part in json_values(text).unwrap_or_else(|| vec![text]) {
        for tree in build::trees(part, start) {
            match tree {
                Ok(node) if node.value == Value::Null => {}
                Ok(node) => Document::new(&file, node.value, node.spot).unfold_into(&mut reading.documents),
                Err((place, error)) => {
                    let error = error.of(*template);
                    reading.problems.push(Problem { file: Arc::clone(&file), place: Some(place), error });
                }
            }
        }
        start = start.after(part);
        if reading.problems.len() > MAX_BROKEN {
            reading.problems.truncate(MAX_BROKEN);
            let (file, place) = (Arc::clone(&file), Some(start));
            reading.problems.push(Problem { file, place, error: Error::Hopeless });
            break;
        }
    }
    reading.texts.insert(file, text.into());
    reading
}

/// JSON values one after the other (`jq -c`, `kubectl get -o json` twice) are no YAML: cut them
/// apart. `None` for everything that is not several JSON objects.
fn json_values(text: &str) -> Option<Vec<&str>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let (mut parts, mut from) = (Vec::new(), 0);
    while let Some(value) = values.next() {
        value.ok()?;
        let to = values.byte_offset();
        parts.push(text.get(from..to)?);
        from = to;
    }
    (parts.len() > 1).then_some(parts)
}

impl Place {
    /// Where one stands who begins here and has read `text`.
    fn after(self, text: &str) -> Self {
        match text.rsplit_once('\n') {
            Some((before, last)) => Self {
                line: self.line + 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
                column: 1 + last.chars().count(),
            },
            None => Self { column: self.column + text.chars().count(), ..self },
        }
    }
}
