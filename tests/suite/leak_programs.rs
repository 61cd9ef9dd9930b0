//! `--leaks` on programs and allocators of all kinds: nothing false is told, and nothing is harmed.

use crate::support::fixture::{fixture, shaped};
use crate::support::leaks::{counted, library, report, told};
use crate::support::ltrace;
use crate::support::shape::Shape;
use crate::support::skip::command;
use std::path::PathBuf;

#[test]
fn programs_that_lose_nothing() {
    for program in [
        &["ls", "/"][..],
        &["ps"],
        &["bash", "-c", "echo ha"],
        &["git", "--version"],
        &["vim", "-es", "+q"],
        &["sqlite3", ":memory:", "select 1"],
        &["curl", "--silent", "file:///etc/passwd"],
        &["python3", "-c", "print(1)"],
    ] {
        if command(program[0]).is_none() {
            continue;
        }
        let (report, finished) = report(&[], program);
        finished.exits(0);
        let lost: Vec<String> = told(&report)
            .into_iter()
            .filter(|site| site.starts_with("lost"))
            .collect();
        assert!(lost.is_empty(), "{program:?}: {lost:?}");
    }
}

/// No block is lost or invented, by eight threads that free each other's.
#[track_caller]
fn exact(program: Option<PathBuf>, preload: &str) {
    let Some(program) = program else { return };
    // What the C library and the allocator have for themselves is the same in both runs.
    let (before, _) = counted(&program, preload, 8, 0);
    let (after, own) = counted(&program, preload, 8, 2000);
    let ours: Vec<i64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    assert!(own[0] > 4000, "it allocates");
    assert_eq!(ours, own, "{}, {preload}", program.display());
}

#[test]
fn exact_in_every_shape() {
    let shapes = [
        Shape::Pie,
        Shape::NoPie,
        Shape::Stripped,
        Shape::NoSections,
        Shape::Static,
        Shape::StaticPie,
        Shape::Musl,
    ];
    for shape in shapes {
        exact(shaped("leak_exact", shape), "");
    }
}

#[test]
fn exact_with_jemalloc() {
    if let Some(library) = library("libjemalloc.so.2") {
        exact(fixture("leak_exact"), &library);
    }
}

#[test]
fn exact_with_tcmalloc() {
    if let Some(library) = library("libtcmalloc_minimal.so.4") {
        exact(fixture("leak_exact"), &library);
    }
}

/// Whose malloc it is, is told.
#[test]
fn allocators_by_name() {
    let allocator = |shape: Shape, preload: &str| {
        let program = shaped("leak_student", shape)?;
        let finished = ltrace(["--leaks"])
            .arg(program)
            .env("LD_PRELOAD", preload)
            .finish();
        let first = finished.exits(0).stderr.lines().next()?.to_owned();
        Some(first)
    };
    #[track_caller]
    fn check(line: Option<String>, expected: &str) {
        if let Some(line) = line {
            assert!(line.contains(expected), "{line}");
        }
    }
    check(allocator(Shape::Pie, ""), ", glibc malloc");
    check(allocator(Shape::Musl, ""), ", musl malloc");
    check(allocator(Shape::Static, ""), ", malloc of leak_student");
    if let Some(library) = library("libjemalloc.so.2") {
        check(allocator(Shape::Pie, &library), ", jemalloc");
    }
    if let Some(library) = library("libtcmalloc_minimal.so.4") {
        check(allocator(Shape::Pie, &library), ", tcmalloc");
    }
}

/// What the program before was doing is no leak of the one that it became; what that one needs to start is
/// no call's doing; and a signal that is survived ends nothing.
#[test]
fn a_program_that_becomes_another() {
    let Some(program) = fixture("leak_exec") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let (report, finished) = report(&["--per", "handle"], &[program]);
    assert_eq!(report["process"]["ended"], "killed by SIGTERM");
    assert_eq!(
        report["heap"]["allocated"]["blocks"],
        40,
        "{}",
        finished.told()
    );
    assert_eq!(report["heap"]["live"]["blocks"], 40, "{}", finished.told());
    assert_eq!(report["per"]["calls"], 10);
    assert_eq!(report["per"]["bytes"], 32.0, "{}", finished.told());
}
