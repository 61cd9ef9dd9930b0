//! What the bench of placement traces, by which tool, and how long that takes.

#![allow(missing_docs, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const PEER: &str = "/usr/bin/ltrace";

/// Where both tools write, as users do; a file costs them the same.
const TRACE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/overhead-trace");

/// What is traced.
pub struct Workload {
    pub name: String,
    pub command: Vec<PathBuf>,
    pub calls: usize,
    pub threads: usize,
}

impl Workload {
    /// Builds a fixture as its first line says.
    pub fn new(name: &str, fixture: &str, args: &[usize], calls: usize) -> Workload {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(format!("{fixture}.c"));
        let program = dir.join(fixture);
        let status = Command::new("gcc")
            .args(["-O1", "-fno-builtin", "-pthread"])
            .arg(source)
            .arg("-o")
            .arg(&program)
            .status();
        assert!(status.expect("gcc").success(), "cannot build {fixture}");
        let args = args.iter().map(|arg| PathBuf::from(arg.to_string()));
        Workload {
            name: name.to_owned(),
            command: std::iter::once(program).chain(args).collect(),
            calls,
            threads: if fixture == "threads" { 4 } else { 1 },
        }
    }
}

/// Where tracer and target may run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    Scheduler,
    OneCpu,
}

/// Who runs it.
pub struct Tool {
    pub name: &'static str,
    pub words: Vec<&'static str>,
    /// What it needs to trace threads.
    pub for_threads: Option<&'static str>,
}

impl Tool {
    pub fn ours() -> Tool {
        Tool {
            name: "this ltrace",
            words: vec![env!("CARGO_BIN_EXE_ltrace"), "-o", TRACE],
            for_threads: None,
        }
    }

    pub fn peer() -> Tool {
        Tool {
            name: "Debian's ltrace",
            words: vec![PEER, "-o", TRACE],
            for_threads: Some("-f"),
        }
    }

    /// How long the workload took; `None` when it did not end well.
    pub fn run(&self, workload: &Workload, placement: Placement) -> Option<Duration> {
        let mut words: Vec<PathBuf> = Vec::new();
        if placement == Placement::OneCpu {
            words.extend(["taskset", "-c", "0"].map(PathBuf::from));
        }
        words.extend(self.words.iter().map(PathBuf::from));
        if workload.threads > 1 {
            words.extend(self.for_threads.map(PathBuf::from));
        }
        words.extend(workload.command.iter().cloned());
        // What another tool's run ended with is not told of this one.
        let _ = std::fs::remove_file(TRACE);
        let begun = Instant::now();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let took = begun.elapsed();
        // The peer exits 0 even when its target was killed.
        let well = output.status.success() && output.stderr.is_empty() && !tells_of_a_kill();
        well.then_some(took)
    }
}

/// The last trace says that its program was killed.
pub fn tells_of_a_kill() -> bool {
    std::fs::read(TRACE).is_ok_and(|trace| {
        let last = &trace[trace.len().saturating_sub(4096)..];
        String::from_utf8_lossy(last).contains("+++ killed by")
    })
}

pub fn per_call(time: Duration, bare: Duration, calls: usize) -> f64 {
    time.saturating_sub(bare).as_secs_f64() * 1e6 / calls as f64
}

pub fn median(times: &[Duration]) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied()
}

/// What the peer says of itself, when it is there.
pub fn peer_version() -> Option<String> {
    let output = Command::new(PEER).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .next()
        .map(|line| line.trim_end_matches('.').to_owned())
}
