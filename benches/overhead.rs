//! What tracing costs: the same programs bare, under this tracer by both of its instruments, under the distribution's
//! ltrace and under uftrace, in one run, taking turns. Prints Markdown for `docs/performance.md`.
//!
//! `cargo bench --bench overhead [-- NAME]`: all workloads, or those whose name begins so. Figures are medians of five
//! rounds; the first and the last of the sorted rounds stand beside them.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PEER: &str = "/usr/bin/ltrace";
const ROUNDS: usize = 5;

/// So many calls a round are enough for what stops at each, and for what does not.
const FEW: usize = 10_000;
const MANY: usize = 2_000_000;

const DIR: &str = env!("CARGO_TARGET_TMPDIR");
const TRACE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/overhead-trace");
const UFTRACE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/overhead-uftrace");

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let name = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let is_wanted = |workload: &&Workload| name.iter().all(|name| workload.name.starts_with(name));
    println!("| workload | tool | a call, µs; or a run, s | spread | ratio to Debian's ltrace |");
    println!("|---|---|---:|---:|---:|");
    for workload in workloads().iter().filter(is_wanted) {
        compare(workload);
    }
}

/// What is traced.
struct Workload {
    name: &'static str,
    command: Vec<PathBuf>,
    /// Options of both ltraces.
    options: &'static [&'static str],
    to: &'static str,
    size: Size,
}

/// How much a workload does.
enum Size {
    /// So many calls as it is told by its last argument: the time of one counts, without the program's own.
    Calls,
    /// All of its run counts.
    Run,
    /// The same, with millions of calls: not for tracers that stop at each.
    LongRun,
}

fn workloads() -> Vec<Workload> {
    let loops = build("loops");
    let threads = build("threads");
    let source = generated_source();
    let calls = |name, kind: &str, options, to| Workload {
        name,
        command: vec![loops.clone(), kind.into()],
        options,
        to,
        size: Size::Calls,
    };
    let run = |name, words: &[&str]| Workload {
        name,
        command: words.iter().map(PathBuf::from).collect(),
        options: &[],
        to: TRACE,
        size: Size::Run,
    };
    let compiler = Command::new("gcc").arg("-print-prog-name=cc1plus").output();
    let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    vec![
        calls("malloc and free, to /dev/null", "heap", &[], "/dev/null"),
        calls("malloc and free, into a file", "heap", &[], TRACE),
        calls("malloc and free, -c", "heap", &["-c"], TRACE),
        Workload {
            name: "malloc and free, 4 threads",
            command: vec![threads, "4".into()],
            options: &["-f"],
            to: TRACE,
            size: Size::Calls,
        },
        calls("strcpy and strlen of 32 bytes", "text", &[], "/dev/null"),
        calls("printf(\"%d %s\\n\")", "printf", &[], "/dev/null"),
        run(
            "python3 -c 'print(1)'",
            &["/usr/bin/python3", "-c", "print(1)"],
        ),
        run("true", &["/bin/true"]),
        run("openssl dgst", &["/usr/bin/openssl", "dgst", "/etc/passwd"]),
        run("sqlite3 .quit", &["/usr/bin/sqlite3", ":memory:", ".quit"]),
        run("git --version", &["/usr/bin/git", "--version"]),
        Workload {
            options: &["-e", "*"],
            size: Size::LongRun,
            ..run(
                "cc1plus -O2, all imports",
                &[
                    &compiler.unwrap_or_default(),
                    "-quiet",
                    "-O2",
                    &source,
                    "-o",
                    "/dev/null",
                ],
            )
        },
    ]
}

/// Builds a fixture.
fn build(fixture: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{fixture}.c"));
    let program = Path::new(DIR).join(fixture);
    let built = Command::new("gcc")
        .args(["-O1", "-fno-builtin", "-pthread"])
        .arg(source)
        .arg("-o")
        .arg(&program)
        .status();
    assert!(built.expect("gcc").success(), "cannot build {fixture}");
    program
}

/// C++ that takes a compiler a second, its headers in it.
fn generated_source() -> String {
    let at = format!("{DIR}/overhead.ii");
    let text = "#include <map>\n#include <regex>\n#include <string>\n\
                int main() { std::map<std::string, std::regex> m; m[\"a\"] = std::regex(\"b*\"); return m.size(); }\n";
    std::fs::write(format!("{DIR}/overhead.cc"), text).expect("a file");
    let made = Command::new("g++")
        .args(["-E", &format!("{DIR}/overhead.cc"), "-o", &at])
        .status();
    assert!(made.expect("g++").success(), "cannot make {at}");
    at
}

/// Who runs it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Bare,
    Ours,
    OurStops,
    Debian,
    /// uftrace, recording only, and with the text of what it has recorded.
    Uftrace {
        replays: bool,
    },
}

const TOOLS: [Tool; 6] = [
    Tool::Bare,
    Tool::Ours,
    Tool::OurStops,
    Tool::Debian,
    Tool::Uftrace { replays: false },
    Tool::Uftrace { replays: true },
];

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Tool::Bare => "untraced",
            Tool::Ours => "this ltrace",
            Tool::OurStops => "this ltrace, --instrument stop",
            Tool::Debian => "Debian's ltrace",
            Tool::Uftrace { replays: false } => "uftrace record -l -a",
            Tool::Uftrace { replays: true } => "the same, and replay",
        }
    }

    /// How many calls it is given.
    fn calls(self) -> usize {
        match self {
            Tool::OurStops | Tool::Debian => FEW,
            _ => MANY,
        }
    }

    fn words(self, workload: &Workload) -> Vec<&str> {
        let ltrace = |path, more: &[&'static str]| {
            let mut words = vec![path];
            words.extend(more);
            words.extend(workload.options);
            words.extend(["-o", workload.to]);
            words
        };
        match self {
            Tool::Bare => Vec::new(),
            Tool::Ours => ltrace(env!("CARGO_BIN_EXE_ltrace"), &[]),
            Tool::OurStops => ltrace(env!("CARGO_BIN_EXE_ltrace"), &["--instrument", "stop"]),
            Tool::Debian => ltrace(PEER, &[]),
            Tool::Uftrace { .. } => {
                vec!["uftrace", "record", "--force", "-l", "-a", "-d", UFTRACE]
            }
        }
    }

    /// How long a run took; `None` when it did not end well, or there was none.
    fn run(self, workload: &Workload) -> Option<Duration> {
        if matches!(workload.size, Size::LongRun) && self.calls() == FEW {
            return None;
        }
        let mut words: Vec<PathBuf> = self.words(workload).iter().map(PathBuf::from).collect();
        words.extend(workload.command.iter().cloned());
        if let Size::Calls = workload.size {
            let threads = if workload.command.len() == 2 && workload.options == ["-f"] {
                8
            } else {
                1
            };
            words.push((self.calls() / threads).to_string().into());
        }
        let began = Instant::now();
        quietly(&words)?;
        if self == (Tool::Uftrace { replays: true }) {
            quietly(&["uftrace", "replay", "--no-pager", "-d", UFTRACE].map(PathBuf::from))?;
        }
        let took = began.elapsed();
        // A killed program is a failed run, whatever the tracer says.
        let is_peer = self == Tool::Debian && workload.to == TRACE;
        (!is_peer || !tells_of_a_kill()).then_some(took)
    }
}

fn quietly(words: &[PathBuf]) -> Option<()> {
    let (program, arguments) = words.split_first()?;
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success()).then_some(())
}

fn compare(workload: &Workload) {
    let mut took: [Vec<f64>; TOOLS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (tool, took) in TOOLS.iter().zip(&mut took) {
            took.extend(tool.run(workload).map(|time| figure(workload, *tool, time)));
        }
    }
    let bare = median(&mut took[0]).unwrap_or_default();
    let own = match workload.size {
        Size::Calls => bare,
        Size::Run | Size::LongRun => 0.0,
    };
    let peer = TOOLS.iter().position(|tool| *tool == Tool::Debian);
    let peer = peer
        .and_then(|peer| median(&mut took[peer]))
        .map(|figure| figure - own);
    for (tool, figures) in TOOLS.iter().zip(&mut took) {
        let own = if *tool == Tool::Bare { 0.0 } else { own };
        let Some(middle) = median(figures) else {
            println!("| {} | {} | – | – | – |", workload.name, tool.name());
            continue;
        };
        let edges =
            [figures.first(), figures.last()].map(|edge| edge.map_or(0.0, |edge| edge - own));
        let ratio = peer
            .filter(|_| *tool != Tool::Bare)
            .map(|peer| (middle - own) / peer);
        println!(
            "| {} | {} | {:.3} | {:.3}–{:.3} | {} |",
            workload.name,
            tool.name(),
            middle - own,
            edges[0],
            edges[1],
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.4}")),
        );
    }
}

/// Microseconds a call, or seconds a run.
fn figure(workload: &Workload, tool: Tool, time: Duration) -> f64 {
    match workload.size {
        Size::Calls => time.as_secs_f64() * 1e6 / tool.calls() as f64,
        Size::Run | Size::LongRun => time.as_secs_f64(),
    }
}

fn median(figures: &mut [f64]) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// The last trace says that its program was killed.
fn tells_of_a_kill() -> bool {
    std::fs::read(TRACE).is_ok_and(|trace| {
        let last = &trace[trace.len().saturating_sub(4096)..];
        String::from_utf8_lossy(last).contains("+++ killed by")
    })
}
