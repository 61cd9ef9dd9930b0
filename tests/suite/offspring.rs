//! Every way to make a child, followed and not, with a parent that stays and one that does not.

use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::program::{Finished, Running};
use crate::support::text::{assert_text_untouched, parent_of, tracer_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ops::RangeInclusive;

const KINDS: RangeInclusive<i32> = 1..=7;
const INSTRUMENTS: [&str; 2] = ["--instrument=record", "--instrument=stop"];

/// The fixture under the tracer, when all its children have begun.
fn start(options: &[&str]) -> Option<Running> {
    let program = fixture("offspring")?;
    let (flags, args): (Vec<&str>, Vec<&str>) = options.iter().partition(|o| o.starts_with('-'));
    let tracer = ltrace(flags).arg(program).args(args).start();
    for kind in KINDS {
        tracer.wait_for_stdout(&format!("kind {kind} "));
    }
    Some(tracer)
}

fn pids(tracer: &Running) -> Vec<i32> {
    let text = tracer.stdout.text();
    let numbers = text.lines().map(|line| line.rsplit(' ').next().unwrap());
    numbers.map(|pid| pid.parse().unwrap()).collect()
}

/// Nobody traces the children, and their instructions are their own.
#[track_caller]
fn assert_left_alone(pids: &[i32]) {
    assert_eq!(pids.len(), KINDS.count());
    for &pid in pids {
        assert_eq!(tracer_of(pid), 0);
        assert_text_untouched(pid);
    }
}

#[track_caller]
fn assert_all_ended(run: &Finished) {
    for kind in KINDS {
        let ends = format!("kind {kind} ends\n");
        assert!(run.stdout.contains(&ends), "{}", run.told());
    }
}

/// How often the child of this kind was seen to call.
fn calls(run: &Finished, kind: i32) -> usize {
    let call = format!("offspring->malloc({}", 30 + kind);
    run.stderr.matches(&call).count()
}

#[test]
fn left_alone() {
    for instrument in INSTRUMENTS {
        let Some(tracer) = start(&["-emalloc", instrument]) else {
            return;
        };
        assert_left_alone(&pids(&tracer));
        let run = tracer.finish().exits(0);
        assert_all_ended(&run);
        for kind in KINDS {
            assert_eq!(calls(&run, kind), 0, "{}", run.told());
        }
    }
}

/// Jumps at functions' first instructions and calls that lead to stubs are taken out of a child that is let go of.
#[test]
fn left_alone_with_functions_led_elsewhere() {
    let Some(tracer) = start(&["-e*", "-x*@offspring", "-xmalloc@libc*", INSTRUMENTS[0]]) else {
        return;
    };
    assert_left_alone(&pids(&tracer));
    assert_all_ended(&tracer.finish().exits(0));
}

/// A child and its maker have one list of what was patched: who looks for left-overs in the one does not take
/// it from the other.
#[test]
fn left_overs_of_its_maker() {
    let Some(mut tracer) = start(&["-emalloc", INSTRUMENTS[0]]) else {
        return;
    };
    let text = tracer.stdout.text();
    let forked = text.lines().find_map(|line| line.strip_prefix("kind 1 "));
    let forked: i32 = forked.expect("a child").parse().expect("a number");
    let detach = |pid: i32| {
        let run = ltrace(["--detach", "-p", &pid.to_string()]);
        run.finish().exits(0).stdout
    };
    // Its int3s and patches are gone, the guard is not.
    let told = detach(forked);
    assert!(told.contains(": took out 0 breakpoints "), "{told}");
    let maker = parent_of(forked);
    let killed = tracer_of(maker);
    assert_ne!(killed, 0, "not traced");
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    assert!(!tracer.wait().success());
    let told = detach(maker);
    assert!(!told.contains(": took out 0 "), "{told}");
    assert_text_untouched(maker);
    tracer.close_input();
    for kind in KINDS {
        tracer.wait_for_stdout(&format!("kind {kind} ends\n"));
    }
    assert_all_ended(&tracer.finish());
}

/// The tracer does not wait for children that it does not trace.
#[test]
fn left_alone_by_their_parent_too() {
    for instrument in INSTRUMENTS {
        let Some(mut tracer) = start(&["go", instrument]) else {
            return;
        };
        assert!(tracer.wait().success());
        assert_left_alone(&pids(&tracer));
        tracer.close_input();
        for kind in KINDS {
            tracer.wait_for_stdout(&format!("kind {kind} ends\n"));
        }
        assert_all_ended(&tracer.finish().exits(0));
    }
}

#[test]
fn followed() {
    for options in [&["-f", "-emalloc"][..], &["-f", "-emalloc", "go"]] {
        let Some(tracer) = start(options) else {
            return;
        };
        for pid in pids(&tracer) {
            assert_ne!(tracer_of(pid), 0);
        }
        let run = tracer.finish().exits(0);
        assert_all_ended(&run);
        for kind in KINDS {
            assert_eq!(calls(&run, kind), 50, "kind {kind}\n{}", run.told());
            let end = format!("+++ exited (status {}) +++", 20 + kind);
            assert_eq!(run.stderr.matches(&end).count(), 1, "{}", run.told());
        }
        let execs = run.stderr.matches("--- Called exec() ---").count();
        assert_eq!(execs, 2, "{}", run.told());
        // Each of them, the daemon's maker, and the parent.
        let ends = run.stderr.matches("+++ exited").count();
        assert_eq!(ends, KINDS.count() + 2, "{}", run.told());
    }
}

/// When the tracer leaves, the children that it followed go on as they would without it.
#[test]
fn followed_and_left() {
    for instrument in INSTRUMENTS {
        let Some(mut tracer) = start(&["-f", "-emalloc", instrument]) else {
            return;
        };
        let pids = pids(&tracer);
        tracer.signal(Signal::SIGTERM);
        assert_eq!(tracer.wait().code(), Some(143));
        assert_left_alone(&pids);
        tracer.close_input();
        for kind in KINDS {
            tracer.wait_for_stdout(&format!("kind {kind} ends\n"));
        }
        assert_all_ended(&tracer.finish());
    }
}

/// CLONE_UNTRACED and CLONE_VM: it runs into our int3s with every signal blocked, as LeakSanitizer's task does.
#[test]
fn a_task_that_no_tracer_is_to_be_told_of() {
    let Some(program) = fixture("untraced_clone") else {
        return;
    };
    for options in [&["-x", "work"][..], &["-f", "-x", "work"]] {
        let run = ltrace(options).arg(&program).finish().exits(0);
        assert_eq!(run.stdout, "ended 0\n", "{}", run.told());
    }
}

/// It ends of itself, and says why it found nothing: a leak check stops the others by ptrace(2), as we do.
#[test]
fn a_program_that_checks_itself_for_leaks() {
    let Some(program) = fixture("checks_itself") else {
        return;
    };
    let run = ltrace(["-x", "*@liblsan*", "-o", "/dev/null"]);
    let run = run.arg(&program).finish();
    let told = "LeakSanitizer does not work under ptrace";
    assert!(run.stderr.contains(told), "{}", run.told());
}
