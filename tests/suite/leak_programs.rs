//! `--leaks` on programs and allocators of all kinds: nothing false is told, and nothing is harmed.

use crate::support::fixture::fixture;
use crate::support::leaks::{report, told};
use crate::support::skip::command;
use serde_json::Value;

#[test]
fn programs_that_lose_nothing() {
    for program in [
        &["ls", "/"][..],
        &["ps"],
        &["bash", "-c", "echo ha"],
        &["git", "--version"],
    ] {
        if command(program[0]).is_none() {
            continue;
        }
        let (report, finished) = report(&[], program);
        finished.exits(0);
        let lost: Vec<String> = told(&report)
            .into_iter()
            .filter(|site| site.starts_with("lost"))
            .collect();
        assert!(lost.is_empty(), "{program:?}: {lost:?}");
    }
}

/// Allocated, freed and live bytes of a run.
fn counted(threads: &str, calls: &str) -> Option<([i64; 3], [i64; 3])> {
    let program = fixture("leak_exact")?;
    let (report, finished) = report(&["--check", "off"], &[program.to_str()?, threads, calls]);
    let heap = &report["heap"];
    let number = |value: &Value| value.as_i64().expect("a number");
    let ours = [
        &heap["allocated"]["blocks"],
        &heap["freed"]["blocks"],
        &heap["live"]["bytes"],
    ]
    .map(number);
    let line = finished
        .stderr
        .lines()
        .find(|line| line.split(' ').count() == 3);
    let own: Vec<i64> = line?
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    Some((ours, own.try_into().ok()?))
}

#[test]
fn no_block_is_lost_or_invented() {
    if fixture("leak_exact").is_none() {
        return;
    }
    // What the C library allocates for threads is the same in both runs.
    let (before, _) = counted("8", "0").expect("counts");
    let (after, own) = counted("8", "3000").expect("counts");
    let ours: Vec<i64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(ours, own);
}
