//! The vocabulary that every floor shares: identities, addresses, registers, signals, time, names, and
//! how memory is read. Nothing here knows ELF, ptrace or prototypes.

pub mod addr;
pub mod errno;
pub mod machine;
pub mod memory;
pub mod names;
pub mod printable;
pub mod regs;
pub mod signal;
pub mod snapshot;
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

/// Why a system call failed, in the words of strerror(3) alone: the standard library adds the number.
pub fn message(why: &std::io::Error) -> String {
    let text = why.to_string();
    match why.raw_os_error() {
        Some(number) => {
            let added = format!(" (os error {number})");
            text.strip_suffix(&added).unwrap_or(&text).to_owned()
        }
        None => text,
    }
}
