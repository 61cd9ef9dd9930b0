//! Each kind of system call that the tracer makes fails once, early and later in a run; the stress run `faults`
//! goes through all of them.

use crate::support::faults::{Scenario, sweep};
use crate::support::fixture::fixture;

/// The uses that fail are the first and those that come so many times as late.
fn check(scenario: Scenario, factor: u32) {
    if ["mixture", "server"]
        .iter()
        .any(|name| fixture(name).is_none())
    {
        return;
    }
    let mut wrong = Vec::new();
    let next = |number: u32| (number * factor < 300).then_some(number * factor);
    let runs = sweep(scenario, false, next, |what| wrong.push(what));
    assert!(wrong.is_empty(), "{} of {runs}: {wrong:#?}", wrong.len());
    assert!(runs > 18, "only {runs} runs");
}

#[test]
fn of_a_launch() {
    check(Scenario::Launch, 6);
}

#[test]
fn of_children_that_are_followed() {
    check(Scenario::Follow, 20);
}

#[test]
fn of_a_search_for_leaks() {
    check(Scenario::Leaks, 300);
}

#[test]
fn of_an_attach() {
    check(Scenario::Attach, 60);
}
