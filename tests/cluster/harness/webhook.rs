//! The process under test: the real binary, as a user starts it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;

use super::http;
use super::process::Process;
use super::wait::{free_ports, try_wait_until};

/// A debug build makes its certificates and lists the cluster in well under this.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// As for the cluster: how often to try again on other ports.
const STARTS: usize = 3;

/// How to start a [`Webhook`].
#[derive(Clone, Debug, Default)]
pub(crate) struct WebhookOptions {
    /// Passed as `--kubeconfig`; without it the webhook keeps its inventory in memory.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Passed as `--cert-dir`; by default a new folder. A second replica shares the first one's.
    pub(crate) cert_dir: Option<PathBuf>,
    /// More arguments for `serve`.
    pub(crate) args: Vec<String>,
}

impl WebhookOptions {
    /// With more arguments.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }
}

/// A running `portcullis serve`. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Webhook {
    process: Process,
    options: WebhookOptions,
    port: u16,
    ops_port: u16,
    folder: TempDir,
}

impl Webhook {
    /// Starts it on free ports and waits until it says that it is ready.
    ///
    /// # Panics
    /// When it ends or does not get ready; the message quotes its log.
    pub(crate) fn start(options: &WebhookOptions) -> Self {
        (0..STARTS)
            .find_map(|_| {
                let mut webhook = Self::launch(options);
                webhook.wait_ready().then_some(webhook)
            })
            .expect("lost the race for free ports every time")
    }

    /// Starts it and does not wait, for tests of what happens before it is ready, or of starts that must fail.
    pub(crate) fn launch(options: &WebhookOptions) -> Self {
        let folder = TempDir::with_prefix("portcullis-webhook-").expect("temporary folder");
        let [port, ops_port] = free_ports();
        let mut options = options.clone();
        options.cert_dir.get_or_insert_with(|| folder.path().join("certs"));
        Self { process: spawn(&options, folder.path(), port, ops_port), options, port, ops_port, folder }
    }

    /// Waits until `/readyz` says 200; false when one of its ports was taken.
    fn wait_ready(&mut self) -> bool {
        let ready = try_wait_until(READY_WITHIN, || {
            if self.process.lost_its_port() {
                return Some(false);
            }
            if let Some(status) = self.process.exited() {
                panic!("the webhook ended ({status}) before it was ready\n{}", self.process.log_tail());
            }
            self.is_ready().then_some(true)
        });
        ready.unwrap_or_else(|| panic!("the webhook is not ready after {READY_WITHIN:?}\n{}", self.process.log_tail()))
    }

    /// Starts it again on the same ports, with the same certificates, and waits until it is ready.
    ///
    /// One that still runs is killed.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        // An earlier run's words must not decide how this one starts.
        fs::rename(self.log_file(), self.folder.path().join("webhook.log.1")).ok();
        self.process = spawn(&self.options, self.folder.path(), self.port, self.ops_port);
        assert!(self.wait_ready(), "somebody took the webhook's ports {} or {}", self.port, self.ops_port);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and the exit status within `limit`.
    pub(crate) fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.process.ask_to_stop();
        self.process.wait(limit)
    }

    /// SIGTERM without waiting: what does it do while it drains? [`Webhook::wait`] follows.
    pub(crate) fn ask_to_stop(&mut self) {
        self.process.ask_to_stop();
    }

    /// The exit status, within `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.process.wait(limit)
    }

    /// Memory that it has in use, in KiB (`VmRSS`).
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs, on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
    }

    /// Whether `/readyz` says 200 now.
    pub(crate) fn is_ready(&self) -> bool {
        self.ops("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// Status and body of a path of the operations port; nothing when it does not answer.
    pub(crate) fn ops(&self, path: &str) -> Option<(u16, String)> {
        http::get(self.ops_port, path).ok()
    }

    /// The text of `/metrics`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        match self.ops("/metrics") {
            Some((200, text)) => text,
            other => panic!("/metrics: {other:?}\n{}", self.process.log_tail()),
        }
    }

    /// The sum of a metric over all series that carry these labels; 0 without any.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        sum_of_series(&self.metrics(), name, labels)
    }

    /// The port of `/validate`.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The operations port.
    pub(crate) fn ops_port(&self) -> u16 {
        self.ops_port
    }

    /// The folder of its certificates; `ca.crt` is what the API server must trust.
    pub(crate) fn cert_dir(&self) -> &Path {
        self.options.cert_dir.as_deref().expect("set at the start")
    }

    /// All that it has printed since its last start.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    fn log_file(&self) -> PathBuf {
        log_file(self.folder.path())
    }
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("webhook.log")
}

fn spawn(options: &WebhookOptions, folder: &Path, port: u16, ops_port: u16) -> Process {
    let mut args: Vec<String> = ["serve", "--log-format", "json"].map(str::to_owned).into();
    args.extend([format!("--listen=127.0.0.1:{port}"), format!("--ops-listen=127.0.0.1:{ops_port}")]);
    let paths = [("cert-dir", &options.cert_dir), ("kubeconfig", &options.kubeconfig)];
    args.extend(paths.iter().filter_map(|(flag, path)| Some(format!("--{flag}={}", path.as_ref()?.display()))));
    args.extend_from_slice(&options.args);
    Process::start(Path::new(env!("CARGO_BIN_EXE_portcullis")), &args, &log_file(folder), |command| {
        // Whatever configures it from outside would make this another test.
        for (name, _) in env::vars_os() {
            if ["PORTCULLIS_", "KUBE", "HTTP", "http", "ALL_PROXY", "all_proxy"]
                .iter()
                .any(|prefix| name.to_string_lossy().starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        command.current_dir(folder);
    })
}

/// Adds up the lines `name{…} value` of the Prometheus text format that carry all of `labels`.
pub(super) fn sum_of_series(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| series.split('{').next() == Some(name))
        .filter(|(series, _)| labels.iter().all(|(key, value)| has_label(series, key, value)))
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .sum()
}

fn has_label(series: &str, key: &str, value: &str) -> bool {
    // With what comes before it: `kind` is also the end of other labels' names.
    ['{', ','].iter().any(|before| series.contains(&format!("{before}{key}=\"{value}\"")))
}
