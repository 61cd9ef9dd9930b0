//! Where the tracer runs, and what that is worth beside other load: calls that stop their task, traced by a tracer that
//! follows them, by one that is left to the scheduler, and by the distribution's ltrace, taking turns. Prints Markdown
//! for `docs/performance.md`.
//!
//! `cargo bench --bench placement [-- CALLS]`. Figures are medians of whole runs; the tracer that is left to the scheduler
//! runs twice, so that what differs by chance is seen. Needs stress-ng, gcc and make.
#![allow(clippy::print_stdout)]

use ltrace::cli::{self, Surroundings};
use ltrace::{session, sys};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
/// The distribution's ltrace is so slow that fewer are enough.
const PEER_ROUNDS: usize = 3;
const PEER: &str = "/usr/bin/ltrace";

/// Where both tools write, as users do; a file costs them the same.
const TRACE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/placement-trace");

/// As the first argument: this program is the tracer that is left to the scheduler; ltrace's arguments follow.
const AS_TRACER: &str = "--left-to-the-scheduler";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(first) if first == AS_TRACER => return trace(args),
        _ => {}
    }
    if std::env::args().any(|arg| arg == "--bench") {
        compare_all();
    }
    ExitCode::SUCCESS
}

/// Does what ltrace does, where the scheduler puts it.
fn trace(args: impl Iterator<Item = OsString>) -> ExitCode {
    sys::placement::leave_to_scheduler();
    let words = [OsString::from("ltrace")].into_iter().chain(args);
    let Ok(config) = cli::parse(words, Surroundings::look()) else {
        return ExitCode::FAILURE;
    };
    session::run(config).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn compare_all() {
    let calls = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(10_000);
    let this = std::env::current_exe().expect("our own path");
    let this: &str = Box::leak(this.to_string_lossy().into_owned().into_boxed_str());
    let ours = Tool::ours();
    let stop = ["--instrument", "stop"];
    let with = |name, program: &'static str| Tool {
        name,
        words: [program]
            .into_iter()
            .chain(ours.words[1..].iter().copied())
            .chain(stop)
            .collect(),
        for_threads: None,
    };
    let mut left = with("left to the scheduler", this);
    left.words.insert(1, AS_TRACER);
    let again = Tool {
        name: "again",
        ..left.clone()
    };
    let mut tools = vec![with("follows", ours.words[0]), left, again];
    tools.extend(peer_version().map(|_| Tool::peer()));
    println!("({calls} calls of malloc and free; µs a call, the median of {ROUNDS})\n");
    let names: Vec<&str> = tools.iter().map(|tool| tool.name).collect();
    println!(
        "| beside it | threads | {} | follows, to left | again, to left |",
        names.join(" | ")
    );
    println!("|---|---:|{}---:|---:|", "---:|".repeat(tools.len()));
    let one = |calls| Workload::new("1", "many", &[calls / 2], calls);
    let four = |calls| Workload::new("4", "threads", &[4, calls / 8], calls);
    for load in Load::all() {
        let Some(_running) = load.start() else {
            println!("| {}: did not start |", load.name);
            continue;
        };
        for workload in [one(calls), four(calls)] {
            compare(&load.name, &workload, &tools);
        }
    }
}

/// One row; the rounds of the tools take turns.
fn compare(load: &str, workload: &Workload, tools: &[Tool]) {
    let mut took: Vec<Vec<Duration>> = vec![Vec::new(); tools.len()];
    for round in 0..ROUNDS {
        for (tool, took) in tools.iter().zip(&mut took) {
            if tool.for_threads.is_none() || round < PEER_ROUNDS {
                took.extend(tool.run(workload));
            }
        }
    }
    let cost = |took: &Vec<Duration>| {
        median(took).map(|time| time.as_secs_f64() * 1e6 / workload.calls as f64)
    };
    let costs: Vec<Option<f64>> = took.iter().map(cost).collect();
    let shown = costs
        .iter()
        .map(|cost| cost.map_or_else(|| "died".to_owned(), |cost| format!("{cost:.1}")));
    let shown: Vec<String> = shown.collect();
    let to_left = |tool: usize| {
        let ratio = costs[tool].zip(costs[1]).map(|(ours, left)| ours / left);
        ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    println!(
        "| {load} | {} | {} | {} | {} |",
        workload.name,
        shown.join(" | "),
        to_left(0),
        to_left(2),
    );
}

/// What else runs.
struct Load {
    name: String,
    words: Vec<PathBuf>,
}

/// A load that runs until this is dropped.
struct Running(Option<Child>);

impl Load {
    fn all() -> Vec<Load> {
        let nothing = Load {
            name: "nothing".to_owned(),
            words: Vec::new(),
        };
        let workers = [2, 4, 8].map(|count| Load {
            name: format!("`stress-ng --cpu {count}`"),
            words: ["stress-ng", "--quiet", "--cpu", &count.to_string()]
                .map(PathBuf::from)
                .to_vec(),
        });
        let compilers = Load {
            name: "`make -j4`".to_owned(),
            words: ["make", "-s", "-j4", "-f"]
                .map(PathBuf::from)
                .into_iter()
                .chain([makefile()])
                .collect(),
        };
        [nothing]
            .into_iter()
            .chain(workers)
            .chain([compilers])
            .collect()
    }

    fn start(&self) -> Option<Running> {
        let Some((program, args)) = self.words.split_first() else {
            return Some(Running(None));
        };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Some(Running(Some(child.ok()?)))
    }
}

/// Has a file compiled more often than any run of this takes.
fn makefile() -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("placement.mk");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/values.c");
    let targets: Vec<String> = (0..100_000).map(|n| format!("t{n}")).collect();
    let rule = format!(
        "all: {0}\n{0}:\n\tgcc -O2 -w -c {1} -o /dev/null\n",
        targets.join(" "),
        source.display()
    );
    std::fs::write(&file, rule).expect("a makefile");
    file
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Both end what they have started when they are asked to.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(child.id() as i32),
                nix::sys::signal::Signal::SIGTERM,
            );
            let _ = child.wait();
        }
    }
}

/// What is traced.
struct Workload {
    name: String,
    command: Vec<PathBuf>,
    calls: usize,
    threads: usize,
}

impl Workload {
    /// Builds a fixture as its first line says.
    fn new(name: &str, fixture: &str, args: &[usize], calls: usize) -> Workload {
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

/// Who runs it.
#[derive(Clone)]
struct Tool {
    name: &'static str,
    words: Vec<&'static str>,
    /// What it needs to trace threads.
    for_threads: Option<&'static str>,
}

impl Tool {
    fn ours() -> Tool {
        Tool {
            name: "this ltrace",
            words: vec![env!("CARGO_BIN_EXE_ltrace"), "-o", TRACE],
            for_threads: None,
        }
    }

    fn peer() -> Tool {
        Tool {
            name: "Debian's ltrace",
            words: vec![PEER, "-o", TRACE],
            for_threads: Some("-f"),
        }
    }

    /// How long the workload took; `None` when it did not end well.
    fn run(&self, workload: &Workload) -> Option<Duration> {
        let mut words: Vec<PathBuf> = self.words.iter().map(PathBuf::from).collect();
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
fn tells_of_a_kill() -> bool {
    std::fs::read(TRACE).is_ok_and(|trace| {
        let last = &trace[trace.len().saturating_sub(4096)..];
        String::from_utf8_lossy(last).contains("+++ killed by")
    })
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied()
}

/// What the peer says of itself, when it is there.
fn peer_version() -> Option<String> {
    let output = Command::new(PEER).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .next()
        .map(|line| line.trim_end_matches('.').to_owned())
}
