//! Programs for i386, which this kernel runs too: everything is as for those of 64 bits.

use crate::support::expect::same_text;
use crate::support::fixture::{file, fixture, shaped_32};
use crate::support::ltrace;
use crate::support::program::{Finished, Running};
use crate::support::server::{assert_unharmed, attach_and_leave_often, start_server};
use crate::support::shape::Shape;
use crate::support::stress::run_stressed;
use crate::support::text::{assert_text_untouched, tracer_of};
use crate::support::trace::{Line, about};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;

/// The fixture checks itself, and the lines about what it speaks of are those that it says.
fn check_with(name: &str, shape: Shape, options: &[&str]) -> Option<Finished> {
    let program = shaped_32(name, shape)?;
    let run = ltrace(options).arg(program).finish().exits(0);
    same_text(&about(&run.stderr, &run.stdout), &run.stdout);
    Some(run)
}

fn check(name: &str, shape: Shape) -> Option<Finished> {
    check_with(name, shape, &[])
}

#[track_caller]
fn check_shapes(shapes: &[Shape]) {
    for &shape in shapes {
        for name in ["by_address", "tail_calls", "ifunc", "not_the_got"] {
            check(name, shape);
        }
        let Some(run) = check("basic", shape) else {
            return;
        };
        let whole = format!("{}+++ exited (status 0) +++\n", run.stdout);
        same_text(&run.stderr, &whole);
    }
}

#[test]
fn stubs() {
    check_shapes(&[Shape::Pie, Shape::NoPie, Shape::Now]);
    check_shapes(&[Shape::NoRelro, Shape::Relr]);
}

#[test]
fn no_stubs() {
    check_shapes(&[Shape::NoPlt, Shape::NoPltNoPie, Shape::Optimised]);
}

#[test]
fn second_plts() {
    check_shapes(&[Shape::Ibt, Shape::IbtNow]);
}

#[test]
fn other_compilers_and_linkers() {
    check_shapes(&[Shape::Clang, Shape::Lld, Shape::Gold]);
}

#[test]
fn without_symbols_or_sections() {
    check_shapes(&[Shape::Stripped, Shape::NoSections]);
}

/// The whole trace is what the fixture said, and the end.
fn check_values(name: &str, shape: Shape) {
    let Some(program) = shaped_32(name, shape) else {
        return;
    };
    let prototypes = file(&format!("{name}.conf"));
    let mut run = ltrace::<&str>([]);
    if prototypes.exists() {
        run = run.arg("-F").arg(prototypes);
    }
    let run = run.arg(program).finish().exits(0);
    let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
    same_text(&run.stderr, &expected);
}

#[test]
fn values_of_every_kind() {
    for shape in [Shape::Pie, Shape::NoPie, Shape::NoPlt] {
        check_values("values", shape);
        check_values("words", shape);
    }
}

#[test]
fn printf_formats() {
    check_values("printf", Shape::Pie);
    check_values("fortify", Shape::Pie);
}

#[test]
fn strings() {
    check("long_string", Shape::Pie);
}

/// Nothing is traced by default; functions of the program itself by name, whatever they begin with.
#[test]
fn static_programs() {
    for shape in [Shape::Static, Shape::StaticPie] {
        let Some(program) = shaped_32("basic", shape) else {
            return;
        };
        let run = ltrace([&program]).finish().exits(0);
        assert_eq!(run.stderr.lines().count(), 2, "{}", run.told());
        let run = ltrace(["-x", "calloc", "-x", "free", "-x", "atoi"])
            .arg(&program)
            .finish()
            .exits(0);
        let said = run.stdout.lines();
        let said = said.filter(|line| {
            ["calloc(3, 7)", "free(", "atoi("]
                .iter()
                .any(|start| line.starts_with(start))
        });
        for line in said {
            assert!(
                run.stderr.lines().any(|traced| traced == line),
                "no {line}\n{}",
                run.told()
            );
        }
    }
}

#[test]
fn first_instructions() {
    for shape in [Shape::Pie, Shape::NoPie, Shape::Static] {
        let Some(program) = shaped_32("firsts_32", shape) else {
            return;
        };
        let run = ltrace(["-b", "-L", "-x", "f_*", "-F"]).arg(file("firsts_32.conf"));
        let run = run.arg(program).finish().exits(0);
        let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
        same_text(&run.stderr, &expected);
    }
}

#[test]
fn threads() {
    if let Some(program) = shaped_32("threads", Shape::Pie) {
        run_stressed(&program, 8, 2000);
    }
    if let Some(program) = shaped_32("signal_storm", Shape::Pie) {
        run_stressed(&program, 4, 500);
    }
}

#[test]
fn control_flow() {
    for name in [
        "longjmp",
        "siglongjmp",
        "exceptions",
        "handler_calls",
        "alternate_stack",
        "coroutines",
        "cancel",
        "thread_ends",
        "own_int3",
        "alarm",
        "real_time_signals",
    ] {
        check(name, Shape::Pie);
        check(name, Shape::NoPlt);
    }
}

#[test]
fn calls_nested_deep() {
    let Some(program) = shaped_32("recursion", Shape::Pie) else {
        return;
    };
    let run = ltrace([program]).arg("20000").finish().exits(0);
    let returned = run.count("<... call_back resumed> ") + run.count("call_back(");
    assert!(returned > 20_000, "{returned}");
}

#[test]
fn libraries_opened_and_closed() {
    check_with("dlopen", Shape::Pie, &["-e", "@libplug*"]);
}

#[test]
fn children_that_are_not_followed() {
    for name in ["fork", "vfork_exec", "spawn", "clone_vm", "double_fork"] {
        check(name, Shape::Pie);
    }
}

#[test]
fn children_that_are_followed() {
    let Some(program) = shaped_32("fork", Shape::Pie) else {
        return;
    };
    let run = ltrace(["-f"]).arg(program).finish().exits(0);
    let lines = run.stderr.lines().map(Line::parse);
    let callers: BTreeSet<Option<i32>> = lines
        .filter(|line| line.begins() && line.function() == Some("malloc"))
        .map(|line| line.tid)
        .collect();
    assert_eq!(callers.len(), 2, "{}", run.told());
    for size in 20..120 {
        let call = format!("malloc({size}");
        assert_eq!(run.stderr.matches(&call).count(), 1, "{}", run.told());
    }
}

/// From 64 bits to 32, back, and to 32 again.
#[test]
fn exec_to_and_fro() {
    let (Some(wide), Some(narrow), Some(last)) = (
        fixture("exec"),
        shaped_32("exec", Shape::Pie),
        shaped_32("no_return", Shape::NoPie),
    ) else {
        return;
    };
    let run = ltrace([&wide, &narrow, &wide, &narrow, &last])
        .finish()
        .exits(3);
    assert_eq!(run.count("--- Called exec() ---"), 4, "{}", run.told());
    assert_eq!(run.count("malloc(13) "), 4, "{}", run.told());
    let images: Vec<&str> = run.stderr.split("--- Called exec() ---\n").collect();
    // The addresses of 32 bits are shorter.
    let is_narrow = images[..4].iter().map(|image| {
        let block = image.split("free(0x").nth(1).expect("a block");
        block.find(')').expect("an end") <= 8
    });
    assert!(is_narrow.eq([false, true, false, true]), "{}", run.told());
    assert!(images[4].contains("malloc(5)"), "{}", run.told());
}

fn server_32(threads: usize) -> Option<Running> {
    Some(start_server(&shaped_32("server", Shape::Pie)?, threads))
}

#[test]
fn attached_and_left() {
    let Some(server) = server_32(4) else {
        return;
    };
    attach_and_leave_often(server, 10, &[], "malloc(100");
}

#[test]
fn kill_of_the_tracer() {
    let Some(mut server) = server_32(4) else {
        return;
    };
    for _ in 0..5 {
        let tracer = ltrace(["-p", &server.pid().to_string()]).start();
        tracer.wait_for_stderr("malloc(");
        kill(Pid::from_raw(tracer_of(server.pid())), Signal::SIGKILL).expect("a tracer");
        tracer.finish().exits(1);
        let so_far = server.stdout.len();
        server.say(b"\n");
        server.wait_for_stdout_beyond(so_far, "alive\n");
        let run = ltrace(["--detach", "-p", &server.pid().to_string()])
            .finish()
            .exits(0);
        assert!(run.stdout.contains(": took out "), "{}", run.told());
        assert_text_untouched(server.pid());
    }
    assert_unharmed(server);
}

/// What is not known of such programs is told, once.
#[test]
fn leaks_of_programs_of_64_bits_only() {
    let Some(program) = shaped_32("basic", Shape::Pie) else {
        return;
    };
    let run = ltrace(["--leaks"]).arg(program).finish().exits(0);
    assert_eq!(
        run.count("ltrace: basic is a program of 32 bits, whose leaks cannot be told"),
        1,
        "{}",
        run.told()
    );
}
