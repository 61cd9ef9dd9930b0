//! The code that a call goes through: a stub for each tracepoint, which tells its number, and a body for each kind
//! of tracepoint, which writes the record and goes on to the function.

use super::super::blocks;
use super::super::labels::Place;
use super::super::layout::{self, Layout, head};
use super::super::ring::{CALL_FIXED, Kind, header_word};
use super::super::shape::{Inner, Returns, Shape, Source};
use super::asm::{Asm, Made, frame, slot};
use super::{Common, Target, blobs, common, formats, inner, trampolines};
use crate::plan::sample::Sample;
use iced_x86::Register::{R10, R11, RAX, RDX};
use iced_x86::code_asm::{
    AsmRegister64, AsmRegisterXmm, CodeLabel, byte_ptr, dword_ptr, eax, ptr, qword_ptr, r8, r9,
    r10, r10d, r11, rax, rcx, rdi, rdx, rsi, rsp, word_ptr, xmm0, xmm1, xmm2, xmm3, xmm4, xmm5,
    xmm6, xmm7,
};
use std::ops::Range;

/// The general argument registers (psABI 3.2.3). What `rdx` held is in the frame.
const GENERAL: [AsmRegister64; 6] = [rdi, rsi, rdx, rcx, r8, r9];
const VECTOR: [AsmRegisterXmm; 8] = [xmm0, xmm1, xmm2, xmm3, xmm4, xmm5, xmm6, xmm7];

/// The registers that stubs, and the code for returns, use; all others keep what they hold.
const SAVED: [(AsmRegister64, i32); 4] = [
    (rax, frame::RAX),
    (rdx, frame::RDX),
    (r10, frame::R10),
    (r11, frame::R11),
];

/// Makes the frame below the number that was pushed.
pub(super) fn enter(asm: &mut Asm) -> Made {
    asm.mark(Place::Pushed)?;
    asm.lea(rsp, ptr(rsp - frame::NUMBER))?;
    asm.mark(Place::Framed)?;
    for (register, offset) in SAVED {
        asm.mov(slot(offset), register)?;
    }
    asm.mark(Place::Body)
}

/// Gives the registers back what they held.
pub(super) fn restore(asm: &mut Asm) -> Made {
    for (register, offset) in SAVED {
        asm.mov(register, slot(offset))?;
    }
    Ok(())
}

/// What the stub of a tracepoint is made of.
pub(super) struct Stub<'s> {
    pub(super) number: u32,
    pub(super) target: Target,
    pub(super) body: u64,
    /// Only calls that return there are recorded.
    pub(super) caller: Option<&'s Range<u64>>,
}

/// The stub of a tracepoint. Call sites are led to it, and pointers to it may be loaded.
pub(super) fn stub(asm: &mut Asm, layout: &Layout, stub: &Stub<'_>) -> Made {
    let Stub {
        number,
        target,
        body,
        caller,
    } = *stub;
    let mut pass = asm.create_label();
    asm.mark(Place::Stub)?;
    asm.endbr64()?;
    asm.is_zero_at(layout.enabled())?;
    asm.je(pass)?;
    if let Some(caller) = caller {
        from(asm, layout, caller, pass)?;
    }
    asm.push(number as i32)?;
    asm.mark(Place::Pushed)?;
    asm.jmp(body)?;
    asm.mark(Place::Stub)?;
    asm.here(&mut pass)?;
    let point = layout.in_shared(layout::point(number));
    match target {
        Target::Slot(_) => {
            asm.load_at(R11, point)?;
            asm.jmp(qword_ptr(r11))
        }
        Target::Code(_) => asm.jmp_through(point),
    }
}

/// Goes on for calls that return to `caller`, and to `pass` for others. A call that another stub has seen returns to
/// a trampoline: whose place it takes stands in the table.
fn from(asm: &mut Asm, layout: &Layout, caller: &Range<u64>, pass: CodeLabel) -> Made {
    let pool = layout.pool();
    let constants = [
        pool.start,
        pool.start.wrapping_sub(caller.start),
        caller.end - caller.start,
        layout.in_shared(layout::TABLE),
    ];
    let mut labels = constants.map(|_| asm.create_label());
    let [start, apart, length, table] = labels.map(qword_ptr);
    let mut again = asm.create_label();
    let mut trampoline = asm.create_label();
    let mut inside = asm.create_label();
    asm.push(rax)?;
    asm.mark(Place::Checking)?;
    asm.mov(rax, qword_ptr(rsp + 8))?;
    asm.here(&mut again)?;
    asm.sub(rax, start)?;
    asm.cmp(rax, (pool.end - pool.start) as i32)?;
    asm.jb(trampoline)?;
    asm.add(rax, apart)?;
    asm.cmp(rax, length)?;
    asm.jb(inside)?;
    asm.pop(rax)?;
    asm.mark(Place::Stub)?;
    asm.jmp(pass)?;
    asm.mark(Place::Checking)?;
    asm.here(&mut trampoline)?;
    asm.and(eax, -(layout::TRAMPOLINE as i32))?;
    asm.add(rax, table)?;
    asm.mov(rax, qword_ptr(rax))?;
    asm.jmp(again)?;
    for (label, constant) in labels.iter_mut().zip(constants) {
        asm.here(label)?;
        asm.dq(&[constant])?;
    }
    asm.here(&mut inside)?;
    asm.pop(rax)?;
    asm.mark(Place::Stub)
}

/// The labels of a body.
struct Body {
    again: CodeLabel,
    full: CodeLabel,
    unrecorded: CodeLabel,
    unknown: CodeLabel,
    done: CodeLabel,
}

/// The body of all tracepoints of this shape whose functions are found in the same way.
pub(super) fn body(
    asm: &mut Asm,
    layout: &Layout,
    common: &Common,
    shape: &Shape,
    target: Target,
) -> Made {
    let mut l = Body {
        again: asm.create_label(),
        full: asm.create_label(),
        unrecorded: asm.create_label(),
        unknown: asm.create_label(),
        done: asm.create_label(),
    };
    enter(asm)?;
    if let Some(sample) = &shape.sample {
        draw(asm, layout, common, sample, l.unrecorded)?;
    }
    if shape.inner == Some(Inner::OfNew) {
        inner::pass_those_of_new(asm, layout, l.unrecorded)?;
    }
    common::ring(asm, layout, common.find, l.unrecorded)?;
    if let Some(Inner::LedTo { rank }) = shape.inner {
        inner::pass_those_led_to(asm, rank, l.unrecorded)?;
    }
    match shape.returns {
        Returns::Recorded => trampolines::choose(asm, layout, common.insert)?,
        Returns::Unrecorded => asm.mov(slot(frame::TRAMPOLINE), 0)?,
    }
    keep(asm, shape)?;
    if shape.asks.at_entry {
        common::call_ask(asm, common.ask, l.unrecorded)?;
    } else {
        if let Some(format) = shape.format {
            formats::find(asm, layout, format, l.unknown)?;
        }
        asm.here(&mut l.again)?;
        asm.mov(r10, qword_ptr(r11 + head::WRITE as i32))?;
        asm.cmp(r10, qword_ptr(r11 + head::LIMIT as i32))?;
        asm.ja(l.full)?;
        record(asm, shape)?;
        let fixed = CALL_FIXED + shape.entry_words();
        blobs::add(asm, layout, common, fixed, &shape.at_entry)?;
        if shape.walks {
            asm.call(common.walk)?;
            asm.test(eax, eax)?;
            asm.jne(l.unknown)?;
            asm.mov(rdx, qword_ptr(r11 + head::WRITE as i32))?;
            blobs::set_length(asm)?;
        }
        asm.mov(qword_ptr(r11 + head::WRITE as i32), r10)?;
    }
    go_on(asm, layout, &mut l, shape, target)?;
    asm.mark(Place::Body)?;
    if !shape.asks.at_entry {
        asm.here(&mut l.full)?;
        asm.call(common.space)?;
        asm.test(r11, r11)?;
        asm.jne(l.again)?;
        if shape.walks || shape.format.is_some() {
            asm.jmp(l.unrecorded)?;
            asm.here(&mut l.unknown)?;
            common::call_ask(asm, common.ask, l.unrecorded)?;
            asm.jmp(l.done)?;
            asm.mark(Place::Body)?;
        }
    }
    asm.here(&mut l.unrecorded)?;
    asm.mov(slot(frame::TRAMPOLINE), 0)?;
    asm.jmp(l.done)
}

/// Goes on for calls that are to be seen: one of the bytes is drawn that they ask for, or the release is wanted of what
/// they take back. To `none` for others. Clobbers `rax`, `rdx`, `r10`, `r11`.
///
/// A call that is drawn leaves the count as it is: after a signal it begins anew. The tracer draws the next byte.
fn draw(asm: &mut Asm, layout: &Layout, common: &Common, sample: &Sample, none: CodeLabel) -> Made {
    let mut drawn = asm.create_label();
    if let [Some(size), times] = sample.sizes {
        common::ring(asm, layout, common.find, none)?;
        let register = general(asm, size)?;
        asm.mov(r10, register)?;
        if let Some(times) = times {
            let register = general(asm, times)?;
            asm.imul_2(r10, register)?;
        }
        asm.cmp(qword_ptr(r11 + head::LEFT as i32), r10)?;
        asm.jb(drawn)?;
        asm.sub(qword_ptr(r11 + head::LEFT as i32), r10)?;
    }
    if let Some(old) = sample.old {
        let register = general(asm, old)?;
        asm.mov(rax, register)?;
        asm.shr(rax, blocks::IGNORED)?;
        asm.mov(rdx, rax)?;
        asm.shr(rdx, blocks::FOLDED)?;
        asm.xor(rax, rdx)?;
        asm.and(eax, blocks::MASK as i32)?;
        asm.lea_at(RDX, layout.in_shared(layout::BLOCKS))?;
        asm.cmp(word_ptr(rdx + rax * 2), 0)?;
        asm.jne(drawn)?;
    }
    if sample.key.is_some() {
        let mut other = asm.create_label();
        asm.lea(rax, slot(frame::RETURN_ADDRESS))?;
        asm.mov(rdx, qword_ptr(rax))?;
        asm.cmp(qword_ptr(r11 + head::LAST_FRAME as i32), rax)?;
        asm.jne(other)?;
        asm.cmp(qword_ptr(r11 + head::LAST_RETURN as i32), rdx)?;
        asm.je(none)?;
        asm.here(&mut other)?;
        // That of a trampoline was led to by a call that is seen.
        let pool = layout.pool();
        asm.lea_at(R10, pool.start)?;
        asm.neg(r10)?;
        asm.add(r10, rdx)?;
        asm.cmp(r10, (pool.end - pool.start) as i32)?;
        asm.jb(none)?;
        asm.mov(qword_ptr(r11 + head::LAST_FRAME as i32), rax)?;
        asm.mov(qword_ptr(r11 + head::LAST_RETURN as i32), rdx)?;
        asm.mov(eax, dword_ptr(rsp + frame::NUMBER))?;
        asm.mov(qword_ptr(r11 + head::LAST_NUMBER as i32), rax)?;
    }
    asm.jmp(none)?;
    asm.here(&mut drawn)
}

/// `rax` = the time, not before what was done so far: a block that comes from another thread is told behind what that one
/// did with it. Without the fence it may be read before the loads that come first (Intel SDM vol. 2, RDTSC). Clobbers
/// `rdx`.
pub(super) fn read_time(asm: &mut Asm) -> Made {
    asm.lfence()?;
    asm.rdtsc()?;
    asm.shl(rdx, 32)?;
    asm.or(rax, rdx)
}

/// Writes the part of a record that all of the shape's calls have, at `r10`.
fn record(asm: &mut Asm, shape: &Shape) -> Made {
    read_time(asm)?;
    asm.mov(qword_ptr(r10 + 8), rax)?;
    asm.mov(eax, dword_ptr(rsp + frame::NUMBER))?;
    asm.mov(dword_ptr(r10), eax)?;
    let words = CALL_FIXED + shape.entry_words();
    asm.mov(dword_ptr(r10 + 4), header_word(Kind::Call, words) as i32)?;
    asm.lea(rax, slot(frame::RETURN_ADDRESS))?;
    asm.mov(qword_ptr(r10 + 16), rax)?;
    asm.mov(rax, qword_ptr(rax))?;
    asm.mov(qword_ptr(r10 + 24), rax)?;
    let mut at = i32::from(CALL_FIXED) * 8;
    for number in 0..shape.general {
        let register = general(asm, number)?;
        asm.mov(qword_ptr(r10 + at), register)?;
        at += 8;
    }
    for register in &VECTOR[..usize::from(shape.vector)] {
        asm.movq(qword_ptr(r10 + at), *register)?;
        at += 8;
    }
    for word in 0..i32::from(shape.stack) {
        asm.mov(rax, slot(frame::RETURN_ADDRESS + 8 + 8 * word))?;
        asm.mov(qword_ptr(r10 + at), rax)?;
        at += 8;
    }
    let mut returns = asm.create_label();
    asm.cmp(slot(frame::TRAMPOLINE), 0)?;
    asm.jne(returns)?;
    asm.mov(byte_ptr(r10 + 4), Kind::CallOnly as i32)?;
    asm.here(&mut returns)
}

/// A general argument register, or `rax` with what it held.
fn general(asm: &mut Asm, number: u8) -> Made<AsmRegister64> {
    let register = GENERAL[usize::from(number)];
    if register != rdx {
        return Ok(register);
    }
    asm.mov(rax, slot(frame::RDX))?;
    Ok(rax)
}

/// Keeps the addresses that the return needs in the ring's entry for this frame. Whatever was kept there is of a
/// call in another place, which will find that it is not its own.
fn keep(asm: &mut Asm, shape: &Shape) -> Made {
    if shape.kept.is_empty() {
        return Ok(());
    }
    asm.lea(rax, slot(frame::RETURN_ADDRESS))?;
    asm.mov(slot(frame::SPILL[0]), rax)?;
    asm.mov(rdx, rax)?;
    blobs::kept_at(asm, r11)?;
    asm.mov(rax, slot(frame::SPILL[0]))?;
    asm.mov(qword_ptr(rdx), rax)?;
    asm.mov(eax, dword_ptr(rsp + frame::NUMBER))?;
    asm.mov(qword_ptr(rdx + 8), rax)?;
    for (index, source) in shape.kept.iter().enumerate() {
        let register = entry_source(asm, *source)?;
        asm.mov(qword_ptr(rdx + 16 + 8 * index), register)?;
    }
    Ok(())
}

/// The address that such a source has at entry, in its own register or in `rax`.
pub(super) fn entry_source(asm: &mut Asm, source: Source) -> Made<AsmRegister64> {
    match source {
        Source::General(number) => general(asm, number),
        Source::Stack(word) => {
            asm.mov(rax, slot(frame::RETURN_ADDRESS + 8 + 8 * i32::from(word)))?;
            Ok(rax)
        }
        // Only returns have these.
        Source::Kept(_) | Source::Result | Source::Errno(_) | Source::Before => {
            asm.xor(eax, eax)?;
            Ok(rax)
        }
    }
}

/// On to the function: by the trampoline, or as if nothing had happened.
fn go_on(asm: &mut Asm, layout: &Layout, l: &mut Body, shape: &Shape, target: Target) -> Made {
    let mut by_jump = asm.create_label();
    asm.mark(Place::Done)?;
    asm.here(&mut l.done)?;
    asm.mov(r10d, dword_ptr(rsp + frame::NUMBER))?;
    asm.shl(r10d, 4)?;
    asm.lea_at(RAX, layout.in_shared(layout::POINTS))?;
    asm.mov(rax, qword_ptr(rax + r10))?;
    if let Target::Slot(_) = target {
        asm.mov(rax, qword_ptr(rax))?;
    }
    asm.mov(slot(frame::TARGET), rax)?;
    restore(asm)?;
    if shape.returns == Returns::Recorded {
        asm.cmp(slot(frame::TRAMPOLINE), 0)?;
        asm.je(by_jump)?;
        const BEHIND: i32 = frame::RETURN_ADDRESS + 8;
        asm.lea(rsp, ptr(rsp + BEHIND))?;
        asm.notrack()
            .jmp(qword_ptr(rsp + (frame::TRAMPOLINE - BEHIND)))?;
    }
    asm.here(&mut by_jump)?;
    asm.lea(rsp, ptr(rsp + frame::RETURN_ADDRESS))?;
    asm.jmp(qword_ptr(rsp + (frame::TARGET - frame::RETURN_ADDRESS)))
}
