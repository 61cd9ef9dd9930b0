//! When a line begins with the task it belongs to.

use crate::support::fixture::fixture;
use crate::support::program::Program;
use crate::support::text::wait_until_planted;
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use std::fs;

#[test]
fn none_for_one_task() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    assert!(run.stderr.starts_with("malloc(100)"), "{}", run.told());
}

#[test]
fn always_when_following() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let file = scratch("follow").join("trace");
    let run = ltrace(["-f"]).arg(&program).finish().exits(0);
    assert!(
        run.stderr.lines().all(|line| line.starts_with("[pid ")),
        "{}",
        run.told()
    );
    ltrace(["-f", "-o"])
        .arg(&file)
        .arg(&program)
        .finish()
        .exits(0);
    let trace = fs::read_to_string(file).unwrap();
    let numbered = |line: &str| {
        let (number, rest) = line.split_once(' ').unwrap();
        number.parse::<i32>().is_ok() && !rest.starts_with(' ')
    };
    assert!(trace.lines().all(numbered), "{trace}");
}

#[test]
fn always_for_an_attached_process_into_a_file() {
    let Some(program) = fixture("idle") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready");
    let file = scratch("attached").join("trace");
    let tracer = ltrace(["-o"])
        .arg(&file)
        .args(["-p", &target.pid().to_string()])
        .start();
    wait_until_planted(target.pid());
    target.say(b"a");
    target.wait_for_stdout("malloc(197)");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    let trace = fs::read_to_string(file).unwrap();
    let start = format!("{} malloc(197)", target.pid());
    assert!(
        trace.lines().any(|line| line.starts_with(&start)),
        "{trace}"
    );
    target.finish();
}
