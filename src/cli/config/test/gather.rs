//! From files of cases to requests that can be judged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::super::rule_set;
use super::object::{Object, object};
use crate::admission::review;
use crate::config::cases::{self, Case, Given, KIND, Manifests, Suite};
use crate::config::problem::{Problem, Severity};
use crate::engine::Bound;
use crate::inventory::Inventory;
use crate::inventory::from_files::{Builder, DEFAULT_NAMESPACE, Loaded, lay};
use crate::manifest::{self, Document, Reading};
use crate::rules::RULES;

/// A case with everything it needs.
pub(super) struct Ready {
    /// The file it is in.
    pub(super) file: Arc<str>,
    /// The line of that file.
    pub(super) line: usize,
    /// As written.
    pub(super) case: Case,
    /// The AdmissionReview that the API server would send.
    pub(super) body: Vec<u8>,
    /// The rule set.
    pub(super) bound: Arc<Bound>,
    /// The cluster, and nothing else exists.
    pub(super) inventory: Inventory,
}

/// What the files amount to.
pub(super) struct Gathered<'a> {
    config: Option<&'a Path>,
    /// The rule set of those that name none, once one has asked for it.
    default: Option<Arc<Bound>>,
    pub(super) cases: Vec<Ready>,
    /// Everything wrong, each as lines of text.
    pub(super) problems: Vec<String>,
    /// What is odd about the rule sets.
    pub(super) notes: Vec<String>,
}

/// What the cases of a document have in common.
struct Common<'d> {
    document: &'d Document,
    folder: PathBuf,
    bound: Arc<Bound>,
    given: Builder<'d>,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(config: Option<&'a Path>) -> Self {
        Self { config, default: None, cases: Vec::new(), problems: Vec::new(), notes: Vec::new() }
    }

    /// Reads one file.
    pub(super) fn add(&mut self, path: &Path) {
        let reading = rule_set::read(path);
        self.problems.extend(reading.problems.iter().map(|problem| {
            let manifest::Problem { file, place, error } = problem;
            shown(&error_at(file, *place, error.to_string()), &reading)
        }));
        if reading.documents.is_empty() && reading.problems.is_empty() {
            let message = format!("holds no cases: no document of kind {KIND}");
            self.problems.push(shown(&error_at(&path.display().to_string().into(), None, message), &reading));
        }
        let names: Vec<&str> = RULES.iter().map(|rule| rule.meta().name).collect();
        for document in &reading.documents {
            let mut problems = Vec::new();
            let suite = cases::read(document, &names, &mut problems);
            self.suite(document, suite, &mut problems);
            problems.sort_by_key(|problem| problem.place);
            self.problems.extend(problems.iter().map(|problem| shown(problem, &reading)));
        }
    }

    fn suite(&mut self, document: &Document, suite: Suite, problems: &mut Vec<Problem>) {
        // Paths are those of whoever wrote the file, wherever the command is run.
        let folder = Path::new(&*document.file).parent().unwrap_or(Path::new("")).to_owned();
        let bound = self.rule_set(&folder, suite.rule_set.as_deref()).unwrap_or_else(|message| {
            problems.push(wrong(document, "spec.ruleSet", message));
            None
        });
        let reading = manifests(document, &folder, &suite.given, problems);
        let mut given = Builder::new(DEFAULT_NAMESPACE);
        given.add(&reading);
        let Loaded { problems: faults, .. } = given.clone().finish();
        let broken = !problems.is_empty() || !faults.is_empty();
        self.problems.extend(faults.into_iter().map(|fault| fault + "\n"));
        let Some(bound) = bound.filter(|_| !broken) else { return };
        let common = Common { document, folder, bound, given };
        for case in suite.cases {
            match common.ready(case, problems) {
                Ok(ready) => self.cases.extend(ready),
                Err(faults) => self.problems.extend(faults.into_iter().map(|fault| fault + "\n")),
            }
        }
    }

    /// `None` where it is broken and that has been told.
    fn rule_set(&mut self, folder: &Path, named: Option<&str>) -> Result<Option<Arc<Bound>>, String> {
        if named.is_none()
            && let Some(default) = &self.default
        {
            return Ok(Some(Arc::clone(default)));
        }
        let path = named.map(|named| folder.join(named));
        match (rule_set::load(path.as_deref().or(self.config)), named) {
            (Ok(loaded), _) => {
                let bound = Arc::new(loaded.bound);
                let new =
                    loaded.warnings.into_iter().filter(|warning| !self.notes.contains(warning)).collect::<Vec<_>>();
                self.notes.extend(new);
                if named.is_none() {
                    self.default = Some(Arc::clone(&bound));
                }
                Ok(Some(bound))
            }
            (Err(message), Some(_)) => Err(message),
            (Err(message), None) => {
                let message = format!("error: {message}\n");
                if !self.problems.contains(&message) {
                    self.problems.push(message);
                }
                Ok(None)
            }
        }
    }
}

impl Common<'_> {
    /// `None` where something of its own is wrong, which is added to `problems`. The error has what is wrong with
    /// the manifests around it.
    fn ready(&self, case: Case, problems: &mut Vec<Problem>) -> Result<Option<Ready>, Vec<String>> {
        let before = problems.len();
        let reading = manifests(self.document, &self.folder, &case.given, problems);
        let mut given = self.given.clone();
        given.add(&reading);
        let Loaded { inventory, problems: faults } = given.finish();
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut inventory = inventory.taken_for_whole();
        let [old, new] = [&case.old_object, &case.object]
            .map(|manifests| manifests.as_ref().and_then(|manifests| self.object(manifests, problems)));
        if let (Some(old), Some(new), Some(given)) = (&old, &new, &case.old_object)
            && (old.kind, &old.namespace, &old.name) != (new.kind, &new.namespace, &new.name)
        {
            let [old, new] =
                [old, new].map(|it| format!("{} {}/{}", it.kind, it.namespace, it.name).replace(" /", " "));
            problems.push(wrong(
                self.document,
                &given.field,
                format!("an UPDATE is of one object, not of {old} to {new}"),
            ));
        }
        if problems.len() > before {
            return Ok(None);
        }
        // The cluster has what the request changes.
        if let Some(subject) = old.as_ref().and_then(|old| old.subject.as_ref()) {
            lay(&mut inventory, subject);
        }
        let body = body(&case, old.as_ref(), new.as_ref()).to_string().into_bytes();
        let (file, line) = (Arc::clone(&self.document.file), self.document.place(&case.field).line);
        Ok(Some(Ready { file, line, case, body, bound: Arc::clone(&self.bound), inventory }))
    }

    /// The one object of a request.
    fn object(&self, manifests: &Manifests, problems: &mut Vec<Problem>) -> Option<Object> {
        let before = problems.len();
        let reading = one(self.document, &self.folder, manifests, problems);
        match &reading.documents[..] {
            [document] => object(document)
                .map_err(|faults| problems.extend(faults.into_iter().map(|(at, what)| wrong(document, &at, what))))
                .ok(),
            _ if problems.len() > before => None,
            several => {
                let message = format!("a request is about one object, not about {}", several.len());
                problems.push(wrong(self.document, &manifests.field, message));
                None
            }
        }
    }
}

/// The request as the API server sends it. Source: API reference, admission.k8s.io/v1 AdmissionRequest.
fn body(case: &Case, old: Option<&Object>, new: Option<&Object>) -> Value {
    let named = new.or(old);
    let kind = named.map(|object| object.kind).unwrap_or_default();
    let group = if kind == "NetworkPolicy" { "networking.k8s.io" } else { "" };
    json!({
        "apiVersion": review::API_VERSION,
        "kind": "AdmissionReview",
        "request": {
            "uid": case.field,
            "kind": {"group": group, "version": "v1", "kind": kind},
            "name": named.map(|object| &object.name),
            "namespace": named.map(|object| &object.namespace),
            "operation": case.operation.as_str(),
            "userInfo": {"username": case.requester.username, "groups": case.requester.groups},
            "object": new.map(|object| &object.value),
            "oldObject": old.map(|object| &object.value),
        },
    })
}

fn manifests(document: &Document, folder: &Path, given: &[Manifests], problems: &mut Vec<Problem>) -> Reading {
    let mut reading = Reading::default();
    given.iter().for_each(|manifests| reading.append(one(document, folder, manifests, problems)));
    reading
}

/// What is given in one place. What cannot be read is added to `problems`; a file that cannot, where it is named.
fn one(document: &Document, folder: &Path, manifests: &Manifests, problems: &mut Vec<Problem>) -> Reading {
    match &manifests.given {
        Given::Here(documents) => Reading { documents: documents.clone(), ..Reading::default() },
        Given::File(path) => {
            let mut reading = manifest::read(&[folder.join(path)]);
            problems.extend(reading.problems.drain(..).map(|problem| match problem.place {
                Some(_) => error_at(&problem.file, problem.place, problem.error.to_string()),
                None => wrong(document, &manifests.field, format!("{} {}", problem.file, problem.error)),
            }));
            reading
        }
    }
}

fn error_at(file: &Arc<str>, place: Option<manifest::Place>, message: String) -> Problem {
    Problem { file: Arc::clone(file), place, severity: Severity::Error, message }
}

fn wrong(document: &Document, field: &str, message: String) -> Problem {
    error_at(&document.file, Some(document.place(field)), message)
}

fn shown(problem: &Problem, reading: &Reading) -> String {
    format!("{problem}\n{}", problem.excerpt(&reading.texts))
}
