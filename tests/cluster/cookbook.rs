//! `docs/cookbook.md` at apply time: its patterns are admitted, its mistakes are told as `check` tells them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::harness::Cluster;
use super::manifests::guarded;
use super::recipes::{Command, Folder, Recipe, Step, is_to_be_mended, mended, recipes};

const FILE: &str = "docs/cookbook.md";
const MEND: &str = "UPDATE=1 cargo test --test cluster cookbook";

/// A `check` that goes by its manifests alone and by the built-in rule set, as the cluster of the test does.
fn is_plain(check: &Command) -> bool {
    check.words.iter().all(|word| !word.starts_with("--"))
}

/// The manifests that a `check` names, those of a folder in the order of their names.
fn manifests(folder: &Folder, check: &Command) -> Vec<String> {
    let mut texts = Vec::new();
    for path in check.words[2..].iter().map(|word| folder.path().join(word)) {
        let mut files: Vec<PathBuf> = match fs::read_dir(&path) {
            Ok(entries) => entries.map(|entry| entry.expect("a file").path()).collect(),
            Err(_) => vec![path],
        };
        files.sort();
        texts.extend(files.iter().map(|file| format!("---\n{}", fs::read_to_string(file).expect("text"))));
    }
    texts
}

/// A mistake in namespaces of its own: what there is before it, and what is applied.
struct Mistake {
    line: usize,
    before: String,
    manifest: String,
    denied: BTreeSet<String>,
    warned: BTreeSet<String>,
}

/// The same manifests in namespaces that begin with `prefix`.
fn moved(text: &str, prefix: &str) -> String {
    let mut text = text.replace("namespace: ", &format!("namespace: {prefix}"));
    for name in ["metadata: {name: ", "metadata:\n  name: "] {
        let name = format!("kind: Namespace\n{name}");
        text = text.replace(&name, &format!("{name}{prefix}"));
    }
    text
}

/// The namespaces that manifests are in.
fn namespaces(text: &str) -> BTreeSet<&str> {
    text.split("namespace: ").skip(1).filter_map(|rest| rest.split([',', '}', '\n']).next()).collect()
}

/// Follows the document and applies its patterns: its mistakes, and what its commands of `kubectl` print.
fn follow<'a>(cluster: &Cluster, recipes: &'a [Recipe]) -> (Vec<Mistake>, Vec<(&'a Command, String)>) {
    let folder = Folder::new();
    let (mut mistakes, mut printed, mut patterns) = (Vec::new(), Vec::new(), 0);
    for (part, step) in recipes.iter().flat_map(|recipe| recipe.steps.iter().map(|step| (recipe.part.as_str(), step))) {
        match step {
            Step::File { name, text, .. } => folder.write(name, text),
            Step::Command(command) if command.is_kubectl() => printed.push((command, ask(cluster, &folder, command))),
            Step::Command(command) => {
                folder.run(command).expect("see tests/cookbook.rs");
                if !command.is_check() || !is_plain(command) {
                    continue;
                }
                let texts = manifests(&folder, command);
                if part == "Patterns" {
                    admit(cluster, command, &moved(&texts.concat(), &format!("p{patterns}-")));
                    patterns += 1;
                } else {
                    mistakes.extend(mistake(command, &texts, mistakes.len()));
                }
            }
        }
    }
    (mistakes, printed)
}

/// What `kubectl` prints.
fn ask(cluster: &Cluster, folder: &Folder, command: &Command) -> String {
    let file = |word: &String| Some(folder.path().join(word)).filter(|path| path.exists());
    let words =
        command.words[1..].iter().map(|word| file(word).map_or(word.clone(), |path| path.display().to_string()));
    let words: Vec<String> = words.collect();
    let outcome = cluster.kubectl(&words.iter().map(String::as_str).collect::<Vec<_>>());
    outcome.stderr + &outcome.stdout
}

fn admit(cluster: &Cluster, check: &Command, manifests: &str) {
    let outcome = cluster.apply(manifests).ok();
    // The Namespace comes before its policies, one by one.
    let others = |warning: &&str| !warning.contains("[namespace-needs-default-deny]");
    assert!(!outcome.warnings().iter().any(others), "{FILE}:{}: {outcome}", check.line);
}

/// The last manifest of a `check` that finds something, with the others there before it.
fn mistake(check: &Command, manifests: &[String], number: usize) -> Option<Mistake> {
    let set = |level| check.found(level).into_iter().map(str::to_owned).collect();
    let (denied, warned): (BTreeSet<String>, BTreeSet<String>) = (set("deny"), set("warn"));
    let (manifest, before) = manifests.split_last()?;
    let prefix = format!("n{number}-");
    let (before, manifest) = (moved(&before.concat(), &prefix), moved(manifest, &prefix));
    (denied.len() + warned.len() > 0).then_some(Mistake { line: check.line, before, manifest, denied, warned })
}

#[test]
fn the_patterns_of_the_cookbook_are_admitted_and_its_mistakes_told() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = fs::read_to_string(&path).expect("text");
    let recipes = recipes(&text).expect("recipes");
    let (cluster, _webhook) = guarded(&["sandbox"]);
    let (mistakes, printed) = follow(&cluster, &recipes);
    assert!(mistakes.len() >= 15 && printed.len() >= 2, "{} and {}", mistakes.len(), printed.len());
    if is_to_be_mended() {
        fs::write(&path, mended(&text, &printed)).expect("written");
    } else {
        for (command, printed) in &printed {
            assert_eq!(*printed, command.told, "{FILE}:{}; to mend it: {MEND}", command.line);
        }
    }
    let all: String = mistakes.iter().flat_map(|mistake| [mistake.before.as_str(), &mistake.manifest]).collect();
    let namespace = |name: &&str| format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    cluster.apply(&namespaces(&all).iter().map(namespace).collect::<String>()).ok();
    cluster.apply(&mistakes.iter().map(|mistake| mistake.before.as_str()).collect::<String>()).ok();
    for Mistake { line, manifest, denied, warned, .. } in &mistakes {
        if manifest.contains("endPort") && !cluster.has(22, "endPort") {
            continue;
        }
        let outcome = cluster.kubectl_stdin(&["apply", "--dry-run=server", "-f", "-"], manifest);
        let outcome = if denied.is_empty() { outcome.ok() } else { outcome.denied() };
        for rule in denied.union(warned) {
            assert!(outcome.stderr.contains(&format!("[{rule}]")), "{FILE}:{line}: no {rule}: {outcome}");
        }
    }
}
