//! Longer runs, by hand; without an argument nothing is run.
//!
//! `cargo test --release --test stress -- threads 5 8 100000` traces five times eight threads that
//! make 100,000 malloc and free calls each, checks that every call and return is in the trace, and
//! prints how long it took; `storm` does so under a storm of signals. `attach 500` attaches to a
//! program of four threads and leaves it, five hundred times; `kill 200` kills the tracer with SIGKILL
//! instead, each time on a fresh target and at another moment. `mix 1000 [SEED]` traces a mixture of threads,
//! children, signals and libraries, from its start or by attaching and leaving at random moments, with the
//! seeds from SEED on.
#![allow(clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use support::fixture::fixture;
use support::server::{assert_still_works, assert_unharmed, server};
use support::stress::run_stressed;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        args.get(index)
            .map_or(default, |arg| arg.parse().expect("a number"))
    };
    match args.first().map(String::as_str) {
        Some("threads") => calls("threads", number(1, 5), number(2, 8), number(3, 100_000)),
        Some("storm") => calls(
            "signal_storm",
            number(1, 5),
            number(2, 8),
            number(3, 20_000),
        ),
        Some("attach") => attach(number(1, 500)),
        Some("kill") => kill(number(1, 200)),
        Some("mix") => mix(number(1, 1000), number(2, 1)),
        // A test runner that lists tests finds none.
        _ => {}
    }
}

/// Every call and return of many threads, some rounds.
fn calls(name: &str, rounds: usize, threads: usize, count: usize) {
    let program = fixture(name).expect("a C compiler");
    for round in 1..=rounds {
        let took = run_stressed(&program, threads, count);
        let calls = 2 * threads * count;
        println!(
            "{name} {round}/{rounds}: {calls} calls complete in {:.1} s, {:.1} µs a call",
            took.as_secs_f64(),
            took.as_secs_f64() * 1e6 / calls as f64
        );
    }
}

/// Attaches and leaves.
fn attach(rounds: usize) {
    let mut server = server(4).expect("a C compiler");
    let begun = Instant::now();
    for _ in 0..rounds {
        let tracer = support::ltrace(["-p", &server.pid().to_string()]).start();
        tracer.wait_for_stderr("malloc(100");
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
        assert_still_works(&mut server);
    }
    assert_unharmed(server);
    println!(
        "attach: {rounds} of {rounds} survived, {:.1} s",
        begun.elapsed().as_secs_f64()
    );
}

/// Kills the tracer while it traces, at a moment that differs from round to round.
fn kill(rounds: usize) {
    let mut survived = 0;
    for round in 0..rounds {
        let mut server = server(4).expect("a C compiler");
        let mut tracer = support::ltrace(["-p", &server.pid().to_string()]).start();
        if round % 4 != 0 {
            tracer.wait_for_stderr("malloc(100");
        }
        std::thread::sleep(Duration::from_micros(round as u64 * 37 % 5000));
        tracer.signal(Signal::SIGKILL);
        tracer.wait();
        // Time to run into whatever was left behind.
        server.say(b"\n\n\n\n");
        server.close_input();
        let status = server.wait();
        if status.success() {
            survived += 1;
        } else {
            println!("kill: round {round}: the target ended with {status}");
        }
    }
    println!("kill: {survived} of {rounds} targets survived");
}

/// Rounds of everything mixed, each with a seed of its own; a failed round tells its seed.
fn mix(rounds: usize, seed: usize) {
    let begun = Instant::now();
    for round in 0..rounds {
        support::mixture::round((seed + round) as u64);
    }
    println!(
        "mix: {rounds} rounds from seed {seed} on, {:.0} s",
        begun.elapsed().as_secs_f64()
    );
}
