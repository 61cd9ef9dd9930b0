//! Programs that are met while the dynamic linker works on them, and those that it is asked to run.

use crate::support::expect::same_text;
use crate::support::fixture::{fixture, shaped};
use crate::support::program::{Program, Running};
use crate::support::shape::Shape;
use crate::support::skip::command;
use crate::support::text::wait_until_guarded;
use crate::support::trace::{about, calls};
use crate::support::until::wait_until;
use crate::support::{ltrace, scratch};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::fs::{self, File};
use std::path::Path;

const LINKER: &str = "/lib64/ld-linux-x86-64.so.2";
const LINKER_32: &str = "/lib/ld-linux.so.2";
const LINKER_OF_MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// Attached before its first instruction, a program shows all its calls.
#[track_caller]
fn all_calls_from_the_first(words: &[&Path]) {
    let Some(at_exec) = fixture("at_exec") else {
        return;
    };
    let target = Program::new(at_exec).args(words).start();
    target.wait_for_stderr("\n");
    let told = target.stderr.text();
    let pid = told.trim().strip_prefix("stopped ");
    let pid: i32 = pid.and_then(|pid| pid.parse().ok()).expect(&told);
    let tracer = ltrace(["-p", &pid.to_string()]).start();
    wait_until_guarded(pid);
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    let (target, run) = (target.finish().exits(0), tracer.finish().exits(0));
    same_text(&about(&run.stderr, &target.stdout), &target.stdout);
}

#[test]
fn attached_right_after_exec() {
    let shapes = [Shape::Pie, Shape::NoPie, Shape::NoPlt, Shape::Now];
    for shape in shapes.into_iter().chain([Shape::Musl, Shape::M32]) {
        if let Some(program) = shaped("basic", shape) {
            all_calls_from_the_first(&[&program]);
        }
    }
}

#[test]
fn attached_right_after_exec_of_the_linker() {
    for (shape, linker) in LINKERS {
        if let Some(program) = shaped("basic", shape) {
            all_calls_from_the_first(&[Path::new(linker), &program]);
        }
    }
}

const LINKERS: [(Shape, &str); 6] = [
    (Shape::Pie, LINKER),
    (Shape::NoPie, LINKER),
    (Shape::NoPlt, LINKER),
    (Shape::Stripped, LINKER),
    (Shape::Musl, LINKER_OF_MUSL),
    (Shape::M32, LINKER_32),
];

#[test]
fn run_by_the_linker() {
    for (shape, linker) in LINKERS {
        let Some(program) = shaped("basic", shape) else {
            continue;
        };
        let run = ltrace([Path::new(linker), &program]).finish().exits(0);
        same_text(&about(&run.stderr, &run.stdout), &run.stdout);
    }
}

#[test]
fn run_by_the_linker_with_options() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let words = ["--library-path", "/nowhere", "--argv0", "other"];
    let run = ltrace(["-e", "malloc@MAIN", "-x", "main@basic", LINKER])
        .args(words)
        .arg(&program)
        .finish()
        .exits(0);
    assert_eq!(run.count("basic->malloc(100"), 1, "{}", run.told());
    assert_eq!(run.count("main("), 1, "{}", run.told());
    assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
}

#[test]
fn leaks_of_a_program_run_by_the_linker() {
    let Some(program) = fixture("namespaces") else {
        return;
    };
    let direct = ltrace([Path::new("--leaks"), &program]).finish().exits(0);
    let run = ltrace([Path::new("--leaks"), Path::new(LINKER), &program]);
    let run = run.finish().exits(0);
    let found = |text: &str| -> Vec<String> {
        let sites = text.lines().filter(|line| line.contains("LOST"));
        sites
            // Behind it are times.
            .map(|line| line.split(" freed ").next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(found(&run.stderr), found(&direct.stderr), "{}", run.told());
    assert!(
        run.stderr.starts_with("leaks: namespaces (pid "),
        "{}",
        run.told()
    );
}

/// Each namespace has an allocator of its own.
#[test]
fn leaks_of_a_second_libc() {
    let Some(program) = fixture("namespaces") else {
        return;
    };
    let run = ltrace(["--leaks", "--older", "0"])
        .arg(program)
        .finish()
        .exits(0);
    for site in [
        "LOST      861 B in 7 blocks of 123",
        "LOST      55 B in 1 block",
    ] {
        assert!(run.stderr.contains(site), "{}", run.told());
    }
    assert!(run.stderr.contains("plug_work"), "{}", run.told());
}

/// The dynamic linker waits for somebody to write to the FIFO that it opens.
fn wait_until_opening(pid: i32) {
    let opens = || {
        let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        call.split(' ').next() == Some(&nix::libc::SYS_openat.to_string())
    };
    wait_until("the dynamic linker opens the FIFO", opens);
}

/// What `slow` of a library called that was loaded while the tracer was there.
#[track_caller]
fn assert_sees_all(target: Running, release: impl FnOnce(&Running)) {
    let pid = target.pid().to_string();
    let tracer = ltrace([
        "-e",
        "malloc@MAIN+malloc@libslow*",
        "-x",
        "slow",
        "-p",
        &pid,
    ])
    .start();
    wait_until_guarded(target.pid());
    release(&target);
    target.finish().exits(4);
    let run = tracer.finish().exits(0);
    let wanted = ["slow@libslow.so", "libslow.so->malloc", "opening->malloc"];
    assert_eq!(calls(&run.stderr), wanted, "{}", run.told());
    assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
}

#[test]
fn attached_during_start_up() {
    let (Some(program), dir) = (fixture("opening"), scratch("start-up")) else {
        return;
    };
    let fifo = dir.join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let target = Program::new(program).arg("libslow.so");
    let target = target.env("LD_PRELOAD", &fifo).start();
    wait_until_opening(target.pid());
    // What is no library cannot be preloaded; the program goes on without it.
    assert_sees_all(target, |_| drop(File::options().write(true).open(&fifo)));
}

#[test]
fn attached_during_the_opening_of_a_library() {
    let (Some(program), dir) = (fixture("opening"), scratch("opening")) else {
        return;
    };
    for name in ["opening", "libslow.so", "libneeds.so"] {
        fs::copy(program.with_file_name(name), dir.join(name)).unwrap();
    }
    let fifo = dir.join("libwait.so");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let target = Program::new(dir.join("opening"));
    let target = target.args(["libneeds.so", "libslow.so"]).start();
    wait_until_opening(target.pid());
    assert_sees_all(target, |_| drop(File::options().write(true).open(&fifo)));
}

#[test]
fn attached_during_an_initialiser() {
    let Some(program) = fixture("opening") else {
        return;
    };
    let target = Program::new(program).arg("libslow.so").start();
    target.wait_for_stdout("begins\n");
    // Its standard input ends.
    assert_sees_all(target, |_| {});
}

/// Of a linker that runs nothing, too.
#[test]
fn a_linker_without_a_program() {
    let Some(program) = command("true") else {
        return;
    };
    let run = ltrace([Path::new(LINKER), Path::new("--list"), &program]);
    let run = run.finish().exits(0);
    assert!(run.stdout.contains("libc.so.6"), "{}", run.told());
}
