//! From files to one rule set that remembers where each of its parts stands.

use std::sync::Arc;

use jiff::civil::Date;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::lint;
use super::problem::{Problem, Severity};
use super::reader::Reader;
use super::schema::{self, SCALARS, Written};
pub use super::schema::{API_VERSION, KIND};
use super::valid::RuleSet;
use crate::manifest::{Document, Place, Reading};

/// A rule set with what is wrong with it.
#[derive(Debug)]
pub struct Loaded {
    /// As far as it could be read; for use only while nothing is an error.
    pub rule_set: RuleSet,
    /// Everything wrong, in the order of the files.
    pub problems: Vec<Problem>,
    origins: Origins,
}

/// Which document and which of its items an item of a merged list came from.
#[derive(Debug, Default)]
pub(super) struct Origins {
    documents: Vec<Document>,
    rules: Vec<(usize, usize)>,
    exemptions: Vec<(usize, usize)>,
}

impl Origins {
    /// Where a field of the merged rule set stands: `rules[3].params.groups`, `cidrGroups.office`.
    fn locate(&self, field: &str) -> Option<(Arc<str>, Place)> {
        let (document, path) = self.local(field)?;
        Some((Arc::clone(&document.file), document.place(&path)))
    }

    /// The document a field is in, and its path in there.
    pub(super) fn local(&self, field: &str) -> Option<(&Document, String)> {
        if field.is_empty() {
            return Some((self.documents.first()?, "spec".to_owned()));
        }
        for (list, origins) in [("rules", &self.rules), ("exemptions", &self.exemptions)] {
            let Some(rest) = field.strip_prefix(list).and_then(|rest| rest.strip_prefix('[')) else { continue };
            let (index, rest) = rest.split_once(']')?;
            let (document, index) = origins.get(index.parse::<usize>().ok()?)?;
            return Some((self.documents.get(*document)?, format!("spec.{list}[{index}]{rest}")));
        }
        let path = format!("spec.{field}");
        let holds = |document: &&Document| has(&document.value, field);
        Some((self.documents.iter().find(holds)?, path))
    }
}

/// Whether a document's spec says something of a scalar or a group.
fn has(document: &Value, field: &str) -> bool {
    let spec = document.get("spec");
    match field.strip_prefix("cidrGroups.") {
        Some(group) => spec.and_then(|spec| spec.get("cidrGroups")?.get(group)).is_some(),
        None => spec.is_some_and(|spec| spec.get(field).is_some()),
    }
}

impl Loaded {
    /// Whether it may not be used.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Where a field of the rule set stands, such as `rules[3].params.groups`; `None` for what no file says.
    #[must_use]
    pub fn locate(&self, field: &str) -> Option<(Arc<str>, Place)> {
        self.origins.locate(field)
    }

    /// Adds what turned out later to be wrong with a field. Where something is wrong already, that is
    /// the reason, and it takes the place of warnings.
    pub fn refuse(&mut self, field: &str, message: String) {
        let (file, place) = match self.locate(field) {
            Some((file, place)) => (file, Some(place)),
            None => (Arc::from("builtin"), None),
        };
        let here = |problem: &Problem| problem.file == file && problem.place == place;
        let known = |problem: &Problem| here(problem) && problem.severity == Severity::Error;
        if !self.problems.iter().any(known) {
            self.problems.retain(|problem| !here(problem));
            self.problems.push(Problem { file, place, severity: Severity::Error, message });
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.problems.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
    }
}

/// Tells one state of the files from another, before anything in them is understood.
#[must_use]
pub fn fingerprint(reading: &Reading) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for (file, text) in &reading.texts {
        part(file);
        part(text);
    }
    reading.problems.iter().for_each(|problem| part(&problem.to_string()));
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Makes one rule set of everything that was read. What it leaves out is as in `builtin`; `today` decides
/// which exemptions have expired. `file` is what problems of the whole are said of.
#[must_use]
pub fn load(file: &str, reading: Reading, builtin: &RuleSet, today: Date) -> Loaded {
    let error =
        |file: &Arc<str>, place, message| Problem { file: Arc::clone(file), place, severity: Severity::Error, message };
    let mut problems: Vec<Problem> =
        reading.problems.iter().map(|problem| error(&problem.file, problem.place, problem.error.to_string())).collect();
    if problems.is_empty() && reading.documents.is_empty() {
        problems.push(error(&file.into(), None, format!("holds no rule set: no document of kind {KIND}")));
    }
    let written: Vec<Written> = reading
        .documents
        .iter()
        .map(|document| schema::read(&mut Reader::new(document, &mut problems), &document.value))
        .collect();
    let mut origins = Origins { documents: reading.documents, ..Origins::default() };
    given_twice(&origins.documents, &mut problems);
    let rule_set = merge(written, builtin, &mut origins);
    if problems.iter().all(|problem| problem.severity != Severity::Error) {
        lint::lint(&rule_set, &origins, today, &mut problems);
    }
    let mut loaded = Loaded { rule_set, problems, origins };
    loaded.sort();
    loaded
}

/// Lists add up; of two scalars or groups of one name, nobody could say which is meant.
fn given_twice(documents: &[Document], problems: &mut Vec<Problem>) {
    let groups = documents.iter().filter_map(|document| document.value.get("spec")?.get("cidrGroups")?.as_object());
    let mut groups: Vec<String> = groups.flat_map(|map| map.keys().map(|name| format!("cidrGroups.{name}"))).collect();
    groups.sort_unstable();
    groups.dedup();
    for field in SCALARS.iter().map(|name| (*name).to_owned()).chain(groups) {
        let mut given = documents.iter().filter(|document| has(&document.value, &field));
        let Some(first) = given.next() else { continue };
        let place = first.place(&format!("spec.{field}"));
        for again in given {
            problems.push(Problem {
                file: Arc::clone(&again.file),
                place: Some(again.place(&format!("spec.{field}"))),
                severity: Severity::Error,
                message: format!(
                    "`{field}` is given twice, first at {}:{}:{}; keep one",
                    first.file, place.line, place.column
                ),
            });
        }
    }
}

/// One rule set of all documents. The entries of the built-in one go first where they are asked for.
fn merge(written: Vec<Written>, builtin: &RuleSet, origins: &mut Origins) -> RuleSet {
    let mut rule_set = RuleSet { rules: Vec::new(), exemptions: Vec::new(), ..builtin.clone() };
    let unnamed = || origins.documents.first().map(|document| stem(&document.file)).unwrap_or_default();
    rule_set.name = written.iter().find_map(|document| document.name.clone()).unwrap_or_else(unnamed);
    if written.iter().any(|document| document.extends) {
        rule_set.rules.clone_from(&builtin.rules);
        rule_set.rules.iter_mut().for_each(|entry| entry.place.insert_str(0, "builtin "));
    }
    for (i, document) in written.into_iter().enumerate() {
        rule_set.on_cannot_judge = document.on_cannot_judge.unwrap_or(rule_set.on_cannot_judge);
        rule_set.max_level = document.max_level.unwrap_or(rule_set.max_level);
        rule_set.max_inventory_age_seconds =
            document.max_inventory_age_seconds.unwrap_or(rule_set.max_inventory_age_seconds);
        rule_set.ratchet = document.ratchet.unwrap_or(rule_set.ratchet);
        rule_set.explain_changes = document.explain_changes.unwrap_or(rule_set.explain_changes);
        rule_set.contact = document.contact.or(rule_set.contact);
        rule_set.docs_url = document.docs_url.or(rule_set.docs_url);
        rule_set.cidr_groups.extend(document.cidr_groups);
        for (j, mut entry) in document.rules.into_iter().enumerate() {
            entry.place = format!("rules[{}]", origins.rules.len());
            origins.rules.push((i, j));
            rule_set.rules.push(entry);
        }
        for (j, exemption) in document.exemptions.into_iter().enumerate() {
            origins.exemptions.push((i, j));
            rule_set.exemptions.push(exemption);
        }
    }
    rule_set
}

/// What a file is called, without folder and extension.
fn stem(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split_once('.').map_or(name, |(stem, _)| stem).to_owned()
}
