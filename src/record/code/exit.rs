//! The code that a return goes through: one for all that have nothing but `rax`, and one for each kind that has more.

use super::super::labels::Place;
use super::super::layout::{self, Layout, head};
use super::super::ring::{Kind, RETURN_FIXED, header_word};
use super::super::shape::{Shape, Source};
use super::asm::{Asm, Made, frame, slot};
use super::{Common, blobs, common as subroutines, entry};
use iced_x86::Register::RAX;
use iced_x86::code_asm::{
    CodeLabel, dword_ptr, edx, ptr, qword_ptr, r10, r11, rax, rdx, rsp, st0, tbyte_ptr, xmm0, xmm1,
};

/// The labels of the common code.
pub(super) struct Exit {
    pub(super) start: CodeLabel,
    /// Leaves for the caller. A return has been recorded, or will not be.
    pub(super) leave: CodeLabel,
}

/// What all trampolines lead to, their number pushed where the return address was. `find` and `space` are the
/// addresses of the subroutines.
pub(super) fn exit(asm: &mut Asm, layout: &Layout, find: u64, space: u64) -> Made<Exit> {
    let mut leave = asm.create_label();
    let mut special = asm.create_label();
    let mut full = asm.create_label();
    let start = asm.label_here()?;
    entry::enter(asm)?;
    asm.is_zero_at(layout.enabled())?;
    asm.je(leave)?;
    subroutines::ring(asm, layout, find, leave)?;
    let again = asm.label_here()?;
    trampoline(asm, layout)?;
    asm.mov(edx, dword_ptr(rax + 8))?;
    asm.cmp(dword_ptr(rax + 12), 0)?;
    asm.jne(special)?;
    asm.mov(r10, qword_ptr(r11 + head::WRITE as i32))?;
    asm.cmp(r10, qword_ptr(r11 + head::LIMIT as i32))?;
    asm.ja(full)?;
    record(asm, RETURN_FIXED)?;
    asm.add(r10, i32::from(RETURN_FIXED) * 8)?;
    asm.mov(qword_ptr(r11 + head::WRITE as i32), r10)?;
    asm.mark(Place::Done)?;
    asm.here(&mut leave)?;
    trampoline(asm, layout)?;
    asm.mov(rax, qword_ptr(rax))?;
    asm.mov(slot(frame::NUMBER), rax)?;
    entry::restore(asm)?;
    asm.lea(rsp, ptr(rsp + frame::NUMBER))?;
    asm.ret()?;
    asm.mark(Place::Body)?;
    asm.here(&mut special)?;
    asm.shl(rdx, 4)?;
    asm.lea_at(RAX, layout.in_shared(layout::POINTS))?;
    asm.notrack().jmp(qword_ptr(rax + rdx + 8))?;
    asm.here(&mut full)?;
    asm.call(space)?;
    asm.test(r11, r11)?;
    asm.je(leave)?;
    asm.jmp(again)?;
    Ok(Exit { start, leave })
}

/// The code for returns of this shape; the common code leads to it.
pub(super) fn special(asm: &mut Asm, layout: &Layout, common: &Common, shape: &Shape) -> Made {
    let mut full = asm.create_label();
    asm.mark(Place::Body)?;
    if shape.asks.at_return {
        // Whether a tracer was there or not.
        asm.call(common.ask)?;
        asm.mark(Place::Done)?;
        return asm.jmp(common.leave);
    }
    let again = asm.label_here()?;
    asm.mov(r10, qword_ptr(r11 + head::WRITE as i32))?;
    asm.cmp(r10, qword_ptr(r11 + head::LIMIT as i32))?;
    asm.ja(full)?;
    trampoline(asm, layout)?;
    asm.mov(edx, dword_ptr(rax + 8))?;
    let is_kept = |source: Source| matches!(source, Source::Kept(_));
    if shape.at_return.iter().any(|blob| is_kept(blob.source)) {
        asm.mov(slot(frame::SPILL[0]), rdx)?;
        asm.mov(r10, rdx)?;
        asm.lea(rdx, slot(frame::NUMBER))?;
        blobs::find_kept(asm, r10)?;
        asm.mov(rdx, slot(frame::SPILL[0]))?;
        asm.mov(r10, qword_ptr(r11 + head::WRITE as i32))?;
    }
    let fixed = RETURN_FIXED + shape.result.words();
    record(asm, fixed)?;
    registers(asm, shape)?;
    blobs::add(asm, layout, common, fixed, &shape.at_return)?;
    asm.mov(qword_ptr(r11 + head::WRITE as i32), r10)?;
    asm.mark(Place::Done)?;
    asm.jmp(common.leave)?;
    asm.mark(Place::Body)?;
    asm.here(&mut full)?;
    asm.call(common.space)?;
    asm.test(r11, r11)?;
    asm.jne(again)?;
    asm.jmp(common.leave)
}

/// `rax` = the table's entry of the trampoline. Clobbers `rdx`.
fn trampoline(asm: &mut Asm, layout: &Layout) -> Made {
    asm.mov(edx, dword_ptr(rsp + frame::NUMBER))?;
    asm.shl(edx, 4)?;
    asm.lea_at(RAX, layout.in_shared(layout::TABLE))?;
    asm.add(rax, rdx)
}

/// Writes the part of a record that all returns have, at `r10`. The tracepoint is in `edx`.
fn record(asm: &mut Asm, words: u16) -> Made {
    asm.mov(dword_ptr(r10), edx)?;
    asm.mov(dword_ptr(r10 + 4), header_word(Kind::Return, words) as i32)?;
    entry::read_time(asm)?;
    asm.mov(qword_ptr(r10 + 8), rax)?;
    asm.lea(rax, slot(frame::NUMBER))?;
    asm.mov(qword_ptr(r10 + 16), rax)?;
    asm.mov(rax, slot(frame::RAX))?;
    asm.mov(qword_ptr(r10 + 24), rax)
}

/// Writes the other registers that hold the result.
fn registers(asm: &mut Asm, shape: &Shape) -> Made {
    let mut at = i32::from(RETURN_FIXED) * 8;
    if shape.result.rdx {
        asm.mov(rax, slot(frame::RDX))?;
        asm.mov(qword_ptr(r10 + at), rax)?;
        at += 8;
    }
    for register in &[xmm0, xmm1][..usize::from(shape.result.vector.min(2))] {
        asm.movq(qword_ptr(r10 + at), *register)?;
        at += 8;
    }
    if shape.result.x87 {
        asm.mov(qword_ptr(r10 + at + 8), 0)?;
        asm.fld(st0)?;
        // The register that was pushed for a moment would be one too many for a handler that comes in between.
        asm.mark(Place::Done)?;
        asm.fstp(tbyte_ptr(r10 + at))?;
        asm.mark(Place::Body)?;
    }
    Ok(())
}
