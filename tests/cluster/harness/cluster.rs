//! `etcd` and `kube-apiserver`.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::assets::Assets;
use super::kubectl::{self, Outcome, User};
use super::process::Process;
use super::wait::{free_ports, try_wait_until, wait_until};

/// Two seconds on an idle machine; tests share theirs with others.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often a start is tried again on other ports when another process took one of ours.
const STARTS: usize = 3;
const OWN_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A Kubernetes control plane of API server and store, without controllers or nodes: a namespace that is deleted stays
/// `Terminating`, and no pod ever runs.
///
/// Each has its own ports and folder, so tests can run side by side. Dropping it ends both processes.
#[derive(Debug)]
pub(crate) struct Cluster {
    // In the order in which they must go: the API server before its store, the folder last.
    api_server: Option<Process>,
    etcd: Process,
    api_port: u16,
    etcd_port: u16,
    extra_args: Vec<String>,
    version: (u32, u32),
    assets: Assets,
    folder: TempDir,
}

impl Cluster {
    /// Starts a cluster and waits until it is usable.
    ///
    /// # Panics
    /// When it does not come up; the message quotes the logs.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more flags for the API server.
    pub(crate) fn start_with(extra_args: &[&str]) -> Self {
        let assets = Assets::find();
        (0..STARTS).find_map(|_| Self::try_start(&assets, extra_args)).expect("lost the race for free ports every time")
    }

    /// Nothing when a port was taken in the meantime.
    fn try_start(assets: &Assets, extra_args: &[&str]) -> Option<Self> {
        let folder = TempDir::with_prefix("portcullis-cluster-").expect("temporary folder");
        let [api_port, etcd_port, peer_port] = free_ports();
        fs::write(folder.path().join("tokens.csv"), kubectl::token_file()).expect("write the tokens");
        make_service_account_key(folder.path());
        let mut cluster = Self {
            api_server: None,
            etcd: start_etcd(assets, folder.path(), etcd_port, peer_port),
            api_port,
            etcd_port,
            extra_args: extra_args.iter().map(|&arg| arg.to_owned()).collect(),
            version: (0, 0),
            assets: assets.clone(),
            folder,
        };
        kubectl::write_kubeconfigs(cluster.folder.path(), api_port, &cluster.api_certificate());
        if !cluster.launch_api_server() {
            return None;
        }
        cluster.version = cluster.read_version();
        cluster.wait_for_own_namespaces();
        Some(cluster)
    }

    /// The version of the API server that runs, as major and minor.
    pub(crate) fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Whether the API server is at least 1.`minor`; if not, prints that the test of `what` is skipped.
    #[must_use]
    pub(crate) fn has(&self, minor: u32, what: &str) -> bool {
        let (major, this) = self.version;
        let there = (major, this) >= (1, minor);
        if !there {
            eprintln!("skipped: {what} needs Kubernetes 1.{minor}, and this API server is {major}.{this}");
        }
        there
    }

    /// Runs `kubectl` as admin.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Outcome {
        self.kubectl_as(User::Admin, args)
    }

    /// Runs `kubectl` as somebody.
    pub(crate) fn kubectl_as(&self, user: User, args: &[&str]) -> Outcome {
        kubectl::run(&self.assets, self.folder.path(), user, args, None)
    }

    /// Runs `kubectl` as admin with manifests on its standard input: `kubectl_stdin(&["apply", "-f", "-"], yaml)`.
    pub(crate) fn kubectl_stdin(&self, args: &[&str], manifests: &str) -> Outcome {
        self.kubectl_stdin_as(User::Admin, args, manifests)
    }

    /// The same as somebody.
    pub(crate) fn kubectl_stdin_as(&self, user: User, args: &[&str], manifests: &str) -> Outcome {
        kubectl::run(&self.assets, self.folder.path(), user, args, Some(manifests))
    }

    /// Runs `helm` as admin; nothing without one, and that is printed.
    pub(crate) fn helm(&self, args: &[&str]) -> Option<Outcome> {
        let Some(program) = self.assets.helm() else {
            eprintln!("skipped: no `helm`; tests/cluster/install.sh installs it, or it can be on PATH");
            return None;
        };
        let config = self.kubeconfig(User::Admin).display().to_string();
        let args: Vec<_> = args.iter().copied().chain(["--kubeconfig", &config]).map(str::to_owned).collect();
        Some(kubectl::execute(&program, self.folder.path(), &args, None))
    }

    /// `kubectl apply` of manifests as admin.
    pub(crate) fn apply(&self, manifests: &str) -> Outcome {
        self.kubectl_stdin(&["apply", "-f", "-"], manifests)
    }

    /// A namespace, with the label of its name, which servers before 1.21 do not set themselves.
    pub(crate) fn namespace(&self, name: &str) -> Outcome {
        self.namespace_with(name, &[])
    }

    /// The same with more labels.
    pub(crate) fn namespace_with(&self, name: &str, labels: &[(&str, &str)]) -> Outcome {
        self.kubectl_stdin(&["create", "-f", "-"], &namespace_manifest(name, labels).to_string())
    }

    /// Lets a user's group do something everywhere, and waits until the API server knows.
    ///
    /// The roles `view`, `edit` and `admin` cannot be bound instead: a controller that is not here would fill them.
    pub(crate) fn grant(&self, user: User, verbs: &[&str], resources: &[&str]) {
        let name = format!("{}-{}-{}", user.name(), verbs.join("-"), resources.join("-")).replace(['.', '/', '*'], "-");
        let (verbs_flag, resources_flag) =
            (format!("--verb={}", verbs.join(",")), format!("--resource={}", resources.join(",")));
        self.kubectl(&["create", "clusterrole", &name, &verbs_flag, &resources_flag]).ok();
        let (role, group) = (format!("--clusterrole={name}"), format!("--group={}", user.group()));
        self.kubectl(&["create", "clusterrolebinding", &name, &role, &group]).ok();
        for (verb, resource) in verbs.iter().flat_map(|verb| resources.iter().map(move |resource| (verb, resource))) {
            self.wait_for_access(user, verb, resource);
        }
    }

    /// Waits until a user may do something: the API server learns of a new binding a moment after it is written.
    pub(crate) fn wait_for_access(&self, user: User, verb: &str, resource: &str) {
        wait_until(READY_WITHIN, &format!("{} to be allowed to {verb} {resource}", user.name()), || {
            self.kubectl_as(user, &["auth", "can-i", verb, resource, "--all-namespaces"]).succeeded().then_some(())
        });
    }

    /// The kubeconfig file of a user.
    pub(crate) fn kubeconfig(&self, user: User) -> PathBuf {
        kubectl::kubeconfig(self.folder.path(), user)
    }

    /// The port of the API server.
    pub(crate) fn api_port(&self) -> u16 {
        self.api_port
    }

    /// A folder that goes when the cluster does.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the API server. Asked to stop, it would wait up to a minute for open watches.
    pub(crate) fn stop_api_server(&mut self) {
        if let Some(mut process) = self.api_server.take() {
            process.kill();
        }
    }

    /// Kills the API server, if it runs, and starts it again on the same port; the store keeps its objects.
    pub(crate) fn restart_api_server(&mut self) {
        self.stop_api_server();
        assert!(self.launch_api_server(), "somebody took the API server's port {}", self.api_port);
    }

    /// Stops the API server in its tracks until it is thawed: requests to it hang.
    pub(crate) fn freeze_api_server(&mut self) {
        self.api_server.as_mut().expect("the API server runs").freeze();
    }

    /// Lets the API server go on.
    pub(crate) fn thaw_api_server(&mut self) {
        self.api_server.as_mut().expect("the API server runs").thaw();
    }

    /// Stops etcd in its tracks until it is thawed.
    pub(crate) fn freeze_etcd(&mut self) {
        self.etcd.freeze();
    }

    /// Lets etcd go on.
    pub(crate) fn thaw_etcd(&mut self) {
        self.etcd.thaw();
    }

    /// The certificate that the API server made for itself, with its CA.
    pub(crate) fn api_certificate(&self) -> PathBuf {
        self.certificates().join("apiserver.crt")
    }

    fn certificates(&self) -> PathBuf {
        self.folder.path().join("certificates")
    }

    /// Starts the API server and waits until it is ready; false when its or etcd's port was taken.
    fn launch_api_server(&mut self) -> bool {
        let log = self.folder.path().join("kube-apiserver.log");
        // An earlier run's words must not decide how this one ends.
        fs::remove_file(&log).ok();
        let home = self.folder.path().to_owned();
        let mut process =
            Process::start(&self.assets.tool("kube-apiserver"), &self.api_server_args(), &log, |command| {
                command.env_clear().env("HOME", home);
            });
        let port = self.api_port;
        let ready = try_wait_until(READY_WITHIN, || {
            if process.lost_its_port() || self.etcd.lost_its_port() {
                return Some(false);
            }
            let ended = process.exited().or_else(|| self.etcd.exited());
            assert!(ended.is_none(), "the cluster does not start\n{}\n{}", process.log_tail(), self.etcd.log_tail());
            // Connecting costs nothing; kubectl is asked only when somebody listens.
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
            self.kubectl(&["get", "--raw", "/readyz", "--request-timeout=5s"]).succeeded().then_some(true)
        });
        let logs = format!("{}\n{}", process.log_tail(), self.etcd.log_tail());
        self.api_server = Some(process);
        ready.unwrap_or_else(|| panic!("the API server is not ready after {READY_WITHIN:?}\n{logs}"))
    }

    fn api_server_args(&self) -> Vec<String> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut args: Vec<String> = [
            ("etcd-servers", format!("http://127.0.0.1:{}", self.etcd_port)),
            ("secure-port", self.api_port.to_string()),
            ("bind-address", "127.0.0.1".to_owned()),
            // Without it the server looks for a default route, which a machine without a network has not.
            ("advertise-address", "127.0.0.1".to_owned()),
            ("cert-dir", self.certificates().display().to_string()),
            ("service-account-key-file", file("service-account.key")),
            ("service-account-signing-key-file", file("service-account.key")),
            ("service-account-issuer", "https://k".to_owned()),
            ("token-auth-file", file("tokens.csv")),
            ("authorization-mode", "RBAC".to_owned()),
            ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
            // Nobody makes the service accounts that it would insist on.
            ("disable-admission-plugins", "ServiceAccount".to_owned()),
        ]
        .into_iter()
        .map(|(flag, value)| format!("--{flag}={value}"))
        .collect();
        args.extend_from_slice(&self.extra_args);
        args
    }

    fn read_version(&self) -> (u32, u32) {
        let versions = self.kubectl(&["version", "-o", "json"]).ok().json();
        // Vendors append to the minor version: "31+".
        let number = |key: &str| {
            let text = versions["serverVersion"][key].as_str().unwrap_or_default();
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_else(|_| panic!("no {key} version of the server in {versions}"))
        };
        (number("major"), number("minor"))
    }

    /// The API server makes its own namespaces itself, a moment after it says that it is ready.
    fn wait_for_own_namespaces(&self) {
        let get = [&["get", "namespace"][..], &OWN_NAMESPACES].concat();
        wait_until(READY_WITHIN, "the API server's own namespaces", || self.kubectl(&get).succeeded().then_some(()));
        // 1.21 and later set this label themselves, and exemptions go by it.
        if self.version < (1, 21) {
            let namespaces = OWN_NAMESPACES.map(|name| namespace_manifest(name, &[]));
            let list = json!({"apiVersion": "v1", "kind": "List", "items": namespaces});
            self.kubectl_stdin(&["apply", "--server-side", "-f", "-"], &list.to_string()).ok();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_api_server();
        self.etcd.kill();
    }
}

fn namespace_manifest(name: &str, labels: &[(&str, &str)]) -> Value {
    let labels: serde_json::Map<_, _> =
        [(NAME_LABEL, name)].iter().chain(labels).map(|&(key, value)| (key.to_owned(), value.into())).collect();
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn start_etcd(assets: &Assets, folder: &Path, client_port: u16, peer_port: u16) -> Process {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let args = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // Nothing here outlives the test, so nothing has to reach the disk.
        "--unsafe-no-fsync".to_owned(),
    ];
    let log = folder.join("etcd.log");
    Process::start(&assets.tool("etcd"), &args, &log, |command| {
        command.env_clear().env("HOME", folder);
    })
}

fn make_service_account_key(folder: &Path) {
    let made = Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(folder.join("service-account.key"))
        .arg("2048")
        .output()
        .expect("run openssl (tests/run.sh installs it)");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
