//! How a task goes on from the stop in which it was served.

use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::engine::space::Original;
use crate::sys;
use crate::sys::ptrace::Stopped;
use crate::sys::wait::Stop;

/// How a served task goes on.
#[derive(Debug)]
pub(in crate::engine) enum Resume {
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

impl Resume {
    /// The stop that it goes on from.
    pub(in crate::engine) fn stopped(&self) -> Option<&Stopped> {
        match self {
            Resume::Run(stopped)
            | Resume::Watched(stopped)
            | Resume::Deliver(stopped, _)
            | Resume::Listen(stopped)
            | Resume::Release(stopped) => Some(stopped),
            Resume::Again | Resume::Nothing => None,
        }
    }
}

/// Moves a task out of a slot, to where it would be without us.
pub(in crate::engine) fn put_back_home(regs: &mut Regs, home: Original) {
    match home {
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
        Resume::Watched(stopped) => stopped.resume_watched(),
        Resume::Deliver(stopped, signal) => stopped.resume(Some(signal)),
        Resume::Listen(stopped) => stopped.listen(),
        Resume::Release(stopped) => stopped.detach(None),
        Resume::Again | Resume::Nothing => Ok(()),
    };
}

/// Lets a task go on from a stop as if nothing had been.
pub(in crate::engine) fn go_on(stopped: Stopped, stop: Stop) -> sys::Result<()> {
    match stop {
        Stop::Group(_) => stopped.listen(),
        _ => stopped.resume(None),
    }
}
