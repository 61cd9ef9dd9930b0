//! kill -9, at any moment of attaching and tracing, of whichever of ltrace's processes.

use super::ltrace;
use super::mixture::Random;
use super::program::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

/// The options of the tracers that are killed. Not `-e '*'`: the child that posix_spawn(3) makes runs code
/// of the C library in the memory of its maker, with every signal blocked, and nothing can save it there.
const OPTIONS: [&[&str]; 4] = [
    &[],
    &["-f"],
    &["-f", "-x", "malloc+free+abs"],
    &["--leaks", "--check", "off"],
];

/// Attaches to a program of the manner of `server`, kills the tracer, its front end or both, and sees
/// whether all threads of the target still make progress. Nothing is waited for before the kill: the
/// attach window is to be met as well. Says what happened to the target if it did not survive.
pub fn survives(target: &mut Running, random: &mut Random) -> Result<(), String> {
    let options = OPTIONS[random.below(OPTIONS.len() as u64) as usize];
    let mut front = ltrace(["-o", "/dev/null"])
        .args(options)
        .args(["-p", &target.pid().to_string()])
        .start();
    let longest = [2_000, 20_000, 100_000, 300_000][random.below(4) as usize];
    std::thread::sleep(Duration::from_micros(random.below(longest)));
    let tracer = child_of(front.pid());
    let whom = random.below(3);
    if whom != 0 || tracer.is_none() {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(front.pid()), Signal::SIGKILL);
    }
    if let Some(tracer) = tracer.filter(|_| whom != 1) {
        let _ = kill(tracer, Signal::SIGKILL);
    }
    front.wait();
    let lives = target.is_alive() && {
        let so_far = target.stdout.len();
        target.say(b"\n");
        target.stdout_goes_on(so_far, "alive\n", Duration::from_secs(30))
    };
    if lives {
        return Ok(());
    }
    let whom = ["the tracer", "the front end", "both"][whom as usize];
    Err(format!(
        "{options:?}, {whom} killed: {}\n{}",
        if target.is_alive() {
            "it hangs"
        } else {
            "it died"
        },
        target.stdout.text().trim_start_matches("alive\n")
    ))
}

/// The tracer, a child of the front end, once it has begun.
fn child_of(pid: i32) -> Option<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children
        .split_whitespace()
        .next()?
        .parse()
        .ok()
        .map(Pid::from_raw)
}
