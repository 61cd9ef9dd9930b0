//! The fixtures themselves hold what they promise when nobody traces them: a case that fails under
//! the tracer is then the tracer's doing.

use crate::support::fixture::shaped;
use crate::support::program::Program;
use crate::support::shape::Shape;

/// Untraced, the fixture exits with `status` in each of these shapes.
#[track_caller]
fn check(name: &str, args: &[&str], status: i32, shapes: &[Shape]) {
    for shape in shapes {
        let Some(program) = shaped(name, *shape) else {
            return;
        };
        Program::new(program).args(args).finish().exits(status);
    }
}

/// Dynamically linked to glibc.
const SHAPES: [Shape; 14] = [
    Shape::Pie,
    Shape::NoPie,
    Shape::Now,
    Shape::NoPlt,
    Shape::Ibt,
    Shape::IbtNow,
    Shape::Clang,
    Shape::Lld,
    Shape::Gold,
    Shape::NoRelro,
    Shape::Relr,
    Shape::Stripped,
    Shape::NoSections,
    Shape::Optimised,
];

#[test]
fn in_every_shape() {
    for name in ["basic", "by_address", "tail_calls", "ifunc"] {
        check(name, &[], 0, &SHAPES);
    }
}

#[test]
fn with_musl_static_and_32_bit() {
    for name in ["basic", "by_address", "tail_calls"] {
        let shapes = [Shape::Musl, Shape::Static, Shape::StaticPie, Shape::M32];
        check(name, &[], 0, &shapes);
    }
}

#[test]
fn of_control_flow_and_children() {
    for name in [
        "values",
        "printf",
        "fortify",
        "long_string",
        "longjmp",
        "siglongjmp",
        "exceptions",
        "handler_calls",
        "alarm",
        "own_int3",
        "fork",
        "vfork_exec",
        "spawn",
        "dlopen",
        "facts",
        "filters",
        "vectors",
        "first_instructions",
        "real_time_signals",
        "alternate_stack",
        "coroutines",
        "cancel",
        "clone_vm",
        "double_fork",
        "traceme",
        "seccomp",
    ] {
        check(name, &[], 0, &[Shape::Pie]);
    }
    check("no_return", &[], 3, &[Shape::Pie]);
    check("recursion", &["100000"], 0, &[Shape::Pie]);
    check("exec", &["/bin/true"], 0, &[Shape::Pie]);
    check("exit_status", &["exit", "3"], 3, &[Shape::Pie]);
    check("exit_status", &["kill", "15"], 143, &[Shape::Pie]);
    check("exit_status", &["thread", "4"], 4, &[Shape::Pie]);
    check("threads", &["8", "100"], 0, &[Shape::Pie]);
    check("signal_storm", &["4", "100"], 0, &[Shape::Pie]);
    check("many", &["100"], 0, &[Shape::Pie]);
    check("thread_exec", &["/bin/true"], 0, &[Shape::Pie]);
    check("mixture", &["1", "100"], 0, &[Shape::Pie]);
    check("server", &["2"], 0, &[Shape::Pie]);
}
