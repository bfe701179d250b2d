//! The manifests that a command is given.

use std::io;
use std::path::{Path, PathBuf};

use crate::inventory::from_files::names;
use crate::manifest::{self, Reading};

/// What messages call the standard input.
const STDIN: &str = "<stdin>";

/// All inputs in the order they are named; `-` is the standard input.
pub(super) fn read(paths: &[PathBuf]) -> Reading {
    let mut reading = Reading::default();
    let is_stdin = |path: &PathBuf| path == Path::new("-");
    for (i, paths) in paths.split(is_stdin).enumerate() {
        // The second time there is nothing left of it.
        if i == 1 {
            reading.append(manifest::read_from(STDIN, io::stdin().lock()));
        }
        reading.append(manifest::read(paths));
    }
    reading
}

/// A namespace's name on the command line.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    if names::is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("a namespace's name is at most 63 lower-case letters, digits and `-`, with no `-` at either end".to_owned())
    }
}
