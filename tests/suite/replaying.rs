//! `--record` and `--replay`: a trace shown later, in any form.

use crate::support::expect::same_text;
use crate::support::fixture::fixture;
use crate::support::trace::calls;
use crate::support::{ltrace, root, scratch};
use std::fs;
use std::path::PathBuf;

/// A recording of the fixture, and the lines of the same run.
fn recorded(name: &str, options: &[&str]) -> Option<(PathBuf, String)> {
    let program = fixture(name)?;
    let dir = scratch("replaying");
    let (lines, file) = (dir.join("trace"), dir.join("trace.rec"));
    let run = ltrace([
        "-o",
        lines.to_str().unwrap(),
        "--record",
        file.to_str().unwrap(),
    ]);
    run.args(options).arg(program).finish();
    Some((file, fs::read_to_string(lines).unwrap()))
}

fn replay(file: &PathBuf, options: &[&str]) -> String {
    let run = ltrace(options).arg("--replay").arg(file);
    run.finish().exits(0).stderr
}

#[test]
fn the_same_lines_come_back() {
    for (name, options) in [
        ("basic", &[][..]),
        ("data", &[]),
        ("longjmp", &[]),
        ("threads", &[]),
        ("exit_status", &[]),
        ("system_calls", &["-S", "-x", "main"]),
    ] {
        let Some((file, lines)) = recorded(name, options) else {
            return;
        };
        let shown = replay(&file, &["-o", "/dev/stderr"]);
        same_text(&shown, &lines);
    }
}

#[test]
fn in_other_forms_and_by_other_filters() {
    let Some((file, _)) = recorded("backtrace", &[]) else {
        return;
    };
    let table = replay(&file, &["-c"]);
    assert!(
        table.contains("1 getenv\n") && table.contains("5 total\n"),
        "{table}"
    );
    assert_eq!(
        calls(&replay(&file, &["-e", "abs+exit"])),
        ["backtrace->abs", "backtrace->exit"]
    );
    assert_eq!(
        calls(&replay(&file, &["--depth=1", "--until=2"])),
        ["qsort", "getenv"]
    );
    let tree = replay(&file, &["--tree"]);
    assert!(tree.contains("|   memcmp("), "{tree}");
    let json = replay(&file, &["--format=json"]);
    assert!(json.contains(r#""raw":"0xffffffff""#), "{json}");
}

#[test]
fn of_a_file_that_was_cut() {
    let Some((file, lines)) = recorded("basic", &[]) else {
        return;
    };
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() * 2 / 3]).unwrap();
    let shown = replay(&file, &["-o", "/dev/stderr"]);
    let first: Vec<&str> = shown.lines().take(5).collect();
    assert!(
        first.len() == 5 && lines.starts_with(&first.join("\n")),
        "{shown}"
    );
}

/// A recording of the first version is read by every later one.
#[test]
fn old_recordings() {
    let file = root().join("tests/golden/recording-1");
    if std::env::var_os("LTRACE_BLESS").is_some()
        && let Some((new, _)) = recorded("backtrace", &["-S", "--syscalls", "exit_group"])
    {
        fs::copy(new, &file).unwrap();
    }
    let shown = replay(&file, &[]);
    let names = ["qsort", "memcmp", "getenv", "abs", "exit", "exit_group@SYS"];
    assert_eq!(calls(&shown), names, "{shown}");
    assert!(
        shown.contains("getenv(\"INLINED\")                                = nil\n"),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_replayed() {
    let dir = scratch("replaying");
    let check = |name: &str, part: &str| {
        let run = ltrace(["--replay"]).arg(dir.join(name)).finish().exits(1);
        assert!(run.stderr.contains(part), "{}", run.told());
    };
    check("none", "No such file");
    fs::write(dir.join("text"), "this is a text and no recording\n").unwrap();
    check("text", "it is no recording");
}

/// What led to calls is in the recording where -w asked for it, named by the options of the replay.
#[test]
fn what_led_to_calls() {
    let Some((file, lines)) = recorded("backtrace", &["-w", "3", "-e", "getenv"]) else {
        return;
    };
    let again = file.with_extension("again");
    let options = [
        "-w",
        "3",
        "-o",
        "/dev/stderr",
        "--record",
        again.to_str().unwrap(),
    ];
    // Who calls stands before functions by -e.
    let shown = replay(&file, &[&options[..], &["-e", "getenv"]].concat());
    same_text(&shown, &lines);
    let shown = replay(&again, &["-w", "1", "-C", "-e", "getenv"]);
    assert_eq!(shown.matches("\n > ").count(), 1, "{shown}");
    assert!(shown.contains("(here::inner+0x"), "{shown}");
    let json = replay(&again, &["-w", "2", "--format=json"]);
    assert!(json.contains(r#""stack":[{"address""#), "{json}");
    let Some((file, _)) = recorded("backtrace", &[]) else {
        return;
    };
    let run = ltrace(["-w", "3", "--replay"]).arg(&file).finish().exits(1);
    assert!(
        run.stderr.contains("it does not tell what led to calls"),
        "{}",
        run.told()
    );
}

#[test]
fn no_output_takes_the_place_of_a_recording() {
    let Some((file, _)) = recorded("basic", &[]) else {
        return;
    };
    let before = fs::read(&file).unwrap();
    for option in ["-o", "--json", "--record"] {
        let run = ltrace(["--replay"]).arg(&file).arg(option).arg(&file);
        let run = run.finish().exits(1);
        assert!(
            run.stderr.contains("would take its place"),
            "{}",
            run.told()
        );
        assert!(fs::read(&file).unwrap() == before, "{option}");
    }
}

/// Whose code calls is in the recording, and in one of its replay: the files of modules need not be there any more.
#[test]
fn by_who_calls() {
    let Some((first, _)) = recorded("errno", &[]) else {
        return;
    };
    let file = first.with_extension("again");
    replay(
        &first,
        &["-o", "/dev/null", "--record", file.to_str().unwrap()],
    );
    assert!(fs::read(&file).unwrap() == fs::read(&first).unwrap());
    for (caller, names) in [
        ("fails", &["chdir"][..]),
        ("fails@MAIN", &["chdir"]),
        ("@libc.so*", &[]),
        ("-main", &["chdir"]),
    ] {
        let shown = replay(&file, &["--caller", caller, "-o", "/dev/stderr"]);
        assert_eq!(calls(&shown), names, "{caller}");
    }
}
