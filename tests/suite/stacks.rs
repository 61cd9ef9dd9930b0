//! Whole stacks of a running program: the engine stops it, the unwinder finds the callers in what was
//! copied, the symbolizer names them. The example `stacks` joins the three.

use crate::support::fixture::{fixture, shaped};
use crate::support::lines::line;
use crate::support::program::Program;
use crate::support::root;
use crate::support::shape::Shape;
use std::path::{Path, PathBuf};
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

/// The last stack of a block whose size is within these bounds, innermost frame first.
fn stack_of(program: &Path, sizes: [&str; 2]) -> Vec<String> {
    let run = Program::new(example())
        .args(sizes)
        .arg(program)
        .finish()
        .exits(0);
    // The engine shows such a call both where the program makes it and where it arrives.
    let stack = run.stdout.split("malloc(").last().unwrap_or_default();
    let lines = stack.lines().skip(1);
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The stack of the block of this size.
fn stack(size: &str) -> Option<Vec<String>> {
    Some(stack_of(&fixture("stacks")?, [size, size]))
}

/// The stack has these functions at these lines of the fixture, in this order, whatever libraries have
/// between them.
#[track_caller]
fn assert_frames(stack: &[String], source: &str, expected: &[(&str, &str)]) {
    let mut rest = stack.iter();
    for (function, name) in expected {
        let wanted = format!("{function} {source}:{}", line(source, name));
        assert!(rest.any(|l| *l == wanted), "{wanted} in {stack:#?}");
    }
}

/// The stack of the block of this size has these functions, and it is whole.
#[track_caller]
fn check(size: &str, expected: &[(&str, &str)]) {
    if let Some(stack) = stack(size) {
        assert_eq!(stack.last().map(String::as_str), Some("Root"), "{stack:#?}");
        assert_frames(&stack, "stacks.cc", expected);
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

#[test]
fn through_a_c_library_without_frame_information() {
    for shape in [Shape::Musl, Shape::Pie] {
        let Some(program) = shaped("uncovered", shape) else {
            continue;
        };
        let copy = stack_of(&program, ["1101", "1101"]);
        let frames = [
            ("copy", "copy"),
            ("by_number", "by_number"),
            ("main", "main sorts"),
        ];
        assert_frames(&copy, "uncovered.c", &frames);
        if shape != Shape::Musl {
            // glibc makes the text in a block of another size.
            continue;
        }
        let print = stack_of(&program, ["1200", "1300"]);
        let frames = [("print", "print"), ("main", "main prints")];
        assert_frames(&print, "uncovered.c", &frames);
    }
}
