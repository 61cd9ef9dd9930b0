//! Which of the traced calls are shown: `--min-time`, `-z`, `-Z`, `--depth`, `--arg`, `--caller`, `-P`, `--trigger`, `--stop`, `--until`.

use crate::support::expect::without_addresses;
use crate::support::fixture::{fixture, shaped};
use crate::support::server::{assert_unharmed, server};
use crate::support::shape::Shape;
use crate::support::skip::command;
use crate::support::trace::calls;
use crate::support::{ltrace, scratch};
use serde_json::Value;
use std::fs;

/// The functions whose calls a trace of `backtrace` shows with these options.
fn shown(options: &[&str]) -> Option<Vec<String>> {
    let program = fixture("backtrace")?;
    let run = ltrace(options).arg(program).finish().exits(0);
    Some(calls(&run.stderr).into_iter().map(str::to_owned).collect())
}

#[track_caller]
fn check(options: &[&str], names: &[&str]) {
    if let Some(found) = shown(options) {
        assert_eq!(found, names, "{options:?}");
    }
}

#[test]
fn calls_by_their_depth() {
    check(&[], &["qsort", "memcmp", "getenv", "abs", "exit"]);
    check(&["--depth", "1"], &["qsort", "getenv", "abs", "exit"]);
    check(
        &["--depth", "2"],
        &["qsort", "memcmp", "getenv", "abs", "exit"],
    );
}

#[test]
fn calls_between_two() {
    check(&["--trigger", "getenv"], &["getenv", "abs", "exit"]);
    check(&["--stop", "getenv"], &["qsort", "memcmp", "getenv"]);
    check(
        &["--trigger", "memcmp", "--stop", "abs"],
        &["memcmp", "getenv", "abs"],
    );
}

#[test]
fn calls_by_their_time() {
    check(&["--min-time", "1h"], &[]);
    check(
        &["--min-time", "0s"],
        &["qsort", "memcmp", "getenv", "abs", "exit"],
    );
    let json = scratch("conditions").join("trace.jsonl");
    let run = ltrace(["--min-time", "50ms", "--json", json.to_str().unwrap()]);
    run.args(["sleep", "0.1"]).finish().exits(0);
    let times: Vec<u64> = fs::read_to_string(json)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["elapsed_ns"].as_u64())
        .collect();
    let are_long = times.iter().all(|time| *time >= 50_000_000);
    assert!(!times.is_empty() && are_long, "{times:?}");
}

#[test]
fn calls_by_their_outcome() {
    let Some(program) = fixture("errno") else {
        return;
    };
    let traced = |options: &[&str]| ltrace(options).arg(&program).finish().stderr;
    let (all, failed, others) = (traced(&[]), traced(&["-Z"]), traced(&["-z"]));
    let count = |trace: &str| calls(trace).len();
    assert!(
        count(&failed) > 0 && count(&others) > 0,
        "{failed}\n{others}"
    );
    assert_eq!(
        count(&all),
        count(&failed) + count(&others),
        "{all}\n{failed}\n{others}"
    );
    let lines = failed.lines().filter(|line| !line.contains("+++"));
    let says = |line: &str| line.contains(" E") || line.ends_with("= -1");
    assert!(lines.clone().all(says), "{failed}");
}

#[test]
fn conditions_hold_for_every_output() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let json = scratch("conditions").join("trace.jsonl");
    let run = ltrace(["-c", "--depth", "1", "--json", json.to_str().unwrap()]);
    let run = run.arg(program).finish().exits(0);
    assert!(
        run.stderr.contains("qsort") && !run.stderr.contains("memcmp"),
        "{}",
        run.told()
    );
    let json = fs::read_to_string(json).unwrap();
    assert!(
        json.contains("\"qsort\"") && !json.contains("\"memcmp\""),
        "{json}"
    );
}

#[test]
fn so_many_calls_and_no_more() {
    check(&["--until", "2"], &["qsort", "memcmp"]);
    let Some(server) = server(4) else { return };
    let pid = server.pid().to_string();
    let run = ltrace(["-p", &pid, "--until", "50"]).finish().exits(0);
    assert_eq!(calls(&run.stderr).len() / 50, 1, "{}", run.told());
    ltrace(["-p", &pid, "--until", "100ms"]).finish().exits(0);
    assert_unharmed(server);
}

/// The lines of calls by both instruments, which are the same.
#[track_caller]
fn lines(options: &[&str], program: &str) -> Option<Vec<String>> {
    let program = fixture(program)?;
    let by = |instrument: &str| {
        let run = ltrace(["--instrument", instrument]).args(options);
        let run = run.arg(&program).finish();
        let lines = run.stderr.lines().filter(|line| line.contains('('));
        let lines = lines.filter(|line| !line.contains("+++"));
        lines.map(without_task).collect::<Vec<_>>()
    };
    let (stopped, recorded) = (by("stop"), by("record"));
    assert_eq!(stopped, recorded, "{options:?}");
    Some(stopped)
}

/// The line without what differs from run to run.
fn without_task(line: &str) -> String {
    let line = line.rsplit_once("] ").map_or(line, |(_, rest)| rest);
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    without_addresses(&line)
}

#[test]
fn calls_by_their_values() {
    let check = |condition: &[&str], expected: &[&str]| {
        let options: Vec<&str> = condition.iter().flat_map(|text| ["--arg", *text]).collect();
        let only = ["-e", "open+close+read+chdir"];
        if let Some(found) = lines(&[&only[..], &options].concat(), "errno") {
            let found: Vec<_> = found
                .iter()
                .map(|line| line.replace("errno->", ""))
                .collect();
            assert_eq!(found, expected, "{condition:?}");
        }
    };
    let open = "open(\"/nowhere\", O_RDONLY) = -1 ENOENT (No such file or directory)";
    let read = "read(-1, nil, 1) = -1 EBADF (Bad file descriptor)";
    let close = "close(-1) = -1 EBADF (Bad file descriptor)";
    let chdir = "chdir(\"/dev/null\") = -1 ENOTDIR (Not a directory)";
    check(&["errno == ENOENT"], &[open]);
    check(&["errno == EBADF && arg3 == 1"], &[read]);
    check(
        &["open: arg1 ~ \"/no*\"", "read: ret == 0", "close: arg1 > 0"],
        &[open, chdir],
    );
    check(
        &["open+chdir+read: arg1 == \"/dev/null\"", "close: ret < 0"],
        &[close, chdir, close],
    );
    check(&["arg2 == O_RDONLY && arg1"], &[open]);
}

#[test]
fn calls_by_their_caller() {
    let check = |caller: &str, expected: &[&str]| {
        if let Some(found) = lines(&["--caller", caller], "errno") {
            let names: Vec<&str> = found
                .iter()
                .filter_map(|line| line.split('(').next())
                .collect();
            assert_eq!(names, expected, "{caller}");
        }
    };
    check("fails", &["chdir"]);
    check("fails@MAIN", &["chdir"]);
    check("@libc.so*", &[]);
    check("-main", &["chdir"]);
}

#[test]
fn calls_by_a_path() {
    let dir = scratch("path");
    fs::write(dir.join("text"), "hello\n").unwrap();
    let file = dir.join("text").display().to_string();
    let below = format!("{}/", dir.display());
    for path in [&file, &below] {
        let run = ltrace(["-s", "200", "-P", path, "cat", "text"])
            .dir(&dir)
            .finish()
            .exits(0);
        let names = calls(&run.stderr);
        assert_eq!(names.first(), Some(&"open"), "{}", run.told());
        assert_eq!(names.last(), Some(&"close"), "{}", run.told());
        let opened = format!(" = 3<{file}>");
        assert!(run.stderr.contains(&opened), "{}", run.told());
        assert!(
            run.stderr.contains(&format!("close(3<{file}>)")),
            "{}",
            run.told()
        );
    }
    let run = ltrace(["-P", "/nowhere", "cat", "text"])
        .dir(&dir)
        .finish()
        .exits(0);
    assert_eq!(calls(&run.stderr), Vec::<&str>::new(), "{}", run.told());
}

/// A stream is shown as the descriptor that it has, by glibc and by musl.
#[test]
fn descriptors_of_streams() {
    for shape in [Shape::Pie, Shape::Musl] {
        let Some(program) = shaped("streams", shape) else {
            continue;
        };
        let file = scratch("streams").join("text");
        fs::write(&file, "line\n").unwrap();
        let run = ltrace(["-s", "200", "-y", "-e", "fopen+fgets+ungetc+fclose"]);
        let run = run.arg(program).arg(&file).finish().exits(0);
        let stream = format!("3<{}>", file.display());
        for line in [
            format!(", \"r\") = {stream}"),
            format!("fgets(\"line\\n\", 16, {stream})"),
            format!("ungetc('x', {stream}) = 'x'"),
            format!("fclose({stream}) = 0"),
        ] {
            let text = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(&line), "{line}\n{}", run.told());
        }
    }
}

/// Both ends of a socket, whichever side looks.
#[test]
fn descriptors_of_sockets() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let python = "import socket,sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.send(b'x')";
    let python = format!("{python}; print(s.getsockname()[1])");
    let Some(interpreter) = command("python3") else {
        return;
    };
    let port = at.rsplit(':').next().unwrap();
    let run = ltrace(["-y", "-S", "--syscalls", "sendto", "-L"]).arg(interpreter);
    let run = run.args(["-c", &python, port]).finish().exits(0);
    let own = run.stdout.trim();
    let expected = format!("sendto@SYS(3<TCP:[127.0.0.1:{own}->{at}]>, \"x\", 1");
    assert!(run.stderr.contains(&expected), "{expected}\n{}", run.told());
}
