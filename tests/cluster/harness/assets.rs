//! Where the programs of a cluster are.

use std::path::PathBuf;
use std::{env, fs};

/// A folder with `kube-apiserver`, `etcd` and `kubectl`.
#[derive(Clone, Debug)]
pub(crate) struct Assets {
    folder: PathBuf,
}

impl Assets {
    /// `KUBEBUILDER_ASSETS`, else `PORTCULLIS_TEST_CLUSTER`, else `~/.cache/portcullis/test-cluster`.
    ///
    /// # Panics
    /// When a program is missing there; the message says how to get it.
    pub(crate) fn find() -> Self {
        let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = given("KUBEBUILDER_ASSETS")
            .or_else(|| given("PORTCULLIS_TEST_CLUSTER"))
            .or_else(|| given("HOME").map(|home| home.join(".cache/portcullis/test-cluster")))
            .unwrap_or_default();
        let missing: Vec<_> = ["kube-apiserver", "etcd", "kubectl"]
            .into_iter()
            .filter(|tool| !fs::metadata(folder.join(tool)).is_ok_and(|file| file.is_file()))
            .collect();
        assert!(
            missing.is_empty(),
            "no {} in `{}`: the cluster tests need a real API server. Run `tests/run.sh`, which installs one, \
             or set KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl",
            missing.join(", no "),
            folder.display(),
        );
        Self { folder }
    }

    /// `helm`, which KUBEBUILDER_ASSETS does not bring: there, where `install.sh` puts it, or on PATH.
    pub(crate) fn helm(&self) -> Option<PathBuf> {
        let installed = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/portcullis/test-cluster"));
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [self.folder.clone()].into_iter().chain(installed).chain(env::split_paths(&path));
        folders.map(|folder| folder.join("helm")).find(|file| fs::metadata(file).is_ok_and(|file| file.is_file()))
    }

    /// The path of one program.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
