//! Programs of Go's compiler: stacks move while calls are open, goroutines go from thread to thread, and the
//! runtime unwinds wherever a signal finds them.

use crate::support::fixture::fixture;
use crate::support::program::Program;
use crate::support::text::assert_text_untouched;
use crate::support::trace::{Line, What};
use crate::support::{leaks, ltrace, scratch};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;

/// Calls that begin, that return and that are known not to, by function.
fn counted(trace: &str) -> BTreeMap<&str, [usize; 3]> {
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for line in trace.lines().map(Line::parse) {
        let Some(function) = line.function() else {
            continue;
        };
        let [begun, returned, unwound] = counts.entry(function).or_default();
        *begun += usize::from(line.begins());
        *returned += usize::from(line.returns());
        *unwound += usize::from(matches!(
            line.what,
            What::Closed(_) | What::NeverReturned(_)
        ));
    }
    counts
}

/// Each call is seen once, with its return if it has one.
fn every_call_once(name: &str, value: &str) {
    let Some(program) = fixture("goroutines") else {
        return;
    };
    let trace = scratch("go").join("trace");
    let filters = ["grow", "wander", "leaf", "fail", "try", "quit"].map(|f| format!("main.{f}"));
    let filters = filters.iter().flat_map(|filter| ["-x", filter]);
    let run = ltrace(["-o"]).arg(&trace).args(filters).arg(program);
    let run = run.env(name, value).finish().exits(0);
    assert_eq!(run.stdout, "ok\n", "{}", run.told());
    let trace = fs::read_to_string(trace).unwrap();
    let expected = BTreeMap::from([
        ("main.grow", [408, 408, 0]),
        ("main.wander", [8, 8, 0]),
        ("main.leaf", [4000, 4000, 0]),
        ("main.fail", [160, 0, 160]),
        ("main.try", [160, 160, 0]),
        ("main.quit", [8, 0, 8]),
    ]);
    assert_eq!(counted(&trace), expected);
}

#[test]
fn every_call_once_by_default() {
    every_call_once("GOGC", "100");
}

#[test]
fn every_call_once_on_one_processor() {
    every_call_once("GOMAXPROCS", "1");
}

#[test]
fn every_call_once_without_preemption() {
    every_call_once("GODEBUG", "asyncpreemptoff=1");
}

#[test]
fn every_call_once_while_stacks_are_shrunk() {
    every_call_once("GODEBUG", "gcstoptheworld=1,gcshrinkstackoff=0");
}

#[test]
fn functions_by_their_names() {
    let Some(program) = fixture("goroutines") else {
        return;
    };
    let run = ltrace(["-c", "-x", "main.(*counter).add", "-x", "main.t?y"]);
    let run = run.arg(program).finish().exits(0);
    let count = |name: &str| {
        let mut rows = run.stderr.lines().filter(|line| line.ends_with(name));
        let row: Vec<&str> = rows.next().unwrap_or_default().split_whitespace().collect();
        row.get(3).and_then(|calls| calls.parse().ok())
    };
    assert_eq!(
        count(" main.(*counter).add"),
        Some(8 * 521),
        "{}",
        run.told()
    );
    assert_eq!(count(" main.try"), Some(160), "{}", run.told());
}

/// Functions of the runtime are come to by jumps, from signal handlers, and on stacks of its own.
#[test]
fn the_runtime_itself() {
    let Some(program) = fixture("goroutines") else {
        return;
    };
    let run = ltrace(["-c", "-x", "runtime.*"])
        .arg(program)
        .finish()
        .exits(0);
    assert_eq!(run.stdout, "ok\n", "{}", run.told());
    assert!(
        !run.stderr.contains("the return of a call"),
        "{}",
        run.told()
    );
}

#[test]
fn attached_again_and_again() {
    let Some(program) = fixture("goroutines") else {
        return;
    };
    let mut server = Program::new(program).arg("on").start();
    server.wait_for_stdout("ready\n");
    for _ in 0..20 {
        let tracer = ltrace(["-x", "main.*", "-p", &server.pid().to_string()]).start();
        tracer.wait_for_stderr("main.leaf(");
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
        assert!(server.is_alive(), "{}", server.stderr.text());
        assert_text_untouched(server.pid());
        server.wait_for_stdout_beyond(server.stdout.len(), ".");
    }
    let finished = server.finish().exits(0);
    assert!(finished.stdout.ends_with("ok\n"), "{}", finished.told());
}

/// C runs on another stack than the goroutine that calls it, whose own callers are told apart.
#[test]
fn stacks_of_leaks_go_on_from_c_to_its_callers() {
    let Some(program) = fixture("leak_cgo") else {
        return;
    };
    let program = program.to_str().unwrap();
    let (report, run) = leaks::report(&["--older", "0"], &[program]);
    assert_eq!(run.stdout, "done\n", "{}", run.told());
    let sites = report["sites"].as_array().unwrap();
    for caller in ["main.sessions", "main.requests"] {
        let expected = ["c_leak", "main._Cfunc_c_leak", caller, "main.main.func1"];
        let site = sites.iter().find(|site| leaks::users(site) == expected);
        let site = site.unwrap_or_else(|| panic!("no site of {caller}: {report:#}"));
        // Some stale word may hold one or the other.
        let lost = site["live"]["blocks"].as_u64().expect("a number");
        assert!((98..=100).contains(&lost), "{site:#}");
        assert_eq!(
            site["stack"].as_array().unwrap().last().unwrap()["function"],
            "runtime.goexit"
        );
    }
}
