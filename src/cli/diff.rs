//! `portcullis diff BEFORE AFTER`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::input::{self, namespace};
use super::{CANNOT, cannot, note, print, wants_colour, warn};
use crate::inventory::Inventory;
use crate::inventory::from_files::{DEFAULT_NAMESPACE, Loaded, load};
use crate::netpol::connectivity::difference::{Limit, difference};
use crate::report::diff::{dot, json, markdown, text};

/// Arguments of `portcullis diff`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The manifests as they were: a file, a folder, `-` for the standard input
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// The manifests as they will be
    #[arg(value_name = "AFTER")]
    after: PathBuf,

    /// The namespace of manifests that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = DEFAULT_NAMESPACE, value_parser = namespace)]
    namespace: String,

    /// Whether an ipBlock also matches pods whose addresses lie in it, which is the network plugin's choice
    #[arg(long, value_name = "true|false", default_value_t = true, action = clap::ArgAction::Set)]
    ipblock_matches_pods: bool,

    /// How the result is written
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// Markdown, for a pull request
    Md,
    /// A graph for Graphviz
    Dot,
}

pub(super) fn run(args: &Args) -> ExitCode {
    if [&args.before, &args.after].into_iter().all(|path| path == Path::new("-")) {
        return cannot("BEFORE and AFTER cannot both be the standard input");
    }
    let (before, good_before) = inventory(&args.before, &args.namespace);
    let (after, good_after) = inventory(&args.after, &args.namespace);
    let [before, after] = [&before, &after].map(|inventory| inventory.world(args.ipblock_matches_pods));
    let difference = match difference(&before, &after, Limit::COMMAND) {
        Ok(difference) => difference,
        Err(error) => return cannot(error),
    };
    let rendered = match args.output {
        Output::Text => Ok(text::render(&difference, wants_colour())),
        Output::Json => json::render(&difference),
        Output::Md => Ok(markdown::render(&difference)),
        Output::Dot => Ok(dot::render(&difference)),
    };
    let printed = match rendered {
        Ok(text) => print(&text),
        Err(error) => cannot(error),
    };
    let good = good_before && good_after && !difference.unknown;
    if printed == ExitCode::SUCCESS && !good { ExitCode::from(CANNOT) } else { printed }
}

/// What some manifests describe, and whether all of them could be read. What could not is told.
fn inventory(path: &Path, namespace: &str) -> (Inventory, bool) {
    let Loaded { inventory, problems } = load(&input::read(&[path.to_owned()]), namespace);
    for problem in &problems {
        warn(problem);
    }
    if inventory.is_empty() && problems.is_empty() {
        note(format_args!("there is no NetworkPolicy, Namespace, Pod or workload in {}", path.display()));
    }
    (inventory, problems.is_empty())
}
