//! The part of a record whose length differs: copies of memory.

use super::super::layout::{Layout, head, header};
use super::super::shape::{Blob, Ends, Failure, Source};
use super::asm::{Asm, Made, frame, slot};
use super::{Common, entry, formats};
use iced_x86::Register::RAX;
use iced_x86::code_asm::{
    AsmRegister64, CodeLabel, ax, eax, edx, ptr, qword_ptr, r10, r11, rax, rdx, word_ptr,
};

/// Adds blobs to the record at `r10`, whose other parts have so many words; `r10` = its end. The ring is in `r11`.
pub(super) fn add(
    asm: &mut Asm,
    layout: &Layout,
    common: &Common,
    fixed: u16,
    blobs: &[Blob],
) -> Made {
    let fixed = i32::from(fixed) * 8;
    if blobs.is_empty() {
        return asm.add(r10, fixed);
    }
    asm.mov(slot(frame::RECORD), r10)?;
    asm.add(r10, fixed)?;
    for blob in blobs {
        let mut without = asm.create_label();
        if blob.by_format {
            formats::test(asm, blob.source, without)?;
        }
        match blob.source {
            Source::Errno(failure) => errno(asm, layout, failure, without)?,
            Source::Before => before(asm, without)?,
            source => address(asm, source)?,
        }
        asm.mov(edx, blob.most as i32)?;
        asm.call(match blob.ends {
            Ends::AtZero => common.copy_text,
            Ends::AtLength => common.copy_bytes,
        })?;
        asm.here(&mut without)?;
    }
    asm.mov(rdx, slot(frame::RECORD))?;
    set_length(asm)
}

/// Says in the record at `rdx` that it ends at `r10`. Clobbers `rax`.
pub(super) fn set_length(asm: &mut Asm) -> Made {
    asm.mov(rax, r10)?;
    asm.sub(rax, rdx)?;
    asm.shr(eax, 3)?;
    asm.mov(word_ptr(rdx + 6), ax)
}

/// `rax` = where errno is; goes to `without` when the result tells of no failure, or its place is not known.
fn errno(asm: &mut Asm, layout: &Layout, failure: Failure, without: CodeLabel) -> Made {
    asm.mov(rax, slot(frame::RAX))?;
    match failure {
        Failure::Int => {
            asm.cmp(eax, -1)?;
            asm.jne(without)?;
        }
        Failure::Long => {
            asm.cmp(rax, -1)?;
            asm.jne(without)?;
        }
        Failure::Pointer => {
            asm.inc(rax)?;
            asm.cmp(rax, 1)?;
            asm.ja(without)?;
        }
    }
    asm.load_at(RAX, layout.in_shared(header::ERRNO))?;
    asm.test(rax, rax)?;
    asm.je(without)?;
    asm.add(rax, qword_ptr(0).fs())
}

/// `rax` = the last word of the blob that ends at `r10`; goes to `without` when that is a null pointer, or could not be read:
/// then it is the blob's length.
fn before(asm: &mut Asm, without: CodeLabel) -> Made {
    asm.mov(rax, qword_ptr(r10 - 8))?;
    asm.test(rax, rax)?;
    asm.je(without)
}

/// `rax` = what a blob is copied from.
pub(super) fn address(asm: &mut Asm, source: Source) -> Made {
    match source {
        Source::General(_) | Source::Stack(_) => {
            let register = entry::entry_source(asm, source)?;
            match register == rax {
                true => Ok(()),
                false => asm.mov(rax, register),
            }
        }
        Source::Result | Source::Errno(_) | Source::Before => asm.mov(rax, slot(frame::RAX)),
        Source::Kept(index) => {
            let mut absent = asm.create_label();
            asm.mov(rax, slot(frame::KEPT))?;
            asm.test(rax, rax)?;
            asm.je(absent)?;
            asm.mov(rax, qword_ptr(rax + 16 + 8 * i32::from(index)))?;
            asm.here(&mut absent)
        }
    }
}

/// `rdx` = the entry for calls with the frame in `rdx`, of the ring in the given register. Clobbers `rax`.
pub(super) fn kept_at(asm: &mut Asm, ring: AsmRegister64) -> Made {
    // Frames of functions are 16 bytes apart at least.
    asm.shr(rdx, 4)?;
    asm.and(edx, 63)?;
    asm.shl(edx, 6)?;
    asm.lea(rdx, ptr(ring + rdx + head::KEPT as i32))
}

/// Puts into the frame where the addresses are that the call has kept which returns with the frame in `rdx`, or 0
/// when they have been overwritten. Clobbers `rax`, `rdx`.
pub(super) fn find_kept(asm: &mut Asm, number: AsmRegister64) -> Made {
    let mut found = asm.create_label();
    let mut lost = asm.create_label();
    asm.mov(rax, rdx)?;
    kept_at(asm, r11)?;
    asm.cmp(qword_ptr(rdx), rax)?;
    asm.jne(lost)?;
    asm.cmp(qword_ptr(rdx + 8), number)?;
    asm.je(found)?;
    asm.here(&mut lost)?;
    asm.xor(edx, edx)?;
    asm.here(&mut found)?;
    asm.mov(slot(frame::KEPT), rdx)
}
