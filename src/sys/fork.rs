//! fork(2) of a process with one thread: only then may the child go on as it likes.

use super::{Error, Result, proc};
use crate::base::Tid;
use nix::errno::Errno;
use nix::unistd::{ForkResult, fork, gettid};

/// Makes a child. Refused beside other threads: one of them may hold a lock that the child would wait for.
pub(super) fn fork_alone() -> Result<ForkResult> {
    if !is_alone() {
        return Err(Error {
            call: "fork beside other threads",
            errno: Errno::EBUSY,
        });
    }
    // SAFETY: this process has one thread, so that the child has all that there is.
    unsafe { fork() }.map_err(|errno| Error {
        call: "fork",
        errno,
    })
}

/// This process has one thread, as far as /proc tells.
fn is_alone() -> bool {
    let threads = proc::status_field(Tid(gettid().as_raw()), "Threads");
    threads.is_none_or(|threads| threads == "1")
}

#[cfg(test)]
mod tests {
    use super::fork_alone;

    #[test]
    fn no_child_beside_other_threads() {
        // Each test has a thread of its own.
        let why = fork_alone().expect_err("no child");
        assert_eq!(why.call, "fork beside other threads");
    }
}
