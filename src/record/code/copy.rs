//! Copies memory of the target into a record, whatever the pointer is. Nothing faults: a page is read only once
//! the kernel has said that it can be, which is asked by a call without effect, `rt_sigprocmask` with an impossible
//! `how`: it reads the set first (kernel/signal.c), and fails with EFAULT or, as it can read it, with EINVAL.
//! Where a seccomp filter may forbid even that, pages are read at once, and the tracer helps where that faults.
//! Pages that were found readable are remembered for a while. `process_vm_readv` would do as well, at three times
//! the price, and sandboxes forbid it where they never forbid the other.

use super::super::layout::{Layout, head, header};
use super::asm::{Asm, Made, frame, outer};
use super::common::{restore, save};
use crate::record::labels::Fault;
use crate::record::shape::Ends;
use iced_x86::Register::RDI;
use iced_x86::code_asm::{
    CodeLabel, byte_ptr, cl, eax, ecx, edi, edx, esi, ptr, qword_ptr, r8, r9, r10, r10d, r11, rax,
    rcx, rdi, rdx, rsi,
};

const RT_SIGPROCMASK: i32 = 14;
const EINVAL: i32 = 22;
const PAGE: i32 = 4096;
/// How many pages a ring remembers, and what numbers them in bytes of their table.
const PAGES: i32 = 64;

/// The labels of one copying subroutine.
pub(super) struct Copy {
    pub(super) start: CodeLabel,
    end: CodeLabel,
    /// Around its loads.
    loads: [(CodeLabel, CodeLabel); 2],
}

impl Copy {
    /// Its entry first.
    pub(super) fn labels(&self) -> impl Iterator<Item = CodeLabel> + use<> {
        let [(word, after_word), (byte, after_byte)] = self.loads;
        [self.start, self.end, word, after_word, byte, after_byte].into_iter()
    }
}

/// Where it may fault after all, for a page that has gone since it was looked at: by the addresses of its labels.
pub(super) fn faults(labels: &[u64]) -> Vec<Fault> {
    let [_, resume, loads @ ..] = labels else {
        return Vec::new();
    };
    let fault = |load: &[u64]| Fault {
        at: load[0]..load[1],
        resume: *resume,
    };
    loads.chunks_exact(2).map(fault).collect()
}

/// The labels that it jumps to.
struct Inner {
    verified: CodeLabel,
    page: CodeLabel,
    zero: CodeLabel,
    end: CodeLabel,
}

/// Copies from `rax` to the blob at `r10` at most `edx` bytes, as far as memory is readable, for the ring at
/// `r11`; `r10` = the end of the blob. Clobbers `rax`, `rdx`.
pub(super) fn copy(asm: &mut Asm, layout: &Layout, ends: Ends) -> Made<Copy> {
    let start = asm.label_here()?;
    let mut l = Inner {
        verified: asm.create_label(),
        page: asm.create_label(),
        zero: asm.create_label(),
        end: asm.create_label(),
    };
    let mut probe = asm.create_label();
    save(asm)?;
    asm.mov(qword_ptr(r10), rax)?;
    asm.mov(outer(frame::BLOB), r10)?;
    asm.add(r10, 16)?;
    if ends == Ends::AtZero {
        asm.mov(r8, 0xfefe_fefe_fefe_feff_u64)?;
        asm.mov(r9, 0x8080_8080_8080_8080_u64)?;
    }
    asm.here(&mut l.page)?;
    page_key(asm, layout)?;
    asm.cmp(qword_ptr(r11 + rsi + head::PAGES as i32), rdi)?;
    asm.jne(probe)?;
    let loads = stretch(asm, &mut l, ends)?;
    finish(asm, &mut l)?;
    asm.here(&mut probe)?;
    ask(asm, layout, &l)?;
    Ok(Copy {
        start,
        end: l.end,
        loads,
    })
}

/// `rcx` = the page of the address in `rax`, `rsi` = its place in the table, `rdi` = what stands there when it
/// is known to be readable.
fn page_key(asm: &mut Asm, layout: &Layout) -> Made {
    asm.mov(rcx, rax)?;
    asm.and(rcx, -PAGE)?;
    asm.mov(rsi, rcx)?;
    asm.shr(rsi, 12 - 3)?;
    asm.and(esi, (PAGES - 1) * 8)?;
    asm.load_at(RDI, layout.in_shared(header::EPOCH))?;
    asm.xor(rdi, rcx)
}

/// Copies what lies in one page, by words and then by bytes.
fn stretch(asm: &mut Asm, l: &mut Inner, ends: Ends) -> Made<[(CodeLabel, CodeLabel); 2]> {
    let mut bytes = asm.create_label();
    let mut done = asm.create_label();
    asm.here(&mut l.verified)?;
    asm.lea(rdi, ptr(rcx + PAGE))?;
    asm.sub(rdi, rax)?;
    asm.cmp(rdi, rdx)?;
    asm.cmova(rdi, rdx)?;
    asm.sub(rdx, rdi)?;
    let words = asm.label_here()?;
    asm.cmp(rdi, 8)?;
    asm.jb(bytes)?;
    let word = asm.label_here()?;
    asm.mov(rcx, qword_ptr(rax))?;
    let after_word = asm.label_here()?;
    asm.mov(qword_ptr(r10), rcx)?;
    if ends == Ends::AtZero {
        // The lowest bit that is left is in the first byte that is zero.
        asm.lea(rsi, ptr(rcx + r8))?;
        asm.not(rcx)?;
        asm.and(rsi, rcx)?;
        asm.and(rsi, r9)?;
        asm.jne(l.zero)?;
    }
    asm.add(rax, 8)?;
    asm.add(r10, 8)?;
    asm.sub(rdi, 8)?;
    asm.jmp(words)?;
    asm.here(&mut bytes)?;
    asm.test(edi, edi)?;
    asm.je(done)?;
    let byte = asm.label_here()?;
    asm.movzx(ecx, byte_ptr(rax))?;
    let after_byte = asm.label_here()?;
    asm.mov(byte_ptr(r10), cl)?;
    asm.inc(rax)?;
    asm.inc(r10)?;
    asm.dec(edi)?;
    if ends == Ends::AtZero {
        asm.test(cl, cl)?;
        asm.je(l.end)?;
    }
    asm.jmp(bytes)?;
    asm.here(&mut done)?;
    asm.test(edx, edx)?;
    asm.jne(l.page)?;
    Ok([(word, after_word), (byte, after_byte)])
}

/// Notes how long the blob is, and aligns what follows.
fn finish(asm: &mut Asm, l: &mut Inner) -> Made {
    let mut aligned = asm.create_label();
    asm.jmp(aligned)?;
    asm.here(&mut l.zero)?;
    asm.bsf(rsi, rsi)?;
    asm.shr(esi, 3)?;
    asm.lea(r10, ptr(r10 + rsi + 1))?;
    asm.here(&mut l.end)?;
    asm.here(&mut aligned)?;
    asm.mov(rsi, outer(frame::BLOB))?;
    asm.mov(rcx, r10)?;
    asm.sub(rcx, rsi)?;
    asm.sub(rcx, 16)?;
    asm.mov(qword_ptr(rsi + 8), rcx)?;
    asm.add(r10, 7)?;
    asm.and(r10, -8)?;
    restore(asm)
}

/// Asks the kernel whether the page can be read.
fn ask(asm: &mut Asm, layout: &Layout, l: &Inner) -> Made {
    asm.is_zero_at(layout.in_shared(header::SANDBOXED))?;
    asm.jne(l.verified)?;
    let spilled = [rax, rdx, r10, r11];
    for (register, offset) in spilled.into_iter().zip(frame::SPILL) {
        asm.mov(outer(offset), register)?;
    }
    asm.mov(rsi, rcx)?;
    asm.mov(edi, -1)?;
    asm.xor(edx, edx)?;
    asm.mov(r10d, 8)?;
    asm.mov(eax, RT_SIGPROCMASK)?;
    asm.syscall()?;
    asm.cmp(eax, -EINVAL)?;
    for (register, offset) in spilled.into_iter().zip(frame::SPILL) {
        asm.mov(register, outer(offset))?;
    }
    asm.jne(l.end)?;
    page_key(asm, layout)?;
    asm.mov(qword_ptr(r11 + rsi + head::PAGES as i32), rdi)?;
    asm.jmp(l.verified)
}
