//! Real programs behave as untraced: the same output, the same exit status, and a trace.

use crate::support::program::{Finished, Program};
use crate::support::skip::command;
use crate::support::trace::calls;
use crate::support::{ltrace, scratch};
use std::fs;
use std::path::Path;

/// Runs the command untraced and traced in the same directory; both must agree. Gives the trace.
#[track_caller]
pub fn check(program: &str, args: &[&str], dir: &Path) -> Option<(Finished, String)> {
    let program = command(program)?;
    let plain = Program::new(&program).args(args).dir(dir).finish();
    let file = scratch("trace").join("trace");
    let traced = ltrace(["-o"])
        .arg(&file)
        .arg(&program)
        .args(args)
        .dir(dir)
        .finish();
    assert_eq!(traced.code(), plain.code(), "{}", traced.told());
    assert_eq!(traced.stdout, plain.stdout);
    assert_eq!(traced.stderr, plain.stderr);
    let trace = fs::read_to_string(file).unwrap();
    Some((traced, trace))
}

/// The trace has at least `least` calls, among them those of `function`.
#[track_caller]
fn check_trace(trace: &str, least: usize, function: &str) {
    let names = calls(trace);
    assert!(names.len() >= least, "{} calls only", names.len());
    assert!(names.contains(&function), "no {function}");
}

#[test]
fn ls() {
    let Some((_, trace)) = check("ls", &["-l", "/usr"], Path::new("/")) else {
        return;
    };
    check_trace(&trace, 100, "readdir");
}

#[test]
fn bash() {
    let script = "for i in 1 2 3; do echo $((i * i)); done; x=$(echo sub); echo $x; exit 5";
    let Some((_, trace)) = check("bash", &["-c", script], Path::new("/")) else {
        return;
    };
    check_trace(&trace, 500, "strlen");
}

#[test]
fn git() {
    let dir = scratch("git");
    for args in [&["init", "-q"][..], &["status", "--short", "--branch"]] {
        let Some((_, trace)) = check("git", args, &dir) else {
            return;
        };
        check_trace(&trace, 100, "strlen");
    }
}

#[test]
fn python() {
    let script = "import json, threading; t = threading.Thread(target=print, args=(json.dumps([1]),)); t.start(); t.join()";
    let Some((_, trace)) = check("/usr/bin/python3", &["-c", script], Path::new("/")) else {
        return;
    };
    check_trace(&trace, 1000, "malloc");
}

#[test]
fn curl() {
    let dir = scratch("curl");
    fs::write(dir.join("page"), "hello\n").unwrap();
    let url = format!("file://{}/page", dir.display());
    let Some((run, trace)) = check("curl", &["-s", &url], &dir) else {
        return;
    };
    assert_eq!(run.stdout, "hello\n");
    check_trace(&trace, 50, "curl_easy_init");
}

#[test]
fn vim() {
    let dir = scratch("vim");
    fs::write(dir.join("text"), "one\ntwo\n").unwrap();
    let args = [
        "-es",
        "-u",
        "NONE",
        "-c",
        "%s/one/three/|%print|qa!",
        "text",
    ];
    let Some((run, trace)) = check("vim", &args, &dir) else {
        return;
    };
    assert!(run.stdout.contains("three"), "{}", run.told());
    check_trace(&trace, 500, "strlen");
}

#[test]
fn sqlite() {
    let sql = "create table t(a); insert into t values(1),(2); select sum(a) from t;";
    let Some((run, trace)) = check("sqlite3", &[":memory:", sql], Path::new("/")) else {
        return;
    };
    assert_eq!(run.stdout, "3\n");
    check_trace(&trace, 50, "strlen");
}

#[test]
fn openssl() {
    let dir = scratch("openssl");
    fs::write(dir.join("text"), "hello\n").unwrap();
    let Some((run, trace)) = check("openssl", &["dgst", "-sha256", "text"], &dir) else {
        return;
    };
    assert!(
        run.stdout
            .contains("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03")
    );
    check_trace(&trace, 100, "BIO_new");
}

#[test]
fn rust_compiler_driver() {
    let Some(rustc) = command("rustc") else {
        return;
    };
    let rustc = rustc.to_string_lossy().into_owned();
    let Some((run, _)) = check(&rustc, &["--version"], Path::new("/")) else {
        return;
    };
    assert!(run.stdout.starts_with("rustc "));
}
