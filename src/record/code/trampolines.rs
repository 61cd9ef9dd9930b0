//! Trampolines. Each pair of a return address and a tracepoint has its own, so that no state belongs to a thread:
//! longjmp, exceptions, coroutines and functions that return twice need nothing. A stub takes the return address off
//! the stack and jumps to the trampoline, whose call puts its own into the same word: the callee finds the stack as
//! its caller left it, and each `ret` matches a `call`.

use super::super::layout::{self, HASH_LOG2, Layout, MOST_TRAMPOLINES, TRAMPOLINE, header};
use super::asm::{Asm, GOLDEN, Made, frame, outer, slot};
use super::common::{restore, save};
use iced_x86::Register::{R10, RAX, RCX, RDI, RDX, RSI};
use iced_x86::code_asm::{
    AsmRegister64, CodeLabel, cl, dword_ptr, eax, ecx, edx, qword_ptr, r8, r8d, r9, r9d, r10, r10d,
    rax, rcx, rdi, rdx, rsi, rsp,
};

/// So many places of the hash are looked at.
const PROBES: i32 = 32;
/// A return address may be a trampoline's, where a traced function has led to another by a tail call. Chains are
/// not longer than this.
const MOST_CHAINED: i32 = 16;
/// In the table's number of the tracepoint: calls have no trampoline. Numbers are below it.
const NO_TRAMPOLINE: i32 = i32::MIN;
/// Where the return address stands behind the trampoline's call.
pub(in crate::record) const BEHIND_CALL: u64 = 4;
/// What a trampoline pushes is its number with this bit, so that it is not taken for that of a tracepoint. It falls
/// out where the number is multiplied.
pub(in crate::record) const PUSHED: u32 = 1 << 31;

/// One trampoline: `call [rsp + TARGET]; push number; jmp exit`.
pub(super) fn trampoline(layout: &Layout, number: u64, exit: u64) -> [u8; TRAMPOLINE as usize] {
    let at = layout.pool().start + number * TRAMPOLINE;
    let target = (frame::TARGET - frame::RETURN_ADDRESS - 8) as i8 as u8;
    let mut code = [0xcc; TRAMPOLINE as usize];
    code[..4].copy_from_slice(&[0xff, 0x54, 0x24, target]);
    code[4] = 0x68;
    code[5..9].copy_from_slice(&(number as u32 | PUSHED).to_le_bytes());
    code[9] = 0xe9;
    let jump = exit.wrapping_sub(at + 14) as u32;
    code[10..14].copy_from_slice(&jump.to_le_bytes());
    code
}

/// `index` = the place in the hash of the return address in `rax` for the tracepoint in `rdx`. Clobbers `rdx`.
fn hash(asm: &mut Asm, index: AsmRegister64) -> Made {
    asm.shl(rdx, 40)?;
    asm.add(rdx, rax)?;
    asm.mov(index, GOLDEN)?;
    asm.imul_2(index, rdx)?;
    asm.shr(index, 64 - HASH_LOG2)
}

/// In a stub: puts the trampoline's address into the frame, 0 when there is none. Clobbers `rax`, `rdx`, `r10`.
pub(super) fn choose(asm: &mut Asm, layout: &Layout, insert: u64) -> Made {
    let mut miss = asm.create_label();
    let mut chosen = asm.create_label();
    asm.mov(rax, slot(frame::RETURN_ADDRESS))?;
    asm.mov(edx, dword_ptr(rsp + frame::NUMBER))?;
    hash(asm, r10)?;
    asm.lea_at(RAX, layout.in_shared(layout::HASH))?;
    asm.mov(r10d, dword_ptr(rax + r10 * 4))?;
    asm.shl(r10d, 4)?;
    asm.lea_at(RAX, layout.in_shared(layout::TABLE))?;
    asm.add(rax, r10)?;
    asm.mov(rdx, slot(frame::RETURN_ADDRESS))?;
    asm.cmp(qword_ptr(rax), rdx)?;
    asm.jne(miss)?;
    asm.mov(edx, dword_ptr(rsp + frame::NUMBER))?;
    asm.cmp(dword_ptr(rax + 8), edx)?;
    asm.jne(miss)?;
    asm.lea_at(RAX, layout.pool().start)?;
    asm.add(rax, r10)?;
    asm.jmp(chosen)?;
    asm.here(&mut miss)?;
    asm.call(insert)?;
    asm.here(&mut chosen)?;
    asm.mov(slot(frame::TRAMPOLINE), rax)
}

/// The labels of `insert`.
struct Insert {
    check: CodeLabel,
    found: CodeLabel,
    none: CodeLabel,
    empty: CodeLabel,
    out: CodeLabel,
}

/// `rax` = the trampoline of the return address and the tracepoint in the frame, made when there is none yet; 0
/// when there cannot be. Clobbers `rdx`, `r10`.
///
/// An entry of the table is complete before its number enters the hash, which is one word: who finds a number finds
/// all. A number that was taken in vain, because another thread came first, stays unused.
pub(super) fn insert(asm: &mut Asm, layout: &Layout) -> Made<CodeLabel> {
    let start = asm.label_here()?;
    let mut l = Insert {
        check: asm.create_label(),
        found: asm.create_label(),
        none: asm.create_label(),
        empty: asm.create_label(),
        out: asm.create_label(),
    };
    save(asm)?;
    asm.mov(r8, outer(frame::RETURN_ADDRESS))?;
    asm.mov(r9d, dword_ptr(rsp + frame::NUMBER + 8))?;
    asm.mov(rax, r8)?;
    asm.mov(edx, r9d)?;
    hash(asm, r10)?;
    asm.lea_at(RSI, layout.in_shared(layout::HASH))?;
    asm.lea_at(RDI, layout.in_shared(layout::TABLE))?;
    asm.xor(edx, edx)?;
    asm.mov(ecx, PROBES)?;
    seek(asm, &mut l)?;
    asm.here(&mut l.found)?;
    asm.lea_at(RCX, layout.pool().start)?;
    asm.add(rax, rcx)?;
    asm.jmp(l.out)?;
    asm.here(&mut l.none)?;
    asm.xor(eax, eax)?;
    asm.here(&mut l.out)?;
    restore(asm)?;
    add(asm, layout, &mut l)?;
    Ok(start)
}

/// Looks for the pair in the hash, from the place in `r10` on.
fn seek(asm: &mut Asm, l: &mut Insert) -> Made {
    let mut next = asm.create_label();
    let probe = asm.label_here()?;
    asm.mov(eax, dword_ptr(rsi + r10 * 4))?;
    asm.test(eax, eax)?;
    asm.je(l.empty)?;
    asm.here(&mut l.check)?;
    asm.shl(rax, 4)?;
    asm.cmp(qword_ptr(rdi + rax), r8)?;
    asm.jne(next)?;
    asm.cmp(dword_ptr(rdi + rax + 8), r9d)?;
    asm.je(l.found)?;
    asm.xor(r9d, NO_TRAMPOLINE)?;
    asm.cmp(dword_ptr(rdi + rax + 8), r9d)?;
    asm.je(l.none)?;
    asm.xor(r9d, NO_TRAMPOLINE)?;
    asm.here(&mut next)?;
    asm.inc(r10d)?;
    asm.and(r10d, (1 << HASH_LOG2) - 1)?;
    asm.dec(ecx)?;
    asm.jne(probe)?;
    asm.jmp(l.none)
}

/// Puts the pair into the empty place.
fn add(asm: &mut Asm, layout: &Layout, l: &mut Insert) -> Made {
    let mut enter = asm.create_label();
    let mut entered = asm.create_label();
    asm.here(&mut l.empty)?;
    asm.test(edx, edx)?;
    asm.jne(enter)?;
    // Not counted on when there is none left: the tracer may add some.
    let next = layout.in_shared(header::NEXT_TRAMPOLINE);
    let most = layout.in_shared(header::TRAMPOLINES);
    asm.load_at(RAX, next)?;
    asm.cmp_at(RAX, most)?;
    asm.jae(l.none)?;
    asm.lea_at(RAX, next)?;
    asm.mov(edx, 1)?;
    asm.lock().xadd(qword_ptr(rax), rdx)?;
    asm.cmp_at(RDX, most)?;
    asm.jae(l.none)?;
    describe(asm, layout)?;
    asm.here(&mut enter)?;
    asm.xor(eax, eax)?;
    asm.lock().cmpxchg(dword_ptr(rsi + r10 * 4), edx)?;
    asm.je(entered)?;
    asm.jmp(l.check)?;
    asm.here(&mut entered)?;
    asm.mov(eax, edx)?;
    asm.jmp(l.check)
}

/// Fills the table's entry of the trampoline in `rdx`.
fn describe(asm: &mut Asm, layout: &Layout) -> Made {
    let mut end = asm.create_label();
    asm.mov(outer(frame::SPILL[0]), r10)?;
    asm.mov(outer(frame::SPILL[1]), rcx)?;
    asm.mov(rax, rdx)?;
    asm.shl(rax, 4)?;
    asm.mov(qword_ptr(rdi + rax), r8)?;
    asm.mov(dword_ptr(rdi + rax + 8), r9d)?;
    asm.lea_at(R10, layout.in_shared(layout::POINTS))?;
    asm.mov(rcx, r9)?;
    asm.shl(rcx, 4)?;
    asm.cmp(qword_ptr(r10 + rcx + 8), 0)?;
    asm.setne(cl)?;
    asm.movzx(ecx, cl)?;
    asm.mov(dword_ptr(rdi + rax + 12), ecx)?;
    // A function that leads back to itself by tail calls would make the chain longer each time.
    asm.lea_at(R10, layout.pool().start)?;
    asm.mov(rcx, r8)?;
    asm.mov(r8d, MOST_CHAINED)?;
    let mut endless = asm.create_label();
    let link = asm.label_here()?;
    asm.sub(rcx, r10)?;
    asm.cmp(rcx, (MOST_TRAMPOLINES * TRAMPOLINE) as i32)?;
    asm.jae(end)?;
    asm.and(rcx, -(TRAMPOLINE as i32))?;
    asm.cmp(dword_ptr(rdi + rcx + 8), r9d)?;
    asm.je(endless)?;
    asm.mov(rcx, qword_ptr(rdi + rcx))?;
    asm.dec(r8d)?;
    asm.jne(link)?;
    asm.here(&mut endless)?;
    asm.or(dword_ptr(rdi + rax + 8), NO_TRAMPOLINE)?;
    asm.here(&mut end)?;
    asm.mov(r8, outer(frame::RETURN_ADDRESS))?;
    asm.mov(r10, outer(frame::SPILL[0]))?;
    asm.mov(rcx, outer(frame::SPILL[1]))
}
