//! Trees from parser events, without recursion.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag, options};
use serde_json::{Map, Value};

use super::document::{Inside, Spot};
use super::{Error, MAX_BROKEN, Place, scalar};

/// Levels of nesting, those that aliases bring included. The parser's own bound for either style.
pub(super) const MAX_DEPTH: usize = 255;

/// What anchors and aliases of one document may copy.
pub(super) const MAX_COPIED: usize = 64 << 20;

/// Anchors of one document. Manifests have a handful; each one keeps a copy of its node.
pub(super) const MAX_ANCHORS: usize = 10_000;

/// What a node weighs beside its text: about what it takes in memory.
const NODE_SIZE: usize = 64;

/// A finished node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) spot: Spot,
    /// Levels below and including it.
    depth: usize,
    /// What a copy of it takes.
    size: usize,
}

type Failure = (Place, Error);

/// Every document of `text`, which begins at `start` of its file: its root, or what is wrong with it.
pub(super) fn trees(text: &str, start: Place) -> Vec<Result<Node, Failure>> {
    let limits = options! { emit_comments: false, flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut parser = Parser::new_from_str_with_options(text, limits);
    let mut builder = Builder { start, ..Builder::default() };
    let (mut found, mut broken) = (Vec::new(), 0);
    while let Some(next) = parser.next_event() {
        let failure = match next {
            Ok((event, span)) => match builder.take(event, &span.start) {
                Ok(Some(root)) => {
                    found.push(Ok(root));
                    continue;
                }
                Ok(None) => continue,
                Err(failure) => failure,
            },
            Err(error) => (builder.place(error.marker()), syntax(&error)),
        };
        broken += 1;
        let hopeless = broken > MAX_BROKEN;
        found.push(Err(if hopeless { (failure.0, Error::Hopeless) } else { failure }));
        if hopeless {
            break;
        }
        builder = Builder { start, ..Builder::default() };
        match parser.proceed_next_document() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                found.push(Err((builder.place(error.marker()), syntax(&error))));
                break;
            }
        }
    }
    found
}

fn syntax(error: &granit_parser::ScanError) -> Error {
    match error.kind() {
        granit_parser::ErrorKind::RecursionLimitExceeded => Error::TooDeep,
        _ => Error::Syntax(error.info()),
    }
}

/// A collection that is being read.
struct Frame {
    at: Place,
    anchor: usize,
    partial: Partial,
    depth: usize,
    size: usize,
}

enum Partial {
    List { values: Vec<Value>, spots: Vec<Spot> },
    Map(Mapping),
}

#[derive(Default)]
struct Mapping {
    values: Map<String, Value>,
    spots: Vec<(String, Place, Spot)>,
    /// Keys that only a merge has brought so far: they may still be written out.
    merged: BTreeSet<String>,
    /// Some key has more than one entry in `spots`; the last one counts.
    overridden: bool,
    key: Option<Key>,
}

enum Key {
    Name(String, Place),
    Merge,
}

struct Builder {
    start: Place,
    open: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    copied: usize,
}

impl Default for Builder {
    fn default() -> Self {
        let start = Place { line: 1, column: 1 };
        Self { start, open: Vec::new(), anchors: HashMap::new(), copied: 0 }
    }
}

impl Builder {
    fn place(&self, mark: &Marker) -> Place {
        let line = mark.line().max(1);
        let indent = if line == 1 { self.start.column } else { 1 };
        Place { line: self.start.line + line - 1, column: indent + mark.col() }
    }

    /// Takes one event; gives the root when it is whole.
    fn take(&mut self, event: Event<'_>, mark: &Marker) -> Result<Option<Node>, Failure> {
        let at = self.place(mark);
        let fail = |error| (at, error);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                if plain && tag.is_none() && text == "<<" && self.expects_key() {
                    return self.set_key(Key::Merge).map(|()| None).map_err(fail);
                }
                let node = scalar_node(&text, plain, tag.as_ref(), at).map_err(fail)?;
                self.finish(node, anchor).map_err(fail)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).ok_or_else(|| fail(Error::RecursiveAlias))?;
                let mut node = node.clone();
                node.spot.at = at;
                self.copied += node.size;
                if self.copied > MAX_COPIED {
                    return Err(fail(Error::AliasBomb));
                }
                self.finish(node, 0).map_err(fail)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(at, anchor, Partial::List { values: Vec::new(), spots: Vec::new() }).map_err(fail)
            }
            Event::MappingStart(_, anchor, _) => self.begin(at, anchor, Partial::Map(Mapping::default())).map_err(fail),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(frame) => {
                    let (begin, anchor) = (frame.at, frame.anchor);
                    self.finish(frame.close(), anchor).map_err(|error| (begin, error))
                }
                None => Ok(None),
            },
            Event::DocumentStart(..) | Event::DocumentEnd => {
                self.anchors.clear();
                self.copied = 0;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn begin(&mut self, at: Place, anchor: usize, partial: Partial) -> Result<Option<Node>, Error> {
        if self.expects_key() {
            return Err(Error::OddKey);
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.open.push(Frame { at, anchor, partial, depth: 1, size: NODE_SIZE });
        Ok(None)
    }

    fn expects_key(&self) -> bool {
        self.open.last().is_some_and(|frame| matches!(&frame.partial, Partial::Map(mapping) if mapping.key.is_none()))
    }

    fn set_key(&mut self, new: Key) -> Result<(), Error> {
        if let Some(Frame { partial: Partial::Map(mapping), .. }) = self.open.last_mut() {
            if let Key::Name(name, _) = &new
                && mapping.values.contains_key(name)
                && !mapping.merged.contains(name)
            {
                return Err(Error::DuplicateKey(name.clone()));
            }
            mapping.key = Some(new);
        }
        Ok(())
    }

    /// A whole node goes where it belongs: to its anchor, and into the collection that is open.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<Option<Node>, Error> {
        // Aliases bring levels of their own; clones and drops recurse through all of them.
        if self.open.len() + node.depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        if anchor != 0 {
            self.copied += node.size;
            if self.copied > MAX_COPIED {
                return Err(Error::AliasBomb);
            }
            if self.anchors.len() >= MAX_ANCHORS {
                return Err(Error::TooManyAnchors);
            }
            self.anchors.insert(anchor, node.clone());
        }
        if self.expects_key() {
            let at = node.spot.at;
            return self.set_key(Key::Name(scalar::key(node.value)?, at)).map(|()| None);
        }
        let Some(frame) = self.open.last_mut() else { return Ok(Some(node)) };
        frame.add(node).map(|()| None)
    }
}

impl Frame {
    fn add(&mut self, node: Node) -> Result<(), Error> {
        self.depth = self.depth.max(node.depth + 1);
        self.size += node.size;
        match &mut self.partial {
            Partial::List { values, spots } => {
                values.push(node.value);
                spots.push(node.spot);
            }
            Partial::Map(mapping) => match mapping.key.take() {
                Some(Key::Name(name, at)) => {
                    self.size += name.len();
                    mapping.merged.remove(&name);
                    mapping.set(name, at, node.value, node.spot);
                }
                Some(Key::Merge) => mapping.merge(node.value, node.spot)?,
                None => return Err(Error::OddKey),
            },
        }
        Ok(())
    }

    fn close(self) -> Node {
        let (value, inside) = match self.partial {
            Partial::List { values, spots } => (Value::Array(values), Inside::List(spots)),
            Partial::Map(mapping) => mapping.close(),
        };
        Node { value, spot: Spot { at: self.at, inside }, depth: self.depth, size: self.size }
    }
}

impl Mapping {
    fn set(&mut self, name: String, at: Place, value: Value, spot: Spot) {
        self.overridden |= self.values.insert(name.clone(), value).is_some();
        self.spots.push((name, at, spot));
    }

    fn close(mut self) -> (Value, Inside) {
        if self.overridden {
            let mut seen = BTreeSet::new();
            self.spots.reverse();
            self.spots.retain(|(name, ..)| seen.insert(name.clone()));
            self.spots.reverse();
        }
        (Value::Object(self.values), Inside::Map(self.spots))
    }

    /// `<<`, as kubectl has it: it counts where it stands, so that it overrides what is written
    /// before it and is overridden by what comes after. Of a list, the first has its way.
    fn merge(&mut self, value: Value, spot: Spot) -> Result<(), Error> {
        match (value, spot.inside) {
            (Value::Object(mut values), Inside::Map(entries)) => {
                for (name, at, spot) in entries {
                    if let Some(value) = values.remove(&name) {
                        if !self.values.contains_key(&name) {
                            self.merged.insert(name.clone());
                        }
                        self.set(name, at, value, spot);
                    }
                }
                Ok(())
            }
            (Value::Array(values), Inside::List(spots)) if values.iter().all(Value::is_object) => {
                values.into_iter().zip(spots).rev().try_for_each(|(value, spot)| self.merge(value, spot))
            }
            _ => Err(Error::OddMerge),
        }
    }
}

fn scalar_node(text: &str, plain: bool, tag: Option<&Cow<'_, Tag>>, at: Place) -> Result<Node, Error> {
    let value = scalar::value(text, plain, tag.map(AsRef::as_ref))?;
    Ok(Node { value, spot: Spot { at, inside: Inside::Scalar }, depth: 1, size: NODE_SIZE + text.len() })
}
