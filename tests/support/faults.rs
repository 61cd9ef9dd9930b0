//! System calls of the tracer that fail on purpose, one in each run: the tracer goes on or ends with a word,
//! and its target lives, with its own instructions.

use super::fixture::fixture;
use super::program::{Program, Running};
use super::server::server;
use super::text::{assert_text_untouched, tracer_of};
use super::{ltrace, scratch};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The calls that can fail, as `sys` names them.
const CALLS: [&str; 20] = [
    "waitid",
    "process_vm_readv",
    "pwrite",
    "ptrace(PTRACE_SEIZE)",
    "ptrace(PTRACE_INTERRUPT)",
    "ptrace(PTRACE_SETOPTIONS)",
    "ptrace(PTRACE_CONT)",
    "ptrace(PTRACE_SYSCALL)",
    "ptrace(PTRACE_LISTEN)",
    "ptrace(PTRACE_DETACH)",
    "ptrace(PTRACE_GETREGS)",
    "ptrace(PTRACE_SETREGS)",
    "ptrace(PTRACE_POKEUSER)",
    "ptrace(PTRACE_GETFPREGS)",
    "ptrace(PTRACE_GETREGSET)",
    "ptrace(PTRACE_GETEVENTMSG)",
    "ptrace(PTRACE_GETSIGINFO)",
    "ptrace(PTRACE_GETSIGMASK)",
    "ptrace(PTRACE_SETSIGMASK)",
    "ioctl(PAGEMAP_SCAN)",
];

const ERRNOS: [Errno; 4] = [Errno::ESRCH, Errno::EPERM, Errno::EIO, Errno::EFAULT];

/// Longer than a run takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the tracer is doing when a call fails.
#[derive(Clone, Copy, Debug)]
pub enum Scenario {
    /// A command with threads, children, signals and libraries.
    Launch,
    /// The same, its children followed through fork and exec.
    Follow,
    /// The same, for its leaks.
    Leaks,
    /// A running program, attached to and left.
    Attach,
}

/// All of them.
pub const SCENARIOS: [Scenario; 4] = [
    Scenario::Launch,
    Scenario::Follow,
    Scenario::Leaks,
    Scenario::Attach,
];

/// Makes each call fail at its n-th use, for the numbers that `next` goes through from 1 on, until a run no
/// longer makes the call so often; with every errno, or each time with another one. Says what goes wrong, and
/// then how many runs there were.
pub fn sweep(
    scenario: Scenario,
    every_errno: bool,
    next: impl Fn(u32) -> Option<u32>,
    mut wrong: impl FnMut(String),
) -> usize {
    let mut runs = 0;
    let told = scratch("fault").join("told");
    for (index, call) in CALLS.into_iter().enumerate() {
        let (mut number, mut turn) = (1, index);
        loop {
            let errnos = match every_errno {
                true => &ERRNOS[..],
                false => &ERRNOS[turn % 4..=turn % 4],
            };
            turn += 1;
            let mut reached = true;
            for errno in errnos {
                let fault = Fault {
                    call,
                    number,
                    errno: *errno,
                    told: &told,
                };
                let _ = std::fs::remove_file(&told);
                let result = scenario.run(&fault);
                runs += 1;
                reached &= told.exists();
                if let Err(what) = result {
                    let fault =
                        format!("{scenario:?}, {call} number {number} fails with {errno:?}");
                    wrong(format!("{fault}: {what}"));
                }
            }
            match next(number) {
                Some(following) if reached => number = following,
                _ => break,
            }
        }
    }
    runs
}

struct Fault<'a> {
    call: &'a str,
    number: u32,
    errno: Errno,
    told: &'a Path,
}

/// The tracer, about to panic at the n-th use of a call.
pub fn panicking(call: &str, number: u32, options: &[&str]) -> Program {
    let told = scratch("panic").join("told");
    let fault = format!("{call}:{number}:0:{}", told.display());
    ltrace(options).env("LTRACE_FAULT", fault)
}

impl Fault<'_> {
    fn tracer(&self, options: &[&str]) -> Program {
        let Fault {
            call,
            number,
            errno,
            told,
        } = self;
        let fault = format!("{call}:{number}:{}:{}", *errno as i32, told.display());
        ltrace(options).env("LTRACE_FAULT", fault)
    }
}

impl Scenario {
    fn run(self, fault: &Fault<'_>) -> Result<(), String> {
        match self {
            Scenario::Launch => launch(fault, &["-o", "/dev/null"]),
            Scenario::Follow => launch(fault, &["-f", "-o", "/dev/null"]),
            Scenario::Leaks => launch(fault, &["--leaks", "-o", "/dev/null"]),
            Scenario::Attach => attach(fault),
        }
    }
}

/// The command ends well, whether traced to its end or not, or it was never begun.
fn launch(fault: &Fault<'_>, options: &[&str]) -> Result<(), String> {
    let program = fixture("mixture").expect("a C compiler");
    let mut tracer = fault.tracer(options).arg(program).args(["5", "7"]).start();
    let ended = ends(&mut tracer);
    if !ended {
        tracer.signal(Signal::SIGINT);
    }
    let code = tracer.wait().code();
    let told = tracer.stderr.text();
    let began = tracer.stdout.text().starts_with("ready\n");
    if began && !tracer.stdout_goes_on(0, "ok\n", PATIENCE) {
        return Err(format!(
            "the command did not end well: {}\n{told}",
            tracer.stdout.text()
        ));
    }
    if !ended {
        return Err(format!("it hung: {told}"));
    }
    let told_why = || {
        tracer
            .stderr
            .wait_for("ltrace: ", Instant::now() + PATIENCE)
    };
    if !began && (code == Some(0) || !told_why()) {
        return Err(format!("nothing was run, and nobody told why: {code:?}"));
    }
    is_civil(&told)
}

/// The program is left as it was found.
fn attach(fault: &Fault<'_>) -> Result<(), String> {
    let mut target = server(2).expect("a C compiler");
    let pid = target.pid().to_string();
    let trace: PathBuf = fault.told.with_file_name("trace");
    let _ = std::fs::remove_file(&trace);
    let file = trace.to_string_lossy();
    let options = ["-o", &file, "-p", &pid];
    let mut tracer = fault.tracer(&options).start();
    let begun = Instant::now();
    while tracer.is_alive() && begun.elapsed() < Duration::from_secs(3) {
        if std::fs::metadata(&trace).is_ok_and(|data| data.len() > 4096) {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if tracer.is_alive() {
        tracer.signal(Signal::SIGINT);
    }
    let ended = ends(&mut tracer);
    let told = tracer.stderr.text();
    drop(tracer);
    if !target.is_alive() {
        return Err(format!("the program died: {told}"));
    }
    if !ended {
        return Err(format!("it did not leave: {told}"));
    }
    if tracer_of(target.pid()) != 0 {
        return Err(format!("the program is still traced: {told}"));
    }
    let (so_far, untouched) = (
        target.stdout.len(),
        std::panic::catch_unwind(|| assert_text_untouched(target.pid())),
    );
    if untouched.is_err() {
        return Err(format!("the program's text was changed: {told}"));
    }
    target.say(b"\n");
    if !target.stdout_goes_on(so_far, "alive\n", PATIENCE) {
        return Err(format!("the program hangs: {told}"));
    }
    is_civil(&told)
}

/// No panic, and every line is one that ltrace says.
fn is_civil(told: &str) -> Result<(), String> {
    match told.contains("panicked") {
        true => Err(format!("a panic: {told}")),
        false => Ok(()),
    }
}

fn ends(tracer: &mut Running) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if !tracer.is_alive() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
