//! A copy of a process that stands still: its memory as it was for one moment, to be read while the process
//! itself goes on (clone(2) without CLONE_VM).
//!
//! The process makes a child, and the child makes one that shares its memory; then the first child ends, and
//! is waited for, by the process itself. So the second one is no child of the process, whose wait(2) never
//! sees it, and when it ends it is init that reaps it. None of them sends a signal. They share the process's
//! descriptors instead of having copies, so that what it closes is closed.
//!
//! Neither of them ever executes an instruction of the program's: should we be killed, they return into
//! _exit(2), by way of a signal frame (see `sigframe`). All of this is below the stack of the task that does
//! it, where what was there is put back.

use super::memory::ProcessMemory;
use super::ptrace::Stopped;
use super::remote::{Call, Child, Remote, next_stop, next_stop_of};
use super::wait::{self, Patience, Status, Stop};
use super::{Error, Result, sigframe};
use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};
use crate::base::regs::Regs;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A process that stands still until it is dropped.
#[derive(Debug)]
pub struct Double {
    task: Doomed,
    memory: ProcessMemory,
}

/// A task that is killed in the end: through a descriptor (pidfd_open(2)), since by then its id may be
/// another's.
#[derive(Debug)]
struct Doomed {
    child: Child,
    handle: OwnedFd,
}

/// Room for the frame that restores the task; the frame by which its children end lies below that.
const FRAME: u64 = 24 << 10;
/// So much of the stack is put back.
const ROOM: u64 = 2 * FRAME;
/// No signal is sent at its end, and there is one table of descriptors.
const FIRST: u64 = (libc::CLONE_FILES | libc::CLONE_FS) as u64;
/// And one memory.
const SECOND: u64 = FIRST | libc::CLONE_VM as u64;
/// For one that sends no signal at its end, and has ended.
const WAIT: u64 = (libc::__WALL | libc::WNOHANG) as u64;

impl Double {
    /// Makes one of the process whose task this is, all of whose tasks stand still. The task is as before
    /// when this returns.
    ///
    /// # Errors
    /// Those of clone(2), or of [`Remote::call`]; ENOSYS where nothing like the recovery exists; ENOMEM where
    /// the stack has no room.
    pub fn make(remote: &Remote, stopped: &Stopped, memory: &ProcessMemory) -> Result<Double> {
        let regs = stopped.regs()?;
        let bottom = Addr(regs.rsp.wrapping_sub(ROOM));
        let mut kept = vec![0; ROOM as usize];
        let reading: &dyn Memory = memory;
        reading
            .read_exact(bottom, &mut kept)
            .map_err(|_| refused(Errno::ENOMEM))?;
        let made = make(remote, stopped, memory, &regs);
        let put_back = memory.write(bottom, &kept);
        let double = made?;
        put_back.map_err(|_| refused(Errno::EIO))?;
        Ok(double)
    }

    /// Its id.
    pub fn pid(&self) -> Pid {
        Pid(self.task.child.tid.0)
    }
}

fn make(remote: &Remote, stopped: &Stopped, memory: &ProcessMemory, regs: &Regs) -> Result<Double> {
    let recovery = remote.recovery.ok_or(refused(Errno::ENOSYS))?;
    if remote.machine != Machine::Amd64 {
        return Err(refused(Errno::ENOSYS));
    }
    let end = Regs {
        rip: remote.instruction.0,
        rax: libc::SYS_exit_group as u64,
        orig_rax: !0,
        rdi: 0,
        rsp: regs.rsp.wrapping_sub(FRAME),
        ..*regs
    };
    let stack = sigframe::push(stopped, memory, &end, !0, recovery);
    let stack = stack
        .filter(|at| *at >= regs.rsp.wrapping_sub(ROOM))
        .ok_or(refused(Errno::ENOMEM))?;
    let first = Doomed::new(remote.clone(stopped, memory, FIRST, stack)?)?;
    let second = second(remote, &first, stack);
    first.end();
    let wait = [first.child.own, 0, WAIT, 0, 0, 0];
    // When it fails, an entry without memory stays in the table of processes until the process ends.
    let _ = remote.call(stopped, memory, Call::Wait, wait);
    let task = second?;
    let memory = ProcessMemory::new(Pid(task.child.tid.0), Machine::Amd64);
    Ok(Double { task, memory })
}

/// Lets the first child make the second one.
fn second(remote: &Remote, first: &Doomed, stack: u64) -> Result<Doomed> {
    let stopped = first.born()?;
    let mut regs = stopped.regs()?;
    regs.rsp = stack;
    remote.set_up(&mut regs, Call::Clone, [SECOND, stack, 0, 0, 0, 0]);
    stopped.set_regs(&regs)?;
    stopped.resume_to_syscall()?;
    next_stop_of(first.child.tid, Stop::Syscall)?;
    stopped.resume_to_syscall()?;
    let (_, tid) = next_stop_of(first.child.tid, Stop::Syscall)?;
    let own = remote.result(&stopped.regs()?)?;
    let tid = tid.ok_or(refused(Errno::ESRCH))?;
    let second = Doomed::new(Child { tid, own })?;
    // It stays in this stop.
    let _ = second.born()?;
    Ok(second)
}

impl Doomed {
    fn new(child: Child) -> Result<Doomed> {
        let tid = child.tid;
        // SAFETY: pidfd_open takes numbers only.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, tid.0, 0) };
        if fd < 0 {
            let errno = Errno::last();
            // SAFETY: kill takes numbers only. The task stands still in its first stop, and its id is its own.
            unsafe { libc::kill(tid.0, libc::SIGKILL) };
            return Err(refused(errno));
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
        let handle = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(Doomed { child, handle })
    }

    /// Waits for its first stop, and consumes it.
    fn born(&self) -> Result<Stopped> {
        let (stopped, _) = next_stop(self.child.tid)?;
        wait::consume(self.child.tid)?;
        Ok(stopped)
    }

    fn kill(&self) {
        let (fd, none) = (self.handle.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: pidfd_send_signal takes numbers, and may be given no siginfo_t.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, none, 0) };
    }

    /// Ends it, and waits for that.
    fn end(&self) {
        self.kill();
        // An error means that it is gone.
        while let Ok(status) = wait::look_at(self.child.tid, Patience::Block) {
            if let Some(Status::Exited(_) | Status::Killed(_)) = status {
                let _ = wait::reap(self.child.tid);
                return;
            }
        }
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Memory for Double {
    fn read(&self, at: Addr, buf: &mut [u8]) -> std::result::Result<usize, Unreadable> {
        self.memory.read(at, buf)
    }
}

fn refused(errno: Errno) -> Error {
    Error {
        call: "clone",
        errno,
    }
}
