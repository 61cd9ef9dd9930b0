//! Walks a thread's stack from a call on, by the rules that the tracer has put into a table, and adds the return
//! addresses to the record.

use super::super::layout::{self, Layout, head};
use super::super::rules::{self, BY_RBP, BY_RSP, ROOT};
use super::super::view::RETURNS;
use super::asm::{Asm, GOLDEN, Made, frame, outer};
use super::common::{restore, save};
use iced_x86::Register::{RCX, RDX};
use iced_x86::code_asm::{
    CodeLabel, eax, ecx, edx, ptr, qword_ptr, r8, r9d, r10, r11, rax, rbp, rcx, rdi, rdx, rsi,
};

/// The labels of the walk.
struct Walk {
    next: CodeLabel,
    trampoline: CodeLabel,
    known: CodeLabel,
    done: CodeLabel,
    unknown: CodeLabel,
    out: CodeLabel,
}

/// Adds the return addresses at `r10`, for the ring at `r11`; `r10` = their end. `eax` is not zero when a frame is not
/// known: `r10` is as it was. Clobbers `rdx`.
pub(super) fn walk(asm: &mut Asm, layout: &Layout) -> Made<CodeLabel> {
    let start = asm.label_here()?;
    let mut l = Walk {
        next: asm.create_label(),
        trampoline: asm.create_label(),
        known: asm.create_label(),
        done: asm.create_label(),
        unknown: asm.create_label(),
        out: asm.create_label(),
    };
    save(asm)?;
    asm.mov(qword_ptr(r10), RETURNS as i32)?;
    asm.lea(rdi, ptr(r10 + 16))?;
    asm.lea(rsi, outer(frame::RETURN_ADDRESS))?;
    asm.mov(r8, rbp)?;
    asm.mov(r9d, rules::MOST_FRAMES as i32)?;
    asm.cmp(rsi, qword_ptr(r11 + head::STACK_START as i32))?;
    asm.jb(l.unknown)?;
    asm.cmp(rsi, qword_ptr(r11 + head::STACK_END as i32))?;
    asm.jae(l.unknown)?;
    asm.here(&mut l.next)?;
    return_address(asm, layout, &mut l)?;
    find_rule(asm, layout, &mut l)?;
    caller(asm, &l)?;
    asm.jmp(l.next)?;
    asm.here(&mut l.done)?;
    asm.mov(rax, rdi)?;
    asm.sub(rax, r10)?;
    asm.sub(rax, 16)?;
    asm.mov(qword_ptr(r10 + 8), rax)?;
    asm.mov(r10, rdi)?;
    asm.xor(eax, eax)?;
    asm.jmp(l.out)?;
    asm.here(&mut l.unknown)?;
    asm.mov(eax, 1)?;
    asm.here(&mut l.out)?;
    restore(asm)?;
    Ok(start)
}

/// `rax` = the return address at `rsi`, a trampoline's translated, and added at `rdi`.
fn return_address(asm: &mut Asm, layout: &Layout, l: &mut Walk) -> Made {
    let pool = layout.pool();
    let mut again = asm.create_label();
    let mut add = asm.create_label();
    asm.mov(rax, qword_ptr(rsi))?;
    asm.here(&mut again)?;
    asm.lea_at(RDX, pool.start)?;
    asm.mov(rcx, rax)?;
    asm.sub(rcx, rdx)?;
    asm.cmp(rcx, (pool.end - pool.start) as i32)?;
    asm.jae(add)?;
    asm.here(&mut l.trampoline)?;
    asm.and(ecx, -(layout::TRAMPOLINE as i32))?;
    asm.lea_at(RDX, layout.in_shared(layout::TABLE))?;
    asm.mov(rax, qword_ptr(rdx + rcx))?;
    asm.jmp(again)?;
    asm.here(&mut add)?;
    asm.test(rax, rax)?;
    asm.je(l.done)?;
    asm.mov(qword_ptr(rdi), rax)?;
    asm.add(rdi, 8)?;
    asm.dec(r9d)?;
    asm.je(l.done)
}

/// `rax` = the rule for the return address in `rax`.
fn find_rule(asm: &mut Asm, layout: &Layout, l: &mut Walk) -> Made {
    asm.mov(rdx, GOLDEN)?;
    asm.imul_2(rdx, rax)?;
    asm.shr(rdx, 64 - layout::RULES_LOG2)?;
    asm.shl(edx, 4)?;
    asm.lea_at(RCX, layout.in_shared(layout::RULES))?;
    let probe = asm.label_here()?;
    asm.cmp(qword_ptr(rcx + rdx), rax)?;
    asm.je(l.known)?;
    asm.cmp(qword_ptr(rcx + rdx), 0)?;
    asm.je(l.unknown)?;
    asm.add(edx, 16)?;
    asm.and(edx, (16 << layout::RULES_LOG2) - 1)?;
    asm.jmp(probe)?;
    asm.here(&mut l.known)?;
    asm.mov(rax, qword_ptr(rcx + rdx + 8))
}

/// `rsi` = where the caller's return address is, `r8` = its frame pointer, by the rule in `rax`.
fn caller(asm: &mut Asm, l: &Walk) -> Made {
    let mut by_rbp = asm.create_label();
    let mut add = asm.create_label();
    let mut same = asm.create_label();
    asm.mov(edx, eax)?;
    asm.and(edx, 3)?;
    asm.cmp(edx, ROOT as i32)?;
    asm.je(l.done)?;
    asm.cmp(edx, BY_RBP as i32)?;
    asm.je(by_rbp)?;
    asm.cmp(edx, BY_RSP as i32)?;
    asm.jne(l.unknown)?;
    asm.lea(rcx, ptr(rsi + 8))?;
    asm.jmp(add)?;
    asm.here(&mut by_rbp)?;
    asm.mov(rcx, r8)?;
    asm.here(&mut add)?;
    asm.movsxd(rdx, eax)?;
    asm.sar(rdx, 2)?;
    asm.add(rcx, rdx)?;
    // A caller's frame is above its callee's, on this stack, and aligned.
    asm.lea(rdx, ptr(rcx - 8))?;
    asm.cmp(rdx, rsi)?;
    asm.jbe(l.unknown)?;
    asm.cmp(rcx, qword_ptr(r11 + head::STACK_END as i32))?;
    asm.ja(l.unknown)?;
    asm.test(edx, 7)?;
    asm.jne(l.unknown)?;
    asm.sar(rax, 32)?;
    asm.je(same)?;
    asm.add(rax, rcx)?;
    asm.cmp(rax, rsi)?;
    asm.jbe(l.unknown)?;
    asm.cmp(rax, rdx)?;
    asm.ja(l.unknown)?;
    asm.mov(r8, qword_ptr(rax))?;
    asm.here(&mut same)?;
    asm.mov(rsi, rdx)
}
