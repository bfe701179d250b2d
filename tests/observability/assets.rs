//! The files under test, and the programs that judge them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/observability/alerts.yaml");
pub(crate) const ALERT_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/observability/tests");
pub(crate) const DASHBOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/observability/dashboard.json");
pub(crate) const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

/// `prometheus` or `promtool`, from `PORTCULLIS_PROMETHEUS` or else `~/.cache/portcullis/prometheus`.
pub(crate) fn tool(name: &str) -> PathBuf {
    let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = given("PORTCULLIS_PROMETHEUS")
        .or_else(|| given("HOME").map(|home| home.join(".cache/portcullis/prometheus")))
        .unwrap_or_default();
    let file = folder.join(name);
    assert!(
        file.is_file(),
        "no {}: run tests/observability/install.sh, or set PORTCULLIS_PROMETHEUS to a folder with prometheus and promtool",
        file.display()
    );
    file
}

/// Runs promtool with a file as its input; what it printed is the error when it is not content.
pub(crate) fn promtool(arguments: &[&str], input: Option<&Path>) -> Result<String, String> {
    let stdin = input.map_or_else(Stdio::null, |file| std::fs::File::open(file).expect("the input").into());
    let output = Command::new(tool("promtool")).args(arguments).stdin(stdin).output().expect("promtool starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if output.status.success() { Ok(text) } else { Err(text) }
}
