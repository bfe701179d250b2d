//! The files in `tests/rules`, as read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis::manifest;
use portcullis::rules::{Meta, RULES};
use serde_json::{Value, json};

/// The cases of one rule.
pub(crate) struct Suite {
    pub(crate) meta: &'static Meta,
    pub(crate) folder: PathBuf,
    /// The rule set they are judged by.
    pub(crate) rules: Value,
    /// What there is in the cluster before every case.
    given: Vec<Value>,
    pub(crate) cases: Vec<Case>,
}

/// One case, as written.
#[derive(Clone)]
pub(crate) struct Case(pub(crate) Value);

impl Case {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().expect("a name")
    }

    pub(crate) fn operation(&self) -> &str {
        self.0["operation"].as_str().unwrap_or("CREATE")
    }

    pub(crate) fn path(&self) -> &str {
        self.0["path"].as_str().unwrap_or("/validate")
    }

    pub(crate) fn verdict(&self) -> &str {
        self.0["expect"]["verdict"].as_str().expect("every case expects a verdict")
    }

    /// The findings that are expected.
    pub(crate) fn expected(&self) -> &[Value] {
        self.0["expect"]["findings"].as_array().expect("every case expects findings, or none")
    }

    pub(crate) fn is_found(&self) -> bool {
        !self.expected().is_empty()
    }

    /// What it is about: the object asked for, or the one that is deleted.
    pub(crate) fn about(&self) -> &Value {
        self.0.get("object").unwrap_or(&self.0["oldObject"])
    }

    /// The namespace that it is about.
    pub(crate) fn namespace(&self) -> &str {
        let metadata = &self.about()["metadata"];
        metadata["namespace"].as_str().or(metadata["name"].as_str()).expect("a namespace")
    }

    /// The same with another name and other fields; nothing is expected of it but to be judged.
    pub(crate) fn derived(&self, name: &str, fields: &[(&str, Value)]) -> Self {
        let mut case = self.clone();
        case.0["name"] = json!(name);
        case.0["expect"] = json!({"findings": []});
        fields.iter().for_each(|(field, value)| case.0[field] = value.clone());
        case
    }
}

impl Suite {
    /// Those of every rule.
    pub(crate) fn all() -> Vec<Self> {
        RULES.iter().map(|rule| Self::read(rule.meta())).collect()
    }

    fn read(meta: &'static Meta) -> Self {
        let folder = folder().join(meta.name);
        let [rules, cases] = ["rules.yaml", "cases.yaml"].map(|file| yaml(&folder.join(file)));
        let list = |field: &str| cases["spec"][field].as_array().cloned().unwrap_or_default();
        assert_eq!(cases["spec"]["ruleSet"], "rules.yaml", "{}", meta.name);
        Self { meta, rules, given: list("given"), cases: list("cases").into_iter().map(Case).collect(), folder }
    }

    /// What there is in the cluster before a case.
    pub(crate) fn given(&self, case: &Case) -> Vec<Value> {
        let own = case.0["given"].as_array().cloned().unwrap_or_default();
        [self.given.clone(), own].concat()
    }

    pub(crate) fn cases_file(&self) -> PathBuf {
        self.folder.join("cases.yaml")
    }

    /// Cases like these, for a rule set in a file of that name.
    pub(crate) fn with(&self, rule_set: &str, cases: Vec<Case>) -> Value {
        let cases: Vec<Value> = cases.into_iter().map(|Case(case)| case).collect();
        let spec = json!({"ruleSet": rule_set, "given": self.given, "cases": cases});
        json!({"apiVersion": "portcullis.dev/v1alpha1", "kind": "RuleSetTest", "spec": spec})
    }
}

/// Where the cases are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

fn yaml(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let reading = manifest::parse("a.yaml", &text);
    assert!(reading.problems.is_empty() && reading.documents.len() == 1, "{}", file.display());
    reading.documents[0].value.clone()
}

/// Writes a document, which JSON is good enough for.
pub(crate) fn write(file: &Path, document: &Value) {
    fs::write(file, document.to_string()).expect("written");
}

/// The binary.
pub(crate) fn portcullis(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().env("NO_COLOR", "1").args(arguments).output().expect("it runs")
}

/// What `config test` says of the cases of these files, one call for all of them.
pub(crate) fn config_test(files: &[PathBuf]) -> (Option<i32>, Vec<Value>) {
    let files: Vec<&str> = files.iter().map(|file| file.to_str().expect("text")).collect();
    let output = portcullis(&[&["config", "test", "-o", "json"], &files[..]].concat());
    let told = serde_json::from_slice::<Value>(&output.stdout);
    let told = told.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), told["cases"].as_array().expect("cases").clone())
}
