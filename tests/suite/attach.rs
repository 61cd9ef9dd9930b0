//! `-p PID`: a running process is traced, and lives on untouched when the tracer leaves.

use crate::support::fixture::fixture;
use crate::support::program::Program;
use crate::support::server::{
    ATTACHED, assert_still_works, assert_unharmed, attach_and_leave_often, server,
};
use crate::support::text::{assert_text_untouched, wait_until_planted};
use crate::support::trace::Line;
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs;

/// Attaches, waits for calls to be traced, ends the tracer with a signal.
fn attach_and_leave(signal: Signal, status: i32) {
    let Some(server) = server(4) else { return };
    let tracer = ltrace(["-p", &server.pid().to_string()]).start();
    tracer.wait_for_stderr("malloc(1003");
    tracer.signal(signal);
    tracer.finish().exits(status);
    assert_unharmed(server);
}

#[test]
fn interrupt_leaves_it_running() {
    attach_and_leave(Signal::SIGINT, 0);
}

#[test]
fn terminate_leaves_it_running() {
    attach_and_leave(Signal::SIGTERM, 0);
}

#[test]
fn hangup_leaves_it_running() {
    attach_and_leave(Signal::SIGHUP, 0);
}

#[test]
fn quit_leaves_it_running() {
    attach_and_leave(Signal::SIGQUIT, 0);
}

#[track_caller]
fn check_many_times_in_a_row(times: usize, (options, seen): (&[&str], &str)) {
    let Some(server) = server(4) else { return };
    attach_and_leave_often(server, times, options, seen);
}

#[test]
fn many_times_in_a_row() {
    check_many_times_in_a_row(30, ATTACHED[0]);
}

#[test]
fn many_times_in_a_row_by_functions() {
    check_many_times_in_a_row(20, ATTACHED[1]);
}

#[test]
fn many_times_in_a_row_with_stacks() {
    check_many_times_in_a_row(8, ATTACHED[2]);
}

/// Leaves at once, at whatever point of attaching the tracer is.
#[test]
fn interrupt_while_attaching() {
    let Some(mut server) = server(4) else { return };
    for round in 0..20_u32 {
        let tracer = ltrace(["-p", &server.pid().to_string()]).start();
        // Not readiness: a moment that differs from round to round is what is tried here.
        std::thread::sleep(std::time::Duration::from_micros(u64::from(round) * 400));
        tracer.signal(Signal::SIGINT);
        tracer.finish();
        assert_still_works(&mut server);
    }
    assert_unharmed(server);
}

/// The longest attach there is: all functions of all libraries, and many threads that call.
#[test]
fn leaving_in_the_middle_of_a_long_attach() {
    let Some(mut server) = server(16) else { return };
    for round in 0..8_u64 {
        let tracer = ltrace(["-x", "*", "-e", "*", "-o", "/dev/null"])
            .args(["-p", &server.pid().to_string()])
            .start();
        std::thread::sleep(std::time::Duration::from_millis(round * 40));
        let signal = [Signal::SIGINT, Signal::SIGTERM][round as usize % 2];
        let begun = std::time::Instant::now();
        tracer.signal(signal);
        let run = tracer.finish();
        let took = begun.elapsed();
        assert!(
            took < std::time::Duration::from_secs(10),
            "{took:?}\n{}",
            run.told()
        );
        assert!(!run.stderr.contains("no module"), "{}", run.told());
        assert_still_works(&mut server);
    }
    assert_unharmed(server);
}

#[test]
fn every_thread_is_traced() {
    let Some(server) = server(4) else { return };
    let tracer = ltrace(["-p", &server.pid().to_string()]).start();
    for size in 1000..1004 {
        tracer.wait_for_stderr(&format!("malloc({size}"));
    }
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let tids: BTreeSet<_> = finished
        .stderr
        .lines()
        .filter_map(|line| Line::parse(line).tid)
        .collect();
    assert!(tids.len() >= 4, "{tids:?}\n{}", finished.told());
    assert_unharmed(server);
}

#[test]
fn target_that_ends_meanwhile() {
    let Some(program) = fixture("idle") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready");
    let tracer = ltrace(["-p", &target.pid().to_string()]).start();
    wait_until_planted(target.pid());
    target.say(b"ab");
    target.finish().exits(2);
    // The process had a life of its own, and so its status is not ours.
    tracer
        .finish()
        .exits(0)
        .has_line("+++ exited (status 2) +++");
}

#[test]
fn several_processes_and_a_command() {
    let (Some(first), Some(second), Some(command)) = (server(1), server(1), fixture("many")) else {
        return;
    };
    let pids = [first.pid().to_string(), second.pid().to_string()];
    let mut tracer = ltrace(["-p", &pids[0], "-p", &pids[1]])
        .arg(command)
        .start();
    for pid in &pids {
        tracer.wait_for_stderr(&format!("[pid {}] ", task(pid)));
    }
    tracer.wait_for_stderr("malloc(64");
    tracer.signal(Signal::SIGTERM);
    tracer.wait();
    assert_unharmed(first);
    assert_unharmed(second);
}

/// The worker of a server with one: the second task of the process.
fn task(pid: &str) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut names = tasks
        .flatten()
        .map(|task| task.file_name().into_string().unwrap());
    names.find(|tid| tid != pid).expect("a worker")
}

#[test]
fn call_in_progress() {
    let Some(program) = fixture("in_progress") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let tracer = ltrace(["-p", &target.pid().to_string()]).start();
    tracer.wait_for_stderr("usleep(1000");
    // The read() that was in progress comes back, and what follows is traced as ever.
    target.say(b"x");
    target.wait_for_stdout("malloc(77)");
    tracer.wait_for_stderr("malloc(77");
    tracer.wait_for_stderr("read(0");
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    assert!(
        !finished.stderr.contains("<... read resumed> )"),
        "{}",
        finished.told()
    );
    assert_text_untouched(target.pid());
    // And the read() that was traced comes back after we have gone.
    target.finish().exits(0);
}

#[test]
fn detaching_in_the_middle_of_a_call() {
    let Some(program) = fixture("idle") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let tracer = ltrace(["-p", &target.pid().to_string()]).start();
    wait_until_planted(target.pid());
    target.say(b"a");
    tracer.wait_for_stderr("read(0");
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    assert!(finished.stderr.ends_with('\n'), "{}", finished.told());
    assert_text_untouched(target.pid());
    target.say(b"b");
    target.wait_for_stdout("malloc(198)");
    target.finish().exits(2);
}

/// Attaching fails with one line that names the process and says what `wanted` says.
#[track_caller]
fn check_refused(pid: &str, wanted: &str) {
    let run = ltrace(["-p", pid]).finish().exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(
        run.stderr.starts_with("ltrace: ")
            && run.stderr.contains(pid)
            && run.stderr.to_lowercase().contains(wanted),
        "{}",
        run.told()
    );
}

#[test]
fn no_such_process() {
    let gone = Program::new("true").start();
    let pid = gone.pid().to_string();
    gone.finish();
    check_refused(&pid, "no such process");
}

#[test]
fn already_traced() {
    let Some(server) = server(1) else { return };
    let pid = server.pid().to_string();
    let tracer = ltrace(["-p", &pid]).start();
    tracer.wait_for_stderr("malloc(");
    check_refused(&pid, "traced");
    tracer.signal(Signal::SIGINT);
    tracer.finish();
    assert_unharmed(server);
}

#[test]
fn no_permission() {
    if !nix::unistd::Uid::effective().is_root() {
        crate::support::skip::skip("needs root to become somebody else");
        return;
    }
    let Some(setpriv) = crate::support::skip::command("setpriv") else {
        return;
    };
    let Some(server) = server(1) else { return };
    // Where nobody may look for it.
    let dir = std::env::temp_dir().join(format!("ltrace-test-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let copy = dir.join("ltrace");
    fs::copy(env!("CARGO_BIN_EXE_ltrace"), &copy).unwrap();
    let run = Program::new(setpriv)
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&copy)
        .args(["-p", &server.pid().to_string()])
        .dir("/")
        .finish();
    fs::remove_dir_all(dir).unwrap();
    let run = run.exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(run.stderr.contains("permi"), "{}", run.told());
    assert_unharmed(server);
}

#[test]
fn big_binary_attaches_at_once() {
    let Some(program) = fixture("idle") else {
        return;
    };
    // 200 MB behind the last section that matters.
    let copy = scratch("big").join("idle");
    fs::copy(program, &copy).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&copy)
        .unwrap()
        .set_len(200 << 20)
        .unwrap();
    let mut target = Program::new(copy).start();
    target.wait_for_stdout("ready\n");
    let begun = std::time::Instant::now();
    let tracer = ltrace(["-p", &target.pid().to_string()]).start();
    wait_until_planted(target.pid());
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    target.say(b"a");
    target.finish().exits(1);
}

/// Everything mixed, from the start or attached at random moments.
#[test]
fn mixtures() {
    if fixture("mixture").is_none() {
        return;
    }
    for seed in 1..=20 {
        crate::support::mixture::round(seed);
    }
}

/// What takes long is done before anybody is held.
#[test]
fn large_library_is_looked_through_while_the_process_runs() {
    let Some(program) = fixture("longest_gap") else {
        return;
    };
    let library = program.with_file_name("liblong.so");
    let mut target = Program::new(program).arg(library).start();
    target.wait_for_stdout("ready\n");
    let begun = std::time::Instant::now();
    let tracer = ltrace(["-e", "getpid", "-p", &target.pid().to_string()]).start();
    wait_until_planted(target.pid());
    let took = begun.elapsed().as_secs_f64();
    target.say(b"\n");
    let finished = target.finish().exits(0);
    tracer.finish().exits(0);
    let gap = finished
        .stdout
        .lines()
        .last()
        .and_then(|line| line.parse().ok());
    let gap: f64 = gap.expect("a number of milliseconds");
    assert!(gap / 1000.0 < took / 2.0, "held for {gap} ms of {took} s");
}

/// A sandboxed process may make no system call for us; it is traced all the same.
#[test]
fn process_in_a_seccomp_sandbox() {
    let Some(program) = fixture("seccomp") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let tracer = ltrace(["-p", &target.pid().to_string()]).start();
    wait_until_planted(target.pid());
    target.say(b"a");
    tracer.wait_for_stderr("malloc(197)");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_text_untouched(target.pid());
    target.say(b"b");
    target.finish().exits(2);
}
