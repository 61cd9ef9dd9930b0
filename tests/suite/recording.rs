//! Calls that code in the target records show the same lines as calls that stop their task.

use crate::support::expect::{same_text, without_addresses};
use crate::support::fixture::{fixture, shaped};
use crate::support::ltrace;
use crate::support::program::Program;
use crate::support::scratch;
use crate::support::server::{assert_still_works, assert_unharmed, server};
use crate::support::shape::Shape;
use crate::support::text::wait_until_planted;
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;

fn recorded(program: &Path) -> Program {
    ltrace(["--instrument", "record"]).arg(program)
}

/// The lines without what differs from run to run: addresses, and the width that they take.
fn normalised(trace: &str) -> String {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = without_addresses(trace).lines().map(words).collect();
    lines.join("\n")
}

/// The fixture, in this shape, shows the same lines as by stops.
#[track_caller]
fn check(name: &str, shape: Shape) {
    let Some(program) = shaped(name, shape) else {
        return;
    };
    let run = recorded(&program).finish().exits(0);
    let stopped = ltrace(["--instrument", "stop"]).arg(&program).finish();
    same_text(&normalised(&run.stderr), &normalised(&stopped.stderr));
}

#[test]
fn in_every_shape() {
    for shape in [
        Shape::Pie,
        Shape::NoPie,
        Shape::NoPlt,
        Shape::IbtNow,
        Shape::Lld,
        Shape::NoSections,
        Shape::Optimised,
        Shape::Musl,
    ] {
        check("basic", shape);
        check("tail_calls", shape);
    }
}

#[test]
fn values_and_control_flow() {
    for name in [
        "values",
        "printf",
        "long_string",
        "longjmp",
        "siglongjmp",
        "coroutines",
    ] {
        check(name, Shape::Pie);
    }
}

/// A full ring is waited for no longer than a second: a stopped tracer does not stop the program, and how many calls it
/// did not see is told.
#[test]
fn a_stopped_tracer_loses_calls_and_counts_them() {
    const PAIRS: usize = 200_000;
    let Some(program) = fixture("stops_tracer") else {
        return;
    };
    let trace = scratch("stopped-tracer").join("trace");
    let own = "malloc@MAIN+free@MAIN";
    let run = ltrace(["--instrument", "record", "-e", own, "-o"]).arg(&trace);
    let run = run.arg(&program).arg(PAIRS.to_string());
    run.finish().exits(0);
    let trace = fs::read_to_string(&trace).expect("a trace");
    let told = trace.lines().filter(|line| line.contains(" = ")).count();
    let lost: usize = trace
        .lines()
        .filter(|line| line.contains("were not recorded"))
        .filter_map(|line| line.split(' ').nth(1)?.parse::<usize>().ok())
        .sum();
    assert!(lost > 0, "nothing was lost");
    assert_eq!(told + lost, 2 * (1 + PAIRS));
}

/// A format in memory that never changes is asked about once.
#[test]
fn printing_without_stops() {
    let Some(program) = shaped("prints", Shape::Pie) else {
        return;
    };
    let trace = scratch("prints").join("trace");
    let run = ltrace(["--instrument", "record", "-o"]).arg(&trace);
    let run = run.arg(&program).arg("20000").finish().exits(0);
    let waits: u32 = run.stdout.trim().parse().expect("a number");
    assert!(waits < 2000, "{waits} stops and waits");
    let trace = normalised(&fs::read_to_string(&trace).expect("a trace"));
    let same = trace.lines().filter(|line| line.starts_with("fprintf("));
    for (line, name) in same.clone().zip(["\"one\", 0, 0)", "\"two\", 1, 2)"]) {
        assert!(
            line.contains(&format!("\"%s of %d: %ld\", {name}")),
            "{line}"
        );
    }
    assert_eq!(same.count(), 2);
    let printed = |line: &&str| line.starts_with("snprintf(");
    let lines: Vec<&str> = trace.lines().filter(printed).collect();
    assert_eq!(lines.len(), 20_010);
    for line in [
        "snprintf(\"three of 19997: 39994\", 64, \"%s of %d: %ld\", \"three\", 19997, 39994) = 21",
        "snprintf(\"two of 19999: 39998\", 64, \"%s of %d: %ld\", \"two\", 19999, 39998) = 19",
        "snprintf(\"three!\", 64, \"%s!\", \"three\") = 6",
        "snprintf(\"9\", 64, \"%d\", 9) = 1",
    ] {
        assert!(lines.contains(&line), "{line}");
    }
}

/// At fixed addresses a function's address may be that of the program's PLT entry: its calls are recorded there, those that
/// a library makes by that address as well.
#[test]
fn functions_that_are_plt_entries() {
    let Some(program) = shaped("own_plt", Shape::NoPie) else {
        return;
    };
    let run = ltrace(["--instrument", "record", "-D", "instrument", "-e", "free"]);
    let run = run.arg(&program).finish().exits(0);
    let told: Vec<&str> = run.stderr.lines().collect();
    let of_free = told
        .iter()
        .filter(|line| line.starts_with("DEBUG: instrument: free in "));
    assert!(of_free.clone().count() > 1, "{}", run.stderr);
    assert!(
        of_free.clone().all(|line| line.ends_with(": recorded")),
        "{}",
        run.stderr
    );
    // Three keys, three nodes, and its own.
    let calls = told
        .iter()
        .filter(|line| line.starts_with("own_plt->free("));
    assert_eq!(calls.count(), 7, "{}", run.stderr);
}

/// Functions are recorded at their first instructions, by whomever they are called.
#[test]
fn functions_where_they_begin() {
    for (name, options) in [
        ("entries", ["-x", "*", "-e", "*"]),
        ("entries", ["-x", "*@libc.so*", "-e", "*@MAIN"]),
        ("longjmp", ["-x", "*", "-e", "*"]),
        // Unwinders pass our frames too, so that they themselves make other calls.
        ("exceptions", ["-x", "*@MAIN", "-e", "*@MAIN"]),
        ("tail_calls", ["-x", "*", "-e", "*"]),
        ("ifunc", ["-x", "*", "-e", "*"]),
    ] {
        let Some(program) = fixture(name) else { return };
        let trace = |instrument| {
            let run = ltrace(["--instrument", instrument]).args(options);
            normalised(&run.arg(&program).finish().stderr)
        };
        same_text(&trace("record"), &trace("stop"));
    }
}

/// A call through a pointer is seen at the imported function, which others call as well: nothing stops there.
#[test]
fn calls_through_pointers() {
    let Some(program) = fixture("by_address") else {
        return;
    };
    let run = |instrument| ltrace(["--instrument", instrument]).arg(&program).finish();
    let (recorded, stopped) = (run("record").exits(0), run("stop"));
    same_text(&normalised(&recorded.stderr), &normalised(&stopped.stderr));
}

/// More than the rings hold, by more threads than there are processors: nothing is lost.
#[test]
fn every_call_of_many_threads() {
    let Some(program) = fixture("threads") else {
        return;
    };
    let run = ltrace(["--instrument", "record", "-c", "-e", "malloc+free"]);
    let run = run.arg(&program).args(["8", "10000"]).finish().exits(0);
    let count = |name: &str| {
        let mut lines = run.stderr.lines();
        let line = lines.find(|line| line.ends_with(name))?;
        line.split_whitespace().nth(3)?.parse::<u64>().ok()
    };
    assert_eq!(count("malloc"), Some(8 * 10000), "{}", run.stderr);
    assert!(count("free") >= Some(8 * 10000), "{}", run.stderr);
}

/// A child has rings of its own, and returns from what its maker had called.
#[test]
fn children_that_are_followed() {
    let Some(program) = fixture("fork") else {
        return;
    };
    // What runs at the same time has no order.
    let trace = |instrument| {
        let run = ltrace([
            "--instrument",
            instrument,
            "-f",
            "-e",
            "malloc+free+fork+exit",
        ]);
        let run = run.arg(&program).finish().exits(0);
        let mut calls: Vec<String> = normalised(&run.stderr)
            .lines()
            .map(|line| {
                line.split(']')
                    .next_back()
                    .unwrap_or(line)
                    .trim()
                    .to_owned()
            })
            .filter(|line| line.starts_with("malloc(") || line.contains("+++ exited"))
            .map(|line| line.replace(" <unfinished ...>", ""))
            .map(|line| line.split(')').next().unwrap_or_default().to_owned())
            .collect();
        calls.sort();
        calls.join("\n")
    };
    same_text(&trace("record"), &trace("stop"));
}

/// Lines and what the program writes keep their order where both go to one place; elsewhere nothing stops.
#[test]
fn recorded_where_the_program_does_not_write() {
    let area = |args: &[&str]| {
        let ltrace = Program::new(env!("CARGO_BIN_EXE_ltrace")).args(args);
        let run = ltrace.args(["cat", "/proc/self/maps"]).finish();
        run.exits(0).stdout.contains("/memfd:ltrace")
    };
    assert!(area(&["-o", "/dev/null"]));
    assert!(area(&["-c"]));
    assert!(area(&["--instrument", "record"]));
    // All but calls that may write.
    assert!(area(&[]));
    assert!(!area(&["-e", "*"]));
    assert!(!area(&["-o", "/dev/stdout", "-e", "*"]));
    assert!(!area(&["-o", "/dev/null", "--instrument", "stop"]));
}

/// Calls that write nothing are recorded, and yet their lines come before what is written next.
#[test]
fn in_order_with_what_the_program_writes() {
    let Some(program) = fixture("order") else {
        return;
    };
    let text = |instrument| {
        let run = Program::new("sh").args([
            "-c",
            "exec \"$0\" --instrument $2 \"$1\" 2>&1",
            env!("CARGO_BIN_EXE_ltrace"),
        ]);
        let run = run.arg(&program).arg(instrument).finish().exits(0);
        normalised(&run.stdout)
    };
    let recorded = text("auto");
    same_text(&recorded, &text("stop"));
    let last = recorded.find("free(").map(|at| &recorded[at..]);
    assert!(
        last.is_some_and(|rest| rest.contains("\nheld back\n")),
        "{recorded}"
    );
}

/// Where it goes and what it writes is not read by anybody.
#[test]
fn recorded_where_nobody_reads() {
    let run = Program::new("sh").args([
        "-c",
        "exec \"$0\" --debug instrument -o /dev/null true >/dev/null",
        env!("CARGO_BIN_EXE_ltrace"),
    ]);
    let run = run.finish().exits(0);
    assert!(run.stderr.contains(": recorded\n"), "{}", run.stderr);
}

/// How calls are seen, and why.
#[test]
fn told_how_calls_are_seen() {
    let Some(program) = fixture("server") else {
        return;
    };
    let told = |options: &[&str]| {
        let run =
            ltrace(options.iter().copied()).args(["-o", "/dev/null", "--debug", "instrument"]);
        run.arg(&program).arg("1").finish().exits(0).stderr
    };
    let recorded = told(&["-e", "malloc@MAIN"]);
    let line = "DEBUG: instrument: malloc in server at 0x";
    assert!(recorded.starts_with(line), "{recorded}");
    assert!(recorded.ends_with(": recorded\n"), "{recorded}");
    let stops = told(&["-x", "dlsym"]);
    assert!(stops.contains("dlsym in libc.so.6 at 0x"), "{stops}");
    let why = ": int3, as the function looks at who called it\n";
    assert!(stops.ends_with(why), "{stops}");
    assert_eq!(told(&["--instrument", "stop"]), "");
}

/// Nearly all functions of a library are led to a stub at their first instructions, and all imports of a program. Not
/// counted are resolvers, and functions that look at their caller.
#[test]
fn of_nearly_all_functions() {
    let share = |what: &str, options: &[&str], command: &[&str]| {
        let run =
            ltrace(options.iter().copied()).args(["-o", "/dev/null", "--debug", "instrument"]);
        let told = run.args(command).finish().exits(0).stderr;
        let count = |ending: fn(&str) -> bool| told.lines().filter(|line| ending(line)).count();
        let recorded = count(|line| line.ends_with(": recorded"));
        let refused = count(|line| {
            let is_of_its_own = line.ends_with("as it is no function's entry")
                || line.ends_with("as the function looks at who called it");
            line.contains(": int3, ") && !is_of_its_own
        });
        println!("{what}: {recorded} recorded, {refused} not");
        (recorded, refused)
    };
    for (what, command) in [
        ("*@libc.so*", &["/bin/true"][..]),
        ("*@libcrypto.so*", &["/usr/bin/openssl", "version"]),
    ] {
        let (recorded, refused) = share(what, &["-x", what], command);
        assert!(
            refused * 99 <= recorded,
            "{what}: {recorded}, not {refused}"
        );
    }
    let python = ["/usr/bin/python3", "-c", "1"];
    let (recorded, refused) = share("imports", &["-e", "*"], &python);
    assert!(
        recorded > 100 && refused * 99 <= recorded,
        "{recorded}, not {refused}"
    );
}

/// A program that only few system calls are allowed: recording its calls needs no other.
#[test]
fn in_a_sandbox() {
    let Some(program) = fixture("seccomp") else {
        return;
    };
    let trace = |instrument| {
        let run = ltrace(["--instrument", instrument, "-e", "malloc+free+read+write"]);
        let run = run.arg(&program).input("abc").finish().exits(3);
        normalised(&run.stderr)
    };
    let recorded = trace("record");
    assert!(recorded.contains("read(0, \"b\", 1)"), "{recorded}");
    same_text(&recorded, &trace("stop"));
}

/// The mappings of a process: those of the recorder, and all that are executable.
fn areas(pid: i32) -> (usize, usize) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps of a running process");
    let count = |what: &str| maps.lines().filter(|line| line.contains(what)).count();
    (count("/memfd:ltrace"), count("r-xp"))
}

/// What an attach leaves in the process, the next one uses: however often, it does not grow.
#[test]
fn attached_to_and_left() {
    let Some(mut server) = server(2) else { return };
    let pid = server.pid().to_string();
    let mut first = None;
    for _ in 0..6 {
        let tracer = ltrace([
            "--instrument",
            "record",
            "-o",
            "/dev/null",
            "-e",
            "*",
            "-p",
            &pid,
        ]);
        let tracer = tracer.start();
        wait_until_planted(server.pid());
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
        assert_still_works(&mut server);
        let left = areas(server.pid());
        assert_eq!(*first.get_or_insert(left), left);
    }
    assert_eq!(first.map(|(recorders, _)| recorders), Some(1));
    assert_unharmed(server);
}

/// The patches of an ltrace that was killed lead nowhere; the next one takes them out.
#[test]
fn killed_and_attached_to_again() {
    let Some(mut server) = server(2) else { return };
    let pid = server.pid().to_string();
    let attach = || ltrace(["--instrument", "record", "-o", "/dev/null", "-p", &pid]).start();
    for _ in 0..5 {
        let tracer = attach();
        wait_until_planted(server.pid());
        tracer.signal(Signal::SIGKILL);
        tracer.finish();
        assert_still_works(&mut server);
    }
    let tracer = attach();
    wait_until_planted(server.pid());
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_eq!(areas(server.pid()).0, 1);
    assert_unharmed(server);
}
