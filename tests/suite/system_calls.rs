//! `-S` and `--syscalls`: system calls beside calls of functions, in their order.

use crate::support::expect::without_addresses;
use crate::support::fixture::{fixture, shaped, shaped_32};
use crate::support::program::Finished;
use crate::support::server::{assert_unharmed, server};
use crate::support::shape::Shape;
use crate::support::skip::command;
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use regex::Regex;
use std::fs;
use std::path::Path;

/// Lines that match these patterns come in this order, perhaps with others between them.
#[track_caller]
fn check_order(trace: &str, patterns: &[&str]) {
    let mut lines = trace.lines();
    for pattern in patterns {
        let wanted = Regex::new(&format!("^{pattern}$")).unwrap();
        assert!(
            lines.any(|line| wanted.is_match(line)),
            "no line {pattern} behind the one before it\n{trace}"
        );
    }
}

/// The trace of a program, which goes where the program's output does not.
fn trace(options: &[&str], program: &Path) -> String {
    let file = scratch("system_calls").join("trace");
    let run = ltrace(["-o", file.to_str().unwrap()]);
    run.args(options).arg(program).finish().exits(0);
    fs::read_to_string(file).unwrap()
}

fn check_calls(program: &Path) {
    let trace = trace(&["-S", "-a", "1"], program);
    check_order(
        &trace,
        &[
            r#"openat@SYS\(AT_FDCWD, ".*libc.so.6", .*O_CLOEXEC\) = 3"#,
            r#"write\(1, "hi\\n", 3 <unfinished ...>"#,
            r#"write@SYS\(1, "hi\\n", 3\) = 3"#,
            r"<... write resumed> \) = 3",
            r#"open\("/no/such/file", O_RDONLY <unfinished ...>"#,
            r#"openat@SYS\(AT_FDCWD, "/no/such/file", O_RDONLY\) = -2 ENOENT \(No such file or directory\)"#,
            r"<... open resumed> \) = -1 ENOENT \(No such file or directory\)",
            r"SYS_999@SYS\(1, 2, 3, 4\) = -38 ENOSYS \(Function not implemented\)",
            r#"pread64@SYS\(3, "ELF", 3, 1\) = 3"#,
            r"pipe2@SYS\(\[ 4, 5 \], O_CLOEXEC\) = 0",
            r"rt_sigaction@SYS\(SIGALRM, \{ sa_handler=.*, sa_flags=.*, sa_mask=\[ .* \}, nil, 8\) = 0",
            r"read\(4 <unfinished ...>",
            r"read@SYS\( <unfinished ...>|read@SYS\(4( <unfinished ...>)?.* = -512 ERESTARTSYS",
            r"--- SIGALRM \(Alarm clock\) ---",
            r#"write@SYS\(5, "x", 1\) = 1"#,
            r"(rt_)?sigreturn@SYS\(\) = .*",
            r#"read@SYS\(4, "x", 1\) = 1"#,
            r#"<... read resumed> , "x", 1\) = 1"#,
            r"fork\( <unfinished ...>",
            r"clone@SYS\(CLONE_CHILD_CLEARTID\|CLONE_CHILD_SETTID\|SIGCHLD, .*\) = \d+",
            r"execve@SYS\(.* <no return ...>",
            r"<... execl resumed> <no return ...>",
            r"--- Called exec\(\) ---",
            r"brk@SYS\(nil\) = 0x[0-9a-f]+",
            r"exit_group@SYS\(0 <no return ...>",
            r"\+\+\+ exited \(status 0\) \+\+\+",
        ],
    );
    assert!(!trace.contains("getppid"), "of the child:\n{trace}");
}

#[test]
fn in_order_with_calls_of_functions() {
    let Some(program) = fixture("system_calls") else {
        return;
    };
    check_calls(&program);
}

#[test]
fn of_programs_of_32_bits() {
    let Some(program) = shaped_32("system_calls", Shape::Pie) else {
        return;
    };
    check_calls(&program);
}

#[test]
fn of_programs_without_libraries() {
    let Some(program) = shaped("basic", Shape::Static) else {
        return;
    };
    let run = ltrace(["-S"]).arg(program).finish().exits(0);
    check_order(
        &run.stderr,
        &["brk@SYS.*", "write@SYS.*", "exit_group@SYS.*"],
    );
    assert!(!run.stderr.contains("nothing to trace"), "{}", run.told());
}

#[test]
fn of_children() {
    let Some(program) = fixture("system_calls") else {
        return;
    };
    let trace = trace(&["-S", "-f"], &program);
    check_order(
        &trace,
        &[
            r"\d+ <... fork resumed again> \) += 0",
            // A line of its maker, which runs beside it, may come between call and return.
            r"\d+ getppid@SYS\((\) += \d+| <unfinished ...>)",
            r"\d+ exit_group@SYS\(3 <(no return|unfinished) ...>",
            r"\d+ \+\+\+ exited \(status 3\) \+\+\+",
        ],
    );
}

#[test]
fn those_that_a_filter_means() {
    let Some(program) = fixture("system_calls") else {
        return;
    };
    let trace = trace(&["-L", "--syscalls", "open*+write", "-a", "1"], &program);
    let shown = trace.lines().filter(|line| line.contains("@SYS"));
    let is_meant = |line: &str| line.starts_with("open") || line.starts_with("write@");
    let lines = without_addresses(&trace);
    assert!(
        shown.clone().count() > 4 && shown.clone().all(is_meant),
        "{lines}"
    );
    let others = trace.lines().filter(|line| !line.contains("@SYS"));
    assert!(
        others.clone().all(|line| line.starts_with(['-', '+'])),
        "{lines}"
    );
}

#[test]
fn counted() {
    let Some(program) = fixture("system_calls") else {
        return;
    };
    let table = trace(&["-S", "-c"], &program);
    check_order(&table, &["% time .*"]);
    for row in [
        "2 SYS_write",
        "2 write",
        "1 SYS_999",
        "1 SYS_execve",
        "1 SYS_exit_group",
    ] {
        assert!(
            table.lines().any(|line| line.ends_with(&format!(" {row}"))),
            "no {row}\n{table}"
        );
    }
}

fn seccomp() -> Option<Finished> {
    let program = fixture("seccomp")?;
    Some(ltrace(["-S"]).arg(program).finish())
}

#[test]
fn before_a_sandbox_decides() {
    let Some(run) = seccomp() else { return };
    check_order(&run.stderr, &["(prctl|seccomp)@SYS.*"]);
}

#[test]
fn of_processes_that_run() {
    let Some(server) = server(4) else { return };
    for _ in 0..5 {
        let tracer = ltrace(["-S", "-p", &server.pid().to_string()]).start();
        tracer.wait_for_stderr("@SYS(");
        tracer.wait_for_stderr("malloc(1003");
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
    }
    assert_unharmed(server);
}

#[test]
fn prototypes_of_the_user() {
    let Some(program) = fixture("system_calls") else {
        return;
    };
    let dir = scratch("system_calls_prototypes");
    fs::write(
        dir.join("syscalls.conf"),
        "int write(hex(int), hide(addr), hex(long));\n",
    )
    .unwrap();
    let file = dir.join("old.conf");
    fs::write(&file, "int SYS_openat(hide(int), string);\n").unwrap();
    let list = format!("{}:{}", dir.display(), file.display());
    let trace = trace(&["-S", "-a", "1", "-F", &list], &program);
    check_order(
        &trace,
        &[
            r"write@SYS\(0x1, 0x3\) = 3",
            r#"openat@SYS\("/no/such/file"\) = -2 ENOENT \(No such file or directory\)"#,
        ],
    );
}

/// Advice on files, limits without end, and rights of protection keys are told by name.
#[test]
fn names_of_what_calls_ask_for() {
    let Some(python) = command("/usr/bin/python3") else {
        return;
    };
    let script = "import os, resource; os.posix_fadvise(os.open('/dev/zero', 0), 0, 1, os.POSIX_FADV_SEQUENTIAL); \
                  resource.setrlimit(resource.RLIMIT_CPU, (resource.getrlimit(resource.RLIMIT_CPU)))";
    let run = ltrace(["-L", "-S", "--syscalls", "fadvise64+prlimit64", "-a", "1"]);
    let run = run.arg(python).args(["-c", script]).finish().exits(0);
    assert!(
        run.stderr.contains(", 0, 1, POSIX_FADV_SEQUENTIAL) = "),
        "{}",
        run.told()
    );
    assert!(
        run.stderr.contains("rlim_max=RLIM_INFINITY }"),
        "{}",
        run.told()
    );
}
