//! Cases of a rule set: requests, and what the webhook is to make of each.
//!
//! Read by closed key sets like a rule set. The files it names are left to the caller, since nothing in this room
//! touches any.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::nearest::nearest;
use super::problem::Problem;
use super::reader::{Reader, quoted};
use super::schema;
use crate::finding::Level;
use crate::manifest::Document;
use crate::object::{Operation, Requester};

/// The kind of the document.
pub const KIND: &str = "RuleSetTest";

/// What a request may come to, in the words of log and metrics.
pub const VERDICTS: [&str; 5] = ["allowed", "warned", "exempted", "denied", "cannot_judge"];

/// The path of the webhook that judges everything.
pub const PATH: &str = "/validate";
/// The guard path, which judges the labels of Namespaces alone.
pub const LABELS_PATH: &str = "/validate/labels";

const CASE: [&str; 9] = ["name", "operation", "path", "requester", "now", "object", "oldObject", "given", "expect"];

/// One document of cases.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// Path of the rule set, as written.
    pub rule_set: Option<String>,
    /// What there is in the cluster before every case.
    pub given: Vec<Manifests>,
    /// The cases, at least one where nothing is wrong.
    pub cases: Vec<Case>,
}

/// Manifests, and where they are given.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// The field that gives them.
    pub field: String,
    /// The manifests themselves, or the path of a file or folder of them.
    pub given: Given,
}

/// How manifests are given.
#[derive(Clone, Debug)]
pub enum Given {
    /// In place; the objects of a list are several.
    Here(Vec<Document>),
    /// In a file or folder, as written.
    File(String),
}

/// One request, and what is expected.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, unlike that of any other of the document.
    pub name: String,
    /// Its field, such as `spec.cases[0]`.
    pub field: String,
    /// What is to be done.
    pub operation: Operation,
    /// Whether it comes by the guard path.
    pub labels: bool,
    /// Who asks.
    pub requester: Requester,
    /// When; `None` is the present.
    pub now: Option<Timestamp>,
    /// The object asked for; there for CREATE and UPDATE.
    pub object: Option<Manifests>,
    /// The object stored; there for UPDATE and DELETE.
    pub old_object: Option<Manifests>,
    /// What there is in the cluster in this case alone.
    pub given: Vec<Manifests>,
    /// What is expected.
    pub expect: Expect,
}

/// What is expected of an answer. What is left out may be anything.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// One of [`VERDICTS`].
    pub verdict: Option<&'static str>,
    /// Whether the request passes.
    pub allowed: Option<bool>,
    /// Every finding is one of these, and each of these is found.
    pub findings: Option<Vec<Expected>>,
}

/// An expected finding. What is left out may be anything.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Name of the rule.
    pub rule: String,
    /// Its level, after `maxLevel` and the ratchet.
    pub level: Option<Level>,
    /// The path of the field it is about.
    pub field: Option<String>,
    /// Whether an exemption lets it pass.
    pub exempted: Option<bool>,
}

/// Reads one document. `rules` are the names of all rules there are. What it returns is for use only where it has
/// added no problem.
pub fn read(document: &Document, rules: &[&str], problems: &mut Vec<Problem>) -> Suite {
    let mut reader = Reader::new(document, problems);
    let mut cases = Cases { document, rules, now: None };
    match schema::head(&mut reader, &document.value, KIND) {
        Some((_, spec)) => cases.suite(&mut reader, spec),
        None => Suite::default(),
    }
}

struct Cases<'a> {
    document: &'a Document,
    rules: &'a [&'a str],
    /// The time of cases that give none.
    now: Option<Timestamp>,
}

impl Cases<'_> {
    fn suite(&mut self, reader: &mut Reader<'_>, spec: &Value) -> Suite {
        let mut suite = Suite::default();
        let Some(spec) = reader.mapping("spec", spec, &["ruleSet", "now", "given", "cases"]) else { return suite };
        suite.rule_set = spec.get("ruleSet").and_then(|path| reader.line("spec.ruleSet", path));
        self.now = spec.get("now").and_then(|now| time(reader, "spec.now", now));
        suite.given = spec.get("given").map(|given| self.given(reader, "spec.given", given)).unwrap_or_default();
        match spec.get("cases") {
            Some(Value::Array(cases)) if cases.is_empty() => {
                reader.error("spec.cases", "`cases` is empty: give at least one");
            }
            Some(cases) => {
                for (i, value) in reader.list("spec.cases", cases).iter().enumerate() {
                    let case = self.case(reader, format!("spec.cases[{i}]"), value);
                    let again = |known: &&Case| {
                        !known.name.is_empty() && case.as_ref().is_some_and(|case| case.name == known.name)
                    };
                    if let Some(known) = suite.cases.iter().find(again) {
                        let (field, line) = (format!("spec.cases[{i}].name"), self.document.place(&known.field).line);
                        reader.error(&field, format!("there is a case of this name already, at line {line}"));
                    }
                    suite.cases.extend(case);
                }
            }
            None => reader.error("spec", "`cases` is missing: the requests to try, at least one"),
        }
        suite
    }

    fn case(&self, reader: &mut Reader<'_>, field: String, value: &Value) -> Option<Case> {
        let map = reader.mapping(&field, value, &CASE)?;
        let at = |key: &str| format!("{field}.{key}");
        let name = match map.get("name") {
            Some(name) => reader.line(&at("name"), name).unwrap_or_default(),
            None => {
                reader.error(&field, "`name` is missing: what the case shows, in a few words");
                String::new()
            }
        };
        let operations = [Operation::Create, Operation::Update, Operation::Delete].map(|it| (it.as_str(), it));
        let operation = match map.get("operation") {
            Some(word) => reader.word(&at("operation"), word, &operations)?,
            None => Operation::Create,
        };
        let paths = [(PATH, false), (LABELS_PATH, true)];
        let labels = map.get("path").and_then(|path| reader.word(&at("path"), path, &paths)).unwrap_or_default();
        let requester = map.get("requester").and_then(|value| requester(reader, &at("requester"), value));
        let now = map.get("now").and_then(|now| time(reader, &at("now"), now)).or(self.now);
        let needed = |key| (key == "object") == (operation != Operation::Delete) || operation == Operation::Update;
        let [object, old_object] =
            ["object", "oldObject"].map(|key| self.object(reader, &field, map, key, (operation, needed(key))));
        let given = map.get("given").map(|given| self.given(reader, &at("given"), given)).unwrap_or_default();
        let expect = match map.get("expect") {
            Some(expect) => self.expect(reader, &at("expect"), expect),
            None => {
                reader.error(&field, "`expect` is missing: the verdict, the findings or both");
                Expect::default()
            }
        };
        let requester = requester.unwrap_or_else(|| authenticated(String::new(), Vec::new()));
        Some(Case { name, field, operation, labels, requester, now, object, old_object, given, expect })
    }

    fn object(
        &self,
        reader: &mut Reader<'_>,
        field: &str,
        map: &Map<String, Value>,
        key: &str,
        (operation, needed): (Operation, bool),
    ) -> Option<Manifests> {
        let at = format!("{field}.{key}");
        match (map.get(key), needed) {
            (Some(value), true) => self.manifests(reader, at, value),
            (Some(_), false) => {
                let other = if key == "object" { "oldObject" } else { "object" };
                reader.error(&at, format!("{} has no `{key}`, but `{other}`", operation.as_str()));
                None
            }
            (None, true) => {
                let message =
                    format!("`{key}` is missing: {} has one, a manifest or the path of its file", operation.as_str());
                reader.error(field, message);
                None
            }
            (None, false) => None,
        }
    }

    fn given(&self, reader: &mut Reader<'_>, field: &str, value: &Value) -> Vec<Manifests> {
        let items = reader.list(field, value).iter().enumerate();
        items.filter_map(|(i, value)| self.manifests(reader, format!("{field}[{i}]"), value)).collect()
    }

    fn manifests(&self, reader: &mut Reader<'_>, field: String, value: &Value) -> Option<Manifests> {
        let given = match value {
            Value::Object(_) => Given::Here(self.document.parts(&field)),
            Value::String(_) => Given::File(reader.line(&field, value)?),
            _ => {
                reader.wrong_type(&field, "a manifest or the path of its file", value);
                return None;
            }
        };
        Some(Manifests { field, given })
    }

    fn expect(&self, reader: &mut Reader<'_>, field: &str, value: &Value) -> Expect {
        let mut expect = Expect::default();
        let Some(map) = reader.mapping(field, value, &["verdict", "allowed", "findings"]) else { return expect };
        let at = |key: &str| format!("{field}.{key}");
        if map.is_empty() {
            reader.error(
                field,
                "`expect` is empty, so that the case would pass whatever is said: give a verdict or findings",
            );
        }
        let verdicts = VERDICTS.map(|verdict| (verdict, verdict));
        expect.verdict = map.get("verdict").and_then(|word| reader.word(&at("verdict"), word, &verdicts));
        expect.allowed = map.get("allowed").and_then(|value| reader.boolean(&at("allowed"), value));
        expect.findings = map.get("findings").map(|findings| {
            let items = reader.list(&at("findings"), findings).iter().enumerate();
            items.filter_map(|(i, item)| self.expected(reader, &format!("{field}.findings[{i}]"), item)).collect()
        });
        expect
    }

    fn expected(&self, reader: &mut Reader<'_>, field: &str, value: &Value) -> Option<Expected> {
        let map = reader.mapping(field, value, &["rule", "level", "field", "exempted"])?;
        let at = |key: &str| format!("{field}.{key}");
        let Some(rule) = map.get("rule") else {
            reader.error(field, "`rule` is missing: the name of a rule; `portcullis rules` lists them");
            return None;
        };
        let rule = reader.line(&at("rule"), rule)?;
        if !self.rules.contains(&rule.as_str()) {
            let perhaps = nearest(&rule, self.rules.iter().copied());
            let perhaps = perhaps
                .map_or_else(|| "`portcullis rules` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
            reader.error(&at("rule"), format!("there is no rule {}; {perhaps}", quoted(&rule)));
        }
        let levels = Level::ALL.map(|level| (level.as_str(), level));
        Some(Expected {
            level: map.get("level").and_then(|level| reader.word(&at("level"), level, &levels)),
            field: map.get("field").and_then(|value| reader.line(&at("field"), value)),
            exempted: map.get("exempted").and_then(|value| reader.boolean(&at("exempted"), value)),
            rule,
        })
    }
}

fn time(reader: &mut Reader<'_>, field: &str, value: &Value) -> Option<Timestamp> {
    let text = reader.text(field, value)?;
    let time = text.parse().ok();
    if time.is_none() {
        reader.error(field, format!("`now` must be a time such as 2027-01-31T12:00:00Z, not {}", quoted(text)));
    }
    time
}

/// Whoever the API server has authenticated is in this group. Source: Kubernetes documentation, authenticating.
const AUTHENTICATED: &str = "system:authenticated";

fn authenticated(username: String, mut groups: Vec<String>) -> Requester {
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    Requester { username, groups }
}

/// A service account has the name and the groups that the API server gives it.
fn requester(reader: &mut Reader<'_>, field: &str, value: &Value) -> Option<Requester> {
    let map = reader.mapping(field, value, &["user", "groups", "serviceAccount"])?;
    let at = |key: &str| format!("{field}.{key}");
    let mut groups = map.get("groups").map(|groups| reader.texts(&at("groups"), groups)).unwrap_or_default();
    let user = map.get("user").and_then(|user| reader.line(&at("user"), user)).unwrap_or_default();
    let Some(account) = map.get("serviceAccount") else { return Some(authenticated(user, groups)) };
    if map.contains_key("user") {
        reader.error(&at("user"), "a requester is a `user` or a `serviceAccount`; keep one");
    }
    let account = reader.text(&at("serviceAccount"), account)?;
    let Some((namespace, name)) = account
        .split_once('/')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/') && *name != "*")
    else {
        reader.error(&at("serviceAccount"), format!("a service account is NAMESPACE/NAME, not {}", quoted(account)));
        return None;
    };
    groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    Some(authenticated(format!("system:serviceaccount:{namespace}:{name}"), groups))
}

#[cfg(test)]
mod tests;
