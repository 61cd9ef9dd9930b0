//! What lies below a small stack is not ours to write to: coroutines', alternate signal stacks, threads'.

use crate::support::fixture::{shaped, shaped_32};
use crate::support::ltrace;
use crate::support::program::Program;
use crate::support::shape::Shape;
use crate::support::text::assert_text_untouched;
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};

/// Bound at their start: the dynamic linker binds later ones on the stack of the caller.
fn programs() -> impl Iterator<Item = PathBuf> {
    let of_64 = shaped("small_stacks", Shape::Now);
    of_64
        .into_iter()
        .chain(shaped_32("small_stacks", Shape::Now))
}

#[test]
fn launched() {
    for program in programs() {
        let mut run = ltrace(["-o", "/dev/null"]).arg(program).start();
        run.wait_for_stdout("ready\n");
        run.say(b"\n");
        let finished = run.finish().exits(0);
        assert!(finished.stdout.ends_with("ok\n"), "{}", finished.told());
    }
}

#[track_caller]
fn check_attached(program: &Path) {
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    for _ in 0..5 {
        let tracer = ltrace(["-p", &target.pid().to_string()]).start();
        tracer.wait_for_stderr("getppid(");
        tracer.wait_for_stderr("--- SIGALRM");
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
        assert_text_untouched(target.pid());
    }
    target.say(b"\n");
    let finished = target.finish().exits(0);
    assert!(finished.stdout.ends_with("ok\n"), "{}", finished.told());
}

#[test]
fn attached_to() {
    for program in programs() {
        check_attached(&program);
    }
}
