//! Types of the libraries of C++ and Rust, shown as what they hold.

use crate::support::expect::same_text;
use crate::support::fixture::{fixture, shaped, with_libcxx};
use crate::support::ltrace;
use crate::support::shape::Shape;
use std::path::Path;

/// The calls of these functions are as the fixture says, and the end.
#[track_caller]
fn check(program: &Path, functions: &str) {
    let run = ltrace(["-C", "-L", "-x", functions]).arg(program);
    let run = run.finish().exits(0);
    let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
    same_text(&run.stderr, &expected);
}

#[test]
fn of_gnu() {
    for shape in [Shape::Pie, Shape::Clang] {
        if let Some(program) = shaped("held", shape) {
            check(&program, "app::f_*");
        }
    }
}

#[test]
fn of_llvm() {
    if let Some(program) = with_libcxx("held") {
        check(&program, "app::f_*");
    }
}

#[test]
fn of_rust() {
    if let Some(program) = fixture("held_rust") {
        check(&program, "held_rust::f_*");
    }
}
