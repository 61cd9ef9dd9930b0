//! `--leaks` on a heap that was there before: its blocks are found in the allocator's own bookkeeping, and
//! what they hold is not lost.

use crate::support::fixture::fixture;
use crate::support::program::{Program, Running};
use crate::support::skip::unshare;
use crate::support::text::{wait_until_planted, wait_until_untouched};
use crate::support::until::wait_until;
use crate::support::{ltrace, scratch};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::time::Duration;

/// The fixture with so many blocks and threads, and how many of its blocks are lost.
fn heap(blocks: &str, threads: &str) -> Option<(Running, u64)> {
    let program = fixture("leak_heap")?;
    let target = Program::new(program).args([blocks, threads]).start();
    target.wait_for_stdout("ready");
    target.wait_for_stdout("\n");
    let so_far = target.stdout.text();
    let lost = so_far.trim().strip_prefix("ready ").expect("a number");
    let lost = lost.parse().expect("a number");
    Some((target, lost))
}

/// The report on it after three lines of input.
fn report(target: &mut Running, args: &[&str]) -> Value {
    let pid = target.pid();
    report_on(pid, target, args)
}

/// The same, where the process itself is another than the one that was started.
fn report_on(process: i32, target: &mut Running, args: &[&str]) -> Value {
    let file = scratch("heap").join("report.json");
    let pid = process.to_string();
    let path = file.to_str().expect("a path");
    let usual = ["--leaks", "--older", "0s", "--json", path, "-p", &pid];
    let tracer = ltrace([&usual, args].concat()).start();
    wait_until_planted(process);
    for _ in 0..3 {
        let so_far = target.stdout.len();
        target.say(b"\n");
        target.wait_for_stdout_beyond(so_far, "more");
    }
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}\n{}", finished.told()));
    serde_json::from_str(&text).expect("JSON")
}

/// The blocks that came since the attach: three are lost, and three held by what was there before.
#[track_caller]
fn check_new(report: &Value) {
    let [site] = report["sites"].as_array().expect("sites").as_slice() else {
        panic!("{report:#}");
    };
    assert_eq!(site["verdict"], "lost", "{report:#}");
    assert_eq!(site["live"]["bytes"], 3 * 56, "{report:#}");
    assert_eq!(report["lost"]["blocks"], 3, "{report:#}");
    assert_eq!(report["reachable"]["blocks"], 3, "{report:#}");
}

#[test]
fn blocks_from_before_the_attach() {
    for threads in ["1", "7"] {
        let Some((mut target, lost)) = heap("70000", threads) else {
            return;
        };
        let report = report(&mut target, &[]);
        check_new(&report);
        let check = &report["check"];
        assert_eq!(check["heaps_left_out"], 0, "{check}");
        let before = check["before"]["blocks"].as_u64().expect("a number");
        assert!((70000..70100).contains(&before), "{check}");
        // Some stale word may hold one or the other.
        let told = check["before_lost"]["blocks"].as_u64().expect("a number");
        assert!((lost - 8..=lost).contains(&told), "{lost} lost, {check}");
        target.close_input();
        target.finish().exits(0);
    }
}

#[test]
fn a_frozen_copy_by_fork() {
    let Some((mut target, lost)) = heap("70000", "3") else {
        return;
    };
    let report = report(&mut target, &["--freeze", "fork"]);
    check_new(&report);
    let check = &report["check"];
    assert_eq!(check["forked"], true, "{check}");
    let told = check["before_lost"]["blocks"].as_u64().expect("a number");
    assert!((lost - 8..=lost).contains(&told), "{lost} lost, {check}");
    target.close_input();
    target.finish().exits(0);
}

#[test]
fn the_program_never_sees_the_copy() {
    let Some(program) = fixture("leak_fork") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let often = ["--freeze", "fork", "--every", "20ms", "--kinds", "lost"];
    let report = report(&mut target, &often);
    assert_eq!(report["check"]["forked"], true, "{report:#}");
    assert_eq!(report["lost"]["blocks"], 3, "{report:#}");
    assert_eq!(report["lost"]["bytes"], 3 * 56, "{report:#}");
    assert_eq!(report["reachable"]["blocks"], 9, "{report:#}");
    target.close_input();
    let finished = target.finish().exits(0);
    let end = finished.stdout.lines().rev().take(2).collect::<Vec<_>>();
    assert_eq!(end, ["signals 0", "children 0"], "{}", finished.told());
}

/// The one process below another.
fn child_of(parent: i32) -> i32 {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    list.expect("a list").trim().parse().expect("one child")
}

/// The ids that a process sees of its children are others' where we are. The first process of a namespace
/// inherits all children that are left.
#[test]
fn a_copy_of_a_process_of_another_pid_namespace() {
    let (Some(program), Some(unshare)) = (fixture("leak_fork"), unshare()) else {
        return;
    };
    for (first, forked) in [(true, false), (false, true)] {
        let below = Program::new(&unshare).args(["--pid", "--fork"]);
        let below = match first {
            true => below,
            false => below.args(["sh", "-c", "\"$0\"; exit $?"]),
        };
        let mut target = below.arg(&program).start();
        target.wait_for_stdout("ready\n");
        let mut process = child_of(target.pid());
        if !first {
            process = child_of(process);
        }
        let often = ["--freeze", "fork", "--every", "20ms", "--kinds", "lost"];
        let report = report_on(process, &mut target, &often);
        assert_eq!(report["check"]["forked"], forked, "{report:#}");
        assert_eq!(report["lost"]["blocks"], 3, "{report:#}");
        target.close_input();
        let finished = target.finish().exits(0);
        let end = finished.stdout.lines().rev().take(2).collect::<Vec<_>>();
        assert_eq!(end, ["signals 0", "children 0"], "{}", finished.told());
    }
}

/// Half a TiB, of which a dozen pages are memory.
#[test]
fn more_address_space_than_memory() {
    let Some(program) = fixture("leak_sparse") else {
        return;
    };
    for snapshot_method in ["auto", "copy"] {
        let mut target = Program::new(&program).start();
        target.wait_for_stdout("ready\n");
        let report = report(&mut target, &["--freeze", snapshot_method, "--every", "1h"]);
        assert_eq!(report["lost"]["blocks"], 3, "{report:#}");
        assert_eq!(report["reachable"]["blocks"], 6, "{report:#}");
        target.close_input();
        target.finish().exits(0);
    }
}

/// Eight TiB, as sanitizers and databases reserve them: page by page that takes a minute.
#[test]
fn a_reservation_of_many_tib() {
    let Some(program) = fixture("leak_sparse") else {
        return;
    };
    for snapshot_method in ["auto", "fork", "copy"] {
        let mut target = Program::new(&program).args(["43"]).start();
        target.wait_for_stdout("ready\n");
        let report = report(&mut target, &["--freeze", snapshot_method, "--every", "1h"]);
        assert_eq!(
            report["check"]["forked"],
            snapshot_method == "fork",
            "{report:#}"
        );
        assert_eq!(report["lost"]["blocks"], 3, "{report:#}");
        assert_eq!(report["reachable"]["blocks"], 6, "{report:#}");
        target.close_input();
        target.finish().exits(0);
    }
}

#[test]
fn calls_of_a_window() {
    let Some(program) = fixture("leak_window") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let file = scratch("window").join("report.json");
    let (pid, path) = (target.pid().to_string(), file.to_str().expect("a path"));
    let args = ["--leaks", "--window", "2s", "--json", path, "-p", &pid];
    let tracer = ltrace(args).start();
    wait_until_planted(target.pid());
    target.say(b"a\n");
    target.wait_for_stdout("done\n");
    wait_until_untouched(target.pid());
    target.say(b"f\n");
    target.wait_for_stdout("done\ndone\n");
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let text = fs::read_to_string(&file).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let check = |what: &str, expected: u64| {
        let told = report.pointer(what).and_then(Value::as_u64);
        assert_eq!(told, Some(expected), "{what}\n{}", finished.told());
    };
    check("/heap/live/blocks", 40 + 5);
    check("/heap/freed/blocks", 60);
    check("/lost/blocks", 5);
    check("/reachable/blocks", 40);
    assert!(
        finished.stderr.contains("allocations of the last"),
        "{}",
        finished.told()
    );
    target.close_input();
    target.finish().exits(0);
}

/// What the tracer had made in the program's memory, or of it, does nothing of its own when it is killed.
#[test]
fn a_tracer_killed_among_its_checks() {
    let Some(program) = fixture("leak_fork") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let pid = target.pid().to_string();
    for round in 0..8 {
        let often = ["--leaks", "--freeze", "fork", "--every", "1ms", "-p", &pid];
        let mut front = ltrace(often).start();
        front.wait_for_stderr(": leak_fork (pid ");
        std::thread::sleep(Duration::from_millis(round * 7 % 10));
        let (own, children) = (
            front.pid(),
            format!("/proc/{0}/task/{0}/children", front.pid()),
        );
        let children = fs::read_to_string(children).expect("children");
        let tracer = children
            .split_whitespace()
            .find_map(|word| word.parse().ok());
        for pid in tracer.into_iter().chain([own]) {
            // It may be gone with the other one.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        front.wait();
        let so_far = target.stdout.len();
        target.say(b"\n");
        target.wait_for_stdout_beyond(so_far, "more");
    }
    let is_alive = || {
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children");
        // The one that had ended and was not waited for is no more than an entry.
        children.split_whitespace().any(|child| {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        })
    };
    // They end by themselves, as soon as they get a processor.
    wait_until("no child is left", || !is_alive());
    target.close_input();
    let ended = target.finish();
    assert!(
        ended.stdout.contains("children 0\nsignals 0\n"),
        "{}",
        ended.told()
    );
}
