//! Mistakes on the command line and in files are told in a line, never ignored.

use crate::support::expect::same_text;
use crate::support::fixture::{fixture, shaped};
use crate::support::shape::Shape;
use crate::support::{ltrace, scratch};
use std::fs;

/// A usage error: status 2, nothing on standard output, and the culprit is named.
#[track_caller]
fn check_usage(args: &[&str], named: &str) {
    let run = ltrace(args).finish();
    assert_eq!(run.code(), 2, "{args:?}\n{}", run.told());
    assert_eq!(run.stdout, "", "{args:?}");
    assert!(
        run.stderr.contains(named),
        "{args:?}: no {named:?}\n{}",
        run.told()
    );
    assert!(run.stderr.lines().count() <= 8, "{args:?}\n{}", run.told());
}

#[test]
fn usage_errors() {
    check_usage(&[], "");
    check_usage(&["--no-such-option", "true"], "no-such-option");
    check_usage(&["-Q", "true"], "Q");
    check_usage(&["-a", "x", "true"], "x");
    check_usage(&["-a", "-1", "true"], "-1");
    check_usage(&["-n", "30", "true"], "30");
    check_usage(&["-s", "many", "true"], "many");
    check_usage(&["-p", "0"], "0");
    check_usage(&["-p", "me"], "me");
    check_usage(&["-r", "-t", "true"], "-t");
    check_usage(&["-o"], "-o");
    check_usage(&["--color", "sometimes", "true"], "sometimes");
    check_usage(&["-e", "mal[", "true"], "mal[");
    check_usage(&["-L", "-e", "malloc", "true"], "-L");
}

#[test]
fn prototype_file_that_is_missing() {
    let run = ltrace(["-F", "/no/such/prototypes.conf", "true"])
        .finish()
        .exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(
        run.stderr.contains("/no/such/prototypes.conf"),
        "{}",
        run.told()
    );
}

/// A mistake in a prototype file is reported with its line where the trace goes, and the rest holds.
#[test]
fn prototype_file_with_mistakes() {
    let Some(program) = fixture("values") else {
        return;
    };
    let path = scratch("prototypes").join("bad.conf");
    fs::write(
        &path,
        "; a comment\nint f_long(;\nlong f_long(nosuchtype);\nuint f_uint(hex(uint));\n",
    )
    .unwrap();
    let run = ltrace(["-F"]).arg(&path).arg(program).finish().exits(0);
    for line in [2, 3] {
        let start = format!("{}:{line}:", path.display());
        assert!(run.count(&start) == 1, "no {start}\n{}", run.told());
    }
    run.has_line("f_uint(0xb2d05e00)                               = 3000000000");
}

/// A 32-bit program gives its trace, or one clear line.
#[test]
fn program_for_i386() {
    let Some(program) = shaped("basic", Shape::M32) else {
        return;
    };
    let run = ltrace([program]).finish();
    if run.code() == 0 {
        same_text(
            &run.stderr,
            &format!("{}+++ exited (status 0) +++\n", run.stdout),
        );
        return;
    }
    let run = run.exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(run.stderr.contains("32-bit"), "{}", run.told());
}

#[test]
fn function_of_per_that_nobody_has() {
    let Some(program) = fixture("many") else {
        return;
    };
    let run = ltrace(["--leaks", "--per", "no_such"])
        .arg(&program)
        .arg("10")
        .finish()
        .exits(0);
    let told = "ltrace: no_such: no function of that name was found; it may have been inlined";
    assert_eq!(run.count(told), 1, "{}", run.told());
    let run = ltrace(["--leaks", "--per", "main"])
        .arg(&program)
        .arg("10")
        .finish()
        .exits(0);
    assert_eq!(run.count("no function of that name"), 0, "{}", run.told());
}
