//! The tracer is killed with SIGKILL, and cannot do anything about it: its target lives.

use crate::support::kills;
use crate::support::ltrace;
use crate::support::mixture::Random;
use crate::support::server::{assert_lives, assert_still_works, assert_unharmed, busy, server};
use nix::sys::signal::Signal;

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
    let Some(program) = crate::support::fixture::fixture("server") else {
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
    let tracer = ltrace(["-o", "/dev/null", "-p", &pid]).start();
    crate::support::text::wait_until_planted(target.pid());
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_unharmed(target);
}
