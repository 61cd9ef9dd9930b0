//! `--leaks` with what cannot be right: told in a line, before anything runs where that can be known.

use crate::support::fixture::fixture;
use crate::support::program::{Finished, Program};
use crate::support::{ltrace, scratch};
use std::fs;

/// Nothing ran, and one line says why.
#[track_caller]
fn check_refused(args: &[&str], code: i32, said: &str) {
    let run = ltrace(args)
        .args(["sh", "-c", "echo ran"])
        .finish()
        .exits(code);
    assert_eq!(run.stdout, "", "{args:?}");
    assert!(run.stderr.starts_with(said), "{args:?}: {}", run.told());
    assert!(!run.stderr.contains("os error"), "{}", run.told());
}

/// Told before the program runs, and nothing is left behind.
#[test]
fn files_that_cannot_be_written() {
    let dir = scratch("unwritable");
    let inside = dir.join("missing/file");
    let inside = inside.to_str().unwrap();
    for option in ["--json", "--save", "--html", "--pprof", "--folded"] {
        let said = format!("ltrace: cannot write {inside}: No such file or directory\n");
        check_refused(&["--leaks", option, inside], 1, &said);
        check_refused(
            &["--leaks", option, "/"],
            1,
            "ltrace: cannot write /: Is a directory\n",
        );
    }
    // What was there stays when nothing can be traced.
    let kept = dir.join("kept");
    fs::write(&kept, "before").unwrap();
    let kept_name = kept.to_str().unwrap();
    check_refused(
        &["--leaks", "--json", kept_name, "--html", "/"],
        1,
        "ltrace: cannot write /: ",
    );
    assert_eq!(fs::read_to_string(&kept).unwrap(), "before");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

/// A disk that is full is told at the end, with the file's name.
#[test]
fn files_that_fill_up() {
    for option in ["--json", "--html", "--pprof", "--folded"] {
        let Some(program) = fixture("leak_student") else {
            return;
        };
        let run = ltrace(["--leaks", option, "/dev/full"])
            .arg(program)
            .finish()
            .exits(1);
        let last = run.stderr.lines().last();
        let said = "ltrace: cannot write /dev/full: No space left on device";
        assert_eq!(last, Some(said), "{option}: {}", run.told());
    }
}

#[test]
fn files_that_cannot_be_read() {
    check_refused(
        &["--leaks", "--suppress", "/no/such/file"],
        2,
        "ltrace: cannot read /no/such/file: No such file or directory\n",
    );
    check_refused(
        &["-F", "/no/such/file"],
        1,
        "ltrace: cannot read prototypes from /no/such/file: No such file or directory\n",
    );
    check_refused(
        &["-o", "/no/such/file"],
        1,
        "ltrace: cannot write the trace to /no/such/file: No such file or directory\n",
    );
    let broken = scratch("broken").join("broken.supp");
    fs::write(&broken, "leak:fine\nwhat is this\n").unwrap();
    let broken = broken.to_str().unwrap();
    let said = format!("ltrace: {broken}:2:1: ");
    check_refused(&["--leaks", "--suppress", broken], 2, &said);
}

#[test]
fn aliases_that_make_no_sense() {
    let check = |alias, said| check_refused(&["--leaks", "--alloc-sym", alias], 2, said);
    check(
        "malloc",
        "ltrace: --alloc-sym: `malloc' is not like malloc=NAME",
    );
    check(
        "malloc=",
        "ltrace: --alloc-sym: `malloc=' is not like malloc=NAME",
    );
    check(
        "malloc=0xyz",
        "ltrace: --alloc-sym: `malloc=0xyz' is not like malloc=NAME",
    );
    check(
        "malloc=a,grab=b",
        "ltrace: --alloc-sym: `grab' is none of malloc,",
    );
}

#[test]
fn a_process_that_is_not_there() {
    let gone = Program::new("true").start();
    let pid = gone.pid().to_string();
    gone.finish();
    let run = ltrace(["--leaks", "-p", &pid]).finish().exits(1);
    let said = format!("ltrace: cannot attach to process {pid}: no such process\n");
    assert_eq!(run.stderr, said);
}

/// It is said what was looked for, and how to tell where it is.
#[test]
fn no_allocator() {
    let Some(program) = fixture("leak_own_allocator") else {
        return;
    };
    let stripped = program.with_file_name("leak_own_allocator_stripped");
    let mut target = Program::new(stripped).start();
    target.wait_for_stdout("\n0x");
    let pid = target.pid().to_string();
    let run = ltrace(["--leaks", "-p", &pid]).finish().exits(1);
    let said =
        "ltrace: no allocator was found: leak_own_allocator_stripped has none of malloc, calloc,";
    assert!(run.stderr.starts_with(said), "{}", run.told());
    assert!(run.stderr.contains("--alloc-sym malloc="), "{}", run.told());
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(target.is_alive());
    let run = ltrace(["--leaks", "--"]).arg(program.with_file_name("leak_own_allocator_stripped"));
    let run = run.input("\n\n").finish().exits(0);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let [told, report] = lines[..] else {
        panic!("{}", run.told());
    };
    assert!(told.starts_with(said), "{}", run.told());
    let (begin, end) = (
        "nothing to watch: leak_own_allocator_stripped (pid ",
        "s, at exit: no allocator was found",
    );
    assert!(report.starts_with(begin), "{}", run.told());
    assert!(report.ends_with(end), "{}", run.told());
}

#[track_caller]
fn assert_three_lost(run: &Finished) {
    assert!(
        run.stderr
            .contains("300 B in 3 blocks of 100    5 allocated, 2 freed"),
        "{}",
        run.told()
    );
}

#[test]
fn an_allocator_by_other_names() {
    let Some(program) = fixture("leak_own_allocator") else {
        return;
    };
    let stripped = program.with_file_name("leak_own_allocator_stripped");
    let leaks = ["--leaks", "--alloc-sym"];
    let run = ltrace(leaks)
        .arg("malloc=grab,free=give")
        .arg(&program)
        .input("\n\n")
        .finish()
        .exits(0);
    assert_three_lost(&run);
    // The program says where they are; in a file that is not position-independent that is the address.
    let mut target = Program::new(&stripped).start();
    target.wait_for_stdout("\n0x");
    let told = target.stdout.text();
    let places: Vec<&str> = told.lines().collect();
    let aliases = format!("malloc={},free={}", places[0], places[1]);
    let pid = target.pid().to_string();
    let mut tracer = ltrace(leaks)
        .args([&aliases, "--older", "0s", "--every", "200ms", "-p", &pid])
        .start();
    tracer.wait_for_stderr("nothing seen: ");
    target.say(b"\n");
    tracer.wait_for_stderr("LOST ");
    target.say(b"\n");
    assert!(tracer.wait().success());
    assert_three_lost(&tracer.finish());
    let run = ltrace(leaks)
        .arg("free=nowhere")
        .arg(&program)
        .input("\n\n")
        .finish();
    let said =
        "ltrace: --alloc-sym 'free=nowhere': no module that was loaded has such a function\n";
    assert!(run.stderr.contains(said), "{}", run.told());
}
