//! Whole stacks of a running program: the engine stops it, the unwinder finds the callers in what was
//! copied, the symbolizer names them. The example `stacks` joins the three.

use crate::support::fixture::fixture;
use crate::support::lines::line;
use crate::support::program::Program;
use crate::support::root;
use std::path::PathBuf;
use std::process::Command;

/// The example's program, built as the tests were.
fn example() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--example", "stacks"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.current_dir(root()).status().unwrap();
    assert!(status.success());
    let ltrace = PathBuf::from(env!("CARGO_BIN_EXE_ltrace"));
    ltrace.with_file_name("examples").join("stacks")
}

/// The stack of the block of this size, innermost frame first.
fn stack(size: &str) -> Option<Vec<String>> {
    let program = fixture("stacks")?;
    let run = Program::new(example())
        .args([size, size])
        .arg(program)
        .finish()
        .exits(0);
    // The engine shows such a call both where the program makes it and where it arrives.
    let stack = run.stdout.split("malloc(").last()?;
    let lines = stack.lines().skip(1);
    Some(lines.map(|line| line.trim().to_owned()).collect())
}

/// The stack of the block of this size has these functions at these lines, in this order, whatever
/// libraries have between them, and it is whole.
#[track_caller]
fn check(size: &str, expected: &[(&str, &str)]) {
    let Some(stack) = stack(size) else {
        return;
    };
    assert_eq!(stack.last().map(String::as_str), Some("Root"), "{stack:#?}");
    let mut rest = stack.iter();
    for (function, name) in expected {
        let wanted = format!("{function} stacks.cc:{}", line("stacks.cc", name));
        assert!(rest.any(|l| *l == wanted), "{wanted} in {stack:#?}");
    }
}

#[test]
fn through_a_template_and_qsort() {
    let frames = [
        ("by_size", "by_size"),
        ("shop::Shelf<int>::sort", "sort"),
        ("main", "main sorts"),
    ];
    check("1001", &frames);
}

#[test]
fn what_was_inlined_has_its_own_line() {
    let Some(stack) = stack("1001") else {
        return;
    };
    let inlined = format!("keep stacks.cc:{} (inlined)", line("stacks.cc", "keep"));
    let at = stack.iter().position(|line| *line == inlined);
    let at = at.unwrap_or_else(|| panic!("{inlined} in {stack:#?}"));
    assert!(stack[at + 1].starts_with("by_size "), "{stack:#?}");
}

#[test]
fn out_of_a_signal_handler() {
    let frames = [
        ("on_signal", "on_signal"),
        ("raiser", "raiser"),
        ("main", "main raises"),
    ];
    check("1002", &frames);
}

#[test]
fn past_a_frame_aligned_by_more_than_the_stack() {
    let frames = [
        ("aligned", "aligned"),
        ("before_aligned", "before_aligned"),
        ("main", "main aligns"),
    ];
    check("1003", &frames);
}

#[test]
fn of_another_thread() {
    check("1004", &[("in_thread", "in_thread")]);
}

#[test]
fn a_hundred_calls_deep() {
    check("1005", &[("deep", "deepest"), ("main", "main dives")]);
    let Some(stack) = stack("1005") else {
        return;
    };
    let call = format!("deep stacks.cc:{}", line("stacks.cc", "deep"));
    assert_eq!(stack.iter().filter(|line| **line == call).count(), 100);
}

#[test]
fn through_operator_new() {
    let frames = [("make", "make"), ("main", "main makes")];
    check("1006", &frames);
    let Some(stack) = stack("1006") else {
        return;
    };
    let template = "std::make_unique<Thing> unique_ptr.h:";
    assert!(
        stack.iter().any(|line| line.starts_with(template)),
        "{stack:#?}"
    );
}
