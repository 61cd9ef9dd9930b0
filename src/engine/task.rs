//! One traced thread, as the engine knows it.

use crate::base::Pid;
use crate::base::signal::Signal;
use crate::engine::calls::Calls;
use crate::engine::stacks::Stacks;
use crate::engine::supervisor::system_calls::SystemCall;
use crate::plan::{Holder, Tracepoint};
use crate::process::goroutine::Goroutine;
use crate::sys::ptrace::SignalInfo;

/// Which address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(pub u32);

/// A traced thread.
#[derive(Debug)]
pub struct Task {
    /// Its process.
    pub pid: Pid,
    /// The memory it runs in.
    pub space: SpaceId,
    /// Its open calls; those of a goroutine while it is served for one.
    pub calls: Calls,
    /// The goroutine that it is served for, and its own calls meanwhile.
    pub goroutine: Option<(Goroutine, Calls)>,
    /// The system call that it is in.
    pub system_call: Option<SystemCall>,
    /// Why it is traced.
    pub role: Role,
    /// What it runs on.
    pub stacks: Stacks,
    /// How many breakpoints its space had when it last stood still.
    pub planted: u64,
    /// A signal that was sent once more, as there was something to do before it is delivered, and what it carried.
    pub postponed: Option<(Signal, SignalInfo)>,
    /// What it may ask of its parent, where it is a child that shares our int3s.
    pub tracing: Tracing,
    /// It is in its last stop, or past it.
    pub is_exiting: bool,
}

/// Why a task is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user wants to see it.
    Shown,
    /// It is a child that shares our int3s (vfork, CLONE_VM) and must be carried past them, unprinted,
    /// until it has memory of its own. Only what it does to its maker's memory is told.
    VforkChild,
}

/// Whether a task is to be traced by its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// It does not ask for that.
    Unasked,
    /// It may: it came by vfork(2), and a debugger's child asks before it runs its program.
    Possible,
    /// It has, and was told that it is.
    Promised,
}

impl Task {
    /// A task that begins to be traced.
    pub fn new(pid: Pid, space: SpaceId, role: Role) -> Task {
        Task {
            pid,
            space,
            calls: Calls::default(),
            goroutine: None,
            system_call: None,
            role,
            stacks: Stacks::default(),
            planted: 0,
            postponed: None,
            tracing: Tracing::Unasked,
            is_exiting: false,
        }
    }

    /// The process that a call of this task's is told of, in memory of this owner's; `None`: of none.
    /// Blocks that a child hands out in its maker's memory, or takes back, are the maker's.
    pub fn tells_of(&self, point: &Tracepoint, owner: Pid) -> Option<Pid> {
        match (point.holder(), self.role) {
            (Some(Holder::Memory), Role::Shown) => Some(owner),
            (Some(Holder::Memory), Role::VforkChild) => Some(owner).filter(|pid| *pid != self.pid),
            (_, Role::Shown) => Some(self.pid),
            (_, Role::VforkChild) => None,
        }
    }
}
