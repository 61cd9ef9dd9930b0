//! What is mapped in a process, and who says so. No breakpoints here; prints nothing and decodes nothing.

pub mod auxv;
pub mod callsite;
pub mod descriptors;
pub mod errno;
pub mod files;
pub mod gaps;
pub mod goroutine;
pub mod linkmap;
pub mod module;
pub mod streams;

use crate::base::Pid;
use crate::base::machine::Machine;
use crate::sys::proc;
use goblin::elf::header::{EI_CLASS, ELFCLASS32};
use std::os::unix::fs::FileExt;

/// What the program of a process is compiled for, by its file; `None` when that cannot be read.
pub fn machine(pid: Pid) -> Option<Machine> {
    let mut ident = [0; EI_CLASS + 1];
    let program = proc::open_program(pid).ok()?;
    program.read_exact_at(&mut ident, 0).ok()?;
    Some(match ident[EI_CLASS] {
        ELFCLASS32 => Machine::I386,
        _ => Machine::Amd64,
    })
}
