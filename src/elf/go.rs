//! What is particular to programs of Go's compiler: goroutines have stacks of their own, which move.

use super::sections::Sections;
use super::symbols;
use goblin::elf::ProgramHeader;
use goblin::elf::program_header::PT_TLS;

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
        let own = headers.iter().find(|header| header.p_type == PT_TLS);
        let goroutine = own.and_then(|own| {
            let at = symbols::thread_local(bytes, "runtime.tlsg").ok()??;
            below(own, at)
        });
        let goroutine = goroutine.unwrap_or(USUAL);
        Some(Go { goroutine })
    }
}

/// What is thread-local in the program itself lies right below the thread pointer, aligned (ELF Handling For
/// Thread-Local Storage, 3.4.2, "variant II").
fn below(own: &ProgramHeader, at: u64) -> Option<i64> {
    let size = own.p_memsz.checked_next_multiple_of(own.p_align.max(1))?;
    i64::try_from(at).ok()?.checked_sub_unsigned(size)
}
