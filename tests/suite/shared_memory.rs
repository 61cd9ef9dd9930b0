//! Attaching to programs whose memory is not theirs alone: a parent that waits in vfork for its child, and
//! processes that were made to share their memory before we came.

use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::program::{Program, Running};
use crate::support::text::{
    assert_text_untouched, tracer_of, wait_until_planted, wait_until_traced,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// Soon, on a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn start(name: &str, args: &[&str]) -> Option<Running> {
    let target = Program::new(fixture(name)?).args(args).start();
    target.wait_for_stdout("ready");
    Some(target)
}

fn attach(options: &[&str], pid: i32) -> Running {
    ltrace(options).args(["-p", &pid.to_string()]).start()
}

/// Ctrl-C ends the tracer soon.
#[track_caller]
fn end(tracer: Running) -> crate::support::program::Finished {
    let begun = Instant::now();
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    assert!(begun.elapsed() < SOON, "{}", finished.told());
    finished
}

#[track_caller]
fn assert_ends_well(target: Running) {
    let finished = target.finish().exits(0);
    assert!(finished.stdout.ends_with("ok\n"), "{}", finished.told());
}

#[test]
fn a_thread_that_waits_for_its_vfork_child() {
    for options in [&[][..], &["-f"]] {
        let Some(mut target) = start("vfork_waits", &["2"]) else {
            return;
        };
        let tracer = attach(options, target.pid());
        tracer.wait_for_stderr("malloc(700");
        target.say(b"a");
        target.wait_for_stdout("abs(97)");
        let finished = end(tracer);
        let follows = !options.is_empty();
        assert_eq!(
            finished.stderr.contains("abs(-97"),
            follows,
            "{}",
            finished.told()
        );
        assert_text_untouched(target.pid());
        assert_eq!(tracer_of(target.pid()), 0);
        target.say(b"b");
        target.wait_for_stdout("abs(98)");
        assert_ends_well(target);
    }
}

/// It goes on being traced when its child has ended.
#[test]
fn the_end_of_a_vfork_child() {
    let Some(mut target) = start("vfork_waits", &["1"]) else {
        return;
    };
    let tracer = attach(&[], target.pid());
    tracer.wait_for_stderr("malloc(700");
    target.close_input();
    tracer.wait_for_stderr("malloc(701");
    assert_ends_well(target);
    tracer.finish().exits(0);
}

/// Nobody else is there who could be traced: until it wakes, nothing is planted.
#[test]
fn a_process_that_waits_for_its_vfork_child() {
    let Some(mut target) = start("vfork_waits", &["0"]) else {
        return;
    };
    let tracer = attach(&[], target.pid());
    wait_until_traced(target.pid());
    target.say(b"a");
    target.wait_for_stdout("abs(97)");
    end(tracer);
    assert_text_untouched(target.pid());
    target.say(b"b");
    target.wait_for_stdout("abs(98)");
    let tracer = attach(&[], target.pid());
    wait_until_traced(target.pid());
    target.close_input();
    tracer.wait_for_stderr("malloc(701");
    assert_ends_well(target);
    tracer.finish().exits(0);
}

#[test]
fn one_that_always_starts_programs() {
    let Some(mut target) = start("spawning", &[]) else {
        return;
    };
    for _ in 0..15 {
        let tracer = attach(&[], target.pid());
        tracer.wait_for_stderr("malloc(600");
        end(tracer);
        assert!(target.is_alive(), "{}", target.stdout.text());
        assert_text_untouched(target.pid());
    }
    assert_ends_well(target);
}

/// The ids of those who share the fixture's memory.
fn sharers(target: &Running) -> Vec<i32> {
    let text = target.stdout.text();
    let words = text.lines().next().unwrap_or_default().split(' ').skip(1);
    words.map(|word| word.parse().unwrap()).collect()
}

#[track_caller]
fn assert_all_live(target: &mut Running) {
    let so_far = target.stdout.len();
    target.say(b"\n");
    target.wait_for_stdout_beyond(so_far, "alive\n");
}

#[test]
fn processes_that_share_memory_since_before() {
    let Some(mut target) = start("sharers", &[]) else {
        return;
    };
    for options in [&[][..], &["-f"], &[], &["-f"]] {
        let tracer = attach(options, target.pid());
        wait_until_planted(target.pid());
        assert_all_live(&mut target);
        assert_all_live(&mut target);
        let finished = end(tracer);
        let follows = !options.is_empty();
        assert_eq!(
            finished.stderr.contains("strlen("),
            follows,
            "{}",
            finished.told()
        );
        for pid in sharers(&target) {
            assert_eq!(tracer_of(pid), 0);
        }
        assert_text_untouched(target.pid());
        assert_all_live(&mut target);
    }
    assert_ends_well(target);
}

/// Nor does it matter which of them is attached to.
#[test]
fn one_of_those_that_share_memory() {
    let Some(mut target) = start("sharers", &[]) else {
        return;
    };
    for pid in sharers(&target) {
        let tracer = attach(&[], pid);
        tracer.wait_for_stderr("strlen(");
        assert_all_live(&mut target);
        end(tracer);
        assert_text_untouched(target.pid());
        assert_all_live(&mut target);
    }
    assert_ends_well(target);
}

/// The memory stays when the process that was traced has gone, and is left in order.
#[test]
fn those_that_outlive_the_process_that_is_traced() {
    for options in [&[][..], &["-f"]] {
        let Some(mut target) = start("sharers", &["and go"]) else {
            return;
        };
        let pids = sharers(&target);
        let tracer = attach(options, target.pid());
        wait_until_planted(target.pid());
        assert_all_live(&mut target);
        target.close_input();
        tracer.wait_for_stderr("+++ exited (status 0) +++");
        end(tracer);
        for &pid in &pids {
            assert_eq!(tracer_of(pid), 0);
            assert_text_untouched(pid);
        }
        kill(Pid::from_raw(pids[0]), Signal::SIGUSR1).unwrap();
        target.wait_for_stdout("the others ended well\n");
        target.finish().exits(0);
    }
}

/// Nor are they harmed when the tracer is killed.
#[test]
fn kill_of_the_tracer() {
    let Some(mut target) = start("sharers", &[]) else {
        return;
    };
    for _ in 0..5 {
        let tracer = attach(&[], target.pid());
        wait_until_planted(target.pid());
        assert_all_live(&mut target);
        kill(Pid::from_raw(tracer_of(target.pid())), Signal::SIGKILL).unwrap();
        tracer.finish().exits(1);
        assert_all_live(&mut target);
        for pid in sharers(&target) {
            ltrace(["--detach", "-p", &pid.to_string()])
                .finish()
                .exits(0);
        }
        assert_all_live(&mut target);
    }
    assert_ends_well(target);
}
