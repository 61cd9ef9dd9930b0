//! Where thread-local variables of a program are.

use super::symbols;
use goblin::elf::ProgramHeader;
use goblin::elf::program_header::PT_TLS;

/// The place of a variable, against the thread pointer. What is thread-local in the program itself lies right below that,
/// aligned (ELF Handling For Thread-Local Storage, 3.4.2, "variant II").
pub(super) fn offset(bytes: &[u8], headers: &[ProgramHeader], name: &str) -> Option<i64> {
    let own = headers.iter().find(|header| header.p_type == PT_TLS)?;
    let at = symbols::thread_local(bytes, name).ok()??;
    let size = own.p_memsz.checked_next_multiple_of(own.p_align.max(1))?;
    i64::try_from(at).ok()?.checked_sub_unsigned(size)
}
