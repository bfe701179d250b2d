//! `kubectl` as one of the cluster's users, other clients, and what their runs came to.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use serde_json::{Value, json};

use super::assets::Assets;

/// The longest that one run may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Who asks. Only [`User::Admin`] may do anything before a test binds a role.
///
/// For other names and groups there is impersonation: `kubectl(&["--as=system:serviceaccount:ci:deployer", …])`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// In `system:masters`.
    Admin,
    /// In the group `developers`.
    Dev,
    /// In the group `operators`.
    Ops,
    /// For the webhook itself, in the group `portcullis`: has what the deployed roles give it.
    Portcullis,
}

impl User {
    /// Everybody.
    pub(crate) const ALL: [Self; 4] = [Self::Admin, Self::Dev, Self::Ops, Self::Portcullis];

    /// The name that the API server knows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Dev => "dev",
            Self::Ops => "ops",
            Self::Portcullis => "portcullis",
        }
    }

    /// The group besides `system:authenticated`.
    pub(crate) fn group(self) -> &'static str {
        match self {
            Self::Admin => "system:masters",
            Self::Dev => "developers",
            Self::Ops => "operators",
            Self::Portcullis => "portcullis",
        }
    }

    /// The bearer token.
    pub(crate) fn token(self) -> String {
        format!("{}-token", self.name())
    }
}

/// The API server's `--token-auth-file`.
pub(super) fn token_file() -> String {
    User::ALL.map(|user| format!("{},{},{},\"{}\"\n", user.token(), user.name(), user.name(), user.group())).concat()
}

/// A kubeconfig for each user in `folder`, trusting the certificate that the API server made for itself.
pub(super) fn write_kubeconfigs(folder: &Path, api_port: u16, ca: &Path) {
    for user in User::ALL {
        let cluster = json!({"server": format!("https://127.0.0.1:{api_port}"), "certificate-authority": ca});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user.name(), "user": {"token": user.token()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user.name()}}],
        });
        fs::write(kubeconfig(folder, user), config.to_string()).expect("write a kubeconfig");
    }
}

/// Where [`write_kubeconfigs`] puts the one of `user`.
pub(super) fn kubeconfig(folder: &Path, user: User) -> PathBuf {
    folder.join(format!("{}.kubeconfig", user.name()))
}

/// Runs `kubectl` as somebody with `args`, with `input` as its standard input if there is one.
pub(super) fn run(assets: &Assets, folder: &Path, user: User, args: &[&str], input: Option<&str>) -> Outcome {
    let mut args = with_defaults(args);
    args.extend(["--kubeconfig".to_owned(), kubeconfig(folder, user).display().to_string()]);
    execute(&assets.tool("kubectl"), folder, &args, input)
}

/// Runs a client of the cluster.
///
/// Input and output are files: nobody has to read a pipe while the time runs.
pub(super) fn execute(program: &Path, folder: &Path, args: &[String], input: Option<&str>) -> Outcome {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let file = |kind: &str| folder.join(format!("{name}-{number}.{kind}"));
    let create = |kind: &str| File::create(file(kind)).expect("create an output file");
    let stdin = input.map_or_else(Stdio::null, |text| {
        fs::write(file("in"), text).expect("write the input");
        File::open(file("in")).expect("open the input").into()
    });
    let mut child = Command::new(program)
        .args(args)
        // Everything from outside is shut out: proxies, a kubeconfig, preferences, a cache of another cluster's kinds.
        .env_clear()
        .env("PATH", env::var_os("PATH").as_deref().unwrap_or(OsStr::new("/usr/bin:/bin")))
        .env("HOME", folder)
        .env("KUBECACHEDIR", folder.join("kube-cache"))
        .stdin(stdin)
        .stdout(create("out"))
        .stderr(create("err"))
        .spawn()
        .unwrap_or_else(|error| panic!("start {name}: {error}"));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for it") {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill().ok();
            break child.wait().expect("wait for it");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let read = |kind: &str| fs::read_to_string(file(kind)).expect("read its output");
    let outcome = Outcome {
        command: format!("{name} {}", args.join(" ")),
        input: input.unwrap_or_default().to_owned(),
        code: status.code(),
        stdout: read("out"),
        stderr: read("err"),
    };
    for kind in ["in", "out", "err"] {
        fs::remove_file(file(kind)).ok();
    }
    outcome
}

/// Adds what every call would otherwise have to say.
///
/// `delete` does not wait for the object to vanish: without a controller manager a namespace never does.
fn with_defaults(args: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    let given = |flag: &str| args.iter().any(|arg| arg.starts_with(flag));
    if !given("--request-timeout") {
        all.push("--request-timeout=30s".to_owned());
    }
    if args.contains(&"delete") && !args.contains(&"can-i") && !given("--wait") {
        all.push("--wait=false".to_owned());
    }
    all
}

/// What one run came to. The assertions return it again, so that they can be chained.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    command: String,
    input: String,
    /// The exit code; none when it was killed because it took too long.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Outcome {
    /// It worked.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.must(self.succeeded(), "succeed");
        self
    }

    /// It did not work, for whatever reason.
    #[track_caller]
    pub(crate) fn failed(self) -> Self {
        self.must(!self.succeeded(), "fail");
        self
    }

    /// An admission webhook answered, and said no.
    #[track_caller]
    pub(crate) fn denied(self) -> Self {
        self.must(self.is_denied(), "be denied by a webhook");
        self
    }

    /// Denied, and the message names this rule.
    #[track_caller]
    pub(crate) fn denied_by(self, rule: &str) -> Self {
        self.denied().stderr_has(&format!("[{rule}]"))
    }

    /// The API server got no answer from the webhook, and its failure policy made that a refusal.
    #[track_caller]
    pub(crate) fn webhook_unavailable(self) -> Self {
        self.must(self.is_webhook_unavailable(), "fail because no webhook answered");
        self
    }

    /// Standard error contains `text`.
    #[track_caller]
    pub(crate) fn stderr_has(self, text: &str) -> Self {
        self.must(self.stderr.contains(text), &format!("have {text:?} on standard error"));
        self
    }

    /// Standard output contains `text`.
    #[track_caller]
    pub(crate) fn stdout_has(self, text: &str) -> Self {
        self.must(self.stdout.contains(text), &format!("have {text:?} on standard output"));
        self
    }

    /// Standard output is empty.
    #[track_caller]
    pub(crate) fn stdout_is_empty(self) -> Self {
        self.must(self.stdout.is_empty(), "have nothing on standard output");
        self
    }

    /// Exit code 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Whether a webhook said no.
    pub(crate) fn is_denied(&self) -> bool {
        !self.succeeded() && self.stderr.contains("denied the request")
    }

    /// Whether the request failed for want of a webhook's answer.
    pub(crate) fn is_webhook_unavailable(&self) -> bool {
        !self.succeeded() && self.stderr.contains("failed calling webhook")
    }

    /// The warnings that came with the answer.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("Warning: ")).collect()
    }

    /// Standard output as JSON (`-o json`).
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }

    #[track_caller]
    fn must(&self, holds: bool, what: &str) {
        assert!(holds, "this should {what}:\n{self}");
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, input, code, stdout, stderr } = self;
        let code = code.map_or_else(|| format!("none, killed after {LIMIT:?}"), |code| code.to_string());
        write!(f, "$ {command}\n{input}\n--- exit code: {code}\n--- stdout:\n{stdout}\n--- stderr:\n{stderr}")
    }
}
