//! Signals reach the program once each, and calls in handlers are traced.

use crate::support::expect::same_text;
use crate::support::fixture::{fixture, shaped, shaped_32};
use crate::support::ltrace;
use crate::support::program::{Program, Running};
use crate::support::server::{assert_still_works, assert_unharmed, server};
use crate::support::shape::Shape;
use crate::support::text::{wait_until_planted, wait_until_traced};
use crate::support::trace::about;
use crate::support::until::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What becomes of a program's own SIGTRAP, as it says itself, is what it is without us.
#[test]
fn actions_for_sigtrap_are_the_programs_own() {
    for program in own_actions() {
        check_actions(&program);
    }
}

/// The fixture as it is built for x86-64 and for i386, with the C library or all in one file.
fn own_actions() -> impl Iterator<Item = PathBuf> {
    let builds = [
        fixture("own_action"),
        shaped("own_action", Shape::Static),
        shaped_32("own_action", Shape::Pie),
        shaped_32("own_action", Shape::Static),
    ];
    builds.into_iter().flatten()
}

#[track_caller]
fn check_actions(program: &Path) {
    for words in ["qhqbtq", "qh1tq", "qgqbtq", "qg1tq", "hbtdq", "gbtht1tq"] {
        let say = |mut run: Running| {
            run.wait_for_stdout("ready\n");
            run.say(words.as_bytes());
            run.finish().exits(0).stdout
        };
        let alone = say(Program::new(program).start());
        // What it calls while signals are blocked, and nothing at all.
        for filter in ["strtol", "nosuch"] {
            let options = ["-o", "/dev/null", "-x", filter];
            let traced = say(ltrace(options).arg(program).start());
            let which = (program.display(), words, filter);
            assert_eq!(traced, alone, "{which:?}");
        }
    }
}

/// Where it has no action, it dies of one.
#[test]
fn a_program_dies_of_its_own_sigtrap() {
    for program in own_actions() {
        for words in ["t", "qt", "bt", "hdt"] {
            let mut run = ltrace(["-o", "/dev/null", "-x", "strtol"])
                .arg(&program)
                .start();
            run.wait_for_stdout("ready\n");
            run.say(words.as_bytes());
            run.finish().exits(133);
        }
    }
}

/// It stands when we have left, wherever it was set and lost.
#[test]
fn an_action_for_sigtrap_outlives_us() {
    for program in own_actions() {
        check_action_outlives_us(&program);
    }
}

#[track_caller]
fn check_action_outlives_us(program: &Path) {
    for set_before in [false, true] {
        let mut target = Program::new(program).start();
        target.wait_for_stdout("ready\n");
        if set_before {
            target.say(b"h");
            target.wait_for_stdout("h: caught 0\n");
        }
        let tracer = ltrace(["-o", "/dev/null", "-x", "strtol"])
            .args(["-p", &target.pid().to_string()])
            .start();
        wait_until_planted(target.pid());
        if !set_before {
            target.say(b"h");
            target.wait_for_stdout("h: caught 0\n");
        }
        target.say(b"b1");
        target.wait_for_stdout("1: caught 0\n");
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
        target.say(b"qt");
        target.wait_for_stdout("handled\n");
        target.wait_for_stdout("t: caught 1\n");
        target.finish().exits(0);
    }
}

#[test]
fn handler_that_makes_calls() {
    let Some(program) = fixture("handler_calls") else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    same_text(&about(&run.stderr, &run.stdout), &run.stdout);
}

#[test]
fn signal_lines_can_be_hidden() {
    let Some(program) = fixture("handler_calls") else {
        return;
    };
    for option in ["-b", "--no-signals"] {
        let run = ltrace([option]).arg(&program).finish().exits(0);
        assert_eq!(run.count("---"), 0, "{}", run.told());
        assert_eq!(run.count("+++ exited (status 0) +++"), 1, "{}", run.told());
    }
}

#[test]
fn timer_into_calls() {
    let Some(program) = fixture("alarm") else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    assert_eq!(run.count("calloc(1, 1000"), 1000, "{}", run.told());
    assert!(
        run.count("--- SIGALRM (Alarm clock) ---") > 0,
        "{}",
        run.told()
    );
}

#[test]
fn queued_signals_keep_order_and_values() {
    let Some(program) = fixture("real_time_signals") else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    for name in ["SIGRT0", "SIGRT15", "SIGRT30"] {
        assert_eq!(run.count(&format!("--- {name} (")), 10, "{}", run.told());
    }
}

#[test]
fn a_program_that_asks_to_be_traced_is_refused_as_under_any_tracer() {
    let Some(program) = fixture("traceme") else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    assert_eq!(run.stdout, "-1 1\n");
}

/// The scheduling state of a process: `R`, `S`, `T`, `t` … (proc_pid_stat(5)).
fn state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

fn wait_for_state(pid: i32, wanted: char) {
    wait_until(&format!("process {pid} is in state {wanted}"), || {
        state(pid) == wanted
    });
}

/// Nothing more is traced of what stands. What was recorded before is still being written.
#[track_caller]
fn assert_silent(tracer: &Running, records: bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let before = tracer.stderr.len();
        std::thread::sleep(Duration::from_millis(50));
        let lines = tracer.stderr.text()[before..].lines().count();
        if lines < 20 {
            return;
        }
        let may_last = records && Instant::now() < deadline;
        assert!(may_last, "{lines} lines while stopped");
    }
}

/// SIGSTOP stops a traced program, SIGCONT lets it go on, as untraced.
#[test]
fn stopping_and_continuing() {
    for instrument in ["stop", "record"] {
        check_stopping_and_continuing(instrument);
    }
}

#[track_caller]
fn check_stopping_and_continuing(instrument: &str) {
    let Some(server) = server(2) else { return };
    let target = Pid::from_raw(server.pid());
    let tracer = Program::new(env!("CARGO_BIN_EXE_ltrace"))
        .args(["--instrument", instrument, "-p", &server.pid().to_string()])
        .start();
    tracer.wait_for_stderr("malloc(1001");
    for _ in 0..3 {
        let so_far = tracer.stderr.len();
        kill(target, Signal::SIGSTOP).unwrap();
        // A stopped tracee shows as traced; that nothing more is traced shows that it stands.
        tracer.wait_for_stderr_beyond(so_far, "--- SIGSTOP (Stopped (signal)) ---");
        wait_for_state(server.pid(), 't');
        assert_silent(&tracer, instrument == "record");
        kill(target, Signal::SIGCONT).unwrap();
        let so_far = tracer.stderr.len();
        tracer.wait_for_stderr_beyond(so_far, "malloc(1001");
    }
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_unharmed(server);
}

/// Whether all threads of a server make progress.
fn goes_on(server: &mut Running, patience: Duration) -> bool {
    let so_far = server.stdout.len();
    server.say(b"\n");
    server.stdout_goes_on(so_far, "alive\n", patience)
}

/// A SIGSTOP at whatever point of attaching, of planting and of leaving.
#[test]
fn stopped_while_attached_to() {
    let Some(mut server) = server(3) else { return };
    let target = Pid::from_raw(server.pid());
    for round in 0..15_u64 {
        let tracer = ltrace(["-o", "/dev/null", "-p", &server.pid().to_string()]).start();
        std::thread::sleep(Duration::from_micros(round * 3000));
        kill(target, Signal::SIGSTOP).unwrap();
        wait_until_traced(server.pid());
        let so_far = server.stdout.len();
        assert!(
            !goes_on(&mut server, Duration::from_millis(100)),
            "it was stopped"
        );
        if round % 2 == 0 {
            tracer.signal(Signal::SIGINT);
            tracer.finish();
            assert!(!server.stdout_goes_on(so_far, "alive\n", Duration::from_millis(50)));
            wait_for_state(server.pid(), 'T');
            kill(target, Signal::SIGCONT).unwrap();
            server.wait_for_stdout_beyond(so_far, "alive\n");
        } else {
            kill(target, Signal::SIGCONT).unwrap();
            server.wait_for_stdout_beyond(so_far, "alive\n");
            tracer.signal(Signal::SIGINT);
            tracer.finish().exits(0);
        }
        assert_still_works(&mut server);
    }
    assert_unharmed(server);
}

/// A fatal signal at whatever point of attaching ends the program as ever, and the tracer with it.
#[test]
fn killed_while_attached_to() {
    for round in 0..16_u64 {
        let Some(mut server) = server(3) else { return };
        let tracer = ltrace(["-p", &server.pid().to_string()]).start();
        std::thread::sleep(Duration::from_micros(round * 3000));
        let signal = [Signal::SIGKILL, Signal::SIGTERM][round as usize % 2];
        kill(Pid::from_raw(server.pid()), signal).unwrap();
        assert_eq!(server.wait().signal(), Some(signal as i32));
        let run = tracer.finish();
        assert!(run.code() <= 1, "{}", run.told());
        assert!(
            run.code() == 0 || run.stderr.lines().count() == 1,
            "{}",
            run.told()
        );
    }
}
