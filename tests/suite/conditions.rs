//! Which of the traced calls are shown: `--min-time`, `-z`, `-Z`, `--depth`, `--trigger`, `--stop`, `--until`.

use crate::support::fixture::fixture;
use crate::support::server::{assert_unharmed, server};
use crate::support::trace::calls;
use crate::support::{ltrace, scratch};
use serde_json::Value;
use std::fs;

/// The functions whose calls a trace of `backtrace` shows with these options.
fn shown(options: &[&str]) -> Option<Vec<String>> {
    let program = fixture("backtrace")?;
    let run = ltrace(options).arg(program).finish().exits(0);
    Some(calls(&run.stderr).into_iter().map(str::to_owned).collect())
}

#[track_caller]
fn check(options: &[&str], names: &[&str]) {
    if let Some(found) = shown(options) {
        assert_eq!(found, names, "{options:?}");
    }
}

#[test]
fn calls_by_their_depth() {
    check(&[], &["qsort", "memcmp", "getenv", "abs", "exit"]);
    check(&["--depth", "1"], &["qsort", "getenv", "abs", "exit"]);
    check(
        &["--depth", "2"],
        &["qsort", "memcmp", "getenv", "abs", "exit"],
    );
}

#[test]
fn calls_between_two() {
    check(&["--trigger", "getenv"], &["getenv", "abs", "exit"]);
    check(&["--stop", "getenv"], &["qsort", "memcmp", "getenv"]);
    check(
        &["--trigger", "memcmp", "--stop", "abs"],
        &["memcmp", "getenv", "abs"],
    );
}

#[test]
fn calls_by_their_time() {
    check(&["--min-time", "1h"], &[]);
    check(
        &["--min-time", "0s"],
        &["qsort", "memcmp", "getenv", "abs", "exit"],
    );
    let json = scratch("conditions").join("trace.jsonl");
    let run = ltrace(["--min-time", "50ms", "--json", json.to_str().unwrap()]);
    run.args(["sleep", "0.1"]).finish().exits(0);
    let times: Vec<u64> = fs::read_to_string(json)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["elapsed_ns"].as_u64())
        .collect();
    let are_long = times.iter().all(|time| *time >= 50_000_000);
    assert!(!times.is_empty() && are_long, "{times:?}");
}

#[test]
fn calls_by_their_outcome() {
    let Some(program) = fixture("errno") else {
        return;
    };
    let traced = |options: &[&str]| ltrace(options).arg(&program).finish().stderr;
    let (all, failed, others) = (traced(&[]), traced(&["-Z"]), traced(&["-z"]));
    let count = |trace: &str| calls(trace).len();
    assert!(
        count(&failed) > 0 && count(&others) > 0,
        "{failed}\n{others}"
    );
    assert_eq!(
        count(&all),
        count(&failed) + count(&others),
        "{all}\n{failed}\n{others}"
    );
    let lines = failed.lines().filter(|line| !line.contains("+++"));
    let says = |line: &str| line.contains(" E") || line.ends_with("= -1");
    assert!(lines.clone().all(says), "{failed}");
}

#[test]
fn conditions_hold_for_every_output() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let json = scratch("conditions").join("trace.jsonl");
    let run = ltrace(["-c", "--depth", "1", "--json", json.to_str().unwrap()]);
    let run = run.arg(program).finish().exits(0);
    assert!(
        run.stderr.contains("qsort") && !run.stderr.contains("memcmp"),
        "{}",
        run.told()
    );
    let json = fs::read_to_string(json).unwrap();
    assert!(
        json.contains("\"qsort\"") && !json.contains("\"memcmp\""),
        "{json}"
    );
}

#[test]
fn so_many_calls_and_no_more() {
    check(&["--until", "2"], &["qsort", "memcmp"]);
    let Some(server) = server(4) else { return };
    let pid = server.pid().to_string();
    let run = ltrace(["-p", &pid, "--until", "50"]).finish().exits(0);
    assert_eq!(calls(&run.stderr).len() / 50, 1, "{}", run.told());
    ltrace(["-p", &pid, "--until", "100ms"]).finish().exits(0);
    assert_unharmed(server);
}
