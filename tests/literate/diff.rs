//! `yaml before`, `yaml after` and `diff` blocks.

use std::fs;
use std::process::Command;

use crate::explain::Result;
use crate::literate::{Block, Section};

/// Whether a block of manifests of one state has any.
pub(crate) fn loads(block: &Block) -> Result {
    let reading = portcullis::manifest::parse("", &block.text);
    match reading.problems.first() {
        _ if block.has_run => Ok(0),
        Some(problem) => Err(vec![(block.line, problem.error.to_string())]),
        None if reading.documents.is_empty() => Err(vec![(block.line, "no manifests in this block".to_owned())]),
        None => Ok(0),
    }
}

/// Whether `portcullis diff` tells exactly this.
pub(crate) fn run(section: &Section, index: usize) -> Result {
    let block = &section.blocks[index];
    if block.has_run {
        return Ok(0);
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (file, info) in [("before.yaml", "yaml before"), ("after.yaml", "yaml after")] {
        let text = section.manifests(index, |one| one == info || one == "yaml");
        if text.is_empty() {
            return Err(vec![(block.line, format!("there are no manifests for `{info}` above"))]);
        }
        fs::write(folder.path().join(file), text).expect("written");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["diff", "before.yaml", "after.yaml"])
        .current_dir(folder.path())
        .output()
        .expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (out, err) = (text(output.stdout), text(output.stderr));
    if output.status.code() != Some(0) || !err.is_empty() {
        return Err(vec![(block.line, format!("portcullis diff ended with {}: {err}", output.status))]);
    }
    if out == block.text {
        return Ok(block.text.lines().count());
    }
    // The first line that is wrong, and all there is instead.
    let right = block.text.lines().zip(out.lines()).take_while(|(expected, got)| expected == got).count();
    let line = block.line + right;
    let (expected, got) = (block.text.trim_end(), out.trim_end());
    Err(vec![(line, format!("portcullis diff does not say so; expected\n{expected}\ngot\n{got}"))])
}
