//! Children that are not followed go on untraced and unharmed.

use crate::support::expect::same_text;
use crate::support::fixture::{fixture, shaped};
use crate::support::shape::Shape;
use crate::support::trace::{about, calls};
use crate::support::{ltrace, scratch};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The fixture checks what becomes of its children; only its own calls are traced.
fn check(name: &str, shape: Shape) {
    let Some(program) = shaped(name, shape) else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    same_text(&about(&run.stderr, &run.stdout), &run.stdout);
    assert_eq!(run.count("+++ exited"), 1, "{}", run.told());
}

#[test]
fn fork() {
    check("fork", Shape::Pie);
    check("fork", Shape::NoPlt);
}

#[test]
fn vfork_and_exec() {
    check("vfork_exec", Shape::Pie);
    check("vfork_exec", Shape::NoPlt);
}

/// Its child shares our int3s until its exec, and is the debugger's to trace.
#[test]
fn of_a_debugger() {
    let Some(program) = fixture("debugger") else {
        return;
    };
    for args in [&[][..], &["-x", "*@libc.so*"], &["--leaks"]] {
        let run = ltrace(args).arg(&program).finish().exits(0);
        assert_eq!(run.stdout, "traced\nended\n", "{args:?}: {}", run.told());
    }
}

#[test]
fn posix_spawn_system_popen() {
    check("spawn", Shape::Pie);
}

#[test]
fn fork_in_musl() {
    check("fork", Shape::Musl);
}

#[test]
fn exec_goes_on_in_the_new_program() {
    let (Some(program), Some(next)) = (fixture("exec"), fixture("no_return")) else {
        return;
    };
    let run = ltrace([program, next]).finish().exits(3);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let at = lines
        .iter()
        .position(|line| *line == "--- Called exec() ---");
    let at = at.unwrap_or_else(|| panic!("{}", run.told()));
    assert!(
        lines[..at]
            .iter()
            .any(|line| line.starts_with("malloc(13)")),
        "{}",
        run.told()
    );
    assert!(
        lines[at..].iter().any(|line| line.starts_with("malloc(5)")),
        "{}",
        run.told()
    );
}

#[test]
fn exec_of_a_static_program_a_script_and_a_32_bit_program() {
    let Some(program) = fixture("exec") else {
        return;
    };
    let run = ltrace([&program])
        .args(["/bin/sh", "-c", "exit 9"])
        .finish()
        .exits(9);
    assert_eq!(run.count("--- Called exec() ---"), 1, "{}", run.told());
    for shape in [Shape::Static, Shape::StaticPie, Shape::M32] {
        let Some(next) = shaped("exit_status", shape) else {
            return;
        };
        ltrace([&program, &next])
            .args(["exit", "8"])
            .finish()
            .exits(8);
    }
}

/// What there is no program in, the kernel refuses, and the one that asked goes on.
#[test]
fn exec_that_fails() {
    let Some(program) = fixture("exec") else {
        return;
    };
    let dir = scratch("not_programs");
    let file = |name, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let mut cut = fs::read(&program).unwrap();
    cut.truncate(70);
    for next in [
        "/no/such/program".into(),
        dir.clone(),
        file("empty", b""),
        file("text", b"exit 3\n"),
        file("cut", &cut),
        file("no_interpreter", b"#!/no/such/interpreter\n"),
    ] {
        let run = ltrace([&program, &next]).finish().exits(97);
        assert_eq!(run.count("--- Called exec() ---"), 0, "{}", run.told());
        assert_eq!(run.count("free("), 1, "{}", run.told());
    }
}

/// A script is its interpreter's program.
#[test]
fn exec_of_a_script() {
    let Some(program) = fixture("exec") else {
        return;
    };
    let script = scratch("script").join("script");
    fs::write(&script, "#!/bin/sh\nexit $1\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    for command in [vec![&program, &script], vec![&script]] {
        let run = ltrace(&command).arg("9").finish().exits(9);
        let execs = run.count("--- Called exec() ---");
        assert_eq!(execs, command.len() - 1, "{}", run.told());
    }
}

/// The new program is seen through the same filter.
#[test]
fn exec_keeps_the_filter() {
    let (Some(program), Some(next)) = (fixture("exec"), fixture("no_return")) else {
        return;
    };
    let run = ltrace(["-e", "malloc"])
        .args([&program, &next])
        .finish()
        .exits(3);
    let called: Vec<&str> = calls(&run.stderr);
    assert_eq!(
        called,
        ["exec->malloc", "no_return->malloc"],
        "{}",
        run.told()
    );
    let run = ltrace(["-x", "main"])
        .args([&program, &next])
        .finish()
        .exits(3);
    assert_eq!(run.count("main("), 2, "{}", run.told());
}

#[test]
fn children_that_share_memory_and_siblings() {
    check("clone_vm", Shape::Pie);
    check("clone_vm", Shape::NoPlt);
}

#[test]
fn daemons() {
    check("double_fork", Shape::Pie);
}

/// The others are killed, and the thread takes the id of the process, at whatever point the tracer is.
#[test]
fn exec_from_a_thread() {
    let Some(program) = fixture("thread_exec") else {
        return;
    };
    for _ in 0..10 {
        let run = ltrace([&program])
            .args(["/bin/sh", "-c", "exit 3"])
            .finish()
            .exits(3);
        let execs = run
            .stderr
            .lines()
            .filter(|line| line.ends_with("--- Called exec() ---"));
        assert_eq!(execs.count(), 1, "{}", run.told());
    }
}
