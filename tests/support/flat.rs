//! How much memory the tracer holds while it traces for long.

use super::fixture::fixture;
use super::ltrace;
use std::time::{Duration, Instant};

/// What is traced, with which options.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The fixture and its arguments, but for the last.
    pub command: &'a [&'a str],
    /// Of the tracer.
    pub options: &'a [&'a str],
}

/// Runs it with `count` for the last argument, and says what the tracer held over time, in KiB,
/// at most once in `every`, and how long the run took.
pub fn run(load: Load<'_>, count: usize, every: Duration) -> (Vec<usize>, Duration) {
    let (name, arguments) = load.command.split_first().expect("a fixture");
    let mut tracer = ltrace(load.options)
        .arg(fixture(name).expect("a C compiler"))
        .args(arguments)
        .arg(count.to_string())
        .patience(Duration::from_secs(3600))
        .start();
    let begun = Instant::now();
    let (mut held, mut looked) = (Vec::new(), Instant::now());
    while tracer.is_alive() {
        std::thread::sleep(Duration::from_millis(20));
        if looked.elapsed() >= every {
            looked = Instant::now();
            held.extend(tracer_of_front(tracer.pid()).and_then(resident));
        }
    }
    let took = begun.elapsed();
    let finished = tracer.finish();
    assert_eq!(finished.code(), 0, "{}", finished.told());
    (held, took)
}

/// The process that traces, child of the one that the user started.
fn tracer_of_front(front: i32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{front}/task/{front}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// `VmRSS` in KiB (proc_pid_status(5)).
fn resident(pid: i32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
