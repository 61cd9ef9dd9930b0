//! How a task goes on from the stop in which it was served.

use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::sys;
use crate::sys::ptrace::Stopped;
use crate::sys::wait::Stop;
use crate::tracee::space::Home;

/// How a served task goes on.
#[derive(Debug)]
pub(super) enum Onward {
    /// It runs.
    Run(Stopped),
    /// It runs to its next system call.
    Watched(Stopped),
    /// It runs into this signal.
    Deliver(Stopped, Signal),
    /// It stays in its group-stop.
    Listen(Stopped),
    /// We let go of it.
    Release(Stopped),
    /// It could not be served; its stop shows itself again.
    Again,
    /// It stays as it is for now, or is no more.
    Nothing,
}

impl Onward {
    /// The stop that it goes on from.
    pub(super) fn stopped(&self) -> Option<&Stopped> {
        match self {
            Onward::Run(stopped)
            | Onward::Watched(stopped)
            | Onward::Deliver(stopped, _)
            | Onward::Listen(stopped)
            | Onward::Release(stopped) => Some(stopped),
            Onward::Again | Onward::Nothing => None,
        }
    }
}

/// Moves a task out of a slot, to where it would be without us.
pub(super) fn put_home(regs: &mut Regs, home: Home) {
    match home {
        Home::Before(at) | Home::After(at) => regs.rip = at.0,
        Home::Pushed(at) => {
            regs.rip = at.0;
            regs.rsp = regs.rsp.wrapping_add(regs.machine().word() as u64);
        }
    }
}

/// Lets a served task go on. One that cannot was killed meanwhile; its end comes through a wait.
pub(super) fn finish(onward: Onward) {
    let _ = match onward {
        Onward::Run(stopped) => stopped.resume(None),
        Onward::Watched(stopped) => stopped.resume_watched(),
        Onward::Deliver(stopped, signal) => stopped.resume(Some(signal)),
        Onward::Listen(stopped) => stopped.listen(),
        Onward::Release(stopped) => stopped.detach(None),
        Onward::Again | Onward::Nothing => Ok(()),
    };
}

/// Lets a task go on from a stop as if nothing had been.
pub(super) fn go_on(stopped: Stopped, stop: Stop) -> sys::Result<()> {
    match stop {
        Stop::Group(_) => stopped.listen(),
        _ => stopped.resume(None),
    }
}
