//! What lets exceptions and `_Unwind_Backtrace` through trampolines: frame information of the pool, and a function
//! that stands in for the dynamic linker's `_dl_find_object`, by which libgcc finds it (glibc 2.35 and newer).
//!
//! A trampoline's frame has no size, and its return address is in the table. Unwinders tell frames apart by their
//! CFA, so it must have one that no other frame has: below the stack pointer. In a chain of trampolines, each but the
//! last has another.

use super::super::labels::Place;
use super::super::layout::{self, Layout};
use super::asm::{Asm, Made};
use super::trampolines::BEHIND_CALL;
use iced_x86::Register::{RAX, RCX};
use iced_x86::code_asm::{eax, qword_ptr, r11, rax, rcx, rdi, rsi};

/// How pointers are encoded (LSB, "DWARF Exception Header Encoding"): relative to themselves or to the header, 4
/// bytes; and a plain count.
const PC_RELATIVE: u8 = 0x1b;
const HEADER_RELATIVE: u8 = 0x3b;
const COUNT: u8 = 0x03;

/// Registers by their DWARF numbers (psABI 3.6.2), and operations on them (DWARF 5, 7.7.1).
const RSP: u8 = 7;
const RETURN_ADDRESS: u8 = 16;
const BREG: u8 = 0x70;
const CONST8U: u8 = 0x0e;
const DEREF: u8 = 0x06;
const PLUS: u8 = 0x22;
const MINUS: u8 = 0x1c;
const SHR: u8 = 0x25;
const SHL: u8 = 0x24;
const EQ: u8 = 0x29;
const SWAP: u8 = 0x16;
const LITERAL: u8 = 0x30;
/// Instructions of frame tables (DWARF 5, 7.24).
const DEF_CFA_EXPRESSION: u8 = 0x0f;
const VAL_EXPRESSION: u8 = 0x16;

/// The frame tables: `.eh_frame_hdr`, then `.eh_frame`.
pub(super) struct Tables {
    pub(super) bytes: Vec<u8>,
    /// The address of `.eh_frame`.
    pub(super) frames: u64,
}

/// The tables as they lie at this address.
pub(super) fn tables(layout: &Layout, at: u64) -> Tables {
    const HEADER: u64 = 24;
    let frames = at + HEADER;
    let pool = layout.pool();
    let cie = cie();
    let description = frames + cie.len() as u64;
    let mut bytes = vec![1, PC_RELATIVE, COUNT, HEADER_RELATIVE];
    bytes.extend(distance(at + 4, frames));
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(distance(at, pool.start));
    bytes.extend(distance(at, description));
    bytes.resize(HEADER as usize, 0);
    bytes.extend(&cie);
    let mut fde = Vec::new();
    // The CIE, by how far it is before this word.
    fde.extend((cie.len() as u32 + 4).to_le_bytes());
    fde.extend(distance(description + 8, pool.start));
    fde.extend(((pool.end - pool.start) as u32).to_le_bytes());
    fde.push(0);
    fde.extend(rules(layout));
    bytes.extend(entry(fde));
    bytes.extend([0; 4]);
    Tables { bytes, frames }
}

fn cie() -> Vec<u8> {
    let mut cie = vec![0; 4];
    // Version, augmentation, alignment of code and data (-8), and their encoding.
    cie.extend([1, b'z', b'R', 0, 1, 0x78, RETURN_ADDRESS, 1, PC_RELATIVE]);
    entry(cie)
}

/// An entry with its length before it, padded.
fn entry(mut body: Vec<u8>) -> Vec<u8> {
    let whole = (body.len() + 4).next_multiple_of(8);
    body.resize(whole - 4, 0);
    let mut entry = ((whole - 4) as u32).to_le_bytes().to_vec();
    entry.extend(body);
    entry
}

fn rules(layout: &Layout) -> Vec<u8> {
    let pool = layout.pool().start;
    // Where the return address of the trampoline is that the callee returns to.
    let table = layout.in_shared(layout::TABLE);
    let mut caller = register(RETURN_ADDRESS);
    caller.push(CONST8U);
    caller.extend(table.wrapping_sub(pool + BEHIND_CALL).to_le_bytes());
    caller.extend([PLUS, DEREF]);
    // 8 below the stack pointer, 24 when the return address is in the pool as well.
    let log2 = (layout.pool().end - pool).ilog2() as u8;
    let mut cfa = caller.clone();
    cfa.push(CONST8U);
    cfa.extend(pool.to_le_bytes());
    cfa.extend([MINUS, LITERAL + log2, SHR, LITERAL, EQ]);
    cfa.extend([LITERAL + 4, SHL, LITERAL + 8, PLUS]);
    cfa.extend(register(RSP));
    cfa.extend([SWAP, MINUS]);
    let mut rules = vec![DEF_CFA_EXPRESSION, cfa.len() as u8];
    rules.extend(cfa);
    rules.extend([VAL_EXPRESSION, RSP, 2]);
    rules.extend(register(RSP));
    rules.extend([VAL_EXPRESSION, RETURN_ADDRESS, caller.len() as u8]);
    rules.extend(caller);
    rules
}

/// Pushes a register.
fn register(number: u8) -> Vec<u8> {
    vec![BREG + number, 0]
}

fn distance(from: u64, to: u64) -> [u8; 4] {
    (to.wrapping_sub(from) as u32).to_le_bytes()
}

/// `int _dl_find_object(void *address, struct dl_find_object *result)` (`<dlfcn.h>`) for addresses in our code; the
/// one whose address is at `original` is asked for others.
pub(super) fn find_object(asm: &mut Asm, layout: &Layout, tables: u64, original: u64) -> Made {
    let mut other = asm.create_label();
    let code = layout.code();
    asm.mark(Place::Done)?;
    asm.endbr64()?;
    asm.lea_at(RAX, code.start)?;
    asm.mov(rcx, rdi)?;
    asm.sub(rcx, rax)?;
    asm.cmp(rcx, (code.end - code.start) as i32)?;
    asm.jae(other)?;
    // Flags, beginning and end, the link map, the header.
    asm.mov(qword_ptr(rsi), 0)?;
    asm.mov(qword_ptr(rsi + 8), rax)?;
    asm.lea_at(RCX, code.end)?;
    asm.mov(qword_ptr(rsi + 16), rcx)?;
    asm.mov(qword_ptr(rsi + 24), 0)?;
    asm.lea_at(RCX, tables)?;
    asm.mov(qword_ptr(rsi + 32), rcx)?;
    asm.xor(eax, eax)?;
    asm.ret()?;
    asm.here(&mut other)?;
    asm.load_at(iced_x86::Register::R11, original)?;
    asm.jmp(qword_ptr(r11))
}
