//! The vocabulary that every floor shares: identities, addresses, registers, signals, time, and how
//! memory is read. Nothing here knows ELF, ptrace or prototypes.

pub mod addr;
pub mod frozen;
pub mod machine;
pub mod memory;
pub mod regs;
pub mod signal;
pub mod time;

use std::fmt;

/// A process: the id of its thread group, never of one of its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub i32);

/// A task: one thread, by the id the kernel schedules it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub i32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
