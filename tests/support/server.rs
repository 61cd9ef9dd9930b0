//! A program to attach to, that tells whether it was harmed.

use super::fixture::fixture;
use super::ltrace;
use super::program::{Program, Running};
use super::text::{assert_text_untouched, tracer_of};
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;

/// A program with `threads` threads that call without end and check what they get.
pub fn server(threads: usize) -> Option<Running> {
    Some(start_server(&fixture("server")?, threads))
}

/// The same, of a fixture that was built in another shape.
pub fn start_server(program: &Path, threads: usize) -> Running {
    let server = Program::new(program).arg(threads.to_string());
    // It stays for as long as whoever attaches needs.
    let server = server.patience(Duration::from_secs(1800)).start();
    server.wait_for_stdout("ready\n");
    server
}

/// One that also forks, spawns programs and handles signals on an alternate stack, and stays for long.
pub fn busy() -> Option<Running> {
    let busy = Program::new(fixture("busy")?).patience(Duration::from_secs(3 * 3600));
    let busy = busy.start();
    busy.wait_for_stdout("ready\n");
    Some(busy)
}

/// The server lives, untraced and with its own instructions, all its threads make progress, and what
/// it checks of itself holds to the end.
#[track_caller]
pub fn assert_unharmed(mut server: Running) {
    assert_still_works(&mut server);
    let finished = server.finish().exits(0);
    assert!(finished.stdout.ends_with("ok\n"), "{}", finished.told());
}

/// The same, and it goes on.
#[track_caller]
pub fn assert_still_works(server: &mut Running) {
    assert!(
        server.is_alive(),
        "the target is dead: {}",
        server.stdout.text()
    );
    assert_eq!(tracer_of(server.pid()), 0, "still traced");
    assert_text_untouched(server.pid());
    assert_lives(server);
}

/// Options, and what is seen with them of a server that is attached to.
pub const ATTACHED: [(&[&str], &str); 3] = [
    (&[], "malloc(100"),
    (&["-x", "malloc+free"], "malloc@libc.so.6(100"),
    (
        &["--leaks", "--check", "off", "--every", "0.1"],
        "allocations, ",
    ),
];

/// Attaches with these options, sees this text and leaves by Ctrl-C, so many times in a row; it lives each time, and is
/// unharmed.
#[track_caller]
pub fn attach_and_leave_often(mut server: Running, times: usize, options: &[&str], seen: &str) {
    for _ in 0..times {
        let tracer = ltrace(options.iter().copied());
        let tracer = tracer.args(["-p", &server.pid().to_string()]).start();
        tracer.wait_for_stderr(seen);
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
        assert_still_works(&mut server);
    }
    assert_unharmed(server);
}

/// It lives, and all its threads make progress; what it checks of itself holds so far.
#[track_caller]
pub fn assert_lives(server: &mut Running) {
    assert!(
        server.is_alive(),
        "the target is dead: {}",
        server.stdout.text()
    );
    let so_far = server.stdout.len();
    server.say(b"\n");
    server.wait_for_stdout_beyond(so_far, "alive\n");
}
