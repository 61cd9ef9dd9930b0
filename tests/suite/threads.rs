//! Threads are traced by default, and nothing of them is lost.

use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::stress::{assert_complete, run_stressed};

#[test]
fn every_call_of_eight_threads() {
    let Some(program) = fixture("threads") else {
        return;
    };
    for _ in 0..3 {
        run_stressed(&program, 8, 5000);
    }
}

#[test]
fn every_call_of_eight_threads_in_a_storm_of_signals() {
    let Some(program) = fixture("signal_storm") else {
        return;
    };
    for _ in 0..2 {
        run_stressed(&program, 8, 1000);
    }
}

#[test]
fn lines_on_standard_error_name_their_task() {
    let Some(program) = fixture("threads") else {
        return;
    };
    let run = ltrace([program]).args(["2", "50"]).finish().exits(0);
    assert_complete(&run.stderr, 2, 50);
}

#[test]
fn prefix_comes_with_the_second_task() {
    let Some(program) = fixture("threads") else {
        return;
    };
    let run = ltrace([program]).args(["1", "1"]).finish().exits(0);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(!lines[0].starts_with("[pid "), "{}", run.told());
    let first = lines.iter().position(|line| line.starts_with("[pid "));
    let first = first.unwrap_or_else(|| panic!("{}", run.told()));
    assert!(
        lines[first..].iter().all(|line| line.starts_with("[pid ")),
        "{}",
        run.told()
    );
}
