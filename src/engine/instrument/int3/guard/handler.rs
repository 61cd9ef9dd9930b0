//! The machine code of the guard: a handler, `void (int signal, siginfo_t *, ucontext_t *)`, and behind it
//! the restorer that the kernel has handlers return to. It may use every register: rt_sigreturn(2) brings
//! them back.
//!
//! A handler that the program installs later may find ours to be the one before it, and call it for what
//! it does not know itself. Then it is not to be called back: the program's first action has its turn.

use crate::base::machine::Machine;
use crate::engine::instrument::int3::guard::{
    DEFAULT_ACTION, ENTRIES_LOG2, FIRST_ACTION, GOLDEN, HEADER, NEW_ACTION, OLD_ACTION,
    ORIGINAL_SHIFT,
};
use iced_x86::code_asm::*;
use iced_x86::{BlockEncoderOptions, IcedError};
use nix::libc;

/// Offset of `uc_mcontext.gregs[REG_RIP]` in `ucontext_t` (<sys/ucontext.h>).
const UCONTEXT_RIP: i32 = 168;
/// The same of REG_EIP in i386's: uc_flags, uc_link, uc_stack of 3 words, and 14 words of
/// `struct sigcontext_32` (<asm/sigcontext.h>) stand before it.
const UCONTEXT_EIP: i32 = 76;

/// The code that goes to the address `code` and uses the table at `table`, and where its restorer begins.
pub(super) fn assemble(
    machine: Machine,
    code: u64,
    table: u64,
) -> Result<(Vec<u8>, u64), IcedError> {
    match machine {
        Machine::Amd64 => amd64(code, table),
        Machine::I386 => i386(code, table),
    }
}

/// The places in a handler that are jumped to.
struct Labels {
    missing: CodeLabel,
    default: CodeLabel,
    done: CodeLabel,
    restorer: CodeLabel,
}

impl Labels {
    fn new(a: &mut CodeAssembler) -> Labels {
        Labels {
            missing: a.create_label(),
            default: a.create_label(),
            done: a.create_label(),
            restorer: a.create_label(),
        }
    }
}

fn amd64(code: u64, table: u64) -> Result<(Vec<u8>, u64), IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let mut labels = Labels::new(&mut a);
    look_up_amd64(&mut a, table, &labels)?;
    a.set_label(&mut labels.missing)?;
    call_own_amd64(&mut a, table, &labels)?;
    a.set_label(&mut labels.default)?;
    raise_amd64(&mut a)?;
    a.set_label(&mut labels.done)?;
    a.ret()?;
    a.set_label(&mut labels.restorer)?;
    a.mov(eax, libc::SYS_rt_sigreturn as i32)?;
    a.syscall()?;
    finish(a, code, &labels.restorer)
}

/// The instruction pointer is looked up in the table, and what stands there takes its place.
fn look_up_amd64(a: &mut CodeAssembler, table: u64, labels: &Labels) -> Result<(), IcedError> {
    let (mut probe, mut found) = (a.create_label(), a.create_label());
    a.mov(rax, qword_ptr(rdx + UCONTEXT_RIP))?;
    a.mov(rcx, table + HEADER)?;
    a.mov(r8, GOLDEN)?;
    a.imul_2(r8, rax)?;
    a.shr(r8, 64 - ENTRIES_LOG2)?;
    a.set_label(&mut probe)?;
    a.mov(r9, r8)?;
    a.shl(r9, 4)?;
    a.mov(r10, qword_ptr(rcx + r9))?;
    a.cmp(r10, rax)?;
    a.je(found)?;
    a.test(r10, r10)?;
    a.je(labels.missing)?;
    a.inc(r8)?;
    a.and(r8d, (1 << ENTRIES_LOG2) - 1)?;
    a.jmp(probe)?;
    a.set_label(&mut found)?;
    a.mov(r10, qword_ptr(rcx + r9 + 8))?;
    a.shl(r10, 64 - ORIGINAL_SHIFT)?;
    a.shr(r10, 64 - ORIGINAL_SHIFT)?;
    a.mov(qword_ptr(rdx + UCONTEXT_RIP), r10)?;
    a.ret()
}

/// Not ours: the program's own handler, if it has one. The kernel has us return to our restorer.
fn call_own_amd64(a: &mut CodeAssembler, table: u64, labels: &Labels) -> Result<(), IcedError> {
    let mut chosen = a.create_label();
    a.mov(rcx, table)?;
    a.mov(rax, qword_ptr(rcx + OLD_ACTION as i32))?;
    a.mov(r8, qword_ptr(rcx + (NEW_ACTION + 16) as i32))?;
    a.cmp(r8, qword_ptr(rsp))?;
    a.je(chosen)?;
    a.mov(rax, qword_ptr(rcx + FIRST_ACTION as i32))?;
    a.set_label(&mut chosen)?;
    a.test(rax, rax)?;
    a.je(labels.default)?;
    a.cmp(rax, 1)?;
    a.je(labels.done)?;
    a.jmp(rax)
}

/// It has none: the signal once more, to a process that does not handle it. `rcx` is the table.
fn raise_amd64(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(edi, libc::SIGTRAP)?;
    a.lea(rsi, qword_ptr(rcx + DEFAULT_ACTION as i32))?;
    a.xor(edx, edx)?;
    a.mov(r10d, 8)?;
    a.mov(eax, libc::SYS_rt_sigaction as i32)?;
    a.syscall()?;
    a.mov(eax, libc::SYS_getpid as i32)?;
    a.syscall()?;
    a.mov(r8d, eax)?;
    a.mov(eax, libc::SYS_gettid as i32)?;
    a.syscall()?;
    a.mov(esi, eax)?;
    a.mov(edi, r8d)?;
    a.mov(edx, libc::SIGTRAP)?;
    a.mov(eax, libc::SYS_tgkill as i32)?;
    a.syscall()
}

/// Where i386 handlers find their arguments, behind the return address.
const SIGNAL: i32 = 4;
const CONTEXT: i32 = 12;

/// System calls by asm/unistd_32.h.
fn i386(code: u64, table: u64) -> Result<(Vec<u8>, u64), IcedError> {
    let mut a = CodeAssembler::new(32)?;
    let mut labels = Labels::new(&mut a);
    look_up_i386(&mut a, table, &labels)?;
    a.set_label(&mut labels.missing)?;
    call_own_i386(&mut a, table, &labels)?;
    a.set_label(&mut labels.default)?;
    raise_i386(&mut a, table)?;
    a.set_label(&mut labels.done)?;
    a.ret()?;
    a.set_label(&mut labels.restorer)?;
    a.mov(eax, 173)?; // rt_sigreturn
    a.int(0x80)?;
    finish(a, code, &labels.restorer)
}

fn look_up_i386(a: &mut CodeAssembler, table: u64, labels: &Labels) -> Result<(), IcedError> {
    let (mut probe, mut found) = (a.create_label(), a.create_label());
    let entries = (table + HEADER) as i32;
    a.mov(edx, dword_ptr(esp + CONTEXT))?;
    a.mov(ecx, dword_ptr(edx + UCONTEXT_EIP))?;
    // The upper half of the product of 64 bits: the key has no upper half.
    a.mov(eax, GOLDEN as u32)?;
    a.mul(ecx)?;
    a.imul_3(ebx, ecx, (GOLDEN >> 32) as i32)?;
    a.add(edx, ebx)?;
    a.shr(edx, 32 - ENTRIES_LOG2)?;
    a.set_label(&mut probe)?;
    a.mov(eax, edx)?;
    a.shl(eax, 4)?;
    a.mov(esi, dword_ptr(eax + entries))?;
    a.cmp(esi, ecx)?;
    a.je(found)?;
    a.test(esi, esi)?;
    a.je(labels.missing)?;
    a.inc(edx)?;
    a.and(edx, (1 << ENTRIES_LOG2) - 1)?;
    a.jmp(probe)?;
    a.set_label(&mut found)?;
    a.mov(esi, dword_ptr(eax + (entries + 8)))?;
    a.mov(edx, dword_ptr(esp + CONTEXT))?;
    a.mov(dword_ptr(edx + UCONTEXT_EIP), esi)?;
    a.ret()
}

fn call_own_i386(a: &mut CodeAssembler, table: u64, labels: &Labels) -> Result<(), IcedError> {
    let mut chosen = a.create_label();
    a.mov(ebx, dword_ptr((table + OLD_ACTION) as i32))?;
    a.mov(ecx, dword_ptr((table + NEW_ACTION + 8) as i32))?;
    a.cmp(ecx, dword_ptr(esp))?;
    a.je(chosen)?;
    a.mov(ebx, dword_ptr((table + FIRST_ACTION) as i32))?;
    a.set_label(&mut chosen)?;
    a.test(ebx, ebx)?;
    a.je(labels.default)?;
    a.cmp(ebx, 1)?;
    a.je(labels.done)?;
    // Where the kernel has the arguments a second time, for handlers that take them in registers.
    a.mov(eax, dword_ptr(esp + SIGNAL))?;
    a.mov(edx, dword_ptr(esp + (SIGNAL + 4)))?;
    a.mov(ecx, dword_ptr(esp + CONTEXT))?;
    a.jmp(ebx)
}

fn raise_i386(a: &mut CodeAssembler, table: u64) -> Result<(), IcedError> {
    a.mov(eax, 174)?; // rt_sigaction
    a.mov(ebx, libc::SIGTRAP)?;
    a.mov(ecx, (table + DEFAULT_ACTION) as u32)?;
    a.xor(edx, edx)?;
    a.mov(esi, 8)?;
    a.int(0x80)?;
    a.mov(eax, 20)?; // getpid
    a.int(0x80)?;
    a.mov(ebx, eax)?;
    a.mov(eax, 224)?; // gettid
    a.int(0x80)?;
    a.mov(ecx, eax)?;
    a.mov(edx, libc::SIGTRAP)?;
    a.mov(eax, 270)?; // tgkill
    a.int(0x80)
}

fn finish(
    mut a: CodeAssembler,
    code: u64,
    restorer: &CodeLabel,
) -> Result<(Vec<u8>, u64), IcedError> {
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let assembled = a.assemble_options(code, options)?;
    let restorer = assembled.label_ip(restorer)?;
    Ok((assembled.inner.code_buffer, restorer))
}

#[cfg(test)]
mod tests {
    use super::assemble;
    use crate::base::machine::Machine;

    #[track_caller]
    fn check(machine: Machine, restorer: &[u8]) {
        // The upper half of i386's addresses, where its mappings are.
        let (code, at) = assemble(machine, 0x1000, 0xf7d0_0000).unwrap();
        assert!(code.len() < 512);
        assert_eq!(code[(at - 0x1000) as usize..], *restorer);
    }

    #[test]
    fn handlers_fit_their_page() {
        // mov eax, 15; syscall
        check(Machine::Amd64, &[0xb8, 15, 0, 0, 0, 0x0f, 0x05]);
        // mov eax, 173; int 0x80
        check(Machine::I386, &[0xb8, 173, 0, 0, 0, 0xcd, 0x80]);
    }
}
