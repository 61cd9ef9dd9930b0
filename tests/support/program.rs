//! Programs under a deadline: the tracer, and targets for it to attach to.

use super::stream::{Stream, feed};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(120);

/// The environment variable by which all descendants of one run are known, even as daemons.
const MARK: &str = "LTRACE_TEST_RUN";

/// Where a debug build of the tracer writes which promises of `src/event.rs` its events have broken; for the tests, a
/// directory that everybody may write to.
const PROMISES: &str = "LTRACE_PROMISES";

static RUNS: AtomicU32 = AtomicU32::new(0);

/// A program about to be run.
pub struct Program {
    command: Command,
    mark: String,
    patience: Duration,
    input: Option<Vec<u8>>,
}

impl Program {
    /// Standard streams are pipes, and nothing of the caller's terminal shows through.
    pub fn new(path: impl AsRef<OsStr>) -> Program {
        let mark = format!(
            "{}-{}",
            std::process::id(),
            RUNS.fetch_add(1, Ordering::Relaxed)
        );
        let mut command = Command::new(path);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env(MARK, &mark)
            .env("LC_ALL", "C")
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .env_remove("LD_BIND_NOW")
            .process_group(0);
        if let Some(file) = promises(&mark) {
            command.env(PROMISES, file);
        }
        Program {
            command,
            mark,
            patience: PATIENCE,
            input: None,
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Program {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Program {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Program {
        self.command.env(name, value);
        self
    }

    /// Runs it in this directory.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Program {
        self.command.current_dir(dir);
        self
    }

    /// What it finds on its standard input; nothing when this is not called.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Program {
        self.input = Some(bytes.into());
        self
    }

    /// Its standard input is this instead of a pipe.
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Program {
        self.command.stdin(from);
        self
    }

    /// Its standard output and standard error are these instead of pipes.
    pub fn outputs(mut self, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Program {
        self.command.stdout(stdout).stderr(stderr);
        self
    }

    /// How long it may take.
    pub fn patience(mut self, patience: Duration) -> Program {
        self.patience = patience;
        self
    }

    /// Starts it. Its standard input stays open until [`Running::input`] is closed.
    pub fn start(mut self) -> Running {
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|e| panic!("{:?}: {e}", self.command.get_program()));
        let empty = || Stream::collect(std::io::empty());
        Running {
            stdout: child.stdout.take().map_or_else(empty, Stream::collect),
            stderr: child.stderr.take().map_or_else(empty, Stream::collect),
            stdin: child.stdin.take(),
            child,
            mark: self.mark,
            deadline: Instant::now() + self.patience,
            words: words(&self.command),
        }
    }

    /// Runs it to its end. Nothing that it started may be left.
    pub fn finish(mut self) -> Finished {
        let input = self.input.take().unwrap_or_default();
        let mut running = self.start();
        running.say(&input);
        running.finish()
    }
}

/// The file of one run.
fn promises(mark: &str) -> Option<PathBuf> {
    std::env::var_os(PROMISES).map(|dir| Path::new(&dir).join(mark))
}

fn words(command: &Command) -> Vec<OsString> {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_owned)
        .collect()
}

/// A running program. Dropping it kills it and all that it started.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it wrote to standard output so far.
    pub stdout: Stream,
    /// What it wrote to standard error so far.
    pub stderr: Stream,
    mark: String,
    deadline: Instant,
    words: Vec<OsString>,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// A task of it that is not its first.
    #[track_caller]
    pub fn other_task(&self) -> i32 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("tasks");
        let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
        ids.into_iter()
            .find(|id| *id != self.pid())
            .expect("another task")
    }

    /// Writes to its standard input.
    pub fn say(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            feed(stdin, bytes);
        }
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("signal a running program");
    }

    /// Waits until it has written `text` to standard output.
    #[track_caller]
    pub fn wait_for_stdout(&self, text: &str) {
        assert!(
            self.stdout.wait_for(text, self.deadline),
            "{:?} never wrote {text:?}\n{}",
            self.words,
            self.so_far()
        );
    }

    /// Waits until it has written `text` to standard error.
    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) {
        assert!(
            self.stderr.wait_for(text, self.deadline),
            "{:?} never wrote {text:?}\n{}",
            self.words,
            self.so_far()
        );
    }

    /// Waits until it has written `text` to standard output behind the first `so_far` bytes.
    #[track_caller]
    pub fn wait_for_stdout_beyond(&self, so_far: usize, text: &str) {
        assert!(
            self.stdout.wait_for_beyond(so_far, text, self.deadline),
            "{:?} did not write {text:?} again\n{}",
            self.words,
            self.so_far()
        );
    }

    /// Whether it writes `text` to standard output behind the first `so_far` bytes, in this time.
    pub fn stdout_goes_on(&self, so_far: usize, text: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        self.stdout.wait_for_beyond(so_far, text, deadline)
    }

    /// Waits until it has written `text` to standard error behind the first `so_far` bytes.
    #[track_caller]
    pub fn wait_for_stderr_beyond(&self, so_far: usize, text: &str) {
        assert!(
            self.stderr.wait_for_beyond(so_far, text, self.deadline),
            "{:?} did not write {text:?} again\n{}",
            self.words,
            self.so_far()
        );
    }

    /// It has not ended, and is no zombie.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Closes its standard input and waits for its end. Nothing that it started may be left.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        self.close_input();
        let status = self.wait();
        let left = self.still_there();
        if left.is_empty() {
            // Nobody is left to write; the collecting threads may need a moment.
            let deadline = Instant::now() + PATIENCE;
            self.stdout.wait_for_end(deadline);
            self.stderr.wait_for_end(deadline);
        }
        assert!(
            left.is_empty(),
            "{:?} left processes behind: {left:?}\n{}",
            self.words,
            self.so_far()
        );
        let broken = promises(&self.mark).and_then(|file| std::fs::read_to_string(file).ok());
        assert!(
            broken.is_none(),
            "{:?}: {}",
            self.words,
            broken.unwrap_or_default()
        );
        Finished {
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            status,
        }
    }

    /// Waits for its end and says how it ended; its output stays to be looked at.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(
                Instant::now() < self.deadline,
                "{:?} did not end\n{}",
                self.words,
                self.so_far()
            );
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// What it started and left behind. A killed process takes a moment to vanish.
    fn still_there(&self) -> Vec<i32> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = descendants(&self.mark);
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn so_far(&self) -> String {
        told(&self.stdout.text(), &self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_alive() {
            let _ = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
        for pid in descendants(&self.mark) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Processes that carry the mark of one run.
fn descendants(mark: &str) -> Vec<i32> {
    let wanted = format!("{MARK}={mark}").into_bytes();
    let processes = std::fs::read_dir("/proc").expect("procfs").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&b| b == 0).any(|var| var == wanted)
        })
        .collect()
}

/// A program that has ended.
pub struct Finished {
    /// All that it wrote to standard output.
    pub stdout: String,
    /// All that it wrote to standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Finished {
    /// Its exit status, as a shell would say it.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// It exited with this status.
    #[track_caller]
    pub fn exits(self, code: i32) -> Finished {
        assert_eq!(self.code(), code, "exit status\n{}", self.told());
        self
    }

    /// Its standard error has a line that is just `line`.
    #[track_caller]
    pub fn has_line(self, line: &str) -> Finished {
        assert!(
            self.stderr.lines().any(|l| l == line),
            "no line {line:?}\n{}",
            self.told()
        );
        self
    }

    /// How many lines of its standard error begin with `start`.
    pub fn count(&self, start: &str) -> usize {
        self.stderr
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    }

    /// What it said, for a failed assertion.
    pub fn told(&self) -> String {
        told(&self.stdout, &self.stderr)
    }
}

fn told(stdout: &str, stderr: &str) -> String {
    format!("stdout: {}\nstderr: {}", short(stdout), short(stderr))
}

/// The beginning and the end of a long text.
fn short(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= 60 {
        return text.to_owned();
    }
    let left_out = format!("[… {} lines …]", lines.len() - 60);
    [
        &lines[..30],
        &[left_out.as_str()],
        &lines[lines.len() - 30..],
    ]
    .concat()
    .join("\n")
}
