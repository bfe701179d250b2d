//! The house keeps its order: who may import whom, as the table in the documentation of `src/lib.rs` says, and how
//! large a room may grow.
#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of this file are test code as well")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 400;
/// Cases are read one by one, so a file of them may be longer.
const MAX_TEST_LINES: usize = 600;
const MAX_MAIN_LINES: usize = 40;

// ---- The table -------------------------------------------------------------------------------------------------------

/// What the files of a room may use.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    /// A module, such as `inventory` or `inventory::from_cluster`, which may use what `inventory` may as well.
    room: String,
    rooms: Names,
    crates: Names,
    world: Names,
}

#[derive(Debug, PartialEq, Eq)]
enum Names {
    Everything,
    These(BTreeSet<String>),
}

impl Names {
    /// A cell: names in backticks, or `everything`, or a dash for nothing.
    fn read(cell: &str) -> Self {
        match cell.trim() {
            "everything" => Self::Everything,
            "–" => Self::These(BTreeSet::new()),
            names => Self::These(names.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect()),
        }
    }

    fn have(&self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::These(names) => names.contains(name),
        }
    }

    fn named(&self) -> impl Iterator<Item = &String> {
        match self {
            Self::Everything => None,
            Self::These(names) => Some(names),
        }
        .into_iter()
        .flatten()
    }
}

/// The table in the documentation of a file: the rows after the one that begins with `room`.
fn table(source: &str) -> Vec<Row> {
    let lines = source.lines().filter_map(|line| line.strip_prefix("//! |"));
    let cells = lines.map(|line| line.trim_end_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let rows = cells.skip_while(|cells| cells[0] != "room").skip(1).filter(|cells| !cells[0].starts_with("--"));
    let row = |cells: Vec<&str>| {
        let [room, rooms, crates, world] = cells[..] else { panic!("a row of the table has four cells: {cells:?}") };
        let room = room.trim_matches('`').to_owned();
        Row { room, rooms: Names::read(rooms), crates: Names::read(crates), world: Names::read(world) }
    };
    rows.map(row).collect()
}

// ---- The sources -----------------------------------------------------------------------------------------------------

struct Source {
    /// As it is told, such as `src/netpol/policy.rs`.
    path: String,
    /// The modules it is in, its own last: `netpol`, `policy`.
    modules: Vec<String>,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let modules = inside.split('/').map(str::to_owned).collect();
        Self { path: path.to_owned(), modules, text: text.to_owned() }
    }

    /// Whether all of the file is compiled for tests alone.
    fn is_for_tests(&self) -> bool {
        self.modules.iter().any(|module| module == "tests" || module.ends_with("_tests"))
    }

    fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let (mut folders, mut files) = (vec![root().join("src")], Vec::<PathBuf>::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let told = path.strip_prefix(root()).expect("inside").to_str().expect("text").replace('\\', "/");
        Source::new(&told, &fs::read_to_string(path).expect("text"))
    };
    files.iter().map(read).collect()
}

fn lib() -> String {
    fs::read_to_string(root().join("src/lib.rs")).expect("text")
}

/// The crates that `[dependencies]` of Cargo.toml names, as the code names them.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("text");
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))).collect()
}

// ---- From a source to what it uses -----------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Sign(char),
}

/// The tokens of a source with the lines they are in, without comments, strings and characters.
fn tokens(source: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len()),
            ('/', '*') => {
                (i + 2..chars.len()).find(|&j| at(j) == '*' && at(j + 1) == '/').map_or(chars.len(), |j| j + 2)
            }
            ('r', '"' | '#') if raw_string(&chars, i).is_some() => raw_string(&chars, i).unwrap_or(i + 1),
            ('"', _) => quoted(&chars, i),
            ('\'', '\\') => quoted(&chars, i),
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            (':', ':') => {
                tokens.push((line, Token::Colons));
                i + 2
            }
            (c, _) if word(c) => {
                let end = (i..chars.len()).find(|&j| !word(at(j))).unwrap_or(chars.len());
                tokens.push((line, Token::Word(chars[i..end].iter().collect())));
                end
            }
            (c, _) => {
                if !c.is_whitespace() {
                    tokens.push((line, Token::Sign(c)));
                }
                i + 1
            }
        };
        line += chars[i..end].iter().filter(|c| **c == '\n').count();
        i = end;
    }
    tokens
}

/// The end of a string or character that begins here.
fn quoted(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != chars[start] {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// The end of the raw string that begins at this `r`, if one does.
fn raw_string(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let inside = start + 1 + hashes + 1;
    (chars.get(inside - 1) == Some(&'"')).then_some(())?;
    let closes = |i: &usize| chars[*i] == '"' && (1..=hashes).all(|k| chars.get(i + k) == Some(&'#'));
    (inside..chars.len()).find(closes).map(|end| end + 1 + hashes)
}

/// Leaves out each item under `#[cfg(test)]`, up to its `;` or its closing brace.
fn without_tests(tokens: &[(usize, Token)]) -> Vec<(usize, Token)> {
    let cfg_test: Vec<Token> = self::tokens("#[cfg(test)]").into_iter().map(|(_, token)| token).collect();
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        let here = tokens[i..].iter().take(cfg_test.len()).map(|(_, token)| token);
        if !here.eq(cfg_test.iter()) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i += cfg_test.len();
        let mut depth = 0;
        while let Some((_, token)) = tokens.get(i) {
            i += 1;
            match token {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') if depth == 1 => break,
                Token::Sign('}') => depth -= 1,
                Token::Sign(';') if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// Every path of two names or more, with the lists in braces of `use` spread out.
fn paths(tokens: &[(usize, Token)]) -> Vec<(usize, Vec<String>)> {
    let (mut paths, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        i = if matches!(tokens[i].1, Token::Word(_)) { tree(tokens, i, &[], &mut paths) } else { i + 1 };
    }
    paths.retain(|(_, path)| path.len() > 1);
    paths
}

/// Reads one path, or a part of one in braces, and says where it ends.
fn tree(tokens: &[(usize, Token)], start: usize, prefix: &[String], paths: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut path = prefix.to_vec();
    let mut i = start;
    while let Some((line, Token::Word(word))) = tokens.get(i) {
        path.push(word.clone());
        if tokens.get(i + 1).map(|(_, token)| token) != Some(&Token::Colons) {
            paths.push((*line, path));
            return i + 1;
        }
        i += 2;
    }
    if tokens.get(i).map(|(_, token)| token) != Some(&Token::Sign('{')) {
        paths.push((tokens[start].0, path));
        return i.max(start + 1);
    }
    i += 1;
    while let Some((_, token)) = tokens.get(i) {
        i = match token {
            Token::Sign('}') => return i + 1,
            Token::Word(_) => tree(tokens, i, &path, paths),
            _ => i + 1,
        };
    }
    i
}

/// What a path stands for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Room(String),
    Crate(String),
    /// The world outside, which gives another answer tomorrow.
    World(&'static str),
}

fn uses(source: &Source, dependencies: &BTreeSet<String>) -> BTreeSet<(usize, Use)> {
    let mut uses = BTreeSet::new();
    for (line, path) in paths(&without_tests(&tokens(&source.text))) {
        let ups = path.iter().take_while(|name| *name == "super").count();
        let from_root = match path[0].as_str() {
            "crate" | "portcullis" => 1,
            "super" if ups == source.modules.len() => ups,
            _ => 0,
        };
        if from_root > 0 {
            uses.extend(path.get(from_root).map(|room| (line, Use::Room(room.clone()))));
        } else if dependencies.contains(&path[0]) {
            uses.insert((line, Use::Crate(path[0].clone())));
        }
        uses.extend(world(&path).map(|what| (line, Use::World(what))));
    }
    uses
}

fn world(path: &[String]) -> Option<&'static str> {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let pairs = || names.windows(2).map(|pair| (pair[0], pair[1]));
    let has = |name| names.contains(&name);
    match names[..] {
        ["std" | "tokio", "fs", ..] => Some("files"),
        ["std", "env", ..] => Some("environment"),
        ["std", "thread", ..] => Some("threads"),
        _ if has("TcpListener") || has("TcpStream") || has("UdpSocket") || has("UnixListener") => Some("sockets"),
        _ if has("SystemTime") || pairs().any(|pair| matches!(pair, ("Timestamp" | "Zoned", "now"))) => Some("clock"),
        _ if pairs().any(|pair| pair == ("Instant", "now")) => Some("stopwatch"),
        _ => None,
    }
}

/// What a source uses and may not.
fn violations(source: &Source, table: &[Row], dependencies: &BTreeSet<String>) -> Vec<String> {
    let module = source.modules.join("::");
    let inside = |row: &&Row| module == row.room || module.starts_with(&format!("{}::", row.room));
    let rows: Vec<&Row> = table.iter().filter(inside).collect();
    let (path, own) = (&source.path, &source.modules[0]);
    if rows.is_empty() {
        return vec![format!("{path}: `{module}` has no row in the table of src/lib.rs: add one, and a paragraph")];
    }
    let uses = uses(source, dependencies);
    let told = uses.iter().filter_map(|(line, what)| {
        let (told, may) = match what {
            Use::Room(room) => (format!("crate::{room}"), room == own || rows.iter().any(|row| row.rooms.have(room))),
            Use::Crate(name) => (format!("the crate {name}"), rows.iter().any(|row| row.crates.have(name))),
            Use::World(name) => (format!("the {name}"), rows.iter().any(|row| row.world.have(name))),
        };
        (!may).then(|| format!("{path}:{line}: `{module}` may not use {told}"))
    });
    told.collect()
}

// ---- The rules of the house ------------------------------------------------------------------------------------------

fn assert_none(what: &[String], why: &str) {
    assert!(what.is_empty(), "{}\n{why}", what.join("\n"));
}

#[test]
fn every_room_keeps_to_the_table() {
    let (table, dependencies) = (table(&lib()), dependencies());
    let code = sources().into_iter().filter(|source| !source.is_for_tests() && source.path != "src/lib.rs");
    let found: Vec<String> = code.flat_map(|source| violations(&source, &table, &dependencies)).collect();
    assert_none(
        &found,
        "The table in the documentation of src/lib.rs says who may use what, and why the rooms are apart.",
    );
}

/// A room uses only rooms above it, so there are no circles.
#[test]
fn the_table_goes_from_the_bottom_up_and_names_what_there_is() {
    let (table, dependencies, lib) = (table(&lib()), dependencies(), lib());
    let mut above = BTreeSet::new();
    for row in &table {
        let file = root().join("src").join(row.room.replace("::", "/"));
        let exists = file.with_extension("rs").is_file() || file.join("mod.rs").is_file();
        assert!(exists, "the table has a row for `{}`, which is not there", row.room);
        for room in row.rooms.named() {
            assert!(above.contains(room), "`{}` uses `{room}`, which has to stand above it in the table", row.room);
        }
        for name in row.crates.named() {
            assert!(dependencies.contains(name), "`{}`: Cargo.toml has no dependency {name}", row.room);
        }
        for name in row.world.named() {
            let known = ["files", "environment", "threads", "sockets", "clock", "stopwatch"];
            assert!(known.contains(&name.as_str()), "`{}`: {name} is none of {known:?}", row.room);
        }
        assert!(row.room == "main" || above.insert(row.room.clone()), "`{}` has two rows", row.room);
        let told = row.room.contains("::") || lib.contains(&format!("\n//! [`{}`]", row.room)) || row.room == "main";
        assert!(told, "the documentation of src/lib.rs has no paragraph that begins with [`{}`]", row.room);
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = |source: &Source| !source.is_for_tests() && !source.text.starts_with("//! ");
    let silent: Vec<String> = sources().into_iter().filter(silent).map(|source| source.path).collect();
    assert_none(&silent, "A file begins with a line of `//!` that says what it is for.");
}

#[test]
fn files_are_small() {
    let limit = |source: &Source| if source.is_for_tests() { MAX_TEST_LINES } else { MAX_LINES };
    let large = sources().into_iter().filter(|source| source.lines() > limit(source));
    let large: Vec<String> =
        large.map(|source| format!("{}: {} lines, {} at most", source.path, source.lines(), limit(&source))).collect();
    assert_none(&large, "A file that outgrows this usually hides a second idea: give it a file of its own.");
}

#[test]
fn main_only_calls_the_command_line() {
    let sources = sources();
    let main = sources.iter().find(|source| source.path == "src/main.rs").expect("a main");
    assert!(main.lines() <= MAX_MAIN_LINES, "src/main.rs has {} lines: what it does belongs into cli", main.lines());
}

// ---- The tests of this test ------------------------------------------------------------------------------------------

const SMALL: &str = "//! A house.
//!
//! | other | table |
//! |---|---|
//! | `x` | y |
//!
//! | room | may use | crates | world |
//! |---|---|---|---|
//! | `netpol` | – | `serde_json`, `ipnet` | – |
//! | `rules` | `netpol` | – | `stopwatch` |
//! | `rules::odd` | – | `kube` | `files` |
//! | `cli` | everything | everything | everything |

pub mod netpol;
";

const BAD: &str = r##"//! use crate::documented::Path;
use crate::netpol::{self, ip_set::IpSet};
use crate::{engine, finding::{Finding, Level as L}};
use std::{fmt, fs::File, time::{Instant, SystemTime}};
/* use crate::commented::Out; */
fn check<'a>(x: &'a str) -> kube::Result<()> {
    let texts = ["crate::quoted::A", r#"crate::raw::"A""#, "\"crate::escaped::A"];
    let signs = ['"', '\'', ':'];
    let now = jiff::Timestamp::now();
    super::server::start::<axum::Router>(Instant::now())
}
#[cfg(test)]
use crate::tested::Alone;
#[cfg(test)]
mod tests {
    use crate::tested::{A, B};
    fn x() { crate::tested::x() }
}
fn last() { crate::cli::run() }
"##;

fn small_dependencies() -> BTreeSet<String> {
    ["axum", "ipnet", "jiff", "kube", "serde_json"].map(str::to_owned).into()
}

fn found(path: &str, text: &str) -> Vec<String> {
    violations(&Source::new(path, text), &table(SMALL), &small_dependencies())
}

#[test]
fn a_bad_file_is_told_line_by_line() {
    let expected = [
        "src/rules.rs:3: `rules` may not use crate::engine",
        "src/rules.rs:3: `rules` may not use crate::finding",
        "src/rules.rs:4: `rules` may not use the clock",
        "src/rules.rs:4: `rules` may not use the files",
        "src/rules.rs:6: `rules` may not use the crate kube",
        "src/rules.rs:9: `rules` may not use the crate jiff",
        "src/rules.rs:9: `rules` may not use the clock",
        "src/rules.rs:10: `rules` may not use crate::server",
        "src/rules.rs:10: `rules` may not use the crate axum",
        "src/rules.rs:19: `rules` may not use crate::cli",
    ];
    assert_eq!(found("src/rules.rs", BAD), expected);
    assert_eq!(found("src/cli/mod.rs", BAD), Vec::<String>::new());
}

#[test]
fn a_row_of_its_own_adds_to_that_of_the_room() {
    let text = "use kube::Client;\nuse std::fs;\nuse crate::netpol::A;\nuse crate::rules::B;\nuse super::super::cli;\n";
    let file = "src/rules/odd/deep.rs";
    assert_eq!(found(file, text), Vec::<String>::new(), "three `super` would leave the room, not two");
    let up = "use super::super::super::cli;\n";
    assert_eq!(found(file, up), ["src/rules/odd/deep.rs:1: `rules::odd::deep` may not use crate::cli"]);
    let other = ["src/rules/oddity.rs:1: `rules::oddity` may not use the crate kube"];
    assert_eq!(found("src/rules/oddity.rs", "use kube::Client;\n"), other);
}

#[test]
fn a_room_without_a_row_is_told() {
    let told = found("src/attic.rs", "fn x() {}\n");
    assert!(told.len() == 1 && told[0].contains("`attic` has no row"), "{told:?}");
}

#[test]
fn files_of_tests_are_told_by_their_names() {
    for (path, expected) in [
        ("src/engine/tests.rs", true),
        ("src/netpol/selector/tests/hard.rs", true),
        ("src/server/app_tests.rs", true),
        ("src/server/app.rs", false),
        ("src/rules/mod.rs", false),
    ] {
        assert_eq!(Source::new(path, "").is_for_tests(), expected, "{path}");
    }
}
