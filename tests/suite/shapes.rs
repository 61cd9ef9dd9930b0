//! The same program gives the same lines in every shape that compilers and linkers give it.

use crate::support::expect::same_text;
use crate::support::fixture::shaped;
use crate::support::ltrace;
use crate::support::shape::Shape;
use crate::support::trace::about;

/// Traces the everyday calls, calls of functions whose address is taken too, calls that are jumps,
/// and IFUNCs; each fixture prints the lines that ought to be traced.
fn check(shape: Shape) {
    check_with(shape, &[]);
}

fn check_with(shape: Shape, environment: &[(&str, &str)]) {
    for name in ["basic", "by_address", "tail_calls", "ifunc"] {
        // Alpine's musl has no IFUNC.
        if shape == Shape::Musl && name == "ifunc" {
            continue;
        }
        let Some(program) = shaped(name, shape) else {
            return;
        };
        let mut run = ltrace([&program]);
        for (key, value) in environment {
            run = run.env(key, value);
        }
        let run = run.finish().exits(0);
        same_text(&about(&run.stderr, &run.stdout), &run.stdout);
        if name == "basic" {
            let whole = format!("{}+++ exited (status 0) +++\n", run.stdout);
            same_text(&run.stderr, &whole);
        }
    }
}

#[test]
fn position_independent() {
    check(Shape::Pie);
}

#[test]
fn fixed_address() {
    check(Shape::NoPie);
}

#[test]
fn bound_now() {
    check(Shape::Now);
}

#[test]
fn lazy_but_bound_by_the_environment() {
    check_with(Shape::Pie, &[("LD_BIND_NOW", "1")]);
}

#[test]
fn no_stubs() {
    check(Shape::NoPlt);
}

#[test]
fn no_stubs_at_a_fixed_address() {
    check(Shape::NoPltNoPie);
}

#[test]
fn second_plt_lazy() {
    check(Shape::Ibt);
}

#[test]
fn second_plt_lazy_but_bound_by_the_environment() {
    check_with(Shape::Ibt, &[("LD_BIND_NOW", "1")]);
}

#[test]
fn second_plt_bound_now() {
    check(Shape::IbtNow);
}

#[test]
fn clang_and_ld() {
    check(Shape::Clang);
}

#[test]
fn clang_and_lld() {
    check(Shape::Lld);
}

#[test]
fn gcc_and_gold() {
    check(Shape::Gold);
}

#[test]
fn no_relro() {
    check(Shape::NoRelro);
}

#[test]
fn packed_relative_relocations() {
    check(Shape::Relr);
}

#[test]
fn stripped() {
    check(Shape::Stripped);
}

#[test]
fn no_section_headers() {
    check(Shape::NoSections);
}

#[test]
fn optimised() {
    check(Shape::Optimised);
}

#[test]
fn musl() {
    check(Shape::Musl);
}

/// Nothing can be traced by default, and the user is told what would show calls.
fn check_static(shape: Shape) {
    let Some(program) = shaped("basic", shape) else {
        return;
    };
    let run = ltrace([&program]).finish().exits(0);
    assert_eq!(run.stdout.lines().count(), 13, "{}", run.told());
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.told());
    assert!(
        lines[0].starts_with("ltrace: ") && lines[0].contains("-x"),
        "{}",
        run.told()
    );
    assert_eq!(lines[1], "+++ exited (status 0) +++");
}

#[test]
fn statically_linked() {
    check_static(Shape::Static);
}

#[test]
fn statically_linked_position_independent() {
    check_static(Shape::StaticPie);
}

#[test]
fn rust() {
    let Some(program) = crate::support::fixture::fixture("vectors") else {
        return;
    };
    let run = ltrace([&program]).finish().exits(0);
    for line in run.stdout.lines() {
        assert!(
            run.stderr.lines().any(|traced| traced == line),
            "no line {line:?}\n{}",
            run.told()
        );
    }
}
