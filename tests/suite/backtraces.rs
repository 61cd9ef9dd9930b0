//! `-w` and `-k`: the calls that led to one, below its line.

use crate::support::fixture::{fixture, shaped, shaped_32};
use crate::support::shape::Shape;
use crate::support::{ltrace, scratch};
use regex::Regex;
use std::fs;
use std::path::Path;

/// Lines of the trace with these options that match the patterns stand one below the other.
#[track_caller]
fn check(options: &[&str], program: &Path, patterns: &[&str]) {
    let run = ltrace(["-a", "1"]).args(options).arg(program).finish();
    let lines: Vec<&str> = run.stderr.lines().collect();
    let patterns: Vec<Regex> = patterns
        .iter()
        .map(|pattern| Regex::new(&format!("^{pattern}$")).unwrap())
        .collect();
    let fits = |lines: &[&str]| {
        let mut both = lines.iter().zip(&patterns);
        both.all(|(line, pattern)| pattern.is_match(line))
    };
    assert!(
        lines.windows(patterns.len()).any(fits),
        "no lines {patterns:#?}\n{}",
        run.told()
    );
}

const INNER: &str = r" > /.*/backtrace\(_ZN4here5innerEi\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]";
const OUTER: &str = r" > /.*/backtrace\(_ZN4here5outerEi\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]";
const MAIN: &str = r" > /.*/backtrace\(main\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]";

#[test]
fn so_many_calls_below_each_line() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    check(
        &["-w", "2", "-e", "getenv+abs"],
        &program,
        &[
            r#"backtrace->getenv\("INLINED"\) = nil"#,
            INNER,
            r"\t.*backtrace.cc:7:\d+ \S*inlined\S* \(inlined\)",
            r"\t.*backtrace.cc:10:\d+",
            OUTER,
            r"\t.*backtrace.cc:14:\d+",
            "",
            r"backtrace->abs\(-1\) = 1",
            INNER,
            r"\t.*backtrace.cc:11:\d+",
            OUTER,
            r"\t.*backtrace.cc:14:\d+",
            "",
            r"\+\+\+ exited \(status 0\) \+\+\+",
        ],
    );
}

#[test]
fn all_calls_below_each_line() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let run = ltrace(["-k", "-e", "abs"]).arg(program).finish().exits(0);
    let calls: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.starts_with(" > "))
        .collect();
    let shown = |name: &str| {
        calls
            .iter()
            .any(|line| line.contains(&format!("({name}+0x")))
    };
    for name in ["_ZN4here5innerEi", "_ZN4here5outerEi", "main", "_start"] {
        assert!(shown(name), "{}", run.told());
    }
}

#[test]
fn names_as_their_source_writes_them() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    check(
        &["-C", "-w", "1", "-e", "abs"],
        &program,
        &[
            r"backtrace->abs\(-1\) = 1",
            r" > /.*/backtrace\(here::inner\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]",
        ],
    );
}

#[test]
fn below_the_end_of_a_call() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let main = [MAIN, r"\t.*backtrace.cc:\d+:\d+", ""];
    let resumed = [&[r"<... qsort resumed> \) = <void>"][..], &main].concat();
    check(&["-w", "1"], &program, &resumed);
    let ended = [&[r"exit\(0 <no return ...>"][..], &main].concat();
    check(&["-w", "1"], &program, &ended);
}

#[test]
fn of_functions_that_x_names() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    check(
        &["-w", "1", "-L", "-x", "_ZN4here5innerEi"],
        &program,
        &[r"_ZN4here5innerEi\(.*\) = 1", OUTER],
    );
}

#[test]
fn of_system_calls() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let call = r" > /.*/libc.so.6\(_exit\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]";
    let first = r"exit_group@SYS\(0 <no return ...>";
    check(
        &["-w", "1", "-L", "--syscalls", "exit_group"],
        &program,
        &[first, call],
    );
}

#[test]
fn of_programs_without_names() {
    let Some(program) = shaped("backtrace", Shape::Stripped) else {
        return;
    };
    let unnamed = r" > /.*/backtrace\(\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]";
    let call = r"backtrace->abs\(-1\) = 1";
    check(
        &["-w", "2", "-e", "abs"],
        &program,
        &[call, unnamed, unnamed, ""],
    );
}

#[test]
fn of_each_process_in_its_file() {
    let Some(program) = fixture("fork") else {
        return;
    };
    let base = scratch("backtraces").join("trace");
    let run = ltrace(["-ff", "-w", "1", "-o", base.to_str().unwrap()]);
    run.arg(program).finish();
    let files = fs::read_dir(base.parent().unwrap()).unwrap().flatten();
    let mut tried = 0;
    for file in files {
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.contains("/fork(main+0x"), "{text}");
        tried += 1;
    }
    assert!(tried > 1, "{tried}");
}

#[test]
fn none_of_programs_of_32_bits() {
    let Some(program) = shaped_32("recursion", Shape::Pie) else {
        return;
    };
    let run = ltrace(["-w", "1"]).arg(program).arg("3").finish().exits(0);
    assert!(!run.stderr.contains(" > "), "{}", run.told());
}
