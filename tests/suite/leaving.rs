//! However the tracer ends, the target goes on; an error is told in one line.

use crate::support::faults::panicking;
use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::program::Program;
use crate::support::server::{assert_unharmed, server};
use crate::support::terminal::{CTRL_C, on_terminal};
use crate::support::text::{assert_text_untouched, tracer_of};
use nix::sys::signal::Signal;
use std::io::Write;

const LTRACE: &str = env!("CARGO_BIN_EXE_ltrace");

fn shell(script: &str) -> Program {
    Program::new("sh").args(["-c", script, LTRACE])
}

#[test]
fn broken_pipe_when_attached() {
    let Some(server) = server(4) else { return };
    let run = shell("\"$0\" -p $1 2>&1 | head -3")
        .arg(server.pid().to_string())
        .finish()
        .exits(0);
    assert_eq!(run.stdout.lines().count(), 3, "{}", run.told());
    assert_unharmed(server);
}

#[test]
fn broken_pipe_when_launched() {
    let Some(program) = fixture("many") else {
        return;
    };
    // The program ends as it would untraced, and nothing is said about the pipe.
    let run = shell("{ \"$0\" \"$1\" 20000 3>&1 2>&1 >&3 | head -3; } 2>&1")
        .arg(program)
        .finish()
        .exits(0);
    assert_eq!(run.stdout.lines().count(), 3, "{}", run.told());
}

#[test]
fn full_disk_when_attached() {
    let Some(server) = server(4) else { return };
    let run = ltrace(["-o", "/dev/full", "-p", &server.pid().to_string()])
        .finish()
        .exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(
        run.stderr.starts_with("ltrace: ") && run.stderr.contains("No space left"),
        "{}",
        run.told()
    );
    assert_unharmed(server);
}

#[test]
fn full_disk_when_launched() {
    let Some(program) = fixture("mixture") else {
        return;
    };
    let run = ltrace(["-o", "/dev/full"])
        .arg(program)
        .args(["5", "60"])
        .finish();
    assert_ne!(run.code(), 0, "{}", run.told());
    assert!(run.stderr.contains("No space left"), "{}", run.told());
    assert!(run.stdout.ends_with("ok\n"), "{}", run.told());
}

/// A command that was launched is left running on these signals.
fn check_left_running(signal: Signal) {
    let Some(program) = fixture("server") else {
        return;
    };
    let mut tracer = ltrace([program]).arg("2").start();
    tracer.wait_for_stdout("ready\n");
    tracer.wait_for_stderr("malloc(1001");
    let line = tracer.stderr.text();
    let tid = line
        .lines()
        .find_map(|line| crate::support::trace::Line::parse(line).tid)
        .expect("lines name their task");
    tracer.signal(signal);
    tracer.wait();
    assert_eq!(tracer_of(tid), 0, "still traced");
    assert_text_untouched(tid);
    // The program still has our pipes.
    let so_far = tracer.stdout.len();
    tracer.say(b"\n");
    tracer.wait_for_stdout_beyond(so_far, "alive\n");
    tracer.close_input();
    tracer.wait_for_stdout("ok\n");
}

#[test]
fn terminate_leaves_the_command_running() {
    check_left_running(Signal::SIGTERM);
}

#[test]
fn hangup_leaves_the_command_running() {
    check_left_running(Signal::SIGHUP);
}

#[test]
fn quit_leaves_the_command_running() {
    check_left_running(Signal::SIGQUIT);
}

/// A program that was attached to is left as it was found.
fn check_left_alone(signal: Signal) {
    let Some(server) = server(4) else { return };
    let tracer = ltrace(["-p", &server.pid().to_string()]).start();
    tracer.wait_for_stderr("malloc(1001");
    tracer.signal(signal);
    tracer.finish().exits(0);
    assert_unharmed(server);
}

#[test]
fn signals_when_attached() {
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        check_left_alone(signal);
    }
}

/// Wherever the tracer panics, the program that it was attached to is left as it was found.
#[test]
fn panic_when_attached() {
    for (call, number) in [
        ("ptrace(PTRACE_SETREGS)", 5),
        ("pwrite", 100),
        ("ptrace(PTRACE_GETREGS)", 300),
        ("ptrace(PTRACE_POKEUSER)", 200),
        ("process_vm_readv", 400),
        ("ptrace(PTRACE_CONT)", 250),
        ("waitid", 700),
    ] {
        let Some(server) = server(4) else { return };
        let pid = server.pid().to_string();
        let run = panicking(
            call,
            number,
            &["--instrument", "stop", "-o", "/dev/null", "-p", &pid],
        )
        .finish();
        assert_ne!(run.code(), 0, "{call} {number}: {}", run.told());
        assert!(run.stderr.contains("LTRACE_FAULT"), "{}", run.told());
        assert_unharmed(server);
    }
}

#[test]
fn panic_when_launched() {
    let Some(program) = fixture("mixture") else {
        return;
    };
    let run = panicking("ptrace(PTRACE_GETREGS)", 200, &["-o", "/dev/null"]).arg(program);
    let run = run.args(["5", "60"]).finish();
    assert_ne!(run.code(), 0, "{}", run.told());
    assert!(run.stdout.ends_with("ok\n"), "{}", run.told());
}

/// Ctrl-C reaches the tracer and the command: tracing goes on to the command's end.
#[test]
fn interrupt_from_the_terminal() {
    let Some(program) = fixture("idle") else {
        return;
    };
    let Some((tracer, mut terminal)) = on_terminal(LTRACE, [program]) else {
        return;
    };
    tracer.wait_for_stdout("ready\n");
    tracer.wait_for_stderr("read(0");
    terminal.write_all(CTRL_C).unwrap();
    let finished = tracer.finish().exits(130);
    finished
        .has_line("--- SIGINT (Interrupt) ---")
        .has_line("+++ killed by SIGINT +++");
}

/// A command that catches the interrupt is traced on.
#[test]
fn interrupt_that_the_command_catches() {
    // A signal just before `read` blocks is not noticed by bash, traced or not, until a line comes.
    let script = "trap c=1 INT; echo ready; until [ $c ]; do read -t 0.1; done; echo caught; \
                  read line; read line; exit 6";
    let Some((tracer, mut terminal)) = on_terminal(LTRACE, ["bash", "-c", script]) else {
        return;
    };
    tracer.wait_for_stdout("ready\n");
    terminal.write_all(CTRL_C).unwrap();
    tracer.wait_for_stdout("caught\n");
    terminal.write_all(b"one\ntwo\n").unwrap();
    let finished = tracer.finish().exits(6);
    assert!(
        finished.stderr.contains("+++ exited (status 6) +++"),
        "{}",
        finished.told()
    );
}

#[test]
fn output_that_cannot_be_opened() {
    let run = ltrace(["-o", "/no/such/directory/trace", "true"])
        .finish()
        .exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(
        run.stderr.contains("/no/such/directory/trace"),
        "{}",
        run.told()
    );
}
