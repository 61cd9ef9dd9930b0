//! Whole programs that allocate, under tools that start them: this ltrace, heaptrack, LeakSanitizer and memcheck.

use super::{LTRACE, fixture, spread_of};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 3;
const LEAK_SANITIZER: &str = "/usr/lib/x86_64-linux-gnu/liblsan.so.0";

/// What is run.
struct Workload {
    name: &'static str,
    command: Vec<String>,
    /// Pairs of malloc and free, where it does nothing else.
    pairs: Option<f64>,
}

#[derive(Clone, Copy)]
enum Tool {
    None,
    Ours,
    Heaptrack,
    LeakSanitizer,
    Memcheck,
}

const TOOLS: [Tool; 5] = [
    Tool::None,
    Tool::Ours,
    Tool::Heaptrack,
    Tool::LeakSanitizer,
    Tool::Memcheck,
];

/// Prints the tables, of the tools that are installed.
pub(super) fn runs() {
    for processors in ["one processor", "left to the scheduler"] {
        println!("| run, {processors} | tool | s | µs a pair | ratio to untraced |");
        println!("|---|---|---:|---:|---:|");
        for workload in workloads() {
            run(&workload, processors == "one processor");
        }
        println!();
    }
}

fn workloads() -> Vec<Workload> {
    const PAIRS: u32 = 1_000_000;
    let depth = fixture("leak_depth").display().to_string();
    let pairs = |name, depth_of: &str, threads: &str| Workload {
        name,
        command: [&*depth, depth_of, &PAIRS.to_string(), threads]
            .map(String::from)
            .to_vec(),
        pairs: Some(PAIRS.into()),
    };
    let run = |name, command: Vec<String>| Workload {
        name,
        command,
        pairs: None,
    };
    let words = fixture("leak_wordcount").display().to_string();
    let mut workloads = vec![
        pairs("pairs, 8 frames", "4", "1"),
        pairs("pairs, 30 frames", "26", "1"),
        pairs("pairs, 4 threads, 8 frames", "4", "4"),
        run("words counted", vec![words, "1000000".to_owned()]),
    ];
    if let Some(compiler) = compiler() {
        workloads.push(run("`cc1plus -O1`", compiler));
    }
    workloads
}

/// A compiler at work on a file of C++ with all its headers in it.
fn compiler() -> Option<Vec<String>> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, at) = (dir.join("leaks.cc"), dir.join("leaks.ii"));
    let text = "#include <map>\n#include <regex>\n#include <string>\n\
                int main() { std::map<std::string, std::regex> m; m[\"a\"] = std::regex(\"b*\"); return m.size(); }\n";
    std::fs::write(&source, text).ok()?;
    let mut preprocessor = Command::new("g++");
    preprocessor.arg("-E").arg(&source).arg("-o").arg(&at);
    preprocessor
        .status()
        .ok()
        .filter(std::process::ExitStatus::success)?;
    let asked = Command::new("gcc").arg("-print-prog-name=cc1plus").output();
    let name = String::from_utf8(asked.ok()?.stdout).ok()?;
    let words = [
        name.trim(),
        "-quiet",
        "-O1",
        at.to_str()?,
        "-o",
        "/dev/null",
    ];
    Some(words.map(String::from).to_vec())
}

/// The rows of one workload; the rounds of the tools take turns.
fn run(workload: &Workload, on_one: bool) {
    let mut took = vec![Vec::new(); TOOLS.len()];
    for _ in 0..ROUNDS {
        for (tool, took) in TOOLS.iter().zip(&mut took) {
            took.extend(tool.time(workload, on_one));
        }
    }
    let median = |took: &[f64]| {
        let mut sorted = took.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    };
    let bare = median(&took[0]).unwrap_or(f64::NAN);
    for (tool, took) in TOOLS.iter().zip(&mut took) {
        let Some(time) = median(took) else {
            continue;
        };
        let pair = match (workload.pairs, tool) {
            (Some(pairs), tool) if !matches!(tool, Tool::None) => {
                format!("{:.2}", (time - bare) * 1e6 / pairs)
            }
            (Some(pairs), _) => format!("{:.2}", time * 1e6 / pairs),
            _ => "–".to_owned(),
        };
        println!(
            "| {} | {} | {} | {pair} | {:.1} |",
            workload.name,
            tool.name(),
            spread_of(took),
            time / bare
        );
    }
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Tool::None => "none",
            Tool::Ours => "ltrace --leaks",
            Tool::Heaptrack => "heaptrack",
            Tool::LeakSanitizer => "LeakSanitizer, preloaded",
            Tool::Memcheck => "valgrind --leak-check=full",
        }
    }

    fn words(self, report: &str) -> Vec<&str> {
        match self {
            Tool::None | Tool::LeakSanitizer => Vec::new(),
            Tool::Ours => vec![LTRACE, "--leaks", "-o", report],
            Tool::Heaptrack => vec!["heaptrack", "--raw", "-o", report],
            Tool::Memcheck => vec!["valgrind", "--quiet", "--leak-check=full"],
        }
    }

    /// How many seconds a run takes; nothing where the tool is missing.
    fn time(self, workload: &Workload, on_one: bool) -> Option<f64> {
        let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("leaks-run");
        let pin: &[&str] = if on_one { &["taskset", "-c", "0"] } else { &[] };
        let words = pin.iter().copied().chain(self.words(report.to_str()?));
        let words: Vec<&str> = words
            .chain(workload.command.iter().map(String::as_str))
            .collect();
        let (program, args) = words.split_first()?;
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Tool::LeakSanitizer = self {
            PathBuf::from(LEAK_SANITIZER)
                .exists()
                .then(|| command.env("LD_PRELOAD", LEAK_SANITIZER))?;
        }
        let begun = Instant::now();
        command.status().ok()?;
        Some(begun.elapsed().as_secs_f64())
    }
}
