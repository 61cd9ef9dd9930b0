//! A copy of a process that stands still: its memory as it was for one moment, to be read while the process
//! itself goes on (clone(2) without CLONE_VM).
//!
//! The process makes a child, and the child makes one that shares its memory; then the first child ends, and
//! is waited for, by the process itself. So the second one is no child of the process, whose wait(2) never
//! sees it, and when it ends it is init that reaps it. None of them sends a signal. They share the process's
//! descriptors instead of having copies, so that what it closes is closed.
//!
//! Neither of them ever executes an instruction of the program's, nor touches its stack: should we be killed,
//! they end (see `remote`).

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::{Ends, Stopped};
use crate::sys::remote::{Call, Child, Entry, Remote, next_stop, next_stop_of};
use crate::sys::wait::{self, Patience, Status, Stop};
use crate::sys::{Error, Result};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A process that stands still until it is dropped.
#[derive(Debug)]
pub struct SnapshotProcess {
    task: KilledOnDrop,
    memory: ProcessMemory,
}

/// A task that is killed in the end: through a descriptor (pidfd_open(2)), since by then its id may be
/// another's.
#[derive(Debug)]
struct KilledOnDrop {
    child: Child,
    handle: OwnedFd,
}

/// No signal is sent at its end, and there is one table of descriptors.
const FIRST: u64 = (libc::CLONE_FILES | libc::CLONE_FS) as u64;
/// And one memory.
const SECOND: u64 = FIRST | libc::CLONE_VM as u64;
/// For one that sends no signal at its end, and has ended.
const WAIT: u64 = (libc::__WALL | libc::WNOHANG) as u64;

impl SnapshotProcess {
    /// Makes one of the process whose task this is, all of whose tasks stand still. The task is as before
    /// when this returns.
    ///
    /// # Errors
    /// Those of clone(2), or of [`Remote::call`]; ENOSYS where there is no code for its children; EPERM when we may not
    /// end them: to trace another user's process does not take the right to send it signals.
    pub fn make(
        remote: &Remote,
        stopped: &Stopped,
        memory: &ProcessMemory,
    ) -> Result<SnapshotProcess> {
        if remote.machine != Machine::Amd64 || remote.page().is_none() {
            return Err(refused(Errno::ENOSYS));
        }
        may_end(stopped)?;
        let first = KilledOnDrop::new(remote.clone(stopped, memory, FIRST)?)?;
        let second = second(remote, &first);
        first.end();
        let wait = [first.child.own, 0, WAIT, 0, 0, 0];
        // When it fails, an entry without memory stays in the table of processes until the process ends.
        let _ = remote.call(stopped, memory, Call::Wait, wait);
        let task = second?;
        let memory = ProcessMemory::new(Pid(task.child.tid.0), Machine::Amd64);
        Ok(SnapshotProcess { task, memory })
    }

    /// Its id.
    pub fn pid(&self) -> Pid {
        Pid(self.task.child.tid.0)
    }
}

/// Whether a child of this task can be ended.
fn may_end(stopped: &Stopped) -> Result<()> {
    // SAFETY: kill takes numbers only; 0 is no signal.
    match unsafe { libc::kill(stopped.tid().0, 0) } {
        -1 => Err(Error::last("kill")),
        _ => Ok(()),
    }
}

/// Lets the first child make the second one.
fn second(remote: &Remote, first: &KilledOnDrop) -> Result<KilledOnDrop> {
    let stopped = first.born()?;
    let mut regs = stopped.regs()?;
    let args = [SECOND, 0, 0, 0, 0, 0];
    remote.set_up(&mut regs, Entry::Child, Call::Clone, args);
    stopped.set_regs(&regs)?;
    stopped.resume_to_syscall()?;
    next_stop_of(first.child.tid, Stop::Syscall)?;
    stopped.resume_to_syscall()?;
    let (_, tid) = next_stop_of(first.child.tid, Stop::Syscall)?;
    let own = remote.result(&stopped.regs()?)?;
    let tid = tid.ok_or(refused(Errno::ESRCH))?;
    let second = KilledOnDrop::new(Child { tid, own })?;
    // It stays in this stop.
    let _ = second.born()?;
    Ok(second)
}

impl KilledOnDrop {
    fn new(child: Child) -> Result<KilledOnDrop> {
        let tid = child.tid;
        // SAFETY: pidfd_open takes numbers only.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, tid.0, 0) };
        if fd < 0 {
            let errno = Errno::last();
            // SAFETY: kill takes numbers only. The task stands still in its first stop, and its id is its own.
            unsafe { libc::kill(tid.0, libc::SIGKILL) };
            return Err(refused(errno));
        }
        // SAFETY: the kernel has just made this descriptor; no other code knows of it.
        let handle = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(KilledOnDrop { child, handle })
    }

    /// Waits for its first stop, and consumes it.
    fn born(&self) -> Result<Stopped> {
        let (stopped, _) = next_stop(self.child.tid)?;
        wait::consume(self.child.tid)?;
        // It has that from the one that made it, and nothing would let it go on to its end.
        stopped.set_ends(Ends::Silent)?;
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

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Memory for SnapshotProcess {
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
