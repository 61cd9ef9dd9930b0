//! What a call costs from a hit to a line: ready-made hits, decoded and written to /dev/null. No process is
//! traced. Prints Markdown for `docs/performance.md`.
//!
//! `cargo bench --bench pipeline [-- CALLS] [NAME]`: of all workloads, or those whose name begins so. Figures are processor time, medians of five rounds, with the
//! first and the last of the sorted rounds beside them.
#![allow(clippy::print_stdout)]

#[path = "../tests/support/pipeline.rs"]
mod pipeline;

use pipeline::Workload;

const ROUNDS: usize = 5;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let calls: u32 = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(2_000_000);
    println!("| call | ns a call | spread | million calls a second |");
    println!("|---|---:|---:|---:|");
    let name = std::env::args().skip(1).find(|arg| {
        let is_option = arg.starts_with('-');
        !is_option && arg.parse::<u32>().is_err()
    });
    let mut workloads = pipeline::workloads();
    workloads.retain(|workload| name.iter().all(|name| workload.name.starts_with(name)));
    for workload in workloads {
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(&workload, calls)).collect();
        rounds.sort_by(f64::total_cmp);
        let median = rounds[ROUNDS / 2];
        println!(
            "| `{}` | {median:.0} | {:.0}–{:.0} | {:.1} |",
            workload.name,
            rounds[0],
            rounds[ROUNDS - 1],
            1000.0 / median
        );
    }
}

/// Nanoseconds a call.
fn round(workload: &Workload, calls: u32) -> f64 {
    let out = std::fs::File::create("/dev/null").expect("/dev/null");
    let mut pipe = workload.pipe(Box::new(std::io::BufWriter::new(out)));
    pipe.run(10_000);
    let began = processor_time();
    pipe.run(calls);
    (processor_time() - began) as f64 / f64::from(calls)
}

/// The nanoseconds that this thread has run (Documentation/scheduler/sched-stats.rst): what else the machine
/// does counts less than by a clock.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    let first = text.split(' ').next().expect("a number");
    first.parse().expect("a number")
}
