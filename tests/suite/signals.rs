//! Signals reach the program once each, and calls in handlers are traced.

use crate::support::expect::same_text;
use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::trace::about;

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
