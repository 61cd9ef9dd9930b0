//! What tracing costs: the same programs bare, under this tracer, and under the distribution's
//! ltrace, in one run, taking turns. Prints Markdown for `docs/performance.md`.
//!
//! `cargo bench --bench overhead [-- CALLS]`. Figures are medians of five rounds; the first and the
//! last of the sorted rounds stand beside them.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PEER: &str = "/usr/bin/ltrace";
const ROUNDS: usize = 5;

/// Where both tools write, as users do; a file costs them the same.
const TRACE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/overhead-trace");

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let calls = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(20_000);
    let peer = peer_version();
    match &peer {
        Some(version) => println!("Peer: `{PEER}`, {version}. Rounds: {ROUNDS}.\n"),
        None => println!("No peer: {PEER} is not there.\n"),
    }
    let mut tools = vec![Tool::bare(), Tool::ours()];
    tools.extend(peer.map(|_| Tool::peer()));
    println!("(each workload is {calls} calls of malloc and free)\n");
    println!("| workload | placement | tool | µs a call | spread | ratio to peer | died |");
    println!("|---|---|---|---:|---:|---:|---:|");
    let one = Workload::new("1 thread", "many", &[calls / 2], calls);
    let four = Workload::new("4 threads", "threads", &[4, calls / 8], calls);
    for workload in [&one, &four] {
        for placement in [Placement::Scheduler, Placement::OneCpu] {
            compare(workload, placement, &tools);
        }
    }
    println!();
    println!("| `python3 -c 'print(1)'`, output to a file | s |");
    println!("|---|---:|");
    let python = Workload {
        name: "python3".to_owned(),
        command: vec!["/usr/bin/python3".into(), "-c".into(), "print(1)".into()],
        calls: 1,
        threads: 1,
    };
    for tool in &tools {
        let took: Vec<_> = (0..3)
            .filter_map(|_| tool.run(&python, Placement::Scheduler))
            .collect();
        println!("| {} | {} |", tool.name, seconds(&took));
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

/// Where tracer and target may run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    Scheduler,
    OneCpu,
}

/// Who runs it.
struct Tool {
    name: &'static str,
    words: Vec<&'static str>,
    /// What it needs to trace threads.
    for_threads: Option<&'static str>,
}

impl Tool {
    fn bare() -> Tool {
        Tool {
            name: "bare",
            words: Vec::new(),
            for_threads: None,
        }
    }

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
    fn run(&self, workload: &Workload, placement: Placement) -> Option<Duration> {
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

/// One row for each tool; the rounds of the tools take turns.
fn compare(workload: &Workload, placement: Placement, tools: &[Tool]) {
    let mut took: Vec<Vec<Duration>> = vec![Vec::new(); tools.len()];
    let mut died = vec![0; tools.len()];
    for round in 0..3 * ROUNDS {
        for (index, tool) in tools.iter().enumerate() {
            // A tool some of whose runs die gets more of them, up to three times as many.
            if round >= ROUNDS && took[index].len() >= ROUNDS {
                continue;
            }
            match tool.run(workload, placement) {
                Some(time) => took[index].push(time),
                None => died[index] += 1,
            }
        }
    }
    let bare = median(&took[0]);
    let cost = |index: usize| Some(per_call(median(&took[index])?, bare?, workload.calls));
    let peer = (tools.len() > 2).then(|| cost(tools.len() - 1)).flatten();
    for (index, tool) in tools.iter().enumerate().skip(1) {
        let place = match placement {
            Placement::Scheduler => "scheduler",
            Placement::OneCpu => "one CPU",
        };
        let text = |value: Option<f64>, unit: &str| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}{unit}"))
        };
        let edge = |time: Option<&Duration>| {
            let time = time.copied().zip(bare);
            text(
                time.map(|(time, bare)| per_call(time, bare, workload.calls)),
                "",
            )
        };
        let ratio = cost(index).zip(peer).map(|(ours, peer)| ours / peer);
        println!(
            "| {} | {place} | {} | {} | {}–{} | {} | {} of {} |",
            workload.name,
            tool.name,
            text(cost(index), ""),
            edge(took[index].iter().min()),
            edge(took[index].iter().max()),
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}")),
            died[index],
            died[index] + took[index].len(),
        );
    }
}

/// The last trace says that its program was killed.
fn tells_of_a_kill() -> bool {
    std::fs::read(TRACE).is_ok_and(|trace| {
        let last = &trace[trace.len().saturating_sub(4096)..];
        String::from_utf8_lossy(last).contains("+++ killed by")
    })
}

fn per_call(time: Duration, bare: Duration, calls: usize) -> f64 {
    time.saturating_sub(bare).as_secs_f64() * 1e6 / calls as f64
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied()
}

fn seconds(times: &[Duration]) -> String {
    median(times).map_or_else(
        || "died".to_owned(),
        |time| format!("{:.2}", time.as_secs_f64()),
    )
}

/// What the peer says of itself, when it is there.
fn peer_version() -> Option<String> {
    let output = Command::new(PEER).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .next()
        .map(|line| line.trim_end_matches('.').to_owned())
}
