//! Code that was made at run time, in stacks of `--leaks`: its names are in the map that is kept for perf.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, told};
use crate::support::program::Program;
use crate::support::skip::{is_root, unshare};
use crate::support::text::wait_until_guarded;
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use std::os::unix::fs::chown;

/// The names of the functions that made the blocks, as they are shown.
const FIRST: &str = "lost 1000 in 1: made \\033[2J of line 1";
const SECOND: &str = "lost 2000 in 1: made \\033[2J of line 2";

#[test]
fn names_are_read_when_they_are_needed() {
    let Some(program) = fixture("leak_jit") else {
        return;
    };
    let json = scratch("jit").join("report.json");
    let options = [
        "--leaks",
        "--every",
        "200ms",
        "--json",
        json.to_str().unwrap(),
    ];
    let mut tracer = ltrace(options).arg(program).start();
    tracer.say(b"\n");
    tracer.wait_for_stderr("made \\033[2J of line 1");
    tracer.say(b"\n");
    tracer.wait_for_stderr("made \\033[2J of line 2");
    let finished = tracer.finish().exits(0);
    assert!(!finished.stderr.contains("stale"), "{}", finished.told());
    assert!(!finished.stderr.contains('\u{1b}'), "{}", finished.told());
    let report = read(&json);
    assert_eq!(told(&report), [SECOND, FIRST]);
    let line = &report["sites"][0]["stack"][1];
    assert_eq!(
        (&line["module"], &line["offset"]),
        (&"[jit]".into(), &21.into())
    );
}

/// It is the first process of its pid namespace, and /tmp is another one there.
#[test]
fn in_other_namespaces() {
    let (Some(program), Some(unshare)) = (fixture("leak_jit"), unshare()) else {
        return;
    };
    // The program itself may be below the old one.
    let script = "exec 3<\"$0\" && mount -t tmpfs none /tmp && exec /proc/self/fd/3";
    let finished = ltrace(["--leaks", "-f"])
        .arg(unshare)
        .args([
            "--pid",
            "--fork",
            "--mount",
            "--mount-proc",
            "sh",
            "-c",
            script,
        ])
        .arg(program)
        .env("KEEP", "yes")
        .input("\n")
        .finish()
        .exits(0);
    let name = "made \\033[2J of line 1";
    assert!(finished.stderr.contains(name), "{}", finished.told());
}

/// Anybody may have put a map there.
#[test]
fn maps_of_strangers_do_not_count() {
    let Some(program) = fixture("leak_jit") else {
        return;
    };
    if !is_root() {
        return;
    }
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let pid = target.pid().to_string();
    let tracer = ltrace(["--leaks", "--check", "off", "--older", "0", "-p", &pid]).start();
    wait_until_guarded(target.pid());
    target.say(b"\n");
    target.wait_for_stdout("made\n");
    chown(format!("/tmp/perf-{pid}.map"), Some(65534), None).unwrap();
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let told = finished.told();
    assert!(finished.stderr.contains("1,000 B"), "{told}");
    assert!(!finished.stderr.contains("line 1"), "{told}");
    target.finish().exits(0);
}
