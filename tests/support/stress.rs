//! Many threads that call at once: every call and every return must be in the trace.

use super::trace::Line;
use super::{ltrace, scratch};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Of one task: how many calls of one function began, and how many came back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    begun: usize,
    returned: usize,
}

fn tally(trace: &str, function: &str) -> BTreeMap<i32, Tally> {
    let mut tasks: BTreeMap<i32, Tally> = BTreeMap::new();
    for line in trace.lines().map(Line::parse) {
        if line.function() != Some(function) {
            continue;
        }
        let tally = tasks.entry(line.tid.unwrap_or(0)).or_default();
        tally.begun += usize::from(line.begins());
        tally.returned += usize::from(line.returns());
    }
    tasks
}

/// Every malloc and free of `threads` times `count` is in the file with its return, in the right
/// task.
#[track_caller]
pub fn assert_complete(trace: &str, threads: usize, count: usize) {
    for thread in 0..threads {
        // Each thread asks for a size of its own.
        let size = format!("malloc({}", 1000 + thread);
        let begun = trace.lines().filter(|line| {
            line.split_once(&size)
                .is_some_and(|(_, rest)| rest.starts_with([')', ' ']))
        });
        assert_eq!(begun.count(), count, "calls of malloc({})", 1000 + thread);
    }
    let whole = Tally {
        begun: count,
        returned: count,
    };
    for function in ["malloc", "free"] {
        let workers = tally(trace, function);
        let complete = workers.values().filter(|&tally| *tally == whole).count();
        assert_eq!(
            complete, threads,
            "tasks with every {function}: {workers:?}"
        );
    }
}

/// One run of `threads` or `signal_storm` with `-o`, checked; the target checks itself. Says how long
/// the traced run took.
#[track_caller]
pub fn run_stressed(program: &Path, threads: usize, count: usize) -> Duration {
    let file = scratch("stress").join("trace");
    let begun = Instant::now();
    ltrace(["-o"])
        .arg(&file)
        .arg(program)
        .args([threads.to_string(), count.to_string()])
        .patience(Duration::from_secs(3600))
        .finish()
        .exits(0);
    let took = begun.elapsed();
    assert_complete(&fs::read_to_string(&file).expect("trace"), threads, count);
    fs::remove_file(file).expect("trace");
    took
}
