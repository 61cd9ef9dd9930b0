//! The way of a task through one system call, from stop to stop.

use crate::base::Tid;
use crate::base::regs::Regs;
use crate::sys::ptrace::{self, Stopped};
use crate::sys::wait::{self, Patience, Status, Stop};
use crate::sys::{Error, Result, proc};
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// How long a task may take to stop that has one system call to make.
const UNDOING: Duration = Duration::from_millis(200);

/// What came of a system call.
pub(super) struct Passed {
    /// The registers that the task came out with.
    pub(super) done: Regs,
    /// The stop that it is in.
    pub(super) last: Stop,
    /// Whom it made.
    pub(super) child: Option<Tid>,
}

/// Takes a task with these registers through a system call.
pub(super) fn pass_through(stopped: &Stopped, regs: &Regs) -> Result<Passed> {
    let tid = stopped.tid();
    // So that no signal is delivered should we die now; a thread that takes the task's id in an exec is not met.
    if matches!(wait::look_at(tid, Patience::Poll)?, Some(status) if status.is_exec()) {
        return Err(gone());
    }
    wait::consume(tid)?;
    stopped.set_regs(regs)?;
    // Not before: with its own registers and every signal blocked the task would run into the next int3.
    stopped.set_signal_mask(!0)?;
    // The stops at its entry and exit are such that the task takes no harm if we die at one.
    stopped.resume_to_syscall()?;
    next_stop_of(tid, Stop::Syscall)?;
    stopped.resume_to_syscall()?;
    let (_, child) = next_stop_of(tid, Stop::Syscall)?;
    let done = stopped.regs()?;
    // Only from a stop like this does the kernel look after an interrupted call of the task's own.
    ptrace::interrupt(tid)?;
    stopped.resume_again()?;
    let (last, _) = next_stop_of(tid, Stop::Interrupt)?;
    Ok(Passed { done, last, child })
}

/// Puts a task right for which something has failed in the middle, wherever it stands. One that is gone needs
/// nothing.
pub(super) fn undo(stopped: &Stopped, saved: Regs, mask: u64) {
    let began = Instant::now();
    // On its way to a stop, or in one that was consumed.
    while proc::state(stopped.tid()) != Some('t') && began.elapsed() < UNDOING {
        std::thread::sleep(Duration::from_micros(100));
    }
    // A system call that it is about to enter is skipped.
    let skipping = Regs {
        orig_rax: !0,
        ..saved
    };
    let _ = stopped
        .set_regs(&skipping)
        .and_then(|()| ptrace::interrupt(stopped.tid()))
        .and_then(|()| stopped.resume_again())
        .and_then(|()| next_stop_of(stopped.tid(), Stop::Interrupt));
    let _ = stopped.set_regs(&saved);
    let _ = stopped.set_signal_mask(mask);
}

/// Waits until one task stops in this way. A SIGSTOP, which cannot be blocked, may come in between, and
/// whom it makes is told before its call returns.
pub(in crate::sys) fn next_stop_of(tid: Tid, wanted: Stop) -> Result<(Stop, Option<Tid>)> {
    let mut child = None;
    loop {
        let (stopped, stop) = next_stop(tid)?;
        match stop {
            Stop::Group(_) if wanted == Stop::Interrupt => return Ok((stop, child)),
            _ if stop == wanted => return Ok((stop, child)),
            Stop::Clone => {
                child = Some(Tid(stopped.event_message()? as i32));
                stopped.resume_to_syscall()?;
            }
            // Of another thread, which has taken this one's id: the task is no more.
            Stop::Exec => return Err(gone()),
            Stop::Signal(signal) => stopped.resume_to_syscall_with(signal)?,
            _ => stopped.resume_to_syscall()?,
        }
    }
}

/// Waits for the next stop of one task, leaving others alone.
pub fn next_stop(tid: Tid) -> Result<(Stopped, Stop)> {
    loop {
        match wait::look_at(tid, Patience::Block)? {
            Some(Status::Stopped(stopped, stop)) => return Ok((stopped, stop)),
            Some(_) => return Err(gone()),
            None => {}
        }
    }
}

pub(super) fn gone() -> Error {
    Error {
        call: "waitid",
        errno: Errno::ESRCH,
    }
}
