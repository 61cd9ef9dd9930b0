//! What tracing costs: the same programs bare, under this tracer, and under the distribution's
//! ltrace, in one run, taking turns. Prints Markdown for `docs/performance.md`.
//!
//! `cargo bench --bench overhead [-- CALLS]`. Figures are medians of five rounds; the first and the
//! last of the sorted rounds stand beside them.
#![allow(clippy::print_stdout)]

mod common;

use common::{PEER, Placement, Tool, Workload, median, peer_version, per_call};
use std::time::Duration;

const ROUNDS: usize = 5;

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

fn seconds(times: &[Duration]) -> String {
    median(times).map_or_else(
        || "died".to_owned(),
        |time| format!("{:.2}", time.as_secs_f64()),
    )
}
