//! What stopping tasks asks of the kernel. Tests answer from a script.

use crate::base::{Pid, Tid};
use crate::engine::supervisor::resume::{Resume, finish};
use crate::sys::ptrace::{self, Stopped};
use crate::sys::wait::{self, Patience, Status};
use crate::sys::{self, proc};
use nix::errno::Errno;
use nix::libc;
use std::time::{Duration, Instant};

/// How often we look again.
const PAUSE: Duration = Duration::from_micros(50);
/// How often we try to seize a task that is refused to us, and how often that is.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(1);

/// Requests and waits of one task.
pub(in crate::engine) trait Kernel {
    /// A task in a stop, which can be resumed once.
    type Stopped;

    /// Asks it to stop.
    fn interrupt(&self, tid: Tid) -> sys::Result<()>;

    /// What it has to tell, if anything; not consumed.
    fn look(&self, tid: Tid) -> sys::Result<Option<Status<Self::Stopped>>>;

    /// Consumes the stop that a look has shown.
    fn consume(&self, tid: Tid);

    /// Lets it go on.
    fn resume(&self, how: Resume<Self::Stopped>);

    /// Its SIGTRAP waits to be delivered.
    fn is_trapped(&self, tid: Tid) -> bool;

    /// What it does ([`proc::state`]).
    fn state(&self, tid: Tid) -> Option<char>;

    /// The clock that [`Kernel::pause`] lets go on.
    fn now(&self) -> Instant;

    /// Waits for something to happen.
    fn pause(&self);
}

/// What attaching asks as well: which tasks there are, and whose.
pub(in crate::engine) trait Processes: Kernel {
    /// Begins to trace a task. One that was born after its maker was seized is seized already.
    fn seize(&self, tid: Tid) -> sys::Result<()>;

    /// Whose stop this is.
    fn tid(&self, stopped: &Self::Stopped) -> Tid;

    /// The task that one in a birth event has made.
    fn born(&self, stopped: &Self::Stopped) -> sys::Result<Tid>;

    /// Takes note that it has ended.
    fn reap(&self, tid: Tid);

    /// The tasks of a process.
    fn tasks(&self, pid: Pid) -> Vec<Tid>;

    /// The children of its tasks.
    fn children(&self, pid: Pid) -> Vec<Pid>;

    /// All processes.
    fn processes(&self) -> Vec<Pid>;

    /// The process of a task.
    fn process_of(&self, tid: Tid) -> Option<Pid>;

    /// Whether two processes run in the same memory.
    fn share_memory(&self, a: Pid, b: Pid) -> bool;
}

/// The kernel that we run on.
#[derive(Debug)]
pub(in crate::engine) struct Linux;

impl Kernel for Linux {
    type Stopped = Stopped;

    fn interrupt(&self, tid: Tid) -> sys::Result<()> {
        ptrace::interrupt(tid)
    }

    fn look(&self, tid: Tid) -> sys::Result<Option<Status>> {
        wait::look_at(tid, Patience::Poll)
    }

    fn consume(&self, tid: Tid) {
        // Not the stop that was looked at: it was killed meanwhile, and the next look shows its end.
        let _ = wait::consume(tid);
    }

    fn resume(&self, how: Resume) {
        finish(how);
    }

    fn is_trapped(&self, tid: Tid) -> bool {
        proc::is_pending(tid, libc::SIGTRAP)
    }

    fn state(&self, tid: Tid) -> Option<char> {
        proc::state(tid)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn pause(&self) {
        std::thread::sleep(PAUSE);
    }
}

impl Processes for Linux {
    fn seize(&self, tid: Tid) -> sys::Result<()> {
        let mut tries = TRIES;
        while let Err(e) = ptrace::seize(tid) {
            if e.errno != Errno::EPERM || tries == 0 {
                return Err(e);
            }
            if matches!(proc::state(tid), None | Some('Z' | 'X')) {
                let errno = Errno::ESRCH;
                return Err(sys::Error { errno, ..e });
            }
            if proc::tracer(tid) == std::process::id() as i32 {
                break;
            }
            // A tracer that was killed just now may still have hold of it.
            tries -= 1;
            std::thread::sleep(BETWEEN);
        }
        Ok(())
    }

    fn tid(&self, stopped: &Stopped) -> Tid {
        stopped.tid()
    }

    fn born(&self, stopped: &Stopped) -> sys::Result<Tid> {
        stopped.event_message().map(|tid| Tid(tid as i32))
    }

    fn reap(&self, tid: Tid) {
        let _ = wait::reap(tid);
    }

    fn tasks(&self, pid: Pid) -> Vec<Tid> {
        proc::tasks(pid).unwrap_or_default()
    }

    fn children(&self, pid: Pid) -> Vec<Pid> {
        proc::children(pid)
    }

    fn processes(&self) -> Vec<Pid> {
        proc::processes()
    }

    fn process_of(&self, tid: Tid) -> Option<Pid> {
        proc::process_of(tid)
    }

    fn share_memory(&self, a: Pid, b: Pid) -> bool {
        proc::shares_memory(a, b)
    }
}
