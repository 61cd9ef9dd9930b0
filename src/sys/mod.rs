//! The wall to the kernel: ptrace, wait, the memory of other processes, /proc, processes of our own
//! making. The only place with `unsafe`. Knows nothing of symbols, calls or output.

mod fault;
pub mod file;
mod fork;
pub mod front;
pub mod interrupt;
pub mod mapped;
pub mod memory;
pub mod pagemap;
pub mod patience;
pub mod placement;
pub mod proc;
pub mod ptrace;
pub mod remote;
pub mod root;
pub mod shared;
mod sigframe;
pub mod snapshot_process;
pub mod spawn;
pub mod terminal;
pub mod ticks;
pub mod traceme;
pub mod user_requests;
pub mod wait;

use nix::errno::Errno;

/// A system call that failed, on whom, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call}: {}", errno.desc())]
pub struct Error {
    /// The call as its manual page names it.
    pub call: &'static str,
    /// Why.
    pub errno: Errno,
}

/// What a call of this floor gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn last(call: &'static str) -> Error {
        Error {
            call,
            errno: Errno::last(),
        }
    }

    /// The task does not exist any more, or is no longer stopped because it was killed
    /// (ptrace(2), "Death under ptrace"). Its exit status comes, or came, through a wait.
    pub fn is_gone(&self) -> bool {
        self.errno == Errno::ESRCH
    }
}
