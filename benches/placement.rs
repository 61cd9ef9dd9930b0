//! Where the tracer runs, and what that is worth beside other load: calls that stop their task, traced by a tracer that
//! follows them, by one that is left to the scheduler, and by the distribution's ltrace, taking turns. Prints Markdown
//! for `docs/performance.md`.
//!
//! `cargo bench --bench placement [-- CALLS]`. Figures are medians of five rounds, each the difference of a long run and
//! a short one, so that they do not hold what it takes to begin and to end. Needs stress-ng, gcc and make.
#![allow(clippy::print_stdout)]

mod common;

use common::{Placement, Tool, Workload, median, peer_version, per_call};
use ltrace::cli::{self, Surroundings};
use ltrace::{session, sys};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

const ROUNDS: usize = 5;

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
    let mut tools = vec![with("follows", ours.words[0]), left];
    tools.extend(peer_version().map(|_| Tool::peer()));
    println!("({calls} calls of malloc and free; µs a call, the median of {ROUNDS})\n");
    let names: Vec<&str> = tools.iter().map(|tool| tool.name).collect();
    println!(
        "| beside it | threads | {} | follows, to left |",
        names.join(" | ")
    );
    println!("|---|---:|{}---:|", "---:|".repeat(tools.len()));
    let one = |calls| Workload::new("1", "many", &[calls / 2], calls);
    let four = |calls| Workload::new("4", "threads", &[4, calls / 8], calls);
    let pairs = [
        (one(calls), one(calls / 10)),
        (four(calls), four(calls / 10)),
    ];
    for load in Load::all() {
        let Some(_running) = load.start() else {
            println!("| {}: did not start |", load.name);
            continue;
        };
        for (long, short) in &pairs {
            compare(&load.name, long, short, &tools);
        }
    }
}

/// One row; the rounds of the tools take turns.
fn compare(load: &str, long: &Workload, short: &Workload, tools: &[Tool]) {
    let mut took: Vec<Vec<Duration>> = vec![Vec::new(); tools.len()];
    for _ in 0..ROUNDS {
        for (tool, took) in tools.iter().zip(&mut took) {
            let run = |workload| tool.run(workload, Placement::Scheduler);
            let both = run(long).zip(run(short));
            took.extend(both.map(|(long, short)| long.saturating_sub(short)));
        }
    }
    let calls = long.calls - short.calls;
    let cost =
        |took: &Vec<Duration>| median(took).map(|time| per_call(time, Duration::ZERO, calls));
    let costs: Vec<Option<f64>> = took.iter().map(cost).collect();
    let shown = costs
        .iter()
        .map(|cost| cost.map_or_else(|| "died".to_owned(), |cost| format!("{cost:.1}")));
    let shown: Vec<String> = shown.collect();
    let ratio = costs[0].zip(costs[1]).map(|(ours, left)| ours / left);
    println!(
        "| {load} | {} | {} | {} |",
        long.name,
        shown.join(" | "),
        ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
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
