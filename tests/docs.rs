//! The rules' documentation in `docs/rules` and the README is what the registry says. [`MEND`] writes it anew.
#![expect(clippy::expect_used, reason = "the helpers of this file are test code as well")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use portcullis::rules::RULES;
use portcullis::rules::page::{page, table};

const MEND: &str = "UPDATE=1 cargo test --test docs";
const FOLDER: &str = "docs/rules";
/// Between these the README is generated.
const MARKERS: [&str; 2] = [
    "<!-- The rules, written by `UPDATE=1 cargo test --test docs` from src/rules. -->\n",
    "<!-- End of the rules. -->\n",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is in a file, or nothing where there is none.
fn committed(file: &str) -> Option<String> {
    fs::read_to_string(root().join(file)).ok()
}

/// The files that have to be there, with their content.
fn generated() -> BTreeMap<String, String> {
    let mark = format!("<!-- Written by `{MEND}` from src/rules. -->\n\n");
    let pages = RULES.iter().map(|rule| rule.meta());
    let pages = pages.map(|meta| (format!("{FOLDER}/{}.md", meta.name), format!("{mark}{}", page(meta))));
    let mut files: BTreeMap<String, String> = pages.collect();
    let about = "The level is that of the built-in rule set. [Rule sets](../rule-sets.md) say which rules hold where.\n\
                 The [cookbook](../cookbook.md) shows what each of them finds, and the repair.";
    files.insert(format!("{FOLDER}/README.md"), format!("{mark}# Rules\n\n{about}\n\n{}", table("")));
    let readme = committed("README.md").expect("a README");
    files.insert("README.md".to_owned(), with_table(&readme, &table(&format!("{FOLDER}/"))));
    files
}

/// The README with that table between the markers.
fn with_table(readme: &str, table: &str) -> String {
    let [begin, end] = MARKERS;
    let (before, rest) = readme.split_once(begin).expect("the first marker");
    let (_, after) = rest.split_once(end).expect("the second marker, after the first");
    format!("{before}{begin}{table}{end}{after}")
}

/// Pages of rules that are no more.
fn left_over(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(FOLDER)).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    names.map(|name| format!("{FOLDER}/{name}")).filter(|file| !files.contains_key(file)).collect()
}

/// The first line in which two texts differ, told with both.
fn difference(file: &str, is: &str, should: &str) -> Option<String> {
    let line = |text: &str, i: usize| text.split('\n').nth(i).map(str::to_owned);
    let told = |line: Option<String>| line.map_or_else(|| "(the end)".to_owned(), |line| format!("`{line}`"));
    let mut lines = (0..).take_while(|&i| line(is, i).is_some() || line(should, i).is_some());
    let i = lines.find(|&i| line(is, i) != line(should, i))?;
    Some(format!("{file}:{}:\n  is:        {}\n  should be: {}", i + 1, told(line(is, i)), told(line(should, i))))
}

fn write(files: &BTreeMap<String, String>) {
    fs::create_dir_all(root().join(FOLDER)).expect("a folder");
    for (file, text) in files {
        fs::write(root().join(file), text).expect("written");
    }
    for file in left_over(files) {
        fs::remove_file(root().join(file)).expect("removed");
    }
}

#[test]
fn the_documentation_is_that_of_the_registry() {
    let files = generated();
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        write(&files);
    }
    let differences = files.iter().filter_map(|(file, should)| match committed(file) {
        Some(is) => difference(file, &is, should),
        None => Some(format!("{file}: is missing")),
    });
    let left_over = left_over(&files).into_iter().map(|file| format!("{file}: there is no such rule"));
    let wrong: Vec<String> = differences.chain(left_over).collect();
    assert!(wrong.is_empty(), "{}\nto mend it: {MEND}\n", wrong.join("\n"));
}

#[test]
fn a_difference_is_told_by_its_first_line() {
    assert_eq!(difference("a.md", "a\nb\n", "a\nb\n"), None);
    let told = |line, is, should| Some(format!("a.md:{line}:\n  is:        {is}\n  should be: {should}"));
    assert_eq!(difference("a.md", "a\nb\nc\n", "a\nx\ny\n"), told(2, "`b`", "`x`"));
    assert_eq!(difference("a.md", "a\n", "a\nb\n"), told(2, "``", "`b`"));
    assert_eq!(difference("a.md", "a", "a\n"), told(2, "(the end)", "``"));
}

#[test]
fn the_command_prints_the_pages() {
    for meta in RULES.iter().map(|rule| rule.meta()) {
        let name = meta.name;
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["rules", name]).output().expect("it runs");
        assert_eq!(String::from_utf8(output.stdout).expect("text"), page(meta), "{name}");
    }
}
