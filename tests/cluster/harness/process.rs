//! Child processes with a log file, ended by their own handle, and never left behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Lines of a log that a panic message quotes.
const QUOTED_LINES: usize = 25;
/// util-linux' way to have the kernel end a child together with its parent.
const SETPRIV: &str = "/usr/bin/setpriv";

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The one thread that starts processes.
///
/// A test that is killed runs no destructors, so children ask the kernel to be killed when their parent dies; for the
/// kernel the parent is the *thread* that started them, and this one lasts as long as the whole test program.
static SPAWNER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, reply) in inbox {
            // Whoever ordered it may be gone by now; then nobody holds the child, and it must not live on.
            if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                child.kill().ok();
                child.wait().ok();
            }
        }
    });
    Mutex::new(orders)
});

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with no input; what it prints is appended to the file `log`. `adjust` sets its environment.
    pub(crate) fn start(program: &Path, args: &[String], log: &Path, adjust: impl FnOnce(&mut Command)) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log).expect("log file");
        let mut command = if Path::new(SETPRIV).exists() {
            let mut command = Command::new(SETPRIV);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(args).stdin(Stdio::null()).stdout(file.try_clone().expect("log file")).stderr(file);
        adjust(&mut command);
        let (reply, answer) = mpsc::channel();
        SPAWNER.lock().expect("spawner").send((command, reply)).expect("spawner");
        let child = answer
            .recv()
            .expect("spawner")
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Self { name, child, log: log.to_owned() }
    }

    /// The status, if it has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for an own child")
    }

    /// SIGKILL, and waits for the end. Nothing happens to a process that has ended.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to stop, as the kubelet does, and does not wait.
    pub(crate) fn ask_to_stop(&mut self) {
        self.signal("-TERM");
    }

    /// Stops it in its tracks; its connections stay open and nobody answers on them.
    pub(crate) fn freeze(&mut self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self) {
        self.signal("-CONT");
    }

    /// Its number, for `/proc`.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&mut self, signal: &str) {
        let pid = self.child.id().to_string();
        // The child has not been waited for, so its number cannot belong to anybody else.
        assert!(self.exited().is_none(), "{} had ended before it got {signal}\n{}", self.name, self.log_tail());
        let sent = Command::new("kill").args([signal, &pid]).status().expect("run kill");
        assert!(sent.success(), "kill {signal} {pid} failed");
    }

    /// Waits for the end, at most `limit`.
    ///
    /// # Panics
    /// When it has not ended by then; it is killed first.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            if start.elapsed() >= limit {
                self.kill();
                panic!("{} did not end within {limit:?}\n{}", self.name, self.log_tail());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that it has printed.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The end of its log, for a panic message.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(QUOTED_LINES)..];
        format!("--- the last lines of {}'s log:\n{}", self.name, tail.join("\n"))
    }

    /// Whether it ended because somebody else had its port.
    pub(crate) fn lost_its_port(&mut self) -> bool {
        self.exited().is_some() && self.log().to_lowercase().contains("address already in use")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
