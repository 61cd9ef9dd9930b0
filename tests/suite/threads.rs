//! Threads are traced by default, and nothing of them is lost.

use crate::support::fixture::{fixture, shaped};
use crate::support::program::Program;
use crate::support::shape::Shape;
use crate::support::stress::{assert_complete, run_stressed};
use crate::support::text::wait_until_planted;
use crate::support::{ltrace, scratch};

#[test]
fn every_call_of_eight_threads() {
    let Some(program) = fixture("threads") else {
        return;
    };
    for _ in 0..3 {
        run_stressed(&program, 8, 5000);
    }
}

#[test]
fn every_call_of_eight_threads_in_a_storm_of_signals() {
    let Some(program) = fixture("signal_storm") else {
        return;
    };
    for _ in 0..2 {
        run_stressed(&program, 8, 1000);
    }
}

#[test]
fn lines_on_standard_error_name_their_task() {
    let Some(program) = fixture("threads") else {
        return;
    };
    let run = ltrace([program]).args(["2", "50"]).finish().exits(0);
    assert_complete(&run.stderr, 2, 50);
}

#[test]
fn prefix_comes_with_the_second_task() {
    let Some(program) = fixture("threads") else {
        return;
    };
    let run = ltrace([program]).args(["1", "1"]).finish().exits(0);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(!lines[0].starts_with("[pid "), "{}", run.told());
    let first = lines.iter().position(|line| line.starts_with("[pid "));
    let first = first.unwrap_or_else(|| panic!("{}", run.told()));
    assert!(
        lines[first..].iter().all(|line| line.starts_with("[pid ")),
        "{}",
        run.told()
    );
}

/// A `pthread_t` is shown as its thread's id; with -y it has its name beside it.
#[test]
fn threads_that_are_passed() {
    for shape in [Shape::Pie, Shape::Musl, Shape::M32] {
        let Some(program) = shaped("handles", shape) else {
            continue;
        };
        for instrument in ["auto", "stop"] {
            let run = ltrace([
                "--instrument",
                instrument,
                "-e",
                "pthread_*",
                "-x",
                "is_first",
            ]);
            let run = run.arg(&program).finish().exits(0);
            let mut ids = run.stdout.split_whitespace();
            let (first, worker) = (ids.next().unwrap(), ids.next().unwrap());
            let text = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            for line in [
                format!("pthread_self() = {first}"),
                format!("=> {worker})"),
                // The other thread's lines may come before the rest of these.
                format!("pthread_setname_np({worker}"),
                format!("is_first({first}"),
                format!("is_first({worker}"),
                format!("pthread_kill({first}"),
                format!("pthread_join({worker}"),
            ] {
                assert!(text.contains(&line), "{line}\n{}", run.told());
            }
        }
        let run = ltrace(["-y", "-e", "pthread_*"]).arg(&program);
        let run = run.finish().exits(0);
        let first = run.stdout.split_whitespace().next().unwrap();
        assert!(
            run.stderr
                .contains(&format!("pthread_kill({first}<handles")),
            "{}",
            run.told()
        );
    }
}

/// What belongs to a process is asked of a task that is there: its first one may not be.
#[test]
fn the_first_thread_has_ended() {
    let Some(program) = fixture("first_thread_ends") else {
        return;
    };
    for instrument in ["stop", "record"] {
        let file = scratch("first-thread").join("trace");
        let path = file.to_str().expect("a path");
        let options = ["--instrument", instrument, "-e", "setenv", "-o", path];
        let calls = |told: &str| {
            let text = std::fs::read_to_string(&file).expect("a trace");
            let count = text.matches("setenv(\"LAST\", \"number ").count();
            assert_eq!(count, 3, "by {instrument}: {text}\n{told}");
        };
        let run = ltrace(options).arg(&program).input(b"abc").finish();
        calls(&run.exits(0).told());

        let mut target = Program::new(&program).start();
        target.wait_for_stdout("ready\n");
        let tracer = ltrace(options).args(["-p", &target.pid().to_string()]);
        let tracer = tracer.start();
        wait_until_planted(target.other_task());
        target.say(b"abc");
        target.close_input();
        target.finish().exits(0);
        calls(&tracer.finish().exits(0).told());
    }
}
