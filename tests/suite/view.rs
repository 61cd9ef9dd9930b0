//! `--leaks` on a terminal: it refreshes in place, obeys keys, and leaves the terminal as it was, however
//! it ends.

use crate::support::fixture::fixture;
use crate::support::leaks::read;
use crate::support::program::{Program, Running};
use crate::support::terminal::{CTRL_C, CTRL_Z, Screen, on_screen};
use crate::support::until::wait_until;
use crate::support::{ltrace, scratch};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

const LTRACE: &str = env!("CARGO_BIN_EXE_ltrace");
const WIDE: (u16, u16) = (120, 30);

/// A program that loses memory while it runs.
fn leaking() -> Option<Running> {
    let target = Program::new(fixture("leak_steadily")?).start();
    target.wait_for_stdout("ready");
    Some(target)
}

/// The view of a program that loses memory, with the first site on it.
fn view(terminal: &str, size: (u16, u16), options: &[&str]) -> Option<(Screen, Running)> {
    let target = leaking()?;
    let pid = target.pid().to_string();
    let args = [options, &["--leaks", "-p", &pid]].concat();
    let screen = on_screen(terminal, size, LTRACE, args)?;
    screen.wait_for_text("LOST");
    Some((screen, target))
}

/// The view ends with this status; what was written after it is the last report, and the target goes on.
#[track_caller]
fn assert_left(mut screen: Screen, mut target: Running, status: i32) -> String {
    let ended = screen.running.wait();
    assert_eq!(ended.code(), Some(status), "{}", screen.written.text());
    let after = screen.after();
    assert!(target.is_alive());
    after
}

#[track_caller]
fn assert_report(after: &str) {
    assert!(after.starts_with("leaks: leak_steadily (pid "), "{after:?}");
    assert!(after.contains("\n     lose "), "{after}");
    assert_eq!(after.matches("leaks: ").count(), 1, "{after}");
}

#[test]
fn it_refreshes_and_obeys_keys() {
    let Some((mut screen, target)) = view("xterm", WIDE, &[]) else {
        return;
    };
    assert!(!screen.is_cooked());
    let blocks = |picture: &str| {
        let row = picture.lines().find(|line| line.starts_with(">  1 LOST"))?;
        row.split_whitespace()
            .nth(5)?
            .replace(',', "")
            .parse::<u64>()
            .ok()
    };
    let first = screen.wait_for("a row", |picture| blocks(picture).is_some());
    let lost = blocks(&first);
    assert!(first.contains("lose leak_steadily.c:9"), "{first}");
    screen.wait_for("more blocks", |picture| blocks(picture) > lost);
    screen.wait_for("a rate", |picture| picture.contains("B/s "));
    screen.press(b"s");
    screen.wait_for_text("s sort: blocks");
    screen.press(b"m");
    screen.wait_for_text("since the mark)");
    screen.press(b"?");
    screen.wait_for_text("POSSIBLE   only pointers");
    screen.press(b"?");
    screen.wait_for_text(">  1 LOST");
    screen.press(b"q");
    assert_report(&assert_left(screen, target, 0));
}

#[test]
fn it_fits_its_terminal() {
    let Some((mut screen, target)) = view("xterm", WIDE, &[]) else {
        return;
    };
    for (columns, rows) in [(60, 12), (20, 5), (200, 50), (1, 1), (80, 24)] {
        screen.resize(columns, rows);
        let (columns, rows) = (usize::from(columns), usize::from(rows));
        let picture = screen.wait_for(&format!("{columns} x {rows}"), |picture| {
            picture.split('\n').count() == rows
        });
        assert!(
            picture
                .split('\n')
                .all(|line| line.chars().count() <= columns),
            "{columns} x {rows}:\n{picture}"
        );
    }
    screen.press(CTRL_C);
    assert_report(&assert_left(screen, target, 0));
}

#[test]
fn however_it_ends() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let Some((screen, target)) = view("xterm", WIDE, &[]) else {
            return;
        };
        let front = screen.child_of(None);
        kill(Pid::from_raw(front), signal).unwrap();
        assert_report(&assert_left(screen, target, 0));
    }
}

/// Nobody is left to draw, but who started it puts the terminal back.
#[test]
fn the_tracer_is_killed() {
    let Some((mut screen, mut target)) = view("xterm", WIDE, &[]) else {
        return;
    };
    let front = screen.child_of(None);
    let tracer = screen.child_of(Some(front));
    kill(Pid::from_raw(tracer), Signal::SIGKILL).unwrap();
    assert_eq!(screen.running.wait().code(), Some(1));
    assert_eq!(screen.after(), "ltrace: the tracer was killed by SIGKILL\n");
    assert!(target.is_alive());
}

#[test]
fn the_target_is_killed() {
    let Some((mut screen, target)) = view("xterm", WIDE, &[]) else {
        return;
    };
    target.signal(Signal::SIGKILL);
    assert_eq!(screen.running.wait().code(), Some(0));
    let after = screen.after();
    assert_report(&after);
    assert!(after.contains("killed by SIGKILL"), "{after}");
}

/// Ctrl-Z gives the terminal to the shell, and `fg` brings the view back.
#[test]
fn it_stops_and_goes_on() {
    let Some(target) = leaking() else { return };
    let script = "\"$0\" --leaks -p $1; echo stopped; read; fg >/dev/null; echo status $?";
    let pid = target.pid().to_string();
    let words = ["-mc", script, LTRACE, &pid];
    let Some(mut screen) = on_screen("xterm", WIDE, "bash", words) else {
        return;
    };
    screen.wait_for_text("LOST");
    screen.press(CTRL_Z);
    wait_until("it says that it is stopped", || {
        screen.written.text().contains("stopped")
    });
    assert!(screen.is_cooked());
    let so_far = screen.written.len();
    screen.press(b"\n");
    screen.wait_for("a picture again", |_| {
        let text = screen.written.text();
        text.get(so_far..)
            .is_some_and(|later| later.contains("LOST"))
    });
    assert!(!screen.is_cooked());
    screen.press(b"q");
    let after = assert_left(screen, target, 0);
    assert!(after.contains("status 0"), "{after}");
}

#[test]
fn colours_only_where_they_are_wanted() {
    let colours = |options: &[&str], terminal| {
        let (mut screen, target) = view(terminal, WIDE, options)?;
        screen.press(b"q");
        let escapes = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
        let coloured = escapes.is_match(&screen.written.text());
        assert_left(screen, target, 0);
        Some(coloured)
    };
    let Some(usual) = colours(&[], "xterm-256color") else {
        return;
    };
    assert!(usual);
    assert_eq!(
        colours(&["--color", "never"], "xterm-256color"),
        Some(false)
    );
}

/// Where nothing can be drawn there are plain reports.
#[test]
fn plain_reports_elsewhere() {
    let Some(target) = leaking() else { return };
    let pid = target.pid().to_string();
    let plain = |terminal, program: &str, args: &[&str]| {
        let Some(mut screen) = on_screen(terminal, WIDE, program, args) else {
            return;
        };
        assert_eq!(screen.running.wait().code(), Some(0));
        screen.after();
        let written = screen.written.text();
        // On a busy machine there may be a bar.
        let bar = regex::Regex::new("\r[^\r\n]*\x1b\\[K").unwrap();
        let written = bar.replace_all(&written, "");
        assert!(!written.contains('\x1b'), "{written:?}");
        // Whether anything is found by then depends on how busy the machine is.
        assert!(written.contains("leak_steadily (pid "), "{written:?}");
    };
    let words = ["--leaks", "--older", "0s", "--for", "3s", "-p", &pid];
    plain("dumb", LTRACE, &words);
    plain(
        "xterm",
        LTRACE,
        &[&["-o", "/dev/stderr"], &words[..]].concat(),
    );
    // In the background the terminal is somebody else's.
    let script = "\"$0\" --leaks --older 0s --for 3s -p $1 & wait";
    plain("xterm", "bash", &["-mc", script, LTRACE, &pid]);
}

/// How many blocks the last report called lost.
fn last_lost(reports: &str) -> Option<u64> {
    let blocks = |line: &str| {
        let (_, rest) = line.strip_prefix("lost ")?.split_once(" in ")?;
        rest.split(' ').next()?.replace(',', "").parse().ok()
    };
    reports.lines().rev().find_map(blocks)
}

/// SIGUSR1 marks and SIGUSR2 keeps a report, in a pipe as well; the target gets neither.
#[test]
fn signals_mark_and_keep() {
    let Some(mut target) = leaking() else { return };
    let dir = scratch("snapshots");
    let pid = target.pid().to_string();
    let mut tracer = ltrace([
        "--leaks",
        "--every",
        "300ms",
        "--save",
        "kept.json",
        "-p",
        &pid,
    ])
    .dir(&dir)
    .start();
    tracer.wait_for_stderr("since attach)");
    tracer.signal(Signal::SIGUSR1);
    tracer.wait_for_stderr("since the mark)");
    tracer.wait_for_stderr("LOST ");
    tracer.signal(Signal::SIGUSR2);
    tracer.wait_for_stderr("snapshot of process ");
    tracer.wait_for_stderr("kept.json.1\n");
    tracer.signal(Signal::SIGUSR2);
    tracer.wait_for_stderr("kept.json.2\n");
    // Until more of what was lost meanwhile is old enough to be judged.
    let kept = read(&dir.join("kept.json.1"))["lost"]["blocks"].as_u64();
    let mut so_far = 0;
    while last_lost(&tracer.stderr.text()) <= kept {
        tracer.wait_for_stderr_beyond(so_far, "\nlost ");
        so_far = tracer.stderr.len();
    }
    tracer.signal(Signal::SIGINT);
    assert_eq!(tracer.wait().code(), Some(0));
    assert!(target.is_alive());
    for name in ["kept.json.1", "kept.json.2", "kept.json"] {
        let text = fs::read_to_string(dir.join(name)).expect(name);
        assert!(text.contains("\"verdict\":\"lost\""), "{name}: {text}");
    }
    let grown = ltrace(["--leaks", "--diff", "kept.json.1", "kept.json"])
        .dir(&dir)
        .finish()
        .exits(0);
    assert!(grown.told().contains("lose"), "{}", grown.told());
}
