//! What is particular to programs of Go's compiler: goroutines have stacks of their own, which move.

use super::sections::Sections;
use super::thread_local;
use goblin::elf::ProgramHeader;

/// Facts of a program that holds Go's runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Go {
    /// Where the pointer to the running goroutine is, against the thread pointer.
    pub goroutine: i64,
}

/// The runtime's table of functions, under the names that linkers give it, and what the go command writes;
/// strip(1) leaves both.
const SECTIONS: [&str; 3] = [".gopclntab", ".data.rel.ro.gopclntab", ".go.buildinfo"];
/// Where Go's own linker has the pointer, and the system's when nothing else is thread-local.
const USUAL: i64 = -8;

impl Go {
    /// Whether a file holds Go's runtime.
    pub fn is_in(bytes: &[u8]) -> bool {
        let sections = Sections::read(bytes);
        sections.is_ok_and(|sections| SECTIONS.iter().any(|name| sections.has(name)))
    }

    /// `None`: it is no such program.
    pub(super) fn of(bytes: &[u8], headers: &[ProgramHeader]) -> Option<Go> {
        if !Go::is_in(bytes) {
            return None;
        }
        let goroutine = thread_local::offset(bytes, headers, "runtime.tlsg");
        Some(Go {
            goroutine: goroutine.unwrap_or(USUAL),
        })
    }
}
