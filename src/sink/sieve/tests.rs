//! Calls that pass, and calls that do not.

use super::*;
use crate::event::Why;
use crate::sink::tests::{ONE, Written, imported};
use crate::sink::text::{Style, Text};
use Value::{Signed, Void};

fn took(millis: u64, mut event: Event) -> Event {
    if let Kind::Return { elapsed, .. } | Kind::NoReturn { elapsed, .. } = &mut event.kind {
        *elapsed = Duration::from_millis(millis);
    }
    event
}

/// `outer` calls `fails` and `slow`; then `last` never returns.
fn events() -> Vec<Event> {
    let [outer, fails, slow, last] = ["outer", "fails", "slow", "last"].map(imported);
    vec![
        ONE.call(1, 0, &outer, &[]),
        ONE.call(2, 1, &fails, &[]),
        took(1, ONE.returns(2, 1, &fails, Signed(-1))),
        ONE.call(3, 1, &slow, &[]),
        took(50, ONE.returns(3, 1, &slow, Void)),
        took(60, ONE.returns(1, 0, &outer, Signed(0))),
        ONE.call(4, 0, &last, &[]),
        took(2, ONE.no_return(4, 0, &last, Why::Gone)),
        ONE.exited(0),
    ]
}

#[track_caller]
fn check(conditions: Conditions, names: &[&str]) -> bool {
    let written = Written::default();
    let text = Text::new(Style::default(), Box::new(written.clone()));
    let mut sieve = Sieve::new(conditions, text);
    let mut is_enough = false;
    for event in events() {
        sieve.event(&event).expect("written");
        is_enough |= sieve.request().is_some();
    }
    sieve.finish().expect("written");
    let text = written.text();
    let lines = text.lines().filter(|line| !line.starts_with(['+', '<']));
    let found: Vec<&str> = lines
        .map(|line| line.split('(').next().unwrap_or(""))
        .collect();
    assert_eq!(found, names, "{text}");
    is_enough
}

#[test]
fn calls_by_their_time() {
    let least = |millis| Conditions {
        min_time: Some(Duration::from_millis(millis)),
        ..Conditions::default()
    };
    check(Conditions::default(), &["outer", "fails", "slow", "last"]);
    check(least(2), &["outer", "slow", "last"]);
    check(least(55), &["outer"]);
    check(least(100), &[]);
}

#[test]
fn calls_by_their_outcome() {
    let ended = |outcome| Conditions {
        outcome: Some(outcome),
        ..Conditions::default()
    };
    check(ended(Outcome::Failure), &["fails"]);
    check(ended(Outcome::Success), &["slow", "outer", "last"]);
    let both = Conditions {
        min_time: Some(Duration::from_millis(55)),
        ..ended(Outcome::Success)
    };
    check(both, &["outer"]);
}

#[test]
fn calls_by_their_depth() {
    let depth = |most| Conditions {
        depth: Some(most),
        ..Conditions::default()
    };
    check(depth(1), &["outer", "last"]);
    check(depth(2), &["outer", "fails", "slow", "last"]);
}

#[test]
fn calls_between_two() {
    let filters = |names: &[&str]| -> Vec<Filter> {
        let names = names.iter();
        names
            .map(|name| Filter::parse(name).expect("a filter"))
            .collect()
    };
    let between = |triggers: &[&str], stops: &[&str]| Conditions {
        triggers: filters(triggers),
        stops: filters(stops),
        ..Conditions::default()
    };
    check(between(&["slow"], &[]), &["slow", "last"]);
    check(between(&[], &["fails"]), &["outer", "fails"]);
    check(between(&["fails"], &["slow"]), &["fails", "slow"]);
    check(between(&["nothing"], &[]), &[]);
}

#[test]
fn so_many_calls() {
    let until = |until| Conditions {
        until: Some(until),
        ..Conditions::default()
    };
    assert!(check(until(Until::Calls(3)), &["outer", "fails", "slow"]));
    assert!(!check(
        until(Until::Calls(9)),
        &["outer", "fails", "slow", "last"]
    ));
    let hour = Until::Time(Duration::from_secs(3600));
    assert!(!check(until(hour), &["outer", "fails", "slow", "last"]));
    assert!(check(until(Until::Time(Duration::ZERO)), &[]));
}
