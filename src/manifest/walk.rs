//! From a path to texts.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Error, MAX_BYTES, Place, Problem};

/// The extensions a folder is searched for. A file named outright may be called anything.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// How deep folders are followed; more is a link in a circle.
const MAX_FOLDERS: usize = 40;

/// The manifests at `path`: itself, or what its folders hold in lexical order.
pub(super) fn files(path: &Path) -> Vec<Result<PathBuf, Problem>> {
    if !path.is_dir() {
        return vec![Ok(path.to_owned())];
    }
    let mut found = Vec::new();
    search(path, 0, &mut found);
    if found.is_empty() {
        found.push(Err(problem(path, None, Error::NoManifests)));
    }
    found
}

/// Names with a leading dot are left out: `.git`, and above all the `..data` links of a mounted
/// ConfigMap, through which every file would be read twice.
fn search(folder: &Path, depth: usize, found: &mut Vec<Result<PathBuf, Problem>>) {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut entries: Vec<PathBuf> = match entries {
        Ok(entries) => entries,
        Err(error) => return found.push(Err(problem(folder, None, Error::Unreadable(error.to_string())))),
    };
    entries.sort();
    for entry in entries {
        if entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        if entry.is_dir() {
            if depth < MAX_FOLDERS {
                search(&entry, depth + 1, found);
            } else {
                let error = Error::Unreadable("folders nested too deep; is there a link in a circle?".to_owned());
                found.push(Err(problem(&entry, None, error)));
            }
        } else if entry
            .extension()
            .is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
        {
            found.push(Ok(entry));
        }
    }
}

/// The text of a file.
pub(super) fn text(path: &Path) -> Result<String, Problem> {
    let file = File::open(path).map_err(|error| problem(path, None, Error::Unreadable(error.to_string())))?;
    text_of(&path.display().to_string(), file)
}

/// The text of a stream, which may be a pipe: its size is known only at its end.
pub(super) fn text_of(name: &str, stream: impl Read) -> Result<String, Problem> {
    let problem = |place, error| Problem { file: name.into(), place, error };
    let mut bytes = Vec::new();
    let read = stream.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| problem(None, Error::Unreadable(error.to_string())))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(problem(None, Error::TooLarge));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let readable = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default()).into_owned();
        problem(Some(Place { line: 1, column: 1 }.after(&readable)), Error::NotUtf8)
    })
}

fn problem(path: &Path, place: Option<Place>, error: Error) -> Problem {
    Problem { file: path.display().to_string().into(), place, error }
}
