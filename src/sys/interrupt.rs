//! The signals that ask the tracer to end, and the slow beat that lets a wait look up.
//!
//! The only global state of the program: a signal's number, written by the handler, read by the loop.

use super::{Error, Result};
use crate::base::signal::Signal;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal as Nix, sigaction};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// The last request to end: the signal, negative when the terminal sent it to the whole foreground.
static REQUEST: AtomicI32 = AtomicI32::new(0);

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// By which signal.
    pub signal: Signal,
    /// The terminal sent it, so a command that we launched got it as well.
    pub from_terminal: bool,
}

/// Turns SIGINT, SIGTERM, SIGHUP and SIGQUIT into [`requested`], and makes a blocked wait return every
/// `beat`, so that none of them is missed between a look at the request and the wait.
pub fn listen(beat: Duration) -> Result<()> {
    for signal in [Nix::SIGINT, Nix::SIGTERM, Nix::SIGHUP, Nix::SIGQUIT] {
        install(signal, SigHandler::SigAction(note))?;
    }
    install(Nix::SIGALRM, SigHandler::Handler(wake))?;
    let interval = libc::timeval {
        tv_sec: beat.as_secs() as libc::time_t,
        tv_usec: beat.subsec_micros() as libc::suseconds_t,
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

fn install(signal: Nix, handler: SigHandler) -> Result<()> {
    // No SA_RESTART: a wait is to end early.
    let action = SigAction::new(handler, SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: both handlers only store to an atomic or do nothing, which is async-signal-safe.
    unsafe { sigaction(signal, &action) }
        .map(drop)
        .map_err(|errno| Error {
            call: "sigaction",
            errno,
        })
}

extern "C" fn note(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo_t to an SA_SIGINFO handler (sigaction(2)).
    let code = unsafe { (*info).si_code };
    // SI_KERNEL: the terminal's own doing, not kill(2).
    let from_terminal = code == libc::SI_KERNEL;
    REQUEST.store(
        if from_terminal { -signal } else { signal },
        Ordering::Relaxed,
    );
}

extern "C" fn wake(_: libc::c_int) {}
