//! Calls that print: a table tells what their formats mean.

use super::super::formats::{bit, key};
use super::super::layout::{FORMAT_PROBES, FORMATS, FORMATS_LOG2, Layout};
use super::super::shape::{Format, Source};
use super::asm::{Asm, GOLDEN, Made, frame, slot};
use super::blobs;
use iced_x86::Register::RDX;
use iced_x86::code_asm::{CodeLabel, dword_ptr, qword_ptr, r10, r10d, rax, rdx, rsp};

/// Puts into the frame which words of the call lead to texts, as its format tells; to `unknown` when the table does not
/// have that. Clobbers `rax`, `rdx`, `r10`.
pub(super) fn find(asm: &mut Asm, layout: &Layout, format: Format, unknown: CodeLabel) -> Made {
    let mut found = asm.create_label();
    blobs::address(asm, format.source)?;
    asm.mov(r10, key(0, format.named))?;
    asm.or(rax, r10)?;
    asm.mov(r10, GOLDEN)?;
    asm.imul_2(r10, rax)?;
    asm.shr(r10, 64 - FORMATS_LOG2)?;
    asm.shl(r10d, 4)?;
    asm.lea_at(RDX, layout.in_shared(FORMATS))?;
    asm.add(rdx, r10)?;
    for _ in 0..FORMAT_PROBES {
        asm.cmp(qword_ptr(rdx), rax)?;
        asm.je(found)?;
        asm.add(rdx, 16)?;
    }
    asm.jmp(unknown)?;
    asm.here(&mut found)?;
    asm.mov(rax, qword_ptr(rdx + 8))?;
    asm.mov(slot(frame::TEXTS), rax)
}

/// To `without` when a word of the call leads to no text.
pub(super) fn test(asm: &mut Asm, word: Source, without: CodeLabel) -> Made {
    let mask = bit(word).map_or(0, |bit| 1 << bit);
    asm.test(dword_ptr(rsp + frame::TEXTS), mask)?;
    asm.je(without)
}
