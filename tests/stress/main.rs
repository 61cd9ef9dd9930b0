//! Longer runs, by hand; without an argument nothing is run.
//!
//! `cargo test --release --test stress -- threads 5 8 100000` traces five times eight threads that
//! make 100,000 malloc and free calls each, checks that every call and return is in the trace, and
//! prints how long it took; `storm` does so under a storm of signals. `attach 500` attaches to a
//! program of four threads and leaves it, five hundred times; `kill 200 [SEED]` kills the tracer with
//! SIGKILL instead, or its front end, or both, at random moments, of a program that forks, spawns and handles
//! signals besides. `mix 1000 [SEED]` traces a mixture of threads, children, signals and libraries, from its
//! start or by attaching and leaving at random moments, with the seeds from SEED on. `leaks 5 8 125000` compares
//! what `--leaks` counts with what eight threads count themselves that allocate, resize and free each other's
//! blocks, 125,000 times each. `flat 10000000 10000` prints the memory that the tracer holds over so many calls,
//! and over so many children and threads. `faults` (without --release) makes every ptrace, waitid and
//! process_vm_readv of the tracer fail, one in each run; `faults 3` leaves out more and more of the later ones,
//! by that factor.
#![allow(clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};
use support::faults::{self, SCENARIOS};
use support::fixture::fixture;
use support::flat::{self, Load};
use support::kills;
use support::mixture::Random;
use support::server::{ATTACHED, attach_and_leave_often, busy, server};
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
        Some("kill") => kill(number(1, 200), number(2, 1)),
        Some("mix") => mix(number(1, 1000), number(2, 1)),
        Some("leaks") => leaks(number(1, 5), number(2, 8), number(3, 125_000)),
        Some("flat") => flat(number(1, 10_000_000), number(2, 10_000)),
        Some("faults") => faults(number(1, 2) as u32),
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

/// Attaches and leaves, by imports, by functions' entries, and with stacks.
fn attach(rounds: usize) {
    for (options, seen) in ATTACHED {
        let server = server(4).expect("a C compiler");
        let begun = Instant::now();
        attach_and_leave_often(server, rounds, options, seen);
        println!(
            "attach {options:?}: {rounds} of {rounds} survived, {:.1} s",
            begun.elapsed().as_secs_f64()
        );
    }
}

/// kill -9 at random moments, of the tracer, its front end or both, on one target as long as it lives.
fn kill(rounds: usize, seed: usize) {
    let begun = Instant::now();
    let mut random = Random(seed as u64);
    let mut target = busy().expect("a C compiler");
    let mut survived = 0;
    for round in 0..rounds {
        match kills::survives(&mut target, &mut random) {
            Ok(()) => survived += 1,
            Err(how) => {
                println!("kill: round {round}: {how}");
                target = busy().expect("a C compiler");
            }
        }
    }
    let end = target.finish();
    println!(
        "kill: {survived} of {rounds} survived, seed {seed}, the last target exits {}, {:.0} s",
        end.code(),
        begun.elapsed().as_secs_f64()
    );
}

/// What the tracer holds over time, as it begins, in the middle and at the end.
fn flat(calls: usize, tasks: usize) {
    let quiet: &[&str] = &["-o", "/dev/null"];
    let loads: [(&[&str], &[&str], usize); 6] = [
        (&["many"], quiet, calls / 2),
        (&["many"], &["-c", "-o", "/dev/null"], calls / 2),
        (&["many"], &["--leaks", "-o", "/dev/null"], calls / 2),
        (
            &["short_lived", "children"],
            &["-f", "-o", "/dev/null"],
            tasks,
        ),
        (&["short_lived", "children"], quiet, tasks),
        (&["short_lived", "threads"], quiet, tasks),
    ];
    for (command, options, count) in loads {
        let load = Load { command, options };
        let (held, took) = flat::run(load, count, Duration::from_millis(500));
        let at = |part: usize| held.get(held.len() * part / 10).unwrap_or(&0);
        println!(
            "{command:?} {count} under {options:?}: {} KiB after a tenth, {} after half, {} after nine tenths, \
             at most {}; {:.0} s",
            at(1),
            at(5),
            at(9),
            held.iter().max().unwrap_or(&0),
            took.as_secs_f64()
        );
    }
}

/// Every call of the tracer fails once, with every errno.
fn faults(factor: u32) {
    for scenario in SCENARIOS {
        let begun = Instant::now();
        let next = |n: u32| Some((n * factor / 2).max(n + 1));
        let mut wrong = 0;
        let runs = faults::sweep(scenario, true, next, |what| {
            println!("{what}");
            wrong += 1;
        });
        println!(
            "{scenario:?}: {runs} runs, {wrong} of them wrong, {:.0} s",
            begun.elapsed().as_secs_f64()
        );
    }
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

/// Allocated, freed and live: as the program counts them, and as `--leaks` does.
fn leaks(rounds: usize, threads: usize, calls: usize) {
    let program = fixture("leak_exact").expect("a C compiler");
    let run = |calls: usize| support::leaks::counted(&program, "", threads, calls);
    let (before, _) = run(0);
    for round in 1..=rounds {
        let begun = Instant::now();
        let (after, own) = run(calls);
        let ours: Vec<i64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        assert_eq!(ours, own, "round {round}");
        println!(
            "leaks {round}/{rounds}: {} handed out, {} given back, {} bytes left, exactly; {:.1} s",
            own[0],
            own[1],
            own[2],
            begun.elapsed().as_secs_f64()
        );
    }
}
