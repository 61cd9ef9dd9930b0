//! Starting a command under trace.

use super::fork::fork_alone;
use super::interrupt;
use super::ptrace;
use crate::base::{self, Tid};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{
    ForkResult, Gid, Uid, User, execve, initgroups, pipe2, read, setgid, setuid, write,
};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// A command to start.
#[derive(Clone, Debug)]
pub struct Command {
    /// The file to execute.
    pub file: CString,
    /// Its arguments, the name it is called by first.
    pub args: Vec<CString>,
    /// Its environment, `NAME=value`.
    pub env: Vec<CString>,
    /// The signals that it ignores, as in the process that started us.
    pub ignored: Vec<base::signal::Signal>,
    /// Whose rights it gets, when not ours.
    pub user: Option<User>,
}

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The child could not be made or traced.
    #[error(transparent)]
    Trace(#[from] super::Error),
    /// The kernel does not let us trace it.
    #[error("{0}")]
    Denied(String),
    /// The file could not be executed.
    #[error("{}", .0.desc())]
    Exec(Errno),
    /// The user's rights could not be taken on.
    #[error("cannot become user {0}: {desc}", desc = .1.desc())]
    User(String, Errno),
}

/// A child that waits to be let go into its program.
pub struct Spawned {
    /// The child.
    pub tid: Tid,
    go: OwnedFd,
    failure: OwnedFd,
}

/// Makes the child and seizes it. It stands before its exec until [`Spawned::go`].
pub fn spawn(command: &Command) -> Result<Spawned, Error> {
    let failed = |errno| super::Error {
        call: "pipe2",
        errno,
    };
    let (go_read, go) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(failed)?;
    let (failure, failure_write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(failed)?;
    let (args, env) = (pointers(&command.args), pointers(&command.env));
    match fork_alone()? {
        ForkResult::Parent { child } => {
            let tid = Tid(child.as_raw());
            drop((go_read, failure_write));
            ptrace::seize(tid)?;
            Ok(Spawned { tid, go, failure })
        }
        ForkResult::Child => {
            drop((go, failure));
            let failed = child(command, &args, &env, go_read);
            let (step, errno) = match failed {
                Failed::User(errno) => (STEP_USER, errno),
                Failed::Exec(errno) => (STEP_EXEC, errno),
            };
            let _ = write(failure_write.as_fd(), &[step, errno as i32 as u8]);
            // SAFETY: _exit has no preconditions; it runs nothing of the parent's.
            unsafe { libc::_exit(127) }
        }
    }
}

impl Spawned {
    /// Lets the child exec. Its exec stop, or its end, comes through a wait.
    pub fn go(&mut self) {
        // A child that has gone meanwhile shows itself in the wait.
        let _ = write(self.go.as_fd(), &[1]);
    }

    /// Why there was no exec, after the child has ended without it.
    pub fn failure(&self, command: &Command) -> Error {
        let mut bytes = [0; 2];
        let told = read(self.failure.as_fd(), &mut bytes) == Ok(2);
        let [step, errno] = bytes;
        match (&command.user, Errno::from_raw(errno.into())) {
            _ if !told => Error::Exec(Errno::ECHILD),
            (Some(user), errno) if step == STEP_USER => Error::User(user.name.clone(), errno),
            (_, errno) => Error::Exec(errno),
        }
    }
}

/// What the child could not do.
enum Failed {
    User(Errno),
    Exec(Errno),
}

/// How it tells of that: one of these, and the error's number, which fits into a byte (errno(3)).
const STEP_USER: u8 = 1;
const STEP_EXEC: u8 = 2;

/// The child's part: wait for the word, take on the user, exec. Comes back only with an error.
fn child(command: &Command, args: &[&CStr], env: &[&CStr], go: OwnedFd) -> Failed {
    if read(go.as_fd(), &mut [0]) != Ok(1) {
        // We may not be traced, or the tracer is gone.
        return Failed::Exec(Errno::ECANCELED);
    }
    // The runtime of Rust ignores SIGPIPE, and an ignored signal stays ignored across execve(2).
    // SAFETY: no handler is installed, only the default restored.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    interrupt::unblock_for_exec();
    for ignored in &command.ignored {
        // SAFETY: no handler is installed, and the number may be any.
        unsafe { libc::signal(ignored.0, libc::SIG_IGN) };
    }
    if let Some(user) = &command.user
        && let Err(errno) = become_user(user)
    {
        return Failed::User(errno);
    }
    Failed::Exec(match execve(&command.file, args, env) {
        // A script without a `#!` line is run by the shell, as execvp(3) does.
        Err(Errno::ENOEXEC) => {
            let shell = c"/bin/sh";
            let mut with_shell = vec![shell, command.file.as_c_str()];
            with_shell.extend(args.iter().skip(1));
            execve(shell, &with_shell, env)
                .err()
                .unwrap_or(Errno::ENOEXEC)
        }
        Err(errno) => errno,
    })
}

fn become_user(user: &User) -> Result<(), Errno> {
    let (uid, gid): (Uid, Gid) = (user.uid, user.gid);
    let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
    initgroups(&name, gid)?;
    setgid(gid)?;
    setuid(uid)
}

fn pointers(strings: &[CString]) -> Vec<&CStr> {
    strings.iter().map(CString::as_c_str).collect()
}
