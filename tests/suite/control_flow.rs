//! Control flow that leaves calls in other ways than by returning.

use crate::support::expect::same_text;
use crate::support::fixture::{fixture, shaped};
use crate::support::program::Finished;
use crate::support::shape::Shape;
use crate::support::trace::{Line, What, about};
use crate::support::{ltrace, scratch};
use std::collections::BTreeMap;

/// The fixture checks itself and exits 0, and the lines it announced are those traced.
fn check(name: &str) -> Option<Finished> {
    let run = ltrace([fixture(name)?]).finish().exits(0);
    same_text(&about(&run.stderr, &run.stdout), &run.stdout);
    Some(run)
}

/// How often `function` returned.
fn returns(run: &Finished, function: &str) -> usize {
    let lines = run.stderr.lines().map(Line::parse);
    lines
        .filter(|line| line.returns() && line.function() == Some(function))
        .count()
}

/// How often `function` was called.
fn calls(run: &Finished, function: &str) -> usize {
    let lines = run.stderr.lines().map(Line::parse);
    lines
        .filter(|line| line.begins() && line.function() == Some(function))
        .count()
}

/// What C calls the function is another name in the file: `_setjmp`, `__sigsetjmp`.
fn setjmp_like(run: &Finished) -> usize {
    let lines = run.stderr.lines().map(Line::parse);
    lines
        .filter(|line| {
            line.begins() && line.function().is_some_and(|name| name.ends_with("setjmp"))
        })
        .count()
}

#[test]
fn longjmp_out_of_qsort_from_200_sites() {
    let Some(run) = check("longjmp") else { return };
    assert_eq!(calls(&run, "qsort"), 200, "{}", run.told());
    assert_eq!(returns(&run, "qsort"), 0, "{}", run.told());
    assert_eq!(setjmp_like(&run), 200, "{}", run.told());
}

#[test]
fn longjmp_leaves_no_indentation_behind() {
    let Some(program) = fixture("longjmp") else {
        return;
    };
    let run = ltrace(["-n", "2"]).arg(program).finish().exits(0);
    let last = run
        .stderr
        .lines()
        .rfind(|line| line.contains("malloc(200)"));
    assert!(last.unwrap().starts_with("malloc"), "{}", run.told());
}

#[test]
fn siglongjmp_out_of_a_handler() {
    let Some(run) = check("siglongjmp") else {
        return;
    };
    assert_eq!(calls(&run, "raise"), 50, "{}", run.told());
    assert_eq!(returns(&run, "raise"), 0, "{}", run.told());
}

#[test]
fn exceptions_through_a_traced_call() {
    let Some(run) = check("exceptions") else {
        return;
    };
    assert_eq!(calls(&run, "qsort"), 20, "{}", run.told());
    assert_eq!(returns(&run, "qsort"), 0, "{}", run.told());
    assert_eq!(calls(&run, "__cxa_throw"), 20, "{}", run.told());
    assert_eq!(returns(&run, "__cxa_throw"), 0, "{}", run.told());
    assert!(
        run.stderr.contains(", std::runtime_error, "),
        "{}",
        run.told()
    );
}

#[test]
fn exceptions_leave_no_indentation_behind() {
    let Some(program) = fixture("exceptions") else {
        return;
    };
    let run = ltrace(["-n", "2"]).arg(program).finish().exits(0);
    let last = run.stderr.lines().rfind(|line| line.contains("malloc(20)"));
    assert!(last.unwrap().starts_with("malloc"), "{}", run.told());
}

#[test]
fn exit_never_returns() {
    let Some(program) = fixture("no_return") else {
        return;
    };
    let run = ltrace([program]).finish().exits(3);
    // The line that the fixture can no longer print.
    let expected = format!("{}<... exit resumed> <no return ...>\n", run.stdout);
    same_text(&about(&run.stderr, &expected), &expected);
    assert_eq!(returns(&run, "exit"), 0, "{}", run.told());
    let last = run.stderr.lines().last();
    assert_eq!(last, Some("+++ exited (status 3) +++"), "{}", run.told());
}

#[test]
fn calls_nested_a_hundred_thousand_deep() {
    let Some(program) = shaped("recursion", Shape::Pie) else {
        return;
    };
    let file = scratch("recursion").join("trace");
    ltrace(["-o"])
        .arg(&file)
        .arg(program)
        .arg("100000")
        .finish()
        .exits(0);
    let trace = std::fs::read_to_string(file).unwrap();
    let count = |wanted: fn(&What<'_>) -> bool| {
        let lines = trace.lines().map(Line::parse);
        lines
            .filter(|line| line.function() == Some("call_back") && wanted(&line.what))
            .count()
    };
    assert_eq!(count(|what| matches!(what, What::Begun(_))), 99_999);
    assert_eq!(count(|what| matches!(what, What::Whole(_))), 1);
    assert_eq!(count(|what| matches!(what, What::Resumed(_))), 99_999);
}

#[test]
fn own_breakpoints_reach_the_program() {
    let Some(program) = fixture("own_int3") else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    assert_eq!(
        run.count("--- SIGTRAP (Trace/breakpoint trap) ---"),
        11,
        "{}",
        run.told()
    );
    assert_eq!(calls(&run, "malloc"), 10, "{}", run.told());
}

/// Each function, whatever its first instruction, is hit and still does its work.
#[test]
fn every_first_instruction() {
    let Some(program) = fixture("first_instructions") else {
        return;
    };
    let run = ltrace(["-L", "-x", "f_*"]).arg(program).finish().exits(0);
    let traced = crate::support::trace::calls(&run.stderr);
    // 32 functions, three rounds, and one that jumps to another.
    assert_eq!(traced.len(), 32 * 3 + 3, "{}", run.told());
    let finished = run
        .stderr
        .lines()
        .filter(|line| Line::parse(line).returns());
    assert_eq!(finished.count(), traced.len(), "{}", run.told());
}

#[test]
fn coroutines_with_calls_open_on_each_stack() {
    let Some(run) = check("coroutines") else {
        return;
    };
    assert_eq!(calls(&run, "call_back"), 12, "{}", run.told());
    assert_eq!(returns(&run, "call_back"), 12, "{}", run.told());
}

#[test]
fn handlers_on_a_stack_of_their_own() {
    let Some(run) = check("alternate_stack") else {
        return;
    };
    assert_eq!(calls(&run, "raise"), 20, "{}", run.told());
    assert_eq!(returns(&run, "raise"), 10, "{}", run.told());
}

#[test]
fn threads_that_end_inside_calls() {
    let Some(program) = fixture("cancel") else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    let begun = |name: &str| {
        let lines = run.stderr.lines().map(Line::parse);
        lines
            .filter(|line| line.begins() && line.function() == Some(name))
            .count()
    };
    assert_eq!(begun("call_back"), 10, "{}", run.told());
    assert_eq!(begun("pthread_exit"), 10, "{}", run.told());
    assert_eq!(returns(&run, "pthread_exit"), 0, "{}", run.told());
    assert_eq!(returns(&run, "call_back"), 0, "{}", run.told());
}

/// How a function's calls ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ends {
    begun: usize,
    returned: usize,
    marked: usize,
}

/// The fixture checks itself; every call in its trace has one end, and those of `functions` have these:
/// name, calls, returns.
#[track_caller]
fn check_ends(name: &str, functions: &[(&str, usize, usize)]) {
    let Some(program) = fixture(name) else { return };
    let file = scratch(name).join("trace");
    ltrace(["-o"]).arg(&file).arg(program).finish().exits(0);
    let trace = std::fs::read_to_string(file).unwrap();
    // Lines name no task while there is but one, which is the oldest.
    let oldest = trace.lines().filter_map(|line| Line::parse(line).tid).min();
    let mut tasks: BTreeMap<(Option<i32>, &str), Ends> = BTreeMap::new();
    for line in trace
        .lines()
        .filter(|line| !line.contains("resumed again>"))
    {
        let line = Line::parse(line);
        if let Some(function) = line.function() {
            let task = line.tid.or(oldest);
            let ends = tasks.entry((task, function)).or_default();
            ends.begun += usize::from(line.begins());
            ends.returned += usize::from(line.returns());
            ends.marked += usize::from(matches!(
                line.what,
                What::Closed(_) | What::NeverReturned(_)
            ));
        }
    }
    let mut all: BTreeMap<&str, Ends> = BTreeMap::new();
    for ((task, function), ends) in tasks {
        assert_eq!(
            ends.begun,
            ends.returned + ends.marked,
            "{function} in {task:?}: {ends:?}"
        );
        let sum = all.entry(function).or_default();
        sum.begun += ends.begun;
        sum.returned += ends.returned;
    }
    for &(function, begun, returned) in functions {
        let ends = all.get(function).copied().unwrap_or_default();
        assert_eq!((ends.begun, ends.returned), (begun, returned), "{function}");
    }
}

#[test]
fn coroutines_left_in_the_middle_of_calls() {
    check_ends(
        "fibers",
        &[
            ("qsort", 200, 100),
            ("malloc", 101, 101),
            ("free", 100, 100),
            ("longjmp", 100, 0),
            ("setcontext", 4, 0),
        ],
    );
}

#[test]
fn stacks_switched_by_hand() {
    check_ends("own_switch", &[("qsort", 240, 240), ("abs", 248, 248)]);
}

#[test]
fn handlers_on_an_alternate_stack() {
    check_ends(
        "altstack",
        &[
            ("raise", 80, 40),
            ("qsort", 40, 0),
            ("siglongjmp", 40, 0),
            ("malloc", 41, 41),
        ],
    );
}

/// What a handler left by siglongjmp had opened on its alternate stack is closed at the next call.
#[test]
fn handlers_left_leave_no_indentation_behind() {
    let Some(program) = fixture("altstack") else {
        return;
    };
    let run = ltrace(["-n", "2"]).arg(program).finish().exits(0);
    let rounds = run.count("malloc(33)");
    assert_eq!(rounds, 40, "{}", run.told());
}

#[test]
fn threads_that_end_in_the_middle_of_calls() {
    check_ends(
        "thread_ends",
        &[
            ("qsort", 45, 0),
            ("pthread_exit", 15, 0),
            ("pause", 15, 0),
            ("malloc", 45, 45),
            ("free", 45, 45),
            ("_Unwind_Resume", 45, 0),
            ("pthread_join", 45, 45),
        ],
    );
}

/// However control leaves them.
#[test]
fn every_call_has_one_end() {
    for (name, functions) in [
        (
            "exceptions",
            &[("qsort", 20, 0), ("__cxa_throw", 20, 0)][..],
        ),
        ("longjmp", &[("qsort", 200, 0), ("longjmp", 200, 0)]),
        ("siglongjmp", &[("raise", 50, 0), ("siglongjmp", 50, 0)]),
        (
            "tail_calls",
            &[("close", 2, 2), ("malloc", 2, 2), ("free", 2, 2)],
        ),
        ("coroutines", &[]),
        ("cancel", &[]),
    ] {
        check_ends(name, functions);
    }
}

/// With no other call that is traced, too.
#[test]
fn left_by_an_exception() {
    let Some(program) = fixture("told") else {
        return;
    };
    let run = ltrace(["-L", "-x", "thrower", "-x", "middle"])
        .arg(&program)
        .finish()
        .exits(42);
    let unwound = run.stderr.matches("<unwound ...>").count();
    assert_eq!(unwound, 4, "{}", run.told());
    assert!(!run.stderr.contains("<no return"), "{}", run.told());
}

/// Padding behind a call that does not return is not the program's breakpoint; its IFUNC has a name; a result
/// that is an error reads so; and a call that does not return counts.
#[test]
fn what_is_easily_told_wrongly() {
    let Some(program) = fixture("told") else {
        return;
    };
    let run = ltrace([""; 0]).arg(&program).finish().exits(42);
    for line in ["chosen(41", "iconv(", "exit(42"] {
        assert_eq!(run.count(line), 1, "{line}\n{}", run.told());
    }
    let result = run.stderr.lines().find(|line| line.starts_with("iconv("));
    assert!(
        result.is_some_and(|line| line.contains("= -1 E")),
        "{}",
        run.told()
    );
    assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
    let run = ltrace(["-c"]).arg(&program).finish().exits(42);
    let counted = run
        .stderr
        .lines()
        .filter(|line| line.ends_with(" 1 exit"))
        .count();
    assert_eq!(counted, 1, "{}", run.told());
}

/// Of two names for one address, the one that users know.
#[test]
fn the_usual_name() {
    let Some(program) = fixture("told") else {
        return;
    };
    let run = ltrace(["-L", "-x", r"/rindex\|strrchr/@libc.so*"])
        .arg(&program)
        .finish()
        .exits(42);
    let line = "strrchr@libc.so.6(\"a/b\", '/')";
    assert_eq!(run.count(line), 1, "{}", run.told());
    assert!(!run.stderr.contains("rindex"), "{}", run.told());
}

#[test]
fn nothing_was_asked_for() {
    let Some(program) = fixture("told") else {
        return;
    };
    let run = ltrace(["-L"]).arg(&program).finish().exits(42);
    assert_eq!(run.stderr, "+++ exited (status 42) +++\n");
}
