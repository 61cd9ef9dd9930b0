//! `--leaks`: whatever ends a program, the last report has a verdict.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, report};
use crate::support::{ltrace, scratch};

#[test]
fn every_end_has_a_verdict() {
    let Some(program) = fixture("leak_ends") else {
        return;
    };
    let ways = [
        ("exit", "at exit"),
        ("_exit", "at exit"),
        ("quick_exit", "at exit"),
        ("exit_group", "at exit"),
        ("thread", "at exit"),
        ("pthread_exit", "at exit"),
        ("abort", "killed by SIGABRT"),
        ("fault", "killed by SIGSEGV"),
        ("1", "killed by SIGHUP"),
        ("2", "killed by SIGINT"),
        ("9", "killed by SIGKILL"),
        ("15", "killed by SIGTERM"),
    ];
    for (way, how) in ways {
        let file = scratch("ends").join("report.json");
        let path = file.to_str().expect("a path");
        let args = ["--leaks", "--older", "0", "--fail-on", "lost", "--json"];
        let tracer = ltrace(args).arg(path).arg(&program).arg(way);
        let finished = tracer.finish().exits(99);
        let report = read(&file);
        let lost = (&report["lost"]["blocks"], &report["lost"]["bytes"]);
        assert_eq!(lost, (&5.into(), &385.into()), "{way}: {}", finished.told());
        assert_eq!(report["process"]["ended"], how, "{way}: {report:#}");
    }
}

/// A child keeps the memory of a large process that ends by itself or by a signal, which therefore is not held while it
/// is looked at. SIGKILL leaves no time for that.
#[test]
fn a_large_process() {
    let Some(program) = fixture("leak_large") else {
        return;
    };
    let program = program.to_str().expect("a path");
    for instrument in ["auto", "stop"] {
        for (way, forked, ended) in [
            ("exit", true, "at exit"),
            ("_exit", true, "at exit"),
            ("kill", false, "killed by SIGKILL"),
            ("term", true, "killed by SIGTERM"),
            ("fault", true, "killed by SIGSEGV"),
        ] {
            let args = ["--older", "0", "--instrument", instrument];
            let (report, finished) = report(&args, &[program, way]);
            assert_eq!(report["lost"]["blocks"], 15, "{way}: {}", finished.told());
            assert_eq!(report["check"]["forked"], forked, "{way}: {report:#}");
            assert_eq!(report["process"]["ended"], ended, "{way}: {report:#}");
            let told = finished.stderr.matches("leak_large (pid ").count();
            assert_eq!(told, 1, "{way}: {}", finished.told());
        }
    }
}

/// Without `-f` it is told that a child was not watched, which leaks.
#[test]
fn children_that_are_not_watched() {
    let Some(program) = fixture("leak_ends") else {
        return;
    };
    let run = |args: &[&str]| {
        let tracer = ltrace([&["--leaks"], args].concat());
        tracer.arg(&program).arg("fork").finish().exits(0)
    };
    let alone = run(&[]);
    let said = "; 1 child not watched (-f does)";
    assert_eq!(alone.stderr.matches(said).count(), 1, "{}", alone.told());
    let both = run(&["-f"]);
    assert!(!both.stderr.contains("not watched"), "{}", both.told());
    // The child has what its maker had, one more, and what only the stack of a thread held that it has not.
    let said = "lost 517 B in 7 blocks at 3 sites";
    assert_eq!(both.stderr.matches(said).count(), 1, "{}", both.told());
}
