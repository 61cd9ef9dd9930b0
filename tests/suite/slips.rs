//! Slips of somebody who is new to ltrace: each is answered by one line that says what is wrong, or what was meant.

use crate::support::fixture::fixture;
use crate::support::program::Program;
use crate::support::{ltrace, scratch};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Run so in a directory, ltrace ends with this status and one line of its own, which holds this text.
#[track_caller]
fn check_in(dir: &Path, args: &[&str], code: i32, part: &str) {
    let run = ltrace(args).dir(dir).finish();
    assert_eq!(run.code(), code, "{args:?}\n{}", run.told());
    let own = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("ltrace: "));
    let own: Vec<&str> = own.collect();
    assert!(
        own.len() == 1 && own[0].contains(part),
        "{args:?}: no {part:?}\n{}",
        run.told()
    );
}

/// A directory of files that are no programs, and one that is.
fn files() -> Option<PathBuf> {
    let program = fixture("basic")?;
    let dir = scratch("slips");
    let executable = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let bytes = fs::read(&program).unwrap();
    executable("program", &bytes);
    executable("no_interpreter", b"#!/no/such/interpreter -x\necho\n");
    executable("windows_lines", b"#!/bin/sh -e\r\necho\r\n");
    executable("windows_script", b"#!/bin/sh\r\necho\r\n");
    executable("empty_interpreter", b"#!\necho\n");
    executable("windows", b"MZ\x90\0\x03\0\0\0");
    executable("archive", b"PK\x03\x04\0\0\0\0");
    executable("plain", b"echo plain\n");
    executable("damaged", &bytes[..100]);
    executable(
        "no_linker",
        &with_linker(&bytes, b"/lib64/ld-no-such-file.so.2"),
    );
    // e_type (offset 16): ET_REL, and ET_DYN of a library (elf(5)).
    let typed = |kind: u8| [&bytes[..16], &[kind, 0], &bytes[18..]].concat();
    executable("object", &typed(1));
    // e_machine (offset 18): EM_AARCH64.
    executable("foreign", &[&bytes[..18], &[183, 0], &bytes[20..]].concat());
    fs::write(dir.join("text"), "hello\n").unwrap();
    fs::create_dir(dir.join("directory")).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    Some(dir)
}

/// The dynamic linker's name, another one of no more bytes in its place.
fn with_linker(bytes: &[u8], name: &[u8]) -> Vec<u8> {
    let usual = b"/lib64/ld-linux-x86-64.so.2";
    let at = bytes
        .windows(usual.len())
        .position(|part| part == usual)
        .unwrap();
    let mut changed = bytes.to_vec();
    changed[at..at + usual.len()].fill(0);
    changed[at..at + name.len()].copy_from_slice(name);
    changed
}

#[test]
fn commands_that_cannot_be_started() {
    let Some(dir) = files() else { return };
    let check = |command: &str, part: &str| {
        check_in(
            &dir,
            &[command],
            1,
            &format!("ltrace: cannot start {command}: {part}"),
        );
    };
    check("no-such-command", "it is not in PATH");
    check("./no-such-file", "No such file or directory");
    check("program", "it is not in PATH; here it is ./program");
    check("", "the word is empty");
    check("./directory", "Is a directory");
    check("./text", "permission denied: it is not executable");
    check(
        "./dangling",
        "it is a symbolic link to a file that does not exist",
    );
    check(
        "./no_interpreter",
        "its interpreter /no/such/interpreter does not exist",
    );
    check("./windows_script", "its lines end as those of Windows do");
    check(
        "./empty_interpreter",
        "its first line, #!, names no interpreter",
    );
    check("./windows", "it is a program for Windows");
    check("./archive", "it is an archive");
    check("./damaged", "damaged ELF file");
    check("./object", "it is an object file or a core dump");
    check("./foreign", "it is a program for AARCH64");
    check(
        "./no_linker",
        "its dynamic linker /lib64/ld-no-such-file.so.2 does not exist",
    );
    check(
        "true -x",
        "there is no such file; the command and its arguments are words of their own",
    );
    check(
        "4711",
        "it is not in PATH; a running process is traced by -p 4711",
    );
    check("record", "it is not in PATH, and no command of ltrace's");
    check("help", "it is not in PATH; ltrace's own is --help");
    // What a shell would run is run.
    let run = ltrace(["-o", "/dev/null", "./plain"])
        .dir(&dir)
        .finish()
        .exits(0);
    assert_eq!(run.stdout, "plain\n");
}

#[test]
fn outputs_and_files_that_cannot_be_used() {
    let Some(dir) = files() else { return };
    let run = |option: &str, value: &str| ["touch", option, value].map(str::to_owned);
    let check = |option: &str, value: &str, part: &str| {
        let [touch, option, value] = run(option, value);
        check_in(&dir, &[&option, &value, &touch, "touched"], 1, part);
        assert!(
            !dir.join("touched").exists(),
            "{option} {value}: the command was run"
        );
    };
    check(
        "-o",
        "|no-such-command -x",
        "`no-such-command -x': there is no such command",
    );
    check(
        "-o",
        "no/such/file",
        "no/such/file: No such file or directory",
    );
    check("-o", "directory", "directory: Is a directory");
    check("-F", "no.conf", "no.conf: No such file or directory");
    let run = ltrace(["-F", "program", "true"])
        .dir(&dir)
        .finish()
        .exits(0);
    assert_eq!(
        run.count("program:1:1: error: it is not a text file"),
        1,
        "{}",
        run.told()
    );
    assert_eq!(run.count("program:"), 1, "{}", run.told());
    check("-u", "no-such-user", "cannot find user `no-such-user'");
    check("-p", "4194305", "process 4194305: no such process");
}

#[test]
fn processes_that_cannot_be_attached_to() {
    let dir = scratch("pids");
    let mut child = Command::new("true").stdout(Stdio::null()).spawn().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    let zombie = child.id().to_string();
    check_in(&dir, &["-p", &zombie], 1, "it has ended already (a zombie");
    child.wait().unwrap();
    check_in(&dir, &["-p", &zombie], 1, "no such process");
    // The kernel's own threads are seen in its first pid namespace only; 2 is the parent of all.
    if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        check_in(&dir, &["-p", "2"], 1, "it is a thread of the kernel");
    }
}

#[test]
fn several_processes_at_once() {
    let Some(program) = fixture("idle") else {
        return;
    };
    let start = || {
        let running = Program::new(&program).start();
        running.wait_for_stdout("ready");
        running
    };
    let (first, second) = (start(), start());
    let pids = [first.pid().to_string(), second.pid().to_string()];
    for words in [vec![pids.join(",")], vec![pids.join("\n")], pids.to_vec()] {
        let run =
            ltrace(["-p"])
                .args(&words)
                .args(["-e", "no_such_name", "--leaks", "--for", "100ms"]);
        let run = run.finish().exits(0);
        for pid in &pids {
            assert!(
                run.stderr.contains(&format!("(pid {pid})")),
                "{}",
                run.told()
            );
        }
    }
    drop((first, second));
}

/// Filters that mean nothing: what was meant is told in the same line.
#[test]
fn filters_that_mean_nothing() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let program = program.to_str().unwrap();
    let check = |option: &str, filter: &str, part: &str| {
        check_in(Path::new("/"), &[option, filter, program], 0, part);
    };
    check("-e", "mallo", "the nearest is malloc");
    check("-e", "malloc()", "the nearest is malloc");
    check("-e", "Malloc+strlem", "the nearest is malloc");
    check(
        "-e",
        "malloc+strlem",
        "-e 'strlem': there is no such function; the nearest is strlen",
    );
    check(
        "-e",
        "@libc",
        "no library is called `libc', but libc.so.6 is; calls of its functions are -l 'libc.so.6'",
    );
    check(
        "-e",
        "malloc@basic.so",
        "no library is called `basic.so', but basic is",
    );
    check(
        "-e",
        "getenv@libc.so.6",
        "behind `@' stands who calls; basic calls it: -e 'getenv@basic'",
    );
    check("-e", "main", "basic has one of its own: -x 'main'");
    check(
        "-e",
        "mall.*",
        "regular expressions stand in slashes: '/mall.*/'",
    );
    check(
        "-l",
        "libc",
        "no library is called `libc', but libc.so.6 is",
    );
    check("-l", "c", "no library is called `c', but libc.so.6 is");
    check(
        "--trigger",
        "mallo",
        "no such function is traced; the nearest is malloc",
    );
    check(
        "--stop",
        "main",
        "--stop 'main': no such function is traced",
    );
    check(
        "--arg",
        "strlem: arg1 == 3",
        "--arg 'strlem': no such function is traced; the nearest is strlen",
    );
    check("-x", "/^mai/", "has to fit the whole name: '/.*mai.*/'");
    check("-e", "/rle/", "has to fit the whole name: '/.*rle.*/'");
    check("-x", "mian", "the nearest is main");
    check("-x", "main@libc.so.6", "basic has it: -x 'main@basic'");
    check(
        "-x",
        "malloc@libc",
        "no library is called `libc', but libc.so.6 is",
    );
}
