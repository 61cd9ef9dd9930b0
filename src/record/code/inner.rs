//! Calls that functions of an allocator make for each other.

use super::super::layout::{Layout, head, header};
use super::asm::{Asm, Made, frame, slot};
use iced_x86::Register::RDX;
use iced_x86::code_asm::{CodeLabel, dx, eax, qword_ptr, r11, rax, rdi, rdx};

/// To `none` for calls that operator new makes, as far as its own calls are recorded. Clobbers `rax` and `rdx`.
pub(super) fn pass_those_of_new(asm: &mut Asm, layout: &Layout, none: CodeLabel) -> Made {
    asm.load_at(RDX, layout.in_shared(header::OPERATORS))?;
    asm.movzx(eax, dx)?;
    asm.shr(rdx, 16)?;
    asm.neg(rdx)?;
    asm.add(rdx, slot(frame::RETURN_ADDRESS))?;
    asm.cmp(rdx, rax)?;
    asm.jb(none)
}

/// To `none` for a release that one of a higher rank has jumped to: of the same block, with the return address in the
/// same place. `r11` is the ring. Clobbers `rax` and `rdx`.
pub(super) fn pass_those_led_to(asm: &mut Asm, rank: u8, none: CodeLabel) -> Made {
    let of_ring = |offset: u64| qword_ptr(r11 + offset as i32);
    let mut other = asm.create_label();
    asm.lea(rax, slot(frame::RETURN_ADDRESS))?;
    asm.mov(rdx, qword_ptr(rax))?;
    asm.cmp(of_ring(head::RELEASED_FRAME), rax)?;
    asm.jne(other)?;
    asm.cmp(of_ring(head::RELEASED_RETURN), rdx)?;
    asm.jne(other)?;
    asm.cmp(of_ring(head::RELEASED_KEY), rdi)?;
    asm.jne(other)?;
    asm.cmp(of_ring(head::RELEASED_RANK), i32::from(rank))?;
    asm.mov(of_ring(head::RELEASED_RANK), i32::from(rank))?;
    asm.ja(none)?;
    asm.here(&mut other)?;
    asm.mov(of_ring(head::RELEASED_FRAME), rax)?;
    asm.mov(of_ring(head::RELEASED_RETURN), rdx)?;
    asm.mov(of_ring(head::RELEASED_KEY), rdi)?;
    asm.mov(of_ring(head::RELEASED_RANK), i32::from(rank))
}
