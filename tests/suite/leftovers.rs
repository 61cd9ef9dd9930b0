//! After kill -9 of the tracer: the target lives on, and what was left in it can be taken out.

use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::program::{Finished, Program, Running};
use crate::support::server::{assert_lives, assert_still_works, assert_unharmed, server};
use crate::support::text::{
    assert_text_untouched, handles_sigtrap, tracer_of, wait_until_guarded, wait_until_planted,
    wait_until_untouched,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

/// Attaches to a program that calls all the time, and kills the process that traces in the middle of it.
fn killed_while_attached(target: &Running) {
    let tracer = ltrace(["-p", &target.pid().to_string()]).start();
    tracer.wait_for_stderr("malloc(");
    kill_tracer(target, tracer);
}

fn kill_tracer(target: &Running, tracer: Running) {
    let killed = tracer_of(target.pid());
    assert_ne!(killed, 0, "not traced");
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    let finished = tracer.finish().exits(1);
    assert!(
        finished.stderr.contains("the tracer was killed by SIGKILL"),
        "{}",
        finished.told()
    );
    assert_eq!(tracer_of(target.pid()), 0);
}

fn detach(target: &Running) -> Finished {
    ltrace(["--detach", "-p", &target.pid().to_string()])
        .finish()
        .exits(0)
}

#[track_caller]
fn assert_took_out(target: &Running) {
    let run = detach(target);
    let start = format!("process {}: took out ", target.pid());
    assert!(
        run.stdout.starts_with(&start)
            && run.stdout.ends_with(
                " breakpoints of an ltrace that was killed; SIGTRAP is the program's own again\n"
            )
            && run.stderr.is_empty(),
        "{}",
        run.told()
    );
}

#[track_caller]
fn assert_nothing_to_remove(target: &Running) {
    let run = detach(target);
    let expected = format!("process {}: nothing to take out\n", target.pid());
    assert_eq!(run.stdout, expected, "{}", run.told());
    assert!(run.stderr.is_empty(), "{}", run.told());
}

#[test]
fn taken_out_of_a_busy_program() {
    let Some(mut target) = server(4) else { return };
    assert_nothing_to_remove(&target);
    for _ in 0..4 {
        killed_while_attached(&target);
        assert!(handles_sigtrap(target.pid()));
        let so_far = target.stdout.len();
        target.say(b"\n");
        target.wait_for_stdout_beyond(so_far, "alive\n");
        assert_took_out(&target);
        assert!(!handles_sigtrap(target.pid()));
        assert_still_works(&mut target);
        assert_nothing_to_remove(&target);
    }
    assert_unharmed(target);
}

#[test]
fn taken_over_by_the_next_tracer() {
    let Some(mut target) = server(4) else { return };
    for _ in 0..3 {
        killed_while_attached(&target);
        // Another filter: what the first has planted, the second does not need.
        let tracer = ltrace(["-e", "atoi", "-p", &target.pid().to_string()]).start();
        tracer.wait_for_stderr("took out ");
        tracer.wait_for_stderr("server->atoi(\"65536\")");
        tracer.signal(Signal::SIGINT);
        let run = tracer.finish().exits(0);
        let first = run.stderr.lines().next().unwrap();
        assert!(
            first.starts_with("ltrace: took out ")
                && first.ends_with(" breakpoints that a killed tracer had left in the process"),
            "{}",
            run.told()
        );
        assert!(!run.stderr.contains("SIGTRAP"), "{}", run.told());
        assert_still_works(&mut target);
        assert_nothing_to_remove(&target);
    }
    assert_unharmed(target);
}

#[test]
fn a_tracer_that_left_by_itself_leaves_nothing() {
    let Some(target) = server(2) else { return };
    let tracer = ltrace(["-p", &target.pid().to_string()]).start();
    tracer.wait_for_stderr("malloc(");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_nothing_to_remove(&target);
    assert_unharmed(target);
}

/// The bytes of executable memory that no file is mapped to.
fn executable(pid: i32) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let size = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = fields[0].split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        (fields[1].contains('x') && fields.len() == 5).then_some(hex(end)? - hex(start)?)
    };
    maps.lines().filter_map(size).sum()
}

#[test]
fn what_was_mapped_is_used_again() {
    let Some(mut target) = server(2) else { return };
    let mut before = [None; 2];
    for round in 0..8 {
        let filter = if round % 2 == 0 {
            "malloc"
        } else {
            "malloc+free"
        };
        let tracer = ltrace(["-e", filter, "-p", &target.pid().to_string()]).start();
        tracer.wait_for_stderr("malloc(");
        match round % 3 {
            0 => kill_tracer(&target, tracer),
            _ => {
                tracer.signal(Signal::SIGINT);
                tracer.finish().exits(0);
            }
        }
        let after = executable(target.pid());
        assert!(after > 0);
        // What a killed tracer needs stays; one that left by itself has unmapped some.
        let before = before[usize::from(round % 3 == 0)].get_or_insert(after);
        assert_eq!(*before, after, "in round {round}");
        assert_lives(&mut target);
    }
    detach(&target);
    assert_unharmed(target);
}

/// Waits until a process is in write(2) whenever it is looked at (proc_pid_syscall(5)).
fn wait_until_stuck_in_write(pid: i32) {
    let mut seen = 0;
    while seen < 20 {
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
        seen = if call.starts_with("1 ") { seen + 1 } else { 0 };
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The tracer waits for somebody to read its lines, and nobody waits for the tracer.
#[test]
fn a_stuck_tracer_without_its_front_end() {
    let Some(target) = server(2) else { return };
    let pid = target.pid().to_string();
    let mut front = ltrace(["-o", "|exec sleep 60", "-p", &pid]).start();
    wait_until_guarded(target.pid());
    wait_until_stuck_in_write(tracer_of(target.pid()));
    front.signal(Signal::SIGKILL);
    front.wait();
    wait_until_untouched(target.pid());
    assert_unharmed(target);
}

#[test]
fn a_handler_of_its_own_is_given_back() {
    let Some(program) = fixture("own_trap") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    target.say(b"a");
    target.wait_for_stdout("caught 1\n");
    let tracer = ltrace(["-p", &target.pid().to_string()]).start();
    wait_until_planted(target.pid());
    // From now on calls are traced.
    target.say(b"b");
    target.wait_for_stdout("caught 2\n");
    tracer.wait_for_stderr("SIGTRAP");
    kill_tracer(&target, tracer);
    // In between its own int3s are still its own.
    target.say(b"c");
    target.wait_for_stdout("caught 3\n");
    assert_took_out(&target);
    assert_text_untouched(target.pid());
    target.say(b"d");
    target.wait_for_stdout("caught 4\n");
    target.finish().exits(4);
}

/// A program that undoes the guard, by these bytes, lives on all the same when its tracer is killed.
fn check_guard_comes_back(undo: &[u8], undone: &str) {
    let Some(program) = fixture("undone") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let tracer = ltrace(["-o", "/dev/null", "-p", &target.pid().to_string()]).start();
    wait_until_planted(target.pid());
    for _ in 0..3 {
        let so_far = target.stdout.len();
        target.say(undo);
        target.wait_for_stdout_beyond(so_far, undone);
    }
    if undo == b"h" {
        target.say(b"w");
        target.wait_for_stdout("replaced\n");
    }
    wait_until_guarded(target.pid());
    kill_tracer(&target, tracer);
    let so_far = target.stdout.len();
    target.say(b"l");
    target.wait_for_stdout_beyond(so_far, "alive\n");
    if undo == b"h" {
        target.say(b"i");
        target.wait_for_stdout("trapped 1\n");
    }
    assert_took_out(&target);
    assert_text_untouched(target.pid());
    target.say(b"l");
    let finished = target.finish().exits(0);
    assert!(finished.stdout.ends_with("ok\n"), "{}", finished.told());
}

#[test]
fn a_guard_that_the_kernel_has_reset() {
    check_guard_comes_back(b"b", "blocked\n");
}

#[test]
fn a_guard_that_the_program_has_replaced() {
    check_guard_comes_back(b"h", "installed\n");
}

#[test]
fn a_command_whose_tracer_was_killed() {
    let Some(program) = fixture("server") else {
        return;
    };
    let mut tracer = ltrace(["-o", "/dev/null"]).arg(program).arg("2").start();
    tracer.wait_for_stdout("ready\n");
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", tracer.pid())).unwrap();
    let tracing: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    let children =
        std::fs::read_to_string(format!("/proc/{tracing}/task/{tracing}/children")).unwrap();
    let target: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(tracing), Signal::SIGKILL).unwrap();
    tracer.wait();
    let so_far = tracer.stdout.len();
    tracer.say(b"\n");
    tracer.wait_for_stdout_beyond(so_far, "alive\n");
    let run = ltrace(["--detach", "-p", &target.to_string()])
        .finish()
        .exits(0);
    assert!(run.stdout.contains(": took out "), "{}", run.told());
    assert_text_untouched(target);
    tracer.say(b"\n");
    tracer.close_input();
    tracer.wait_for_stdout("ok\n");
}

#[test]
fn several_processes_one_of_them_gone() {
    let (Some(first), Some(second)) = (server(1), server(1)) else {
        return;
    };
    killed_while_attached(&second);
    let gone = Program::new("true").start();
    let pid = gone.pid();
    gone.finish();
    let run = ltrace(["--detach"])
        .args(["-p", &first.pid().to_string(), "-p", &pid.to_string()])
        .args(["-p", &second.pid().to_string()])
        .finish()
        .exits(1);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.told());
    assert!(
        lines[0].ends_with(": nothing to take out"),
        "{}",
        run.told()
    );
    assert!(lines[1].contains(": took out "), "{}", run.told());
    assert_eq!(
        run.stderr,
        format!("ltrace: cannot attach to process {pid}: no such process\n")
    );
    assert_unharmed(first);
    assert_unharmed(second);
}

#[test]
fn usage() {
    for line in [
        &["--detach"][..],
        &["--detach", "ls"],
        &["--detach", "-p", "1", "ls"],
    ] {
        let run = ltrace(line).finish().exits(2);
        assert!(run.stderr.contains("--detach needs -p"), "{}", run.told());
    }
}
