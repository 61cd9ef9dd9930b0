//! The signals that ask the tracer to end, and the timer tick that lets a wait return.
//!
//! The only global state of the program, with that of [`super::user_requests`]: a signal's number, its tick, the count
//! of ticks, written by the handlers, read by the loop; and how SIGPIPE and SIGCHLD were before.

use super::{Error, Result};
use crate::base::Pid;
use crate::base::signal::Signal;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal as Nix, sigaction};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

/// The last request to end: the signal, negative when the terminal sent it to the whole foreground.
static REQUEST: AtomicI32 = AtomicI32::new(0);

/// The tick of the last request to end.
static REQUESTED_AT: AtomicU32 = AtomicU32::new(0);

/// How many ticks there were.
static TICKS: AtomicU32 = AtomicU32::new(0);

/// The front end, once it is known; and the ticks since it is gone.
static FRONT: AtomicI32 = AtomicI32::new(0);
static ORPHANED: AtomicU32 = AtomicU32::new(0);

/// Whether SIGCHLD was blocked before we did that.
static BLOCKED_BEFORE: AtomicBool = AtomicBool::new(true);

/// So many ticks after the death of the front end the tracer ends in any case. What it traces goes on, as
/// after any sudden end.
const LAST_TICK: u32 = 50;

/// The signals that are requests to end.
pub const REQUESTS: [Nix; 4] = [Nix::SIGINT, Nix::SIGTERM, Nix::SIGHUP, Nix::SIGQUIT];

/// What a queued request carries when the terminal sent it.
const FROM_TERMINAL: i32 = 1;

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// By which signal.
    pub signal: Signal,
    /// The terminal sent it, so a command that we launched got it as well.
    pub from_terminal: bool,
}

/// Turns [`REQUESTS`] into [`requested`], and makes a blocked wait return every `tick`, so that none of
/// them is missed between a look at the request and the wait.
pub fn listen(tick: Duration) -> Result<()> {
    for signal in REQUESTS {
        install(signal, SigHandler::SigAction(note))?;
    }
    install(Nix::SIGALRM, SigHandler::Handler(wake))?;
    // While it is ignored, children leave no status (wait(2), NOTES).
    install(Nix::SIGCHLD, SigHandler::SigDfl)?;
    // It ends a nap of this thread; one that does not block it would take it, and do nothing.
    let mut all = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
    BLOCKED_BEFORE.store(all.contains(Nix::SIGCHLD), Ordering::Relaxed);
    all.add(Nix::SIGCHLD);
    let _ = all.thread_set_mask();
    let interval = libc::timeval {
        tv_sec: tick.as_secs() as libc::time_t,
        tv_usec: tick.subsec_micros() as libc::suseconds_t,
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: `timer` is a live itimerval, and a null old value is allowed (setitimer(2)).
    if unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) } == -1 {
        return Err(Error::last("setitimer"));
    }
    Ok(())
}

/// In a child that is about to execute a command: signals are blocked as they were before [`listen`].
pub(super) fn unblock_for_exec() {
    if !BLOCKED_BEFORE.load(Ordering::Relaxed) {
        let mut child = SigSet::empty();
        child.add(Nix::SIGCHLD);
        let _ = child.thread_unblock();
    }
}

/// Takes the request to end, when there is one.
pub fn requested() -> Option<Request> {
    match REQUEST.swap(0, Ordering::Relaxed) {
        0 => None,
        number => Some(Request {
            signal: Signal(number.abs()),
            from_terminal: number < 0,
        }),
    }
}

/// The timer ticks so far.
pub fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// Whether there is a request to end, which is left to be taken.
pub fn is_requested() -> bool {
    REQUEST.load(Ordering::Relaxed) != 0
}

/// Whether what we do is not waited for any more: we are asked to end, or the front end is gone.
pub fn is_unwanted() -> bool {
    is_requested() || ORPHANED.load(Ordering::Relaxed) != 0
}

/// The front end: when it is gone, this process does not go on for long, wherever it is stuck.
pub(super) fn end_with(front: Pid) {
    FRONT.store(front.0, Ordering::Relaxed);
}

/// Looks out for requests to end, from the beginning of something that takes long.
#[derive(Clone, Copy, Debug)]
pub struct LookOut {
    meant: Meant,
    /// The tick of its beginning.
    begun: u32,
}

/// Whom a request to end by a terminal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// Us.
    Us,
    /// A command that we launched, which may end of it.
    Command,
}

/// After so many ticks a Ctrl-C is not the one any more of which the command has ended: that one came to us by the
/// front end.
const SAME: i32 = 3;

impl LookOut {
    /// Begins.
    pub fn begin(meant: Meant) -> LookOut {
        LookOut {
            meant,
            begun: ticks(),
        }
    }

    /// Whether the user wants us to end who has not been heard yet.
    pub fn is_asked(&self) -> bool {
        let request = REQUEST.load(Ordering::Relaxed);
        self.hears(request, REQUESTED_AT.load(Ordering::Relaxed))
    }

    /// Whether it is for us that this came last, at this tick.
    fn hears(&self, request: i32, at: u32) -> bool {
        let since = at.wrapping_sub(self.begun) as i32;
        match self.meant {
            Meant::Us => request != 0,
            Meant::Command => request > 0 || since >= SAME,
        }
    }
}

/// Passes a request on to another process that [`listen`]s.
pub(super) fn pass(request: Request, to: Pid) {
    let value = if request.from_terminal {
        FROM_TERMINAL
    } else {
        0
    };
    send(to, request.signal, value);
}

/// Sends a signal with a number (sigqueue(3)). A process that is gone needs none.
pub(super) fn send(to: Pid, signal: Signal, number: i32) {
    let value = libc::sigval {
        sival_ptr: number as usize as *mut libc::c_void,
    };
    // SAFETY: the value is a number passed as a pointer; it is not dereferenced.
    unsafe { libc::sigqueue(to.0, signal.0, value) };
}

/// The number that came with a signal.
pub(super) fn value(info: &libc::siginfo_t) -> i32 {
    if info.si_code != libc::SI_QUEUE {
        return 0;
    }
    // SAFETY: a signal sent by sigqueue(3) carries a value (sigaction(2), "SI_QUEUE").
    let value = unsafe { info.si_value() };
    value.sival_ptr as usize as i32
}

/// The signals that were ignored when we were started, in us and in a command that we start. Asked before
/// [`listen`].
pub fn ignored() -> Vec<Signal> {
    Nix::iterator()
        .filter(|signal| match signal {
            Nix::SIGPIPE => PIPE_WAS_IGNORED.load(Ordering::Relaxed),
            signal => is_ignored(*signal),
        })
        .map(|signal| Signal(signal as i32))
        .collect()
}

/// SIGPIPE was ignored when the program began. The runtime of Rust ignores it before `main`, so it is asked
/// for before that, where the program says [`look_at_sigpipe_before_main`](crate::look_at_sigpipe_before_main).
static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// For the program alone: what uses the library otherwise has nothing of ours run before its `main`.
#[macro_export]
macro_rules! look_at_sigpipe_before_main {
    () => {
        // SAFETY: the dynamic linker, or the startup code of a static program, calls what the section lists once
        // (ELF gABI, "Initialization and Termination Functions"); the function needs no runtime.
        #[used]
        #[unsafe(link_section = ".init_array")]
        static BEFORE_MAIN: extern "C" fn() = $crate::sys::interrupt::look_at_sigpipe;
    };
}

/// Notes whether SIGPIPE is ignored; called before `main`.
pub extern "C" fn look_at_sigpipe() {
    PIPE_WAS_IGNORED.store(is_ignored(Nix::SIGPIPE), Ordering::Relaxed);
}

/// Whether a signal is ignored in this process.
pub(super) fn is_ignored(signal: Nix) -> bool {
    // SAFETY: an all-zero sigaction is a valid value of that plain C structure.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action asks only; the old one is written to a live object (sigaction(2)).
    let asked = unsafe { libc::sigaction(signal as i32, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

pub(super) fn install(signal: Nix, handler: SigHandler) -> Result<()> {
    // No SA_RESTART: a wait is to end early.
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_NOCLDSTOP;
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: the handlers only store to an atomic or do nothing, which is async-signal-safe.
    unsafe { sigaction(signal, &action) }
        .map(drop)
        .map_err(|errno| Error {
            call: "sigaction",
            errno,
        })
}

extern "C" fn note(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo_t to an SA_SIGINFO handler (sigaction(2)).
    let info = unsafe { &*info };
    // SI_KERNEL: the terminal's own doing, not kill(2).
    let from_terminal = info.si_code == libc::SI_KERNEL || value(info) == FROM_TERMINAL;
    REQUESTED_AT.store(ticks(), Ordering::Relaxed);
    REQUEST.store(
        if from_terminal { -signal } else { signal },
        Ordering::Relaxed,
    );
}

extern "C" fn wake(_: libc::c_int) {
    TICKS.fetch_add(1, Ordering::Relaxed);
    let front = FRONT.load(Ordering::Relaxed);
    // SAFETY: getppid takes nothing and cannot fail.
    if front == 0 || unsafe { libc::getppid() } == front {
        return;
    }
    if ORPHANED.fetch_add(1, Ordering::Relaxed) == LAST_TICK {
        // SAFETY: _exit has no preconditions, and may be called in a signal handler (signal-safety(7)).
        unsafe { libc::_exit(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::{LookOut, Meant};

    #[track_caller]
    fn check(meant: Meant, request: i32, at: u32, expected: bool) {
        let look_out = LookOut { meant, begun: 100 };
        assert_eq!(look_out.hears(request, at), expected);
    }

    #[test]
    fn the_ctrl_c_that_ends_a_command_is_not_for_us() {
        check(Meant::Command, 0, 0, false);
        check(Meant::Command, -libc::SIGINT, 40, false);
        check(Meant::Command, -libc::SIGINT, 101, false);
        check(Meant::Command, -libc::SIGINT, 103, true);
        check(Meant::Command, 0, 103, true);
        check(Meant::Command, libc::SIGTERM, 100, true);
        check(Meant::Us, 0, 103, false);
        check(Meant::Us, -libc::SIGINT, 40, true);
    }
}
