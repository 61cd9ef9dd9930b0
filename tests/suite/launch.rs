//! Starting a command: how it is found, what it is given, how it ends.

use crate::support::fixture::fixture;
use crate::support::program::Program;
use crate::support::{ltrace, scratch};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Makes an executable file.
fn executable(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn command_is_looked_up_on_path() {
    let Some(program) = fixture("idle") else {
        return;
    };
    let name = program.file_name().unwrap();
    ltrace([name])
        .env("PATH", program.parent().unwrap())
        .input("a")
        .finish()
        .exits(1)
        .has_line("+++ exited (status 1) +++");
}

#[test]
fn arguments_and_environment_and_streams_are_the_commands_own() {
    let run = ltrace(["-o", "/dev/null", "--", "sh", "-c"])
        .args([
            "cat; echo \"$A|$1|$0\"; echo err >&2; exit 7",
            "zero",
            "two words",
        ])
        .env("A", "value")
        .input("some input\n")
        .finish()
        .exits(7);
    assert_eq!(run.stdout, "some input\nvalue|two words|zero\n");
    assert_eq!(run.stderr, "err\n");
}

#[test]
fn open_files_are_the_commands_own() {
    let listing =
        "for f in /proc/self/fd/*; do readlink $f; done | grep -v pipe: | sort -u; exit 0";
    let plain = Program::new("sh").args(["-c", listing]).finish();
    let traced = ltrace(["-o", "/dev/null", "sh", "-c", listing]).finish();
    let count = |text: &str| text.lines().count();
    assert_eq!(
        count(&plain.stdout),
        count(&traced.stdout),
        "{}",
        traced.told()
    );
}

#[test]
fn options_end_at_the_command() {
    let run = ltrace(["-o", "/dev/null", "echo", "-a", "--help", "--"])
        .finish()
        .exits(0);
    assert_eq!(run.stdout, "-a --help --\n");
}

/// The tracer's exit status is the program's, and the last line says how it ended.
fn check_status(how: &str, number: &str, status: i32, line: &str) {
    let Some(program) = fixture("exit_status") else {
        return;
    };
    let run = ltrace([&program])
        .args([how, number])
        .finish()
        .exits(status);
    let last = run.stderr.lines().last().unwrap();
    // With a second thread lines begin with the task.
    assert!(last.ends_with(line), "{}", run.told());
}

#[test]
fn exit_status_is_passed_on() {
    check_status("exit", "0", 0, "+++ exited (status 0) +++");
    check_status("exit", "1", 1, "+++ exited (status 1) +++");
    check_status("exit", "255", 255, "+++ exited (status 255) +++");
}

#[test]
fn fatal_signals_are_told() {
    check_status("kill", "15", 143, "+++ killed by SIGTERM +++");
    check_status("kill", "9", 137, "+++ killed by SIGKILL +++");
    check_status("kill", "11", 139, "+++ killed by SIGSEGV +++");
    check_status("kill", "6", 134, "+++ killed by SIGABRT +++");
    check_status("kill", "5", 133, "+++ killed by SIGTRAP +++");
    check_status("kill", "40", 168, "+++ killed by SIGRT6 +++");
}

#[test]
fn exit_from_a_thread() {
    check_status("thread", "4", 4, "+++ exited (status 4) +++");
}

#[test]
fn script_by_its_shebang() {
    let dir = scratch("script");
    let script = dir.join("script");
    executable(&script, "#!/bin/sh -e\necho \"$0 $1\"\nexit 4\n");
    let run = ltrace([&script]).arg("argument").finish().exits(4);
    assert_eq!(run.stdout, format!("{} argument\n", script.display()));
    run.has_line("+++ exited (status 4) +++");
}

/// A command that cannot be started gives one line with its name and the reason, and status 1.
fn check_refused(command: &Path, reason: &str) {
    let run = ltrace([command]).finish().exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(run.stderr.starts_with("ltrace: "), "{}", run.told());
    assert!(
        run.stderr.contains(&*command.to_string_lossy()),
        "{}",
        run.told()
    );
    assert!(
        run.stderr.to_lowercase().contains(&reason.to_lowercase()),
        "no {reason:?}\n{}",
        run.told()
    );
}

#[test]
fn commands_that_cannot_start() {
    let dir = scratch("refused");
    check_refused(Path::new("no-such-command-anywhere"), "");
    check_refused(&dir.join("missing"), "no such file");
    check_refused(&dir, "directory");
    let plain = dir.join("plain");
    fs::write(&plain, "no program").unwrap();
    check_refused(&plain, "permission denied");
    let interpreter = dir.join("interpreter");
    executable(&interpreter, "#!/no/such/interpreter\n");
    check_refused(
        &interpreter,
        "its interpreter /no/such/interpreter does not exist",
    );
}

#[test]
fn files_that_are_no_programs() {
    let dir = scratch("garbage");
    let whole = fs::read("/bin/true").unwrap();
    for length in [4, 16, 40, 63] {
        let path = dir.join(format!("first-{length}"));
        executable(&path, &whole[..length]);
        check_refused(&path, "");
    }
}

/// Whatever a damaged program does or is, the tracer ends, without a panic.
#[test]
fn damaged_programs() {
    let dir = scratch("damaged");
    let whole = fs::read("/bin/true").unwrap();
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        // Knuth's MMIX generator; the upper half is good enough.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..60 {
        let mut bytes = whole.clone();
        // The header, the program headers, or anything.
        let range = [64, 0x400, whole.len()][round % 3];
        for _ in 0..1 + random(8) {
            bytes[random(range)] = random(256) as u8;
        }
        let path = dir.join(format!("true-{round}"));
        executable(&path, bytes);
        let mut tracer = ltrace(["-o", "/dev/null"]).arg(&path).start();
        tracer.close_input();
        let status = tracer.wait();
        assert!(status.code().is_some(), "{path:?}: {status}");
        let told = tracer.stderr.text();
        assert!(!told.contains("panicked"), "{path:?}: {told}");
        drop(tracer);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn foreign_architecture() {
    let path = scratch("foreign").join("aarch64");
    let mut bytes = fs::read("/bin/true").unwrap();
    // e_machine: EM_AARCH64 (elf(5))
    bytes[18..20].copy_from_slice(&183u16.to_le_bytes());
    executable(&path, bytes);
    check_refused(&path, "aarch64");
}

#[test]
fn big_endian_file() {
    let path = scratch("endian").join("s390x");
    let mut bytes = fs::read("/bin/true").unwrap();
    // e_ident[EI_DATA]: ELFDATA2MSB, e_machine: EM_S390
    bytes[5] = 2;
    bytes[18..20].copy_from_slice(&22u16.to_be_bytes());
    executable(&path, bytes);
    check_refused(&path, "");
}
