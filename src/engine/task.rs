//! One traced thread, as the engine knows it.

use super::calls::{Calls, OpenCall, Stacks};
use crate::base::memory::Memory;
use crate::base::{Pid, Tid};
use crate::sys::proc;
use crate::tracee::space::Space;
use std::cell::OnceCell;
use std::ops::Range;
use std::path::Path;

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
    /// Its open calls.
    pub calls: Calls,
    /// Why it is traced.
    pub role: Role,
    /// The stack it was born with, once somebody asked.
    pub own_stack: OnceCell<Option<Range<u64>>>,
}

/// Why a task is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user wants to see it.
    Shown,
    /// It is a child that shares our int3s (vfork, CLONE_VM) and must be carried past them, unprinted,
    /// until it has memory of its own.
    Borrower,
}

impl Task {
    /// A task that begins to be traced.
    pub fn new(pid: Pid, space: SpaceId, role: Role) -> Task {
        Task {
            pid,
            space,
            calls: Calls::default(),
            role,
            own_stack: OnceCell::new(),
        }
    }
}

/// The stacks of one task at one stop.
pub struct TaskStacks<'a> {
    /// The task.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// Its thread pointer: on x86-64 the C libraries put the thread's control block on top of its stack.
    pub fs_base: u64,
    /// Its memory.
    pub space: &'a Space,
    /// Where the stack is remembered.
    pub own_stack: &'a OnceCell<Option<Range<u64>>>,
}

impl Stacks for TaskStacks<'_> {
    fn on_own_stack(&self, a: u64, b: u64) -> bool {
        let own = self.own_stack.get_or_init(|| self.find());
        // The main stack grows down as it is used: only its upper end is fixed.
        own.as_ref().is_some_and(|own| {
            let lower = if self.is_main() {
                own.end.saturating_sub(64 << 20).min(own.start)
            } else {
                own.start
            };
            (lower..own.end).contains(&a) && (lower..own.end).contains(&b)
        })
    }

    fn still_there(&self, call: &OpenCall) -> bool {
        let memory: &dyn Memory = &self.space.memory;
        memory.read_word(crate::base::addr::Addr(call.frame)) == Ok(call.return_address.0)
    }
}

impl TaskStacks<'_> {
    fn is_main(&self) -> bool {
        self.tid.0 == self.pid.0
    }

    fn find(&self) -> Option<Range<u64>> {
        let maps = proc::maps(self.pid).ok()?;
        let is_stack = |m: &&proc::Mapping| match self.is_main() {
            true => m.path == Path::new("[stack]"),
            false => m.range.contains(&self.fs_base) && m.writable,
        };
        maps.iter().find(is_stack).map(|m| m.range.clone())
    }
}
