//! `docs/cookbook.md` is true: its commands are run on its files by the real binary. [`MEND`] writes what they print anew.
//! What `kubectl` prints is for `tests/cluster/cookbook.rs`.
//!
//! `literate/recipes.rs` has the form of the document.
#![expect(clippy::expect_used, reason = "the helpers of this file are test code as well")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use portcullis::rules::RULES;
use recipes::{Command, Failure, Folder, Recipe, Step, is_to_be_mended, mended, recipes};

// `cfg(test)` is always set here; it tells clippy that these are test code.
#[cfg(test)]
#[path = "literate/literate.rs"]
#[expect(dead_code, reason = "sections that are continued are for tests/literate.rs")]
mod literate;
#[cfg(test)]
#[path = "literate/recipes.rs"]
mod recipes;

const FILE: &str = "docs/cookbook.md";
const MEND: &str = "UPDATE=1 cargo test --test cookbook";

/// The document, mended before anybody looks at it if that is asked for.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let mut text = fs::read_to_string(&path).expect("text");
    if is_to_be_mended() {
        text = run(&text).expect("a document in its form").1;
        fs::write(&path, &text).expect("written");
    }
    text
});

fn cookbook() -> Vec<Recipe> {
    recipes(&TEXT).expect("a document in its form")
}

/// The runs of `portcullis check`, in their order.
fn checks(recipe: &Recipe) -> impl Iterator<Item = &Command> {
    recipe.commands().filter(|command| command.is_check())
}

/// Everything in which a document is not true, and the document with what its commands print.
fn run(text: &str) -> Result<(Vec<String>, String), String> {
    let told = |(line, what): Failure| format!("{FILE}:{line}: {what}");
    let recipes = recipes(text).map_err(told)?;
    let folder = Folder::new();
    let (mut failures, mut printed) = (Vec::new(), Vec::new());
    for step in recipes.iter().flat_map(|recipe| &recipe.steps) {
        let command = match step {
            Step::File { name, text, .. } => {
                folder.write(name, text);
                continue;
            }
            Step::Command(command) if command.is_kubectl() => continue,
            Step::Command(command) => command,
        };
        let what = match folder.run(command) {
            Ok(out) => {
                let wrong =
                    (out != command.told).then(|| format!("prints\n{out}and not\n{}to mend it: {MEND}", command.told));
                printed.push((command, out));
                wrong
            }
            Err(what) => Some(what),
        };
        failures.extend(what.map(|what| told((command.line, format!("`{}` {what}", command.words.join(" "))))));
    }
    Ok((failures, mended(text, &printed)))
}

fn failures(text: &str) -> Vec<String> {
    run(text).map_or_else(|what| vec![what], |(failures, _)| failures)
}

#[test]
fn the_cookbook_is_true() {
    let failures = failures(&TEXT);
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n\n"));
}

#[test]
fn every_pattern_is_judged_clean() {
    let recipes = cookbook();
    let patterns: Vec<&Recipe> = recipes.iter().filter(|recipe| recipe.part == "Patterns").collect();
    assert!(patterns.len() >= 12, "{}", patterns.len());
    let mut checked = String::new();
    for check in patterns.iter().flat_map(|recipe| checks(recipe)) {
        let told = &check.told;
        assert!([check.found("deny"), check.found("warn")].concat().is_empty(), "{FILE}:{}: {told}", check.line);
        checked += &check.words.join(" ");
        checked.push(' ');
    }
    for step in patterns.iter().flat_map(|recipe| &recipe.steps) {
        if let Step::File { line, name, .. } = step {
            let folder = name.split_inclusive('/').next().expect("a name").trim_end_matches('/');
            assert!(checked.contains(&format!(" {folder} ")), "{FILE}:{line}: no `check` of {name}");
        }
    }
}

/// The first `check` of a mistake finds it, the last one finds nothing of the kind.
#[test]
fn every_mistake_is_found_and_mended() {
    let recipes = cookbook();
    let mistakes: Vec<&Recipe> =
        recipes.iter().filter(|recipe| recipe.part == "Mistakes" && recipe.title != "Mistakes").collect();
    assert!(mistakes.len() >= 18, "{}", mistakes.len());
    for recipe in mistakes {
        let place = format!("{FILE}:{}: {}", recipe.line, recipe.title);
        let first = checks(recipe).next().unwrap_or_else(|| panic!("{place}: no check"));
        let last = checks(recipe).last().expect("the first at least");
        let found = ["deny", "warn", "audit"].map(|level| first.found(level)).concat();
        assert!(!found.is_empty(), "{place}: nothing is found");
        let left = ["deny", "warn", "audit"].map(|level| last.found(level)).concat();
        let wrong: Vec<&&str> = left.iter().filter(|rule| found.contains(rule)).collect();
        assert!(wrong.is_empty(), "{place}: {wrong:?} is found after the repair as well");
        assert!([last.found("deny"), last.found("warn")].concat().is_empty(), "{place}: the repair breaks a rule");
    }
}

/// Found by `check`, or expected of a case of `config test` that passes.
#[test]
fn every_rule_has_a_recipe() {
    let recipes = cookbook();
    let mut shown: BTreeSet<&str> = BTreeSet::new();
    for check in recipes.iter().flat_map(checks) {
        shown.extend(["deny", "warn", "audit"].map(|level| check.found(level)).concat());
    }
    let tested: BTreeSet<&String> = recipes
        .iter()
        .flat_map(Recipe::commands)
        .filter(|command| command.words[1] == "config")
        .flat_map(|command| &command.words)
        .collect();
    let cases = recipes.iter().flat_map(|recipe| &recipe.steps).filter_map(|step| match step {
        Step::File { name, text, .. } if tested.contains(name) => Some(text),
        _ => None,
    });
    for expected in cases.flat_map(|text| text.split("{rule: ").skip(1)) {
        shown.extend(expected.split([',', '}']).next());
    }
    for name in RULES.iter().map(|rule| rule.meta().name) {
        assert!(shown.contains(name), "{FILE} has no recipe in which {name} finds something");
        assert!(TEXT.contains(&format!("[`{name}`](rules/{name}.md)")), "{FILE} does not link to the page of {name}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let is_kept = |c: char| c.is_alphanumeric() || c == '-' || c == ' ';
    let anchor =
        |title: &str| title.to_lowercase().chars().filter(|&c| is_kept(c)).collect::<String>().replace(' ', "-");
    let anchors: BTreeSet<String> = cookbook().iter().map(|recipe| format!("#{}", anchor(&recipe.title))).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for target in TEXT.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let file = target.split('#').next().unwrap_or_default();
        let there = if file.is_empty() { anchors.contains(target) } else { folder.join(file).exists() };
        assert!(there, "{FILE}: nothing is at {target}");
    }
}

const POLICY: &str = "```yaml\n# a.yaml\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                      metadata: {name: a, namespace: shop}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n```\n";
const CLEAN: &str = "1 object: 0 deny, 0 warn, 0 audit, 0 exempted, 0 not judged\n";

/// The one failure of a document.
fn failure(text: &str) -> String {
    let failures = failures(text);
    assert_eq!(failures.len(), 1, "{failures:#?}");
    failures.concat()
}

#[test]
fn what_is_not_true_is_told_with_its_place_and_can_be_mended() {
    let asked = |told: &str| format!("# A\n{POLICY}```console\n$ portcullis check a.yaml\n{told}```\n");
    assert_eq!(failures(&asked(CLEAN)), [""; 0]);
    for wrong in ["", "1 object\n", &format!("{CLEAN}\n")] {
        let told = failure(&asked(wrong));
        assert!(told.starts_with("docs/cookbook.md:10: `portcullis check a.yaml` prints\n1 object: 0 deny"), "{told}");
        assert_eq!(run(&asked(wrong)).expect("a document").1, asked(CLEAN));
    }
    let broken = asked(CLEAN).replace("podSelector: {}", "podSelector: {}, egress: [{}]");
    assert!(failures(&broken).concat().contains("`portcullis check a.yaml` prints\ndeny["));
    let elsewhere = asked("").replace("check a.yaml", "check b.yaml");
    assert!(failures(&elsewhere).concat().contains("ended with exit status: 2: "), "{:?}", failures(&elsewhere));
}

#[test]
fn a_document_in_another_form_is_refused() {
    let console = |text: &str| format!("# A\n```console\n{text}\n```\n");
    assert!(failure(&POLICY.replace("# a.yaml\n", "")).contains(":2: the first line is not the name of the file"));
    assert!(failure(&POLICY.replace("a.yaml", "../a.yaml")).contains("not the name of the file"));
    assert!(failure(&POLICY.replace("```yaml", "```yml")).contains(":2: no such block: `yml`"));
    assert!(failure(&console("portcullis check a.yaml")).contains(":3: the block does not begin with a command"));
    assert!(failure(&console("$ portcullis check a.yaml | less")).contains("a command is words"));
    assert!(failure(&console("$ ls")).contains("neither a command of"));
    assert!(failure("# A\n```console\n```\n").contains("asks nothing"));
}
