//! What happened to tracees: waited for once, classified once.
//!
//! Stops are *looked at* without being consumed (WNOWAIT): a tracer that is killed after consuming an
//! int3 stop would leave the task one byte into a displaced instruction, while a stop that no tracer
//! consumed delivers its SIGTRAP to the task when the tracer is gone. [`consume`] is for stops whose
//! registers are right again.

use super::ptrace::Stopped;
use super::{Error, Result, fault};
use crate::base::Tid;
use crate::base::signal::Signal;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal as Nix};
use nix::sys::time::TimeSpec;
use std::time::Duration;

/// What a task did.
#[derive(Debug)]
pub enum Status<S = Stopped> {
    /// It is in a ptrace-stop.
    Stopped(S, Stop),
    /// It exited with this status.
    Exited(i32),
    /// A signal ended it.
    Killed(Signal),
}

impl<S> Status<S> {
    /// The task runs a new program.
    pub fn is_exec(&self) -> bool {
        matches!(self, Status::Stopped(_, Stop::Exec))
    }

    /// The task is about to end.
    pub fn is_exit(&self) -> bool {
        matches!(self, Status::Stopped(_, Stop::Exit))
    }
}

/// The kinds of ptrace-stop (ptrace(2), "Stopped states").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// About to be delivered a signal.
    Signal(Signal),
    /// In a group-stop, by this stop signal.
    Group(Signal),
    /// Stopped by PTRACE_INTERRUPT, or at its birth.
    Interrupt,
    /// Made a child by fork.
    Fork,
    /// Made a child by vfork.
    Vfork,
    /// The vfork child let go of our memory.
    VforkDone,
    /// Made a task by clone.
    Clone,
    /// Runs a new program.
    Exec,
    /// About to end, by itself or killed, with all that it had (ptrace(2), PTRACE_O_TRACEEXIT).
    Exit,
    /// At a system call's entry or exit.
    Syscall,
    /// An event that was not asked for.
    Other,
}

/// How long a look may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until something happens, or a signal interrupts us.
    Block,
    /// Only what has happened already.
    Poll,
}

/// Looks for something that happened to any task, without consuming it. `None`: nothing did yet, or a
/// signal interrupted the wait.
///
/// # Errors
/// ECHILD when there is no task left to wait for.
pub fn look(patience: Patience) -> Result<Option<(Tid, Status)>> {
    wait(libc::P_ALL, 0, patience, libc::WNOWAIT)
}

/// Looks at one task, as [`look`].
pub fn look_at(tid: Tid, patience: Patience) -> Result<Option<Status>> {
    Ok(wait(libc::P_PID, tid.0 as libc::id_t, patience, libc::WNOWAIT)?.map(|(_, status)| status))
}

/// Consumes the stop that a look has shown, so that the next look shows another task. The status is
/// that of the stop consumed: another one when the task was killed meanwhile and a thread of its process
/// took its id in an exec.
pub fn consume(tid: Tid) -> Result<Option<Status>> {
    let id = tid.0 as libc::id_t;
    let consumed = wait(libc::P_PID, id, Patience::Poll, WITHOUT_ENDS)?;
    Ok(consumed.map(|(_, status)| status))
}

/// Reaps a task that a look has shown to have ended.
pub fn reap(tid: Tid) -> Result<()> {
    wait(libc::P_PID, tid.0 as libc::id_t, Patience::Poll, 0).map(drop)
}

/// A flag of our own: a task that is killed between look and consumption keeps its end for the next look.
const WITHOUT_ENDS: libc::c_int = 1 << 30;

fn wait(
    kind: libc::idtype_t,
    id: libc::id_t,
    patience: Patience,
    flags: libc::c_int,
) -> Result<Option<(Tid, Status)>> {
    let hang = match patience {
        Patience::Block => 0,
        Patience::Poll => libc::WNOHANG,
    };
    if let Some(errno) = fault::strike("waitid") {
        let call = "waitid";
        return Err(Error { call, errno });
    }
    // SAFETY: an all-zero siginfo_t is a valid value of that plain C structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let ends = if flags == WITHOUT_ENDS {
        0
    } else {
        libc::WEXITED | flags
    };
    let options = ends | libc::WSTOPPED | libc::__WALL | hang;
    // SAFETY: `info` is a live siginfo_t that waitid may fill.
    if unsafe { libc::waitid(kind, id, &raw mut info, options) } == -1 {
        let error = Error::last("waitid");
        return if error.errno == Errno::EINTR {
            Ok(None)
        } else {
            Err(error)
        };
    }
    // SAFETY: waitid succeeded, so si_pid of the SIGCHLD fields is set (zero when nothing happened).
    let tid = Tid(unsafe { info.si_pid() });
    if tid.0 == 0 {
        return Ok(None);
    }
    // SAFETY: as above, for si_status.
    let code = unsafe { info.si_status() };
    let status = match info.si_code {
        libc::CLD_EXITED => Status::Exited(code),
        libc::CLD_KILLED | libc::CLD_DUMPED => Status::Killed(Signal(code)),
        _ => Status::Stopped(Stopped::new(tid), classify(code)),
    };
    Ok(Some((tid, status)))
}

/// `si_status` of a ptrace-stop is the signal, with the event number eight bits up
/// (kernel/signal.c, ptrace_stop; ptrace(2), PTRACE_O_*).
fn classify(code: i32) -> Stop {
    let signal = code & 0x7f;
    match code >> 8 {
        0 if code == libc::SIGTRAP | 0x80 => Stop::Syscall,
        0 => Stop::Signal(Signal(signal)),
        libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Stop::Interrupt,
        libc::PTRACE_EVENT_STOP => Stop::Group(Signal(signal)),
        libc::PTRACE_EVENT_FORK => Stop::Fork,
        libc::PTRACE_EVENT_VFORK => Stop::Vfork,
        libc::PTRACE_EVENT_VFORK_DONE => Stop::VforkDone,
        libc::PTRACE_EVENT_CLONE => Stop::Clone,
        libc::PTRACE_EVENT_EXEC => Stop::Exec,
        libc::PTRACE_EVENT_EXIT => Stop::Exit,
        _ => Stop::Other,
    }
}

/// Sleeps so long, or until something happens to a task: the kernel sends SIGCHLD for that, which this thread blocks
/// from now on.
pub fn nap(time: Duration) {
    let mut set = SigSet::empty();
    set.add(Nix::SIGCHLD);
    let _ = set.thread_block();
    let time = TimeSpec::from_duration(time);
    // SAFETY: both pointers are to live values; no description of the signal is asked for.
    unsafe {
        libc::sigtimedwait(
            &raw const *set.as_ref(),
            std::ptr::null_mut(),
            &raw const *time.as_ref(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Stop, classify};
    use crate::base::signal::Signal;

    #[test]
    fn stops_by_their_status() {
        let check = |code, stop| assert_eq!(classify(code), stop, "{code:#x}");
        check(libc::SIGTRAP, Stop::Signal(Signal(5)));
        check(64, Stop::Signal(Signal(64)));
        check(libc::SIGTRAP | 0x80, Stop::Syscall);
        check(libc::SIGTRAP | 128 << 8, Stop::Interrupt);
        check(libc::SIGTSTP | 128 << 8, Stop::Group(Signal(20)));
        check(libc::SIGTRAP | 4 << 8, Stop::Exec);
        check(libc::SIGTRAP | 6 << 8, Stop::Exit);
        check(libc::SIGTRAP | 77 << 8, Stop::Other);
    }
}
