//! Notes (`PT_NOTE`), of which we want one: the build id.

use super::layout::slice;
use goblin::elf::ProgramHeader;
use goblin::elf::note::NT_GNU_BUILD_ID;
use goblin::elf::program_header::PT_NOTE;

/// As much of one note segment as is looked at; those of linkers have a few hundred bytes.
const LIMIT: u64 = 1 << 16;

/// The build id that the linker wrote (`ld --build-id`).
pub(super) fn build_id(bytes: &[u8], headers: &[ProgramHeader]) -> Option<Vec<u8>> {
    headers
        .iter()
        .filter(|header| header.p_type == PT_NOTE)
        .find_map(|header| {
            let notes = slice(bytes, header.p_offset, header.p_filesz.min(LIMIT));
            // gABI says words of the class's size, linkers write 4; only property notes have 8.
            find(notes, if header.p_align == 8 { 8 } else { 4 })
        })
}

/// Walks notes: sizes of name and description, type, then both, each padded (elf(5), "Notes").
pub(super) fn find(mut notes: &[u8], align: usize) -> Option<Vec<u8>> {
    loop {
        let (head, rest) = notes.split_first_chunk::<12>()?;
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name_size, size, kind) = (word(0) as usize, word(4) as usize, word(8));
        let start = name_size.checked_next_multiple_of(align.min(4))?;
        let content = rest.get(start..start.checked_add(size)?)?;
        if kind == NT_GNU_BUILD_ID && rest.get(..name_size)? == b"GNU\0" {
            return Some(content.to_vec());
        }
        notes = rest.get(start.checked_add(size)?.checked_next_multiple_of(align)?..)?;
    }
}
