//! A bundle of manifests through the engine.
//!
//! Each object is judged as a request to create it, with all the others around it, in whatever order
//! they stand.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::engine::{Bound, Origin, bind, evaluate};
use crate::finding::{Evidence, Finding, Level, ObjectRef, Report, Unjudged};
use crate::inventory::Inventory;
use crate::inventory::from_files::cidrs::odd_cidrs;
use crate::inventory::from_files::object::{Fault, Named, Read, read};
use crate::inventory::from_files::{lay, lay_pod, workload};
use crate::manifest::{Document, Reading};
use crate::object::{Change, Subject};
use crate::report::{CheckReport, Location, Placed};
use crate::rules::RULES;

/// What the API server has to say, told among the rules' findings.
const INVALID: &str = "invalid-manifest";

/// The rules about what is not there. Each has one thing to say of a namespace.
const ABOUT_ABSENCE: [&str; 2] = [MISSING, "namespace-needs-default-deny"];
const MISSING: &str = "missing-default-deny";

/// What is around the manifests.
pub(super) struct World<'a> {
    /// What the cluster has.
    pub(super) base: Inventory,
    /// The namespace of manifests that name none.
    pub(super) namespace: &'a str,
    /// There may be more than `base` and the manifests say.
    pub(super) partial: bool,
}

/// What came of it.
pub(super) struct Judged {
    pub(super) report: CheckReport,
    /// What is odd about the rule set or the bundle, one line each.
    pub(super) notes: Vec<String>,
}

/// Judges all documents of a reading.
pub(super) fn judge(reading: &Reading, world: &World<'_>, bound: &Bound, now: Timestamp) -> Judged {
    let mut bundle = Bundle::new(world);
    for problem in &reading.problems {
        let (line, column) = (problem.place.map(|place| place.line), problem.place.map(|place| place.column));
        let location = Location { file: Arc::clone(&problem.file), line, column };
        let unjudged = Unjudged { rule: None, object: None, reason: problem.error.to_string() };
        bundle.report.cannot_judge.push(Placed::new(unjudged, location));
    }
    for document in &reading.documents {
        bundle.add(document);
    }
    let rest = without(bound, MISSING);
    for (document, subject) in std::mem::take(&mut bundle.subjects) {
        let settled = bundle.settled.contains(&subject.namespace);
        let bound = if settled { rest.as_ref().unwrap_or(bound) } else { bound };
        let report = evaluate(&subject, &bundle.inventory, bound, now, Origin::Bundle);
        bundle.settle(&subject, &report);
        bundle.take(document, &subject, report);
    }
    Judged { report: bundle.report, notes: bundle.notes }
}

/// The same rule set without the entries of one rule; `None` should that not be possible.
fn without(bound: &Bound, rule: &str) -> Option<Bound> {
    let mut rule_set = bound.rule_set.clone();
    rule_set.rules.retain(|entry| entry.rule != rule);
    bind(rule_set, RULES).ok()
}

struct Bundle<'a> {
    namespace: &'a str,
    partial: bool,
    inventory: Inventory,
    subjects: Vec<(&'a Document, Box<Subject>)>,
    /// Where each object was given first.
    seen: HashMap<ObjectRef, &'a Document>,
    /// Namespaces of which it is known whether they have a default deny. Asking again would give the
    /// same answer, and ten thousand policies in one namespace would each ask all the others.
    settled: HashSet<String>,
    /// Namespaces that hold an object in two versions, and so are not the same for all that is in them.
    ambiguous: HashSet<String>,
    /// What was said of a namespace already.
    said: HashSet<(String, &'static str, bool)>,
    report: CheckReport,
    notes: Vec<String>,
}

impl<'a> Bundle<'a> {
    fn new(world: &World<'a>) -> Self {
        let mut bundle = Self {
            namespace: world.namespace,
            partial: world.partial,
            inventory: world.base.clone(),
            subjects: Vec::new(),
            seen: HashMap::new(),
            settled: HashSet::new(),
            ambiguous: HashSet::new(),
            said: HashSet::new(),
            report: CheckReport::default(),
            notes: Vec::new(),
        };
        if world.partial {
            bundle.doubt_pods("there may be pods that are not among the manifests".to_owned());
        }
        bundle
    }

    fn add(&mut self, document: &'a Document) {
        match read(document, self.namespace) {
            Read::Other => self.inform(document),
            Read::Subject(subject) => {
                self.report.objects += 1;
                self.known_already(document, &subject);
                for fault in odd_cidrs(document) {
                    self.invalid(document, subject.object_ref(), fault, Level::Audit);
                }
                lay(&mut self.inventory, &subject);
                if !is_going(&subject) {
                    self.subjects.push((document, subject));
                }
            }
            Read::Faulty { object, faults } => {
                let object = object.map(|Named { api_version, kind, namespace, name }| ObjectRef {
                    api_version,
                    kind,
                    namespace,
                    name,
                });
                self.report.objects += usize::from(object.is_some());
                self.faulty(document, object.as_ref(), faults);
            }
        }
    }

    /// Workloads are not judged, they tell of pods. One that cannot be read, or of a kind that is not read, leaves open
    /// which pods there are.
    fn inform(&mut self, document: &Document) {
        match workload::read(document, self.namespace) {
            Some(Ok(pod)) => lay_pod(&mut self.inventory, pod),
            Some(Err(fault)) => self.doubt_pods(format!("{}:{}: {fault}", document.file, document.line)),
            None if document.value.pointer("/spec/template").is_some_and(Value::is_object) => {
                self.doubt_pods(format!("pods of a {} are not read", document.kind()));
            }
            None => {}
        }
    }

    fn doubt_pods(&mut self, reason: String) {
        self.inventory = std::mem::take(&mut self.inventory).with_pods_in_doubt(reason);
    }

    fn faulty(&mut self, document: &Document, object: Option<&ObjectRef>, faults: Vec<Fault>) {
        // Refused at once, it never exists. One that may exist may also be what another leans on.
        if let Some(ObjectRef { kind: "NetworkPolicy", namespace: Some(namespace), name, .. }) = object
            && faults.iter().all(|fault| !fault.refused)
        {
            let reason = faults.first().map(|fault| format!("{}: {}", fault.field, fault.message)).unwrap_or_default();
            self.inventory.update(namespace, |state| {
                state.odd.insert(name.clone(), reason);
            });
        }
        for fault in faults {
            match (object, fault.refused) {
                (Some(object), true) => self.invalid(document, object.clone(), fault, Level::Deny),
                _ => {
                    let at = if fault.field.is_empty() { String::new() } else { format!("{}: ", fault.field) };
                    let reason = format!("{at}{}; {}", fault.message, fault.help);
                    let unjudged = Unjudged { rule: None, object: object.cloned(), reason };
                    self.report.cannot_judge.push(Placed::new(unjudged, location(document, &fault.field)));
                }
            }
        }
    }

    /// Two versions of one object are both judged; the cluster will have the one that comes last.
    fn known_already(&mut self, document: &'a Document, subject: &Subject) {
        let object = subject.object_ref();
        let Some(first) = self.seen.get(&object) else {
            self.seen.insert(object, document);
            return;
        };
        if first.value != document.value {
            self.ambiguous.insert(subject.namespace.clone());
            let fault = Fault {
                field: "metadata.name".to_owned(),
                message: format!(
                    "already given otherwise at {}:{}; both are judged, and the last one applied is what stays",
                    first.file, first.line
                ),
                help: "keep one of them".to_owned(),
                refused: false,
            };
            self.invalid(document, object, fault, Level::Warn);
        }
    }

    fn invalid(&mut self, document: &Document, object: ObjectRef, fault: Fault, level: Level) {
        let Fault { field, message, help, .. } = fault;
        let location = location(document, &field);
        let finding = Finding {
            rule: INVALID,
            level,
            object,
            field,
            brief: message.clone(),
            message,
            help,
            evidence: Evidence::default(),
            decided_by: String::new(),
            exempted: None,
        };
        self.report.findings.push(Placed::new(finding, location));
    }

    /// A policy with rules settles for its namespace whether a default deny is missing, unless it is
    /// exempted and the next one may not be.
    fn settle(&mut self, subject: &Subject, report: &Report) {
        let Change::NetworkPolicy { new: Some(new), .. } = &subject.change else { return };
        let exempted = |finding: &Finding| finding.rule == MISSING && finding.exempted.is_some();
        if !new.policy.spec.is_pure_isolation()
            && !self.settled.contains(&subject.namespace)
            && !self.ambiguous.contains(&subject.namespace)
            && !report.findings.iter().any(exempted)
        {
            self.settled.insert(subject.namespace.clone());
        }
    }

    /// Takes what the engine has found in one object.
    fn take(&mut self, document: &Document, subject: &Subject, report: Report) {
        let Report { findings, cannot_judge, notes, .. } = report;
        for mut finding in findings {
            let about_absence = ABOUT_ABSENCE.contains(&finding.rule);
            // One that is exempted must not silence the next one that is not.
            let once = (subject.namespace.clone(), finding.rule, finding.exempted.is_some());
            if about_absence && !self.said.insert(once) {
                continue;
            }
            if about_absence && self.partial {
                finding.level = Level::Audit;
                finding.message.push_str(", as far as these manifests tell");
            }
            let location = location(document, &finding.field);
            self.report.findings.push(Placed::new(finding, location));
        }
        for unjudged in cannot_judge {
            if let Some(rule) = unjudged.rule.filter(|rule| ABOUT_ABSENCE.contains(rule)) {
                // Told apart from the findings, of which it is none.
                if !self.said.insert((format!("{} {}", subject.namespace, unjudged.reason), rule, false)) {
                    continue;
                }
            }
            self.report.cannot_judge.push(Placed::new(unjudged, location(document, "")));
        }
        for note in notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }
}

/// An object that is being deleted is as good as gone.
fn is_going(subject: &Subject) -> bool {
    let metadata = match &subject.change {
        Change::NetworkPolicy { new, .. } => new.as_ref().map(|new| &new.metadata),
        Change::Namespace { new, .. } => new.as_ref().map(|new| &new.metadata),
    };
    metadata.is_some_and(|metadata| metadata.deletion_timestamp.is_some())
}

fn location(document: &Document, field: &str) -> Location {
    let place = document.place(field);
    Location { file: Arc::clone(&document.file), line: Some(place.line), column: Some(place.column) }
}
