//! How a task goes on from the stop in which it was served.

use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::engine::space::Original;
use crate::sys::ptrace::Stopped;
use crate::sys::wait::Stop;

/// How a served task goes on.
#[derive(Debug)]
pub(in crate::engine) enum Resume<S = Stopped> {
    /// It runs.
    Run(S),
    /// It runs to the next entry or exit of a system call, into this signal if there is one.
    Watched(S, Option<Signal>),
    /// It runs into this signal.
    Deliver(S, Signal),
    /// It stays in its group-stop.
    Listen(S),
    /// We let go of it.
    Release(S),
    /// It could not be served; its stop shows itself again.
    Again,
    /// It stays as it is for now, or is no more.
    Nothing,
}

impl<S> Resume<S> {
    /// As if nothing had been.
    pub(in crate::engine) fn after(stopped: S, stop: Stop) -> Resume<S> {
        match stop {
            Stop::Group(_) => Resume::Listen(stopped),
            _ => Resume::Run(stopped),
        }
    }

    /// The stop that it goes on from.
    pub(in crate::engine) fn stopped(&self) -> Option<&S> {
        match self {
            Resume::Run(stopped)
            | Resume::Watched(stopped, _)
            | Resume::Deliver(stopped, _)
            | Resume::Listen(stopped)
            | Resume::Release(stopped) => Some(stopped),
            Resume::Again | Resume::Nothing => None,
        }
    }
}

/// Moves a task out of a slot, to where it would be without us.
pub(in crate::engine) fn move_out_of_slot(regs: &mut Regs, original: Original) {
    match original {
        Original::Before(at) | Original::After(at) => regs.rip = at.0,
        Original::Pushed(at) => {
            regs.rip = at.0;
            regs.rsp = regs.rsp.wrapping_add(regs.machine().word() as u64);
        }
    }
}

/// Lets a served task go on. One that cannot was killed meanwhile; its end comes through a wait.
pub(in crate::engine) fn finish(resume: Resume) {
    let _ = match resume {
        Resume::Run(stopped) => stopped.resume(None),
        Resume::Watched(stopped, signal) => stopped.resume_watched(signal),
        Resume::Deliver(stopped, signal) => stopped.resume(Some(signal)),
        Resume::Listen(stopped) => stopped.listen(),
        Resume::Release(stopped) => stopped.detach(None),
        Resume::Again | Resume::Nothing => Ok(()),
    };
}
