//! `-f`: children are traced too, at any depth.

use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::program::Finished;
use crate::support::trace::{Line, without_tids};
use std::collections::BTreeSet;

fn follow(name: &str) -> Option<Finished> {
    Some(ltrace(["-f"]).arg(fixture(name)?).finish().exits(0))
}

/// The tasks that called `function`.
fn callers(run: &Finished, function: &str) -> BTreeSet<i32> {
    let lines = run.stderr.lines().map(Line::parse);
    lines
        .filter(|line| line.begins() && line.function() == Some(function))
        .filter_map(|line| line.tid)
        .collect()
}

fn begun(run: &Finished, call: &str) -> usize {
    let trace = without_tids(&run.stderr);
    trace.lines().filter(|line| line.starts_with(call)).count()
}

#[test]
fn forked_child() {
    let Some(run) = follow("fork") else { return };
    for size in 20..120 {
        assert_eq!(
            begun(&run, &format!("malloc({size}")),
            1,
            "malloc({size})\n{}",
            run.told()
        );
    }
    assert_eq!(callers(&run, "malloc").len(), 2, "{}", run.told());
    assert_eq!(
        begun(&run, "+++ exited (status 5) +++"),
        1,
        "{}",
        run.told()
    );
    assert_eq!(
        begun(&run, "+++ exited (status 0) +++"),
        1,
        "{}",
        run.told()
    );
}

#[test]
fn vforked_children_that_exec() {
    let Some(run) = follow("vfork_exec") else {
        return;
    };
    // Ten children, and one that ends without exec.
    assert_eq!(callers(&run, "abs").len(), 11, "{}", run.told());
    assert_eq!(begun(&run, "--- Called exec() ---"), 10, "{}", run.told());
    assert_eq!(begun(&run, "+++ exited"), 12, "{}", run.told());
}

#[test]
fn spawned_children() {
    let Some(run) = follow("spawn") else { return };
    // Ten by posix_spawn, one by system, one by popen; the last may have a child of its own.
    assert!(begun(&run, "--- Called exec() ---") >= 12, "{}", run.told());
    assert_eq!(
        begun(&run, "+++ exited (status 6) +++"),
        10,
        "{}",
        run.told()
    );
    assert_eq!(
        begun(&run, "+++ exited (status 3) +++"),
        1,
        "{}",
        run.told()
    );
}

#[test]
fn daemons() {
    let Some(run) = follow("double_fork") else {
        return;
    };
    for size in 900..950 {
        assert_eq!(begun(&run, &format!("malloc({size}")), 5, "{}", run.told());
    }
    assert_eq!(begun(&run, "+++ exited"), 11, "{}", run.told());
}

#[test]
fn children_that_share_memory_and_siblings() {
    let Some(run) = follow("clone_vm") else {
        return;
    };
    assert_eq!(begun(&run, "strlen(\"12345\""), 6 * 20, "{}", run.told());
    assert_eq!(callers(&run, "strlen").len(), 6, "{}", run.told());
}

#[test]
fn a_child_execs_what_cannot_be_traced_and_the_rest_goes_on() {
    use crate::support::fixture::shaped;
    use crate::support::shape::Shape;
    for shape in [Shape::Static, Shape::StaticPie, Shape::M32] {
        let Some(next) = shaped("exit_status", shape) else {
            return;
        };
        let script = format!("{} exit 8; echo $?; exit 3", next.display());
        let run = ltrace(["-f", "sh", "-c", &script]).finish().exits(3);
        assert_eq!(run.stdout, "8\n", "{}", run.told());
        assert_eq!(
            begun(&run, "+++ exited (status 8) +++"),
            1,
            "{}",
            run.told()
        );
        assert_eq!(
            begun(&run, "+++ exited (status 3) +++"),
            1,
            "{}",
            run.told()
        );
    }
}

/// Whatever was planted while a child was made, the child has it all.
#[test]
fn a_child_made_while_breakpoints_are_planted() {
    let Some(program) = fixture("fork_amid_calls") else {
        return;
    };
    for _ in 0..5 {
        let run = ltrace(["-f", "-b", "-e", "strtol"]).arg(&program).finish();
        let run = run.exits(0);
        let children: usize = run.stdout.trim().parse().unwrap();
        let wanted = 1000 + 10 * children;
        let returned = |line: &&str| line.ends_with("= 7");
        let returned = run.stderr.lines().filter(returned).count();
        assert_eq!(returned, wanted, "{}", run.told());
        // Nor are they harmed when they are not followed.
        ltrace(["-e", "strtol"]).arg(&program).finish().exits(0);
    }
}
