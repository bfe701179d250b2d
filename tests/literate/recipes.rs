//! `docs/cookbook.md` as recipes: the files of a folder, and what is said of them.
//!
//! A `yaml` block is a file; its first line is a comment with its name. A `console` block has commands, each with what
//! it prints. The folder is one for the whole document: a block replaces the file of that name from before.

use std::fs;
use std::path::Path;
use std::process::Command as Process;

use tempfile::TempDir;

use crate::literate::{Block, sections};

/// What went wrong, and on which line of the document.
pub(crate) type Failure = (usize, String);

/// A section of the document.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The heading of the part it belongs to.
    pub(crate) part: String,
    pub(crate) title: String,
    pub(crate) line: usize,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) enum Step {
    File { line: usize, name: String, text: String },
    Command(Command),
}

/// A line with a prompt, and what it prints.
#[derive(Debug)]
pub(crate) struct Command {
    /// Where it stands.
    pub(crate) line: usize,
    pub(crate) words: Vec<String>,
    /// The file that takes its output, as in `… > FILE`.
    pub(crate) into: Option<String>,
    /// What the document says that it prints.
    pub(crate) told: String,
}

impl Recipe {
    pub(crate) fn commands(&self) -> impl Iterator<Item = &Command> {
        self.steps.iter().filter_map(|step| if let Step::Command(command) = step { Some(command) } else { None })
    }
}

impl Command {
    /// Whether it is a `portcullis check`.
    pub(crate) fn is_check(&self) -> bool {
        !self.is_kubectl() && self.words.get(1).is_some_and(|word| word == "check")
    }

    /// The rules of that level that the document says are found, as in `deny[RULE]: …`.
    pub(crate) fn found(&self, level: &str) -> Vec<&str> {
        let head = format!("{level}[");
        self.told.lines().filter_map(|line| line.strip_prefix(&head)?.split(']').next()).collect()
    }

    /// Whether it is for a cluster.
    pub(crate) fn is_kubectl(&self) -> bool {
        self.words.first().is_some_and(|word| word == "kubectl")
    }
}

/// The recipes of a document.
pub(crate) fn recipes(text: &str) -> Result<Vec<Recipe>, Failure> {
    let mut recipes = Vec::new();
    let mut part = String::new();
    for section in sections(text)? {
        if let Some(title) = section.heading.strip_prefix("## ") {
            title.clone_into(&mut part);
        }
        let mut steps = Vec::new();
        for block in section.blocks.iter().filter(|block| !block.has_run) {
            match block.info.as_str() {
                "yaml" => steps.push(file(block)?),
                "console" => steps.extend(commands(block)?),
                other => return Err((block.line, format!("no such block: `{other}`"))),
            }
        }
        let title = section.heading.trim_start_matches(['#', ' ']).to_owned();
        recipes.push(Recipe { part: part.clone(), title, line: section.line, steps });
    }
    Ok(recipes)
}

fn file(block: &Block) -> Result<Step, Failure> {
    let name = block.text.lines().next().and_then(|line| line.strip_prefix("# "));
    match name.filter(|name| name.ends_with(".yaml") && !name.contains("..") && !name.starts_with('/')) {
        Some(name) => Ok(Step::File { line: block.line, name: name.to_owned(), text: block.text.clone() }),
        None => Err((block.line, "the first line is not the name of the file, as in `# NAME.yaml`".to_owned())),
    }
}

fn commands(block: &Block) -> Result<Vec<Step>, Failure> {
    let mut commands: Vec<Command> = Vec::new();
    for (line, text) in (block.line..).zip(block.text.lines()) {
        match (text.strip_prefix("$ "), commands.last_mut()) {
            (Some(written), _) => commands.push(command(line, written)?),
            (None, Some(command)) => {
                command.told += text;
                command.told.push('\n');
            }
            (None, None) => return Err((line, "the block does not begin with a command, as in `$ …`".to_owned())),
        }
    }
    if commands.is_empty() {
        return Err((block.line, "this block asks nothing".to_owned()));
    }
    Ok(commands.into_iter().map(Step::Command).collect())
}

fn command(line: usize, written: &str) -> Result<Command, Failure> {
    let (written, into) = match written.split_once(" > ") {
        Some((written, into)) => (written, Some(into.to_owned())),
        None => (written, None),
    };
    if written.contains(['"', '\'', '\\', '|', '<', '>', '$', '&', ';', '*']) {
        return Err((line, "a command is words, and perhaps `> FILE` behind them".to_owned()));
    }
    let words: Vec<String> = written.split_whitespace().map(str::to_owned).collect();
    match words.first().map(String::as_str) {
        Some("portcullis" | "kubectl") => Ok(Command { line, words, into, told: String::new() }),
        _ => Err((line, "neither a command of `portcullis` nor of `kubectl`".to_owned())),
    }
}

/// The document with what these commands print.
pub(crate) fn mended(text: &str, printed: &[(&Command, String)]) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    // From the end, so that the lines before keep their numbers.
    for (command, printed) in printed.iter().rev() {
        lines.splice(command.line..command.line + command.told.lines().count(), printed.lines());
    }
    lines.join("\n") + "\n"
}

/// Whether the document is to be mended before it is looked at.
pub(crate) fn is_to_be_mended() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

/// The folder that somebody has who follows the document.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// Runs a command of `portcullis`: what it prints, or how it failed. It may end with 1 where something is denied.
    pub(crate) fn run(&self, command: &Command) -> Result<String, String> {
        let output = Process::new(env!("CARGO_BIN_EXE_portcullis"))
            .env_clear()
            .current_dir(self.path())
            .args(&command.words[1..])
            .output()
            .expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (out, err) = (text(output.stdout), text(output.stderr));
        let denied = command.is_check() && out.lines().any(|line| line.starts_with("deny["));
        if output.status.code() != Some(i32::from(denied)) || !err.is_empty() {
            return Err(format!("ended with {}: {err}{out}", output.status));
        }
        match &command.into {
            Some(into) => self.write(into, &out),
            None => return Ok(out),
        }
        Ok(String::new())
    }
}
