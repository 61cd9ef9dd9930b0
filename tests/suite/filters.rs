//! `-e`, `-l`, `-x` and `-L` end to end: which calls they pick.

use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::trace::calls;
use nix::sys::signal::Signal;

/// With these options, the calls traced are `expected`, in order.
#[track_caller]
fn check(options: &[&str], expected: &[&str]) {
    let Some(program) = fixture("filters") else {
        return;
    };
    let run = ltrace(options).arg(program).finish().exits(0);
    let mut traced = calls(&run.stderr);
    // What the linker's start files call: a pattern may well match it.
    traced.retain(|name| !name.ends_with("__libc_start_main") && !name.ends_with("__cxa_finalize"));
    assert_eq!(traced, expected, "{options:?}\n{}", run.told());
}

/// All that the program itself calls.
const MAIN: [&str; 5] = ["malloc", "free", "abs", "caller_work", "strlen"];

#[test]
fn default_is_the_main_program_without_prefix() {
    check(&[], &MAIN);
}

#[test]
fn names() {
    check(
        &["-e", "malloc+free"],
        &[
            "filters->malloc",
            "filters->free",
            "libcaller.so.1->malloc",
            "libcaller.so.1->free",
        ],
    );
    check(&["-e", "abs"], &["filters->abs"]);
    check(&["-e", "+abs"], &["filters->abs"]);
}

#[test]
fn callers() {
    check(
        &["-e", "@libcaller.so*"],
        &[
            "libcaller.so.1->malloc",
            "libcaller.so.1->free",
            "libcaller.so.1->atoi",
        ],
    );
    check(
        &["-e", "malloc+free-@libcaller.so*"],
        &["filters->malloc", "filters->free"],
    );
    check(&["-e", "malloc@filters"], &["filters->malloc"]);
    check(&["-e", "malloc@MAIN"], &["filters->malloc"]);
    check(
        &["-e", "@MAIN-strlen-free"],
        &["filters->malloc", "filters->abs", "filters->caller_work"],
    );
    check(
        &["-e", "malloc@libcaller.so.1+abs"],
        &["filters->abs", "libcaller.so.1->malloc"],
    );
}

#[test]
fn globs() {
    check(&["-e", "m?lloc@MAIN"], &["filters->malloc"]);
    check(&["-e", "[mf]*@MAIN"], &["filters->malloc", "filters->free"]);
    check(
        &["-e", "[!mf]*@MAIN"],
        &["filters->abs", "filters->caller_work", "filters->strlen"],
    );
    check(&["-e", "abs@^filters$"], &["filters->abs"]);
    check(&["-e", "^ab*@MAIN"], &["filters->abs"]);
}

#[test]
fn regular_expressions() {
    check(
        &["-e", r"/abs\|caller.*/"],
        &["filters->abs", "filters->caller_work"],
    );
    check(&["-e", "abs@/filters/"], &["filters->abs"]);
    check(&["-e", "/m.*@.*caller.*/"], &["libcaller.so.1->malloc"]);
}

#[test]
fn everything_but() {
    let Some(program) = fixture("filters") else {
        return;
    };
    for option in ["-malloc@*", "!malloc"] {
        let run = ltrace(["-e", option]).arg(&program).finish().exits(0);
        let traced = calls(&run.stderr);
        assert!(
            !traced.iter().any(|name| name.ends_with(">malloc")),
            "{}",
            run.told()
        );
        for name in ["filters->free", "libcaller.so.1->free", "filters->strlen"] {
            assert!(traced.contains(&name), "no {name}\n{}", run.told());
        }
    }
}

#[test]
fn several_filters_are_a_union() {
    check(
        &["-e", "abs", "-e", "strlen@MAIN"],
        &["filters->abs", "filters->strlen"],
    );
}

#[test]
fn path_of_the_caller() {
    let Some(program) = fixture("filters") else {
        return;
    };
    let dir = program.parent().unwrap().to_string_lossy().into_owned();
    check(&["-e", &format!("abs@{dir}/filters")], &["filters->abs"]);
    check(
        &["-e", &format!("malloc@{dir}/lib*")],
        &["libcaller.so.1->malloc"],
    );
}

#[test]
fn named_sets() {
    check(
        &["-e", "%heap"],
        &[
            "filters->malloc",
            "filters->free",
            "libcaller.so.1->malloc",
            "libcaller.so.1->free",
        ],
    );
}

#[test]
fn by_the_library_that_is_called() {
    check(&["-l", "libcaller.so*"], &["filters->caller_work"]);
    check(
        &["-l", "libc.so*"],
        &[
            "filters->malloc",
            "filters->free",
            "filters->abs",
            "libcaller.so.1->malloc",
            "libcaller.so.1->free",
            "libcaller.so.1->atoi",
            "filters->strlen",
        ],
    );
}

#[test]
fn entries_of_functions() {
    check(
        &["-L", "-x", "malloc@libc.so*"],
        &["malloc@libc.so.6", "malloc@libc.so.6"],
    );
    check(
        &["-L", "-x", "caller_work"],
        &["caller_work@libcaller.so.1"],
    );
    check(&["-L", "-x", "main"], &["main"]);
}

#[test]
fn entries_add_to_the_default() {
    let Some(program) = fixture("filters") else {
        return;
    };
    let run = ltrace(["-x", "caller_work"]).arg(program).finish().exits(0);
    let traced = calls(&run.stderr);
    assert_eq!(
        traced,
        [
            "malloc",
            "free",
            "abs",
            "caller_work",
            "caller_work@libcaller.so.1",
            "strlen"
        ],
        "{}",
        run.told()
    );
}

#[test]
fn a_filter_that_matches_nothing_is_told() {
    let Some(program) = fixture("filters") else {
        return;
    };
    let run = ltrace(["-e", "nothing_is_called_so"])
        .arg(program)
        .finish()
        .exits(0);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.told());
    assert!(lines[0].starts_with("ltrace: "), "{}", run.told());
    assert_eq!(lines[1], "+++ exited (status 0) +++");
}

/// A script that prepares something first, and then becomes what was meant.
#[test]
fn a_launcher_has_time_until_it_executes_the_program() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let script = format!("sleep 1.5; exec {}", program.display());
    let check = |filter: &[&str], line: &str| {
        let run = ltrace(filter).args(["sh", "-c", &script]).finish();
        assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
        assert_eq!(run.exits(0).count(line), 1);
    };
    check(&["-e", "toupper"], "basic->toupper('a')");
    check(&["-L", "-x", "main"], "main(");
}

/// One that executes nothing is not waited for.
#[test]
fn a_filter_that_matches_nothing_is_told_while_the_program_runs() {
    let mut run = ltrace(["-x", "nosuch", "sleep", "600"]).start();
    run.wait_for_stderr("-x 'nosuch'");
    assert!(run.is_alive());
    run.signal(Signal::SIGINT);
}

/// And so is each of several, also where another one means something.
#[test]
fn each_filter_that_matches_nothing_is_told() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let check = |options: &[&str], told: &[&str]| {
        let run = ltrace(options).arg(&program).finish().exits(0);
        let lines = run.stderr.lines();
        let lines = lines.filter_map(|line| line.strip_prefix("ltrace: "));
        assert_eq!(lines.collect::<Vec<_>>(), told, "{}", run.told());
    };
    let no_call = "-e 'nosuch@libz*': no module that was loaded calls such a function";
    let no_library = "-l 'libz*': no such library was loaded";
    let no_function = "-x 'nosuch': no module that was loaded has such a function";
    check(&["-e", "malloc", "-e", "nosuch@libz*"], &[no_call]);
    check(&["-x", "malloc", "-e", "nosuch@libz*"], &[no_call]);
    check(&["-e", "malloc", "-l", "libz*"], &[no_library]);
    check(
        &["-e", "nosuch@libz*", "-x", "nosuch", "-l", "libz*"],
        &[no_function, no_call, no_library],
    );
    check(&["-e", "malloc", "-l", "libc.so*", "-x", "main"], &[]);
    check(&["-e", "", "-x", "main"], &[]);
    check(&["-e", "-malloc"], &[]);
}

/// A filter with a mistake is a usage error, with a caret under the spot.
#[track_caller]
fn check_mistake(filter: &str, column: usize) {
    let run = ltrace(["-e", filter, "true"]).finish().exits(2);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let spot = lines.iter().position(|line| line.trim() == "^");
    let spot = spot.unwrap_or_else(|| panic!("no caret\n{}", run.told()));
    let start = lines[spot - 1]
        .find(filter)
        .unwrap_or_else(|| panic!("{}", run.told()));
    assert_eq!(
        lines[spot].find('^'),
        Some(start + column),
        "{}",
        run.told()
    );
    assert!(run.stdout.is_empty());
}

#[test]
fn mistakes_have_a_caret() {
    check_mistake("malloc+[ab", 7);
    check_mistake("/ab", 0);
    check_mistake("%nosuchset", 0);
}
