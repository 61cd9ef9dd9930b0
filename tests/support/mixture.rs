//! Rounds of the fixture `mixture` under a tracer that comes and goes at random moments. The seed of a
//! round decides all that can be decided.

use super::balance::{self, Account};
use super::fixture::fixture;
use super::program::{Program, Running};
use super::{ltrace, scratch};
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;

/// A sequence of numbers, the same for the same seed (Knuth's MMIX generator).
pub struct Random(pub u64);

impl Random {
    /// The next number, below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// The trace, when it has no fault; an attach that came too late wrote none.
#[track_caller]
fn read(file: &Path, seed: u64) -> String {
    let trace = std::fs::read_to_string(file).unwrap_or_default();
    if let Some(fault) = balance::fault(&trace) {
        panic!("seed {seed}: {fault}; see {file:?}");
    }
    trace
}

/// One round. The target checks itself and must end well, whatever became of the tracer.
#[track_caller]
pub fn round(seed: u64) {
    let program = fixture("mixture").expect("a C compiler");
    let mut random = Random(seed);
    let acts = (5 + random.below(20)).to_string();
    let filter: &[&str] = match random.below(4) {
        0 => &["-e", "*"],
        1 => &["-x", "malloc+free"],
        2 => &["-f"],
        _ => &[],
    };
    let file = scratch(&format!("mixture-{seed}")).join("trace");
    if random.below(2) == 0 {
        let run = ltrace(["-o"])
            .arg(&file)
            .args(filter)
            .arg(&program)
            .args([seed.to_string(), acts])
            .finish()
            .exits(0);
        assert!(run.stdout.ends_with("ok\n"), "seed {seed}: {}", run.told());
        let trace = read(&file, seed);
        let account = Account::read(&run.stdout).expect("an account");
        if let Some(wrong) = account.differs_from(&trace, filter == ["-f"]) {
            panic!("seed {seed}: {wrong}; see {file:?}");
        }
        std::fs::remove_file(file).expect("trace");
        return;
    }
    let mut target: Running = Program::new(&program)
        .args([
            seed.to_string(),
            (10 * acts.parse::<u64>().expect("a number")).to_string(),
        ])
        .start();
    target.wait_for_stdout("ready\n");
    for _ in 0..1 + random.below(3) {
        let pid = target.pid().to_string();
        let mut tracer = ltrace(["-o"])
            .arg(&file)
            .args(filter)
            .args(["-p", &pid])
            .start();
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        let signal = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP][random.below(3) as usize];
        if target.is_alive() && tracer.is_alive() {
            tracer.signal(signal);
        }
        tracer.wait();
        let told = tracer.stderr.text();
        assert!(!told.contains("panicked"), "seed {seed}: {told}");
        read(&file, seed);
    }
    let finished = target.finish();
    assert_eq!(finished.code(), 0, "seed {seed}: {}", finished.told());
    assert!(
        finished.stdout.ends_with("ok\n"),
        "seed {seed}: {}",
        finished.told()
    );
}
