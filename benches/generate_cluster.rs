//! Writes the manifests of a made-up cluster, the same for the same arguments: what the figures about `explain` and
//! `diff` are measured on.
//!
//! Usage: `generate_cluster DIR [NAMESPACES PODS POLICIES [CHANGED]]`, by default 1,000, 10,000, 10,000 and 0.
//!
//! What it is like, and what CHANGED does: `made_up/cluster.rs`.
#![expect(clippy::print_stderr, reason = "a generator says on stderr what it cannot do")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

#[path = "made_up/cluster.rs"]
mod cluster;

use cluster::{Size, manifests};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let Some(folder) = args.next().map(PathBuf::from) else {
        return usage();
    };
    let numbers: Result<Vec<usize>, _> = args.map(|arg| arg.parse()).collect();
    let Ok(numbers) = numbers else { return usage() };
    let size = match numbers[..] {
        [] => Size { namespaces: 1_000, pods: 10_000, policies: 10_000, changed: 0 },
        [namespaces, pods, policies] => Size { namespaces, pods, policies, changed: 0 },
        [namespaces, pods, policies, changed] => Size { namespaces, pods, policies, changed },
        _ => return usage(),
    };
    match write(&folder, &size) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            ExitCode::from(2)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: generate_cluster DIR [NAMESPACES PODS POLICIES [CHANGED]]");
    ExitCode::from(2)
}

/// One file a namespace.
fn write(folder: &Path, size: &Size) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for namespace in 0..size.namespaces {
        fs::write(folder.join(format!("ns-{namespace:04}.yaml")), manifests(namespace, size))?;
    }
    Ok(())
}
