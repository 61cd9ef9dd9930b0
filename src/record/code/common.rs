//! Subroutines of stubs and of the code for returns. They use the frame of their caller, so that the stack
//! pointer alone tells where saved registers are.

use super::super::labels::Place;
use super::super::layout::{self, Layout, head, header};
use super::super::ring::{Kind, header_word};
use super::asm::{Asm, GOLDEN, Made, frame, outer};
use iced_x86::Register::RAX;
use iced_x86::code_asm::{
    AsmRegister64, CodeLabel, dword_ptr, eax, edx, esi, ptr, qword_ptr, r8, r8d, r9, r10, r10d,
    r11, r11d, rax, rcx, rdi, rsi,
};

/// The thread id in a robust futex (FUTEX_TID_MASK).
const OWNER_ID: i32 = 0x3fff_ffff;
/// System calls by their numbers (arch/x86/entry/syscalls/syscall_64.tbl), and how one of them ends.
const FUTEX: i32 = 202;
const ETIMEDOUT: i32 = 110;
/// How often a thread wakes that waits for room.
const WAIT: [u64; 2] = [0, 50_000_000];
/// It gives up after 1 s of a tracer that reads nothing, or 60 s of one that reads other rings only: it may have little of
/// the processors.
const PATIENCE: i32 = 1200;
const IN_VAIN: i32 = 60;
/// As often it looks meanwhile where it may make no system call: some 50 ms, too.
const SPINS: i32 = 1 << 20;
/// How many places of the hash of threads are looked at.
pub(in crate::record) const THREAD_PROBES: u32 = 64;

/// What subroutines save, so that they may use it.
const SAVED: [(AsmRegister64, i32); 5] = [
    (rcx, frame::RCX),
    (rsi, frame::RSI),
    (rdi, frame::RDI),
    (r8, frame::R8),
    (r9, frame::R9),
];

/// Saves registers at the head of a subroutine.
pub(super) fn save(asm: &mut Asm) -> Made {
    asm.mark(Place::Called)?;
    for (register, offset) in SAVED {
        asm.mov(outer(offset), register)?;
    }
    asm.mark(Place::Saved)
}

/// Restores them and returns.
pub(super) fn restore(asm: &mut Asm) -> Made {
    for (register, offset) in SAVED {
        asm.mov(register, outer(offset))?;
    }
    asm.ret()
}

/// `r10` = the place of the thread's entry in their hash, `rax` = the hash, `r11` = the thread pointer.
fn hash_thread(asm: &mut Asm, layout: &Layout) -> Made {
    asm.mov(r11, qword_ptr(0).fs())?;
    asm.mov(r10, GOLDEN)?;
    asm.imul_2(r10, r11)?;
    asm.shr(r10, 64 - layout::THREADS_LOG2)?;
    asm.shl(r10d, 4)?;
    asm.lea_at(RAX, layout.in_shared(layout::THREADS))
}

/// `r11` = the head of the thread's ring; goes to `none` when it has none. Clobbers `rax`, `rdx`, `r10`.
pub(super) fn ring(asm: &mut Asm, layout: &Layout, find: u64, none: CodeLabel) -> Made {
    let mut found = asm.create_label();
    let mut seek = asm.create_label();
    hash_thread(asm, layout)?;
    asm.cmp(qword_ptr(rax + r10), r11)?;
    asm.jne(seek)?;
    asm.mov(r11, qword_ptr(rax + r10 + 8))?;
    asm.jmp(found)?;
    asm.here(&mut seek)?;
    asm.call(find)?;
    asm.here(&mut found)?;
    asm.test(r11, r11)?;
    asm.je(none)
}

/// The labels that `ask` has inside.
pub(super) struct Ask {
    pub(super) start: CodeLabel,
    /// Behind the int3.
    pub(super) asked: CodeLabel,
}

/// Stops the thread, so that the tracer sees a call or a return itself, unless there is no tracer: the zero flag
/// is set then. Behind the stop a thread only goes on.
///
/// One int3 serves all stubs, those of earlier tracers as well.
pub(super) fn ask(asm: &mut Asm, layout: &Layout) -> Made<Ask> {
    let mut out = asm.create_label();
    asm.mark(Place::Called)?;
    let start = asm.label_here()?;
    asm.test_at(layout.in_shared(header::OWNER), OWNER_ID)?;
    asm.je(out)?;
    asm.int3()?;
    asm.mark(Place::Done)?;
    let asked = asm.label_here()?;
    asm.here(&mut out)?;
    asm.ret()?;
    Ok(Ask { start, asked })
}

/// Calls [`ask`]; goes to `none` when there is no tracer.
pub(super) fn call_ask(asm: &mut Asm, ask: u64, none: CodeLabel) -> Made {
    asm.call(ask)?;
    asm.mark(Place::Done)?;
    asm.je(none)
}

/// The labels that `find` has inside.
pub(super) struct Find {
    pub(super) start: CodeLabel,
    /// Behind the int3 by which a thread asks for a ring.
    pub(super) claim: CodeLabel,
}

/// The same where the hash's first place is another thread's. A thread that is not in it stops at an int3, unless
/// there is no tracer to serve it.
pub(super) fn find(asm: &mut Asm, layout: &Layout) -> Made<Find> {
    let mut hit = asm.create_label();
    let mut ask = asm.create_label();
    let mut none = asm.create_label();
    asm.mark(Place::Called)?;
    let start = asm.label_here()?;
    hash_thread(asm, layout)?;
    asm.mov(edx, THREAD_PROBES as i32)?;
    let probe = asm.label_here()?;
    asm.cmp(qword_ptr(rax + r10), r11)?;
    asm.je(hit)?;
    asm.cmp(qword_ptr(rax + r10), 0)?;
    asm.je(ask)?;
    asm.add(r10d, 16)?;
    asm.and(r10d, (16 << layout::THREADS_LOG2) - 1)?;
    asm.dec(edx)?;
    asm.jne(probe)?;
    asm.here(&mut ask)?;
    asm.is_zero_at(layout.enabled())?;
    asm.je(none)?;
    asm.test_at(layout.in_shared(header::OWNER), OWNER_ID)?;
    asm.je(none)?;
    asm.int3()?;
    let claim = asm.label_here()?;
    asm.here(&mut none)?;
    asm.xor(r11d, r11d)?;
    asm.ret()?;
    asm.here(&mut hit)?;
    asm.mov(r11, qword_ptr(rax + r10 + 8))?;
    asm.ret()?;
    Ok(Find { start, claim })
}

/// The labels that `space` has inside.
struct Space {
    again: CodeLabel,
    wait: CodeLabel,
    none: CodeLabel,
    ok: CodeLabel,
    out: CodeLabel,
}

/// Makes room in the ring at `r11` for one more record, or waits until there is; `r11` = 0 when there will not be.
/// Clobbers `rax`, `rdx`, `r10`.
pub(super) fn space(asm: &mut Asm, layout: &Layout) -> Made<CodeLabel> {
    let mut time = asm.create_label();
    asm.here(&mut time)?;
    asm.dq(&WAIT)?;
    let start = asm.label_here()?;
    save(asm)?;
    let mut l = Space {
        again: asm.create_label(),
        wait: asm.create_label(),
        none: asm.create_label(),
        ok: asm.create_label(),
        out: asm.create_label(),
    };
    // System calls clobber r11.
    asm.mov(r9, r11)?;
    asm.xor(r8d, r8d)?;
    asm.here(&mut l.again)?;
    asm.is_zero_at(layout.enabled())?;
    asm.je(l.none)?;
    room(asm, &l)?;
    wait(asm, layout, &mut l, time)?;
    asm.here(&mut l.ok)?;
    asm.mov(qword_ptr(r9 + head::STALLED as i32), 0)?;
    asm.mov(r11, r9)?;
    asm.here(&mut l.out)?;
    restore(asm)?;
    Ok(start)
}

/// Sets the limit by what the tracer has read, going back to the ring's beginning when its end is near. Leaves the
/// tail in `r10` when there is no room.
fn room(asm: &mut Asm, l: &Space) -> Made {
    const MOST: i32 = layout::MOST_RECORD as i32;
    let mut behind = asm.create_label();
    let mut wrap = asm.create_label();
    let mut first = asm.create_label();
    let mut limit = asm.create_label();
    asm.mov(r10, qword_ptr(r9 + head::TAIL as i32))?;
    asm.mov(rcx, qword_ptr(r9 + head::WRITE as i32))?;
    asm.cmp(rcx, r10)?;
    asm.jb(behind)?;
    asm.mov(rax, qword_ptr(r9 + head::END as i32))?;
    asm.mov(rdi, rax)?;
    asm.sub(rdi, rcx)?;
    asm.cmp(rdi, MOST)?;
    asm.jb(wrap)?;
    asm.sub(rax, MOST)?;
    asm.jmp(limit)?;
    asm.here(&mut wrap)?;
    asm.mov(rax, r10)?;
    asm.sub(rax, qword_ptr(r9 + head::BASE as i32))?;
    asm.cmp(rax, MOST + 8)?;
    asm.jb(l.wait)?;
    asm.test(rdi, rdi)?;
    asm.je(first)?;
    asm.mov(dword_ptr(rcx), 0)?;
    asm.mov(dword_ptr(rcx + 4), header_word(Kind::Skip, 1) as i32)?;
    asm.here(&mut first)?;
    asm.mov(rcx, qword_ptr(r9 + head::BASE as i32))?;
    asm.mov(qword_ptr(r9 + head::WRITE as i32), rcx)?;
    asm.here(&mut behind)?;
    // The write position must not reach the tail: that would mean an empty ring.
    asm.mov(rax, r10)?;
    asm.sub(rax, rcx)?;
    asm.cmp(rax, MOST + 8)?;
    asm.jb(l.wait)?;
    asm.lea(rax, ptr(r10 - (MOST + 8)))?;
    asm.here(&mut limit)?;
    asm.mov(qword_ptr(r9 + head::LIMIT as i32), rax)?;
    asm.jmp(l.ok)
}

/// Waits for the tracer, which may be dead or stopped. The tail is in `r10`.
fn wait(asm: &mut Asm, layout: &Layout, l: &mut Space, time: CodeLabel) -> Made {
    let mut dead = asm.create_label();
    let mut lost = asm.create_label();
    let mut spin = asm.create_label();
    let mut waited = asm.create_label();
    let mut counted = asm.create_label();
    asm.here(&mut l.wait)?;
    asm.cmp(qword_ptr(r9 + head::STALLED as i32), r10)?;
    asm.je(lost)?;
    asm.test_at(layout.in_shared(header::OWNER), OWNER_ID)?;
    asm.je(dead)?;
    asm.mov(edx, dword_ptr(r9 + head::SEQUENCE as i32))?;
    asm.mov(eax, 1)?;
    // A barrier as well: the tail is looked at once more behind it.
    asm.xchg(dword_ptr(r9 + head::WAITING as i32), eax)?;
    asm.cmp(qword_ptr(r9 + head::TAIL as i32), r10)?;
    asm.jne(l.again)?;
    asm.is_zero_at(layout.in_shared(header::SANDBOXED))?;
    asm.jne(spin)?;
    asm.lea(rdi, ptr(r9 + head::SEQUENCE as i32))?;
    asm.xor(esi, esi)?;
    asm.lea(r10, ptr(time))?;
    asm.mov(eax, FUTEX)?;
    asm.syscall()?;
    asm.cmp(eax, -ETIMEDOUT)?;
    asm.jne(l.again)?;
    asm.here(&mut waited)?;
    asm.load_at(RAX, layout.in_shared(header::PROGRESS))?;
    asm.mov(edx, 1)?;
    asm.cmp(qword_ptr(r9 + head::PROGRESS as i32), rax)?;
    asm.mov(qword_ptr(r9 + head::PROGRESS as i32), rax)?;
    asm.jne(counted)?;
    asm.mov(edx, IN_VAIN)?;
    asm.here(&mut counted)?;
    asm.add(r8d, edx)?;
    asm.cmp(r8d, PATIENCE)?;
    asm.jb(l.again)?;
    asm.mov(r10, qword_ptr(r9 + head::TAIL as i32))?;
    asm.mov(qword_ptr(r9 + head::STALLED as i32), r10)?;
    asm.here(&mut lost)?;
    asm.inc(qword_ptr(r9 + head::LOST as i32))?;
    asm.jmp(l.none)?;
    asm.here(&mut dead)?;
    asm.clear_at(layout.enabled())?;
    asm.here(&mut l.none)?;
    asm.xor(r11d, r11d)?;
    asm.jmp(l.out)?;
    asm.here(&mut spin)?;
    asm.mov(edx, SPINS)?;
    let look = asm.label_here()?;
    asm.cmp(qword_ptr(r9 + head::TAIL as i32), r10)?;
    asm.jne(l.again)?;
    asm.pause()?;
    asm.dec(edx)?;
    asm.jne(look)?;
    asm.jmp(waited)
}
