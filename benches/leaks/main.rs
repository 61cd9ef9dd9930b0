//! What the hunt for leaks costs, beside Debian's ltrace, bcc's memleak, heaptrack, LeakSanitizer and memcheck: one command
//! that prints Markdown for `docs/performance.md`. `cargo bench --bench leaks`
//!
//! memleak needs root, and to compile kernel headers at /lib/modules/VERSION/build; where it does not run it
//! is left out. Figures are medians of three rounds, the least and the most beside them.
#![allow(clippy::print_stdout)]

mod runs;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const LTRACE: &str = env!("CARGO_BIN_EXE_ltrace");
const PEER: &str = "/usr/bin/ltrace";
const MEMLEAK: &str = "/usr/sbin/memleak-bpfcc";
const ROUNDS: usize = 3;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    runs::runs();
    pairs();
    checks();
    memory();
    first_report();
}

/// A malloc/free pair, by tool.
fn pairs() {
    println!(
        "| malloc and free of 32 bytes | tool | µs a pair | spread | ratio to memleak | to ltrace |"
    );
    println!("|---|---|---:|---:|---:|---:|");
    let program = fixture("leak_cost");
    for threads in [1, 4] {
        for placement in [Placement::OneCpu, Placement::Scheduler] {
            let costs: Vec<(Tool, Option<Costs>)> =
                [Tool::None, Tool::Ours, Tool::Memleak, Tool::Peer]
                    .map(|tool| (tool, tool.cost(&program, threads, placement)))
                    .into();
            let of = |wanted: Tool| {
                let found = costs.iter().find(|(tool, _)| *tool == wanted);
                found
                    .and_then(|(_, costs)| *costs)
                    .map(|costs| costs.median)
            };
            for (tool, cost) in &costs {
                let ratio = |to: Tool| match (cost, of(to)) {
                    (Some(cost), Some(base)) => format!("{:.2}", cost.median / base),
                    _ => "–".to_owned(),
                };
                let (median, spread) = match cost {
                    Some(cost) => (
                        micros(cost.median),
                        format!("{}–{}", micros(cost.least), micros(cost.most)),
                    ),
                    None => (
                        "–".to_owned(),
                        "did not run, or the program died".to_owned(),
                    ),
                };
                println!(
                    "| {} thread{}, {} | {} | {median} | {spread} | {} | {} |",
                    threads,
                    if threads == 1 { "" } else { "s" },
                    placement.name(),
                    tool.name(),
                    ratio(Tool::Memleak),
                    ratio(Tool::Peer),
                );
            }
        }
    }
    println!();
}

/// Where tool and program may run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    Scheduler,
    OneCpu,
}

impl Placement {
    fn name(self) -> &'static str {
        match self {
            Placement::Scheduler => "left to the scheduler",
            Placement::OneCpu => "one processor",
        }
    }

    fn command(self, program: &Path) -> Command {
        match self {
            Placement::Scheduler => Command::new(program),
            Placement::OneCpu => {
                let mut command = Command::new("taskset");
                command.args(["-c", "0"]).arg(program);
                command
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    None,
    Ours,
    Memleak,
    Peer,
}

/// Nanoseconds a pair.
#[derive(Clone, Copy)]
struct Costs {
    median: f64,
    least: f64,
    most: f64,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Tool::None => "none",
            Tool::Ours => "ltrace --leaks, stacks on",
            Tool::Memleak => "bcc memleak",
            Tool::Peer => "Debian's ltrace -e malloc+free",
        }
    }

    /// How many pairs a round has.
    fn pairs(self) -> u32 {
        match self {
            Tool::None => 4_000_000,
            Tool::Ours | Tool::Memleak => 40_000,
            Tool::Peer => 4_000,
        }
    }

    fn cost(self, program: &Path, threads: u32, placement: Placement) -> Option<Costs> {
        let mut target = Target::start(placement.command(program));
        let pid = target.child.id().to_string();
        let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("leaks-trace");
        let words: Vec<&str> = match self {
            Tool::None => Vec::new(),
            Tool::Ours => vec![LTRACE, "--leaks", "--every", "1h", "--check", "off", "-o"],
            Tool::Memleak => vec![MEMLEAK, "-p", &pid, "3600"],
            Tool::Peer => vec![PEER, "-f", "-e", "malloc+free", "-o"],
        };
        let mut tool = match words.as_slice() {
            [] => None,
            [name, args @ ..] => {
                let mut command = placement.command(Path::new(name));
                command.args(args);
                if matches!(self, Tool::Ours | Tool::Peer) {
                    command.arg(&trace).args(["-p", &pid]);
                }
                Some(start_tool(command)?)
            }
        };
        // memleak compiles its program first.
        sleep(match self {
            Tool::None => Duration::ZERO,
            Tool::Ours | Tool::Peer => Duration::from_secs(1),
            Tool::Memleak => Duration::from_secs(8),
        });
        let asked = format!("pairs {} {threads}\n", self.pairs());
        let mut costs: Vec<f64> = (0..ROUNDS).filter_map(|_| target.ask(&asked)).collect();
        let works = tool
            .as_mut()
            .is_none_or(|tool| matches!(tool.try_wait(), Ok(None)));
        if let Some(tool) = &mut tool {
            interrupt(tool);
        }
        target.end();
        costs.sort_by(f64::total_cmp);
        (works && costs.len() == ROUNDS).then(|| Costs {
            median: costs[ROUNDS / 2],
            least: costs[0],
            most: costs[ROUNDS - 1],
        })
    }
}

fn start_tool(mut command: Command) -> Option<Child> {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().ok()
}

fn interrupt(tool: &mut Child) {
    let _ = Command::new("kill")
        .args(["-INT", &tool.id().to_string()])
        .status();
    let begun = Instant::now();
    while matches!(tool.try_wait(), Ok(None)) {
        if begun.elapsed() > Duration::from_secs(10) {
            let _ = tool.kill();
            let _ = tool.wait();
        }
        sleep(Duration::from_millis(10));
    }
}

/// Who can still be reached in a big heap that was there before.
fn checks() {
    println!("| check | heap | pause, ms | verdict, s | lost, found of all |");
    println!("|---|---:|---:|---:|---:|");
    let program = fixture("leak_heap");
    for (blocks, spread) in [(1_000_000, 240), (4_000_000, 460)] {
        let mut command = Command::new(&program);
        command.args([blocks.to_string(), "4".to_owned(), spread.to_string()]);
        let mut target = Target::start(command);
        let lost = target
            .greeting
            .trim_start_matches("ready ")
            .trim()
            .to_owned();
        let pid = target.child.id().to_string();
        let (mut pauses, mut verdicts, mut found) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join("leaks.json");
            let _ = fs::remove_file(&json);
            let mut tracer = Command::new(LTRACE);
            tracer
                .args(["--leaks", "--for", "2s", "--json"])
                .arg(&json)
                .args(["-p", &pid]);
            let Some(mut tracer) = start_tool(tracer) else {
                return;
            };
            // Blocks of its own, that the old ones may hold.
            sleep(Duration::from_secs(1));
            target.ask("\n");
            let _ = tracer.wait();
            let text = fs::read(&json).unwrap_or_default();
            let report: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            let check = &report["check"];
            pauses.extend(check["pause_ms"].as_f64());
            verdicts.extend(check["verdict_ms"].as_f64().map(|ms| ms / 1e3));
            found = check["before_lost"]["blocks"].as_u64().unwrap_or(0);
        }
        println!(
            "| {blocks} blocks | {} MiB | {} | {} | {found} of {lost} |",
            resident(target.child.id(), "VmRSS") >> 10,
            spread_of(&mut pauses),
            spread_of(&mut verdicts),
        );
        target.end();
    }
    println!();
}

/// What the tracer keeps of a live block.
fn memory() {
    println!("| the tracer's memory | live blocks | bytes a block |");
    println!("|---|---:|---:|");
    let mut target = Target::start(Command::new(fixture("leak_cost")));
    let pid = target.child.id().to_string();
    let mut command = Command::new(LTRACE);
    command.args([
        "--leaks",
        "--every",
        "1h",
        "--check",
        "final",
        "-o",
        "/dev/null",
        "-p",
        &pid,
    ]);
    let Some(mut tool) = start_tool(command) else {
        return;
    };
    sleep(Duration::from_secs(1));
    let tracer = child_of(tool.id()).unwrap_or(tool.id());
    target.ask("keep 1000\n");
    let before = resident(tracer, "VmRSS");
    let count = 10_000_000;
    target.ask(&format!("keep {count}\n"));
    let kept = resident(tracer, "VmRSS");
    let peak = resident(tracer, "VmHWM");
    let each = |now: u64| now.saturating_sub(before) * 1024 / count;
    println!("| resident | {count} | {} |", each(kept));
    println!("| most at any time | {count} | {} |", each(peak));
    println!();
    interrupt(&mut tool);
    target.end();
}

/// From the start of the tracer to a report with names and lines.
fn first_report() {
    println!("| first report, from the start of ltrace | size | s |");
    println!("|---|---:|---:|");
    let program = big_program();
    let size = fs::metadata(&program).map_or(0, |file| file.len());
    let mut target = Command::new(&program).spawn().expect("the program");
    sleep(Duration::from_secs(1));
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut command = Command::new(LTRACE);
        command.args([
            "--leaks",
            "--older",
            "0s",
            "--every",
            "100ms",
            "-p",
            &target.id().to_string(),
        ]);
        let tool = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let Ok(mut tool) = tool else { break };
        let mut lines = BufReader::new(tool.stderr.take().expect("a pipe")).lines();
        if lines.any(|line| line.is_ok_and(|line| line.contains("main   big.rs:"))) {
            times.push(begun.elapsed().as_secs_f64());
        }
        interrupt(&mut tool);
    }
    println!(
        "| Rust program with debug information | {} MB | {} |",
        size / 1_000_000,
        spread_of(&mut times)
    );
    let _ = target.kill();
    let _ = target.wait();
}

/// A program that answers lines.
struct Target {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    greeting: String,
}

impl Target {
    fn start(mut command: Command) -> Target {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let input = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut greeting = String::new();
        let _ = output.read_line(&mut greeting);
        Target {
            child,
            input,
            output,
            greeting,
        }
    }

    /// The number that it answers with; `None` when it has died.
    fn ask(&mut self, line: &str) -> Option<f64> {
        self.input.write_all(line.as_bytes()).ok()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).ok()?;
        answer.split_whitespace().next()?.parse().ok()
    }

    fn end(mut self) {
        drop(self.input);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds a fixture as its first line says.
fn fixture(name: &str) -> PathBuf {
    let at =
        |ending| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{name}.{ending}"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (compiler, source) = match at("cc").exists() {
        true => ("g++", at("cc")),
        false => ("gcc", at("c")),
    };
    let mut gcc = Command::new(compiler);
    gcc.args(["-O1", "-g", "-fno-builtin", "-pthread"])
        .arg("-fno-optimize-sibling-calls")
        .arg(source)
        .arg("-o")
        .arg(&program);
    assert!(gcc.status().expect("gcc").success(), "cannot build {name}");
    program
}

/// How many types the big program uses the standard library's collections with: 200 MB of it.
const TYPES: usize = 200;

/// A program of 200 MB, most of it debug information; built once.
fn big_program() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, program) = (dir.join("big.rs"), dir.join("big"));
    let text = big_source();
    if fs::read_to_string(&source).is_ok_and(|known| known == text) && program.exists() {
        return program;
    }
    let _ = File::create(&source).and_then(|mut file| file.write_all(text.as_bytes()));
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition", "2024", "-C", "debuginfo=2"])
        .arg(&source)
        .arg("-o")
        .arg(&program);
    assert!(
        rustc.status().expect("rustc").success(),
        "cannot build the big program"
    );
    program
}

fn big_source() -> String {
    let mut text = String::from(
        "use std::collections::*;
fn work<T: Ord + Clone + std::hash::Hash + std::fmt::Debug>(make: impl Fn(u64) -> T) -> usize {
    let (mut tree, mut map, mut set) = (BTreeMap::new(), HashMap::<T, Vec<T>>::new(), BTreeSet::new());
    let (mut queue, mut list) = (VecDeque::new(), Vec::new());
    for n in 0..3 {
        let one = make(n);
        tree.insert(one.clone(), n);
        map.entry(one.clone()).or_default().push(one.clone());
        set.insert(one.clone());
        queue.push_back(one.clone());
        list.push(one);
    }
    list.sort();
    list.dedup();
    tree.retain(|_, n| *n > 0);
    format!(\"{tree:?}{map:?}{set:?}{queue:?}{list:?}\").len()
}
",
    );
    let mut main = String::from("fn main() {\n    let mut sum = 0;\n");
    for n in 0..TYPES {
        let _ = writeln!(
            text,
            "#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\nstruct T{n}(u64, String);"
        );
        let _ = writeln!(main, "    sum += work(|n| T{n}(n, String::new()));");
    }
    let _ = write!(
        main,
        "    loop {{\n        std::mem::forget(Box::new(sum));\n        \
         std::thread::sleep(std::time::Duration::from_millis(5));\n    }}\n}}\n"
    );
    text + &main
}

/// A line of /proc/PID/status in KiB.
fn resident(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// ltrace is two processes; the other one is the tracer.
fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn micros(nanoseconds: f64) -> String {
    format!("{:.2}", nanoseconds / 1e3)
}

/// `12.3 (11.0–14.1)`
fn spread_of(figures: &mut [f64]) -> String {
    figures.sort_by(f64::total_cmp);
    match (
        figures.first(),
        figures.get(figures.len() / 2),
        figures.last(),
    ) {
        (Some(least), Some(median), Some(most)) => format!("{median:.2} ({least:.2}–{most:.2})"),
        _ => "–".to_owned(),
    }
}
