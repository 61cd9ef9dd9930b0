//! The tracer is killed with SIGKILL, and cannot do anything about it: its target lives.

use crate::support::fixture::fixture;
use crate::support::kills;
use crate::support::mixture::Random;
use crate::support::program::Program;
use crate::support::server::{assert_lives, assert_still_works, assert_unharmed, busy, server};
use crate::support::text::tracer_of;
use crate::support::until::wait_until;
use crate::support::{ltrace, scratch};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

#[test]
fn target_outlives_a_killed_tracer_and_the_next_one_cleans_up() {
    let Some(mut server) = server(4) else { return };
    for _ in 0..10 {
        let mut tracer = ltrace(["-p", &server.pid().to_string()]).start();
        tracer.wait_for_stderr("malloc(1003");
        tracer.signal(Signal::SIGKILL);
        tracer.wait();
        assert_lives(&mut server);
    }
    let tracer = ltrace(["-p", &server.pid().to_string()]).start();
    tracer.wait_for_stderr("malloc(1003");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_still_works(&mut server);
    assert_unharmed(server);
}

#[test]
fn command_outlives_a_killed_tracer() {
    let Some(program) = fixture("server") else {
        return;
    };
    let mut tracer = ltrace([program]).arg("2").start();
    tracer.wait_for_stdout("ready\n");
    tracer.wait_for_stderr("malloc(1001");
    tracer.signal(Signal::SIGKILL);
    tracer.wait();
    tracer.say(b"\n");
    tracer.wait_for_stdout("alive\n");
    tracer.close_input();
    tracer.wait_for_stdout("ok\n");
}

/// Between vfork and exec, posix_spawn's child sets signal actions with every signal blocked: an int3 of ours would end it.
#[test]
fn children_are_spawned_after_the_tracer_was_killed() {
    let Some(program) = fixture("spawning") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let pid = target.pid().to_string();
    let mut front = ltrace(["-e", "malloc", "-p", &pid]).start();
    front.wait_for_stderr("malloc(600");
    let tracer = tracer_of(target.pid());
    kill(Pid::from_raw(tracer), Signal::SIGKILL).unwrap();
    front.signal(Signal::SIGKILL);
    front.wait();
    // One child for each byte.
    target.say(&[b'.'; 20]);
    target.close_input();
    target.wait_for_stdout("ok\n");
}

/// Twenty times, at any moment of attaching and tracing; the stress run does two hundred.
#[test]
fn target_outlives_whatever_is_killed() {
    let Some(mut target) = busy() else { return };
    let mut random = Random(20);
    for round in 0..20 {
        if let Err(how) = kills::survives(&mut target, &mut random) {
            panic!("round {round}: {how}");
        }
    }
    let pid = target.pid().to_string();
    // What tracers left that were killed stands in the target: only lines tell that this one traces.
    let trace = scratch("survival").join("trace");
    let tracer = ltrace(["-p", &pid, "-o"]).arg(&trace).start();
    wait_until("calls are written", || {
        fs::metadata(&trace).is_ok_and(|trace| trace.len() > 0)
    });
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_unharmed(target);
}
