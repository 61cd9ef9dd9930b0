//! The tracer has a process and a place of its own; neither the user's shell nor the target notices.

use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::program::{Program, Running};
use crate::support::server::{assert_unharmed, server};
use crate::support::skip::command;
use crate::support::terminal::{CTRL_C, CTRL_Z, on_terminal};
use crate::support::text::{tracer_of, wait_until_planted};
use crate::support::until::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;

const LTRACE: &str = env!("CARGO_BIN_EXE_ltrace");

/// What a program sees of where it stands is the same bare and traced, when a shell starts both.
#[track_caller]
fn check_surroundings(before: &str) {
    let Some(facts) = fixture("facts") else {
        return;
    };
    let script = format!("{before} \"$1\"; echo --; \"$0\" -o /dev/null \"$1\"");
    let run = Program::new("sh")
        .args(["-c", &script, LTRACE])
        .arg(facts)
        .finish()
        .exits(0);
    let (bare, traced) = run.stdout.split_once("--\n").unwrap();
    assert!(bare.lines().count() > 10, "{bare}");
    assert_eq!(bare, traced);
}

#[test]
fn surroundings_are_as_untraced() {
    check_surroundings("");
}

#[test]
fn ignored_signals_stay_ignored() {
    check_surroundings("trap '' HUP INT QUIT TERM CHLD ALRM TSTP USR1 PIPE;");
}

#[test]
fn one_processor_and_low_priority_are_as_untraced() {
    check_surroundings("taskset -p -c 0 $$ >/dev/null; renice -n 5 $$ >/dev/null;");
}

#[test]
fn idle_policy_is_as_untraced() {
    check_surroundings("chrt --idle -p 0 $$;");
}

/// Nobody traces the process any more, within a moment.
#[track_caller]
fn assert_let_go(pid: i32) {
    let what = format!("process {pid} is traced no more");
    wait_until(&what, || tracer_of(pid) == 0);
}

fn attached(server: &Running) -> Running {
    let tracer = ltrace(["-o", "/dev/null", "-p", &server.pid().to_string()]).start();
    wait_until_planted(server.pid());
    tracer
}

#[test]
fn killed_front_end_lets_go_of_the_target() {
    let Some(server) = server(2) else { return };
    let mut tracer = attached(&server);
    tracer.signal(Signal::SIGKILL);
    tracer.wait();
    assert_let_go(server.pid());
    assert_unharmed(server);
}

#[test]
fn terminated_front_end_lets_go_of_the_target() {
    let Some(server) = server(2) else { return };
    let tracer = attached(&server);
    tracer.signal(Signal::SIGTERM);
    tracer.finish().exits(0);
    assert_unharmed(server);
}

#[test]
fn stopped_front_end_does_not_stop_the_target() {
    let Some(mut server) = server(2) else { return };
    let tracer = attached(&server);
    tracer.signal(Signal::SIGSTOP);
    let so_far = server.stdout.len();
    server.say(b"\n");
    server.wait_for_stdout_beyond(so_far, "alive\n");
    tracer.signal(Signal::SIGTERM);
    tracer.signal(Signal::SIGCONT);
    tracer.finish().exits(0);
    assert_unharmed(server);
}

/// The children of a process with one thread.
fn children_of(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let words = children.split_ascii_whitespace();
    words.map(|child| child.parse().unwrap()).collect()
}

#[test]
fn killed_tracer_is_told() {
    let Some(program) = fixture("idle") else {
        return;
    };
    let tracer = ltrace(["-o", "/dev/null", "-e", "nothing"])
        .arg(program)
        .start();
    tracer.wait_for_stdout("ready\n");
    let child = children_of(tracer.pid())[0];
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
    let run = tracer.finish().exits(1);
    let last = run.stderr.lines().last();
    assert_eq!(last, Some("ltrace: the tracer was killed by SIGKILL"));
}

#[test]
fn interrupt_from_the_terminal_lets_go_of_an_attached_target() {
    let Some(server) = server(2) else { return };
    let pid = server.pid().to_string();
    let Some((tracer, mut terminal)) = on_terminal(LTRACE, ["-o", "/dev/null", "-p", &pid]) else {
        return;
    };
    wait_until_planted(server.pid());
    terminal.write_all(CTRL_C).unwrap();
    tracer.finish().exits(0);
    assert_unharmed(server);
}

/// A shell with job control sees the command stop and go on.
#[track_caller]
fn job<'a>(command: &'a str, args: &[&'a str]) -> Option<(Running, std::fs::File)> {
    // Bash controls jobs on the terminal that is its standard error.
    let script =
        "exec 2>/dev/tty; set -m; \"$@\"; echo \"stopped $?\"; fg >/dev/null; echo \"ended $?\"";
    let mut words = vec!["-c", script, "bash", LTRACE, "-o", "/dev/null", command];
    words.extend(args);
    on_terminal("bash", words)
}

#[test]
fn stopped_from_the_terminal_and_continued() {
    let Some(program) = fixture("idle") else {
        return;
    };
    let Some((shell, mut terminal)) = job(program.to_str().unwrap(), &[]) else {
        return;
    };
    shell.wait_for_stdout("ready\n");
    terminal.write_all(CTRL_Z).unwrap();
    // 128 and SIGTSTP.
    shell.wait_for_stdout("stopped 148\n");
    terminal.write_all(b"a\n\x04").unwrap();
    let run = shell.finish().exits(0);
    assert!(run.stdout.ends_with("ended 2\n"), "{}", run.told());
}

/// A command that catches the terminal's stop goes on; its shell must not think that it stopped.
#[test]
fn stop_that_the_command_catches() {
    let script = "trap c=1 TSTP; echo ready; until [ $c ]; do read -t 0.1; done; echo caught; \
                  read line; kill -STOP $$; exit 5";
    let Some((shell, mut terminal)) = job("bash", &["-c", script]) else {
        return;
    };
    shell.wait_for_stdout("ready\n");
    terminal.write_all(CTRL_Z).unwrap();
    shell.wait_for_stdout("caught\n");
    terminal.write_all(b"one\n").unwrap();
    // 128 and SIGSTOP.
    shell.wait_for_stdout("stopped 147\n");
    let run = shell.finish().exits(0);
    assert!(run.stdout.ends_with("ended 5\n"), "{}", run.told());
}

/// A task under SCHED_IDLE is woken late beside load; a tracer that could not leave that policy must not take it.
#[test]
fn no_idle_policy_without_the_right_to_leave_it() {
    let (Some(setpriv), Some(program)) = (command("setpriv"), fixture("idle")) else {
        return;
    };
    let unable = [
        "--bounding-set",
        "-sys_nice",
        "--inh-caps",
        "-sys_nice",
        LTRACE,
    ];
    let stops = ["--instrument", "stop", "-o", "/dev/null"];
    let tracer = Program::new(setpriv)
        .args(unable.into_iter().chain(stops))
        .arg(program)
        .start();
    tracer.wait_for_stdout("ready\n");
    let child = children_of(tracer.pid());
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child[0])).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // Field 41, the policy (proc_pid_stat(5)).
    let policy = fields.split(' ').nth(41 - 3);
    assert_eq!(policy, Some("0"), "{stat}");
}
