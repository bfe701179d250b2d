//! The cases in `tests/connectivity/*.md`: documentation of what policies mean, held to what the crate answers.
//!
//! A section is what follows a heading. Its cluster is what its `yaml` blocks hold, in their order; the section of a
//! heading that ends with `(continued)` adds to the cluster before it. A block of questions has one a line:
//!
//! ````text
//! ```explain
//! a/web -> b/db TCP/5432: allow
//! a/web -> b/Deployment/db TCP/5432: deny (egress: a/to-db egress[0]; ingress: no rule of b/deny, b/other)
//! a/web -> 8.8.8.8 UDP/53: unknown
//! ```
//! ````
//!
//! What stands in parentheses may be left out. An end is `not isolated`, or has the rules that allow, or `no rule of`
//! the policies that isolate it. `explain blocks-match-no-pods` asks where an ipBlock means only addresses outside of
//! the cluster. The manifests of `yaml faulty` have something that cannot be read, those of `yaml` have not.
//!
//! The text of `portcullis diff` between two states, of which both have what `yaml` blocks hold:
//!
//! ````text
//! ```yaml before
//! ```
//! ```yaml after
//! ```
//! ```diff
//! + a/web -> b/db  TCP/5432
//! 1 connection opens, none closes
//! ```
//! ````
//!
//! Every answer is asked of `portcullis explain` as well, and of the naive evaluator that the test `oracle` holds the
//! crate to: these cases are what holds the naive one.

use std::fs;
use std::path::Path;

use literate::{Section, sections};

// `cfg(test)` is always set here; it tells clippy that these are test code.
#[cfg(test)]
#[path = "literate/diff.rs"]
mod diff;
#[cfg(test)]
#[path = "literate/explain.rs"]
mod explain;
#[cfg(test)]
#[path = "literate/literate.rs"]
mod literate;
#[cfg(test)]
#[path = "oracle/naive.rs"]
mod naive;

/// What came of a file.
#[derive(Debug, Default)]
struct Outcome {
    answers: usize,
    failures: Vec<String>,
}

/// Runs a file of cases, as `file` in messages.
fn run(file: &str, text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    match sections(text) {
        Ok(sections) => {
            for (index, section) in sections.iter().enumerate() {
                let goes_on = sections.get(index + 1).is_some_and(Section::continued);
                run_section(file, section, goes_on, &mut outcome);
            }
        }
        Err((line, what)) => outcome.failures.push(format!("{file}:{line}: {what}")),
    }
    if outcome.answers == 0 && outcome.failures.is_empty() {
        outcome.failures.push(format!("{file}:1: has no cases"));
    }
    outcome
}

/// `goes_on`: the next section may ask what this one does not.
fn run_section(file: &str, section: &Section, goes_on: bool, outcome: &mut Outcome) {
    let mut asked = 0;
    let mut failed = |(line, what): (usize, String)| outcome.failures.push(format!("{file}:{line}: {what}"));
    for index in 0..section.blocks.len() {
        let block = &section.blocks[index];
        let result = match block.info.as_str() {
            "yaml" | "yaml faulty" => explain::loads(section, index),
            "explain" => explain::run(section, index, true),
            "explain blocks-match-no-pods" => explain::run(section, index, false),
            "yaml before" | "yaml after" => diff::loads(block),
            "diff" => diff::run(section, index),
            other => Err(vec![(block.line, format!("no such block: `{other}`"))]),
        };
        match result {
            Ok(answers) => asked += answers,
            Err(failures) => {
                asked += 1;
                failures.into_iter().for_each(&mut failed);
            }
        }
    }
    if asked == 0 && !section.blocks.is_empty() && !goes_on {
        failed((section.line, "nothing is asked of the manifests of this section".to_owned()));
    }
    outcome.answers += asked;
}

#[test]
fn the_documentation_is_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/connectivity");
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let (mut answers, mut failures) = (0, Vec::new());
    for path in &files {
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(name.ends_with(".md"), "{name} is no file of cases");
        let outcome = run(&format!("tests/connectivity/{name}"), &fs::read_to_string(path).expect("text"));
        answers += outcome.answers;
        failures.extend(outcome.failures);
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n\n"));
    assert!(files.len() >= 12 && answers >= 60, "{answers} answers in {} files", files.len());
}

const POD: &str = "```yaml\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a}}\n```\n";

/// The one failure of a file.
fn failure(text: &str) -> String {
    let failures = run("x.md", text).failures;
    assert_eq!(failures.len(), 1, "{failures:#?}");
    failures.concat()
}

#[test]
fn a_wrong_answer_is_told_with_its_place() {
    let asked = |line: &str| format!("# A\n{POD}```explain\na/p -> 1.1.1.1 TCP/80: allow\n{line}\n```\n");
    assert_eq!(
        run("x.md", &asked("a/p -> 8.8.8.8 UDP/53: allow (egress: not isolated; ingress: not isolated)")).failures,
        [""; 0]
    );
    assert_eq!(
        failure(&asked("a/p -> 8.8.8.8 UDP/53: deny")),
        "x.md:7: expected a/p -> 8.8.8.8 UDP/53: deny\n     got a/p -> 8.8.8.8 UDP/53: allow"
    );
    let rules = "a/p -> 8.8.8.8 UDP/53: allow (egress: a/x egress[0]; ingress: not isolated)";
    assert!(failure(&asked(rules)).ends_with("allow (egress: not isolated; ingress: not isolated)"));
    assert!(failure(&asked("a/q -> 8.8.8.8 UDP/53: deny")).contains("a/q"));
    assert!(failure(&asked("a/p to 8.8.8.8")).contains("FROM -> TO PROTOCOL/PORT: VERDICT"));
}

#[test]
fn a_wrong_difference_is_told_with_its_place() {
    let pod = POD.replace("yaml", "yaml before") + &POD.replace("yaml", "yaml after");
    let asked = |text: &str| format!("# A\n{pod}```diff\n{text}```\n");
    assert_eq!(run("x.md", &asked("no connection opens or closes\n")).failures, [""; 0]);
    assert!(failure(&asked("")).starts_with("x.md:9: "));
    assert!(failure(&asked("no connection opens or closes\n+ a/p -> b/q  TCP/80\n")).starts_with("x.md:10: "));
    let half = format!("# A\n{}```diff\n```\n", POD.replace("yaml", "yaml before"));
    assert!(failure(&half).contains("no manifests for `yaml after`"));
}

#[test]
fn nothing_is_passed_over() {
    assert!(failure("# A\nprose\n").contains("has no cases"));
    assert!(failure(&format!("# A\n{POD}")).contains("nothing is asked"));
    assert!(failure("# A\n```explain\n8.8.8.8 -> 8.8.4.4 TCP/1: allow\n```\n").contains("no manifests"));
    assert!(failure(&format!("# A\n{POD}```explain\n```\n")).contains("asks nothing"));
    assert!(failure(&format!("# A\n{POD}```yml\na: b\n```\n")).contains("no such block: `yml`"));
    assert!(failure(&format!("# A\n{POD}```explain\na/p -> a/p TCP/1: allow\n")).contains("never closed"));
    assert!(failure("# A\n```yaml\n# nothing\n```\n").contains("no manifests"));
    assert!(failure("# A\n```yaml\na: b\n```\n").contains("x.md:3: is no Kubernetes object"));
    assert!(failure(&format!("# A\n{}", POD.replace("yaml", "yaml faulty"))).contains("nothing is wrong"));
}

#[test]
fn a_section_begins_with_nothing_unless_it_is_continued() {
    let asked = "```explain\na/p -> a/p TCP/1: allow\n```\n";
    assert_eq!(run("x.md", &format!("# A\n{POD}{asked}## B (continued)\n{asked}")).failures, [""; 0]);
    assert!(failure(&format!("# A\n{POD}{asked}## B\n{asked}")).contains("no manifests"));
}
