//! A signal frame that restores a task: what the kernel would have pushed, had a signal interrupted it
//! there (kernel: arch/x86/include/asm/sigframe.h, struct rt_sigframe). rt_sigreturn(2) undoes it.

use super::memory::ProcessMemory;
use super::ptrace::Stopped;
use crate::base::addr::Addr;
use crate::base::regs::Regs;

/// The leaf function's scratch area below the stack pointer, which nobody may touch (psABI 3.2.2).
const RED_ZONE: u64 = 128;
/// `struct ucontext` up to and with its signal mask, and `siginfo_t`.
const UCONTEXT: usize = 304;
const SIGINFO: usize = 128;
/// UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS (<asm/ucontext.h>).
const UC_FLAGS: u64 = 7;
/// `sw_reserved` of the legacy area: FP_XSTATE_MAGIC1 (<asm/sigcontext.h>).
const SW_RESERVED: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// XSTATE_BV, the features in use, in the XSAVE header. The kernel reports the features that the area
/// has room for in the unused bytes of the legacy area that ptrace gives (arch/x86/kernel/fpu/regset.c).
const XFEATURES: usize = 464;

/// Restart codes of interrupted system calls (include/linux/errno.h), and restart_syscall(2).
const ERESTARTSYS: i64 = -512;
const ERESTART_RESTARTBLOCK: i64 = -516;

/// Writes the frame below the stack pointer. The result is the stack pointer from which a `ret` goes to
/// `recovery` with the frame in place. `None`: the stack or the registers cannot be had.
pub(super) fn push(
    stopped: &Stopped,
    memory: &ProcessMemory,
    regs: &Regs,
    mask: u64,
    recovery: Addr,
) -> Option<u64> {
    let state = stopped.extended_state().ok()?;
    let floats = (regs.rsp.checked_sub(RED_ZONE + state.len() as u64 + 4)?) & !63;
    // After the `ret` the stack pointer is at the ucontext, 16-byte aligned as after a handler's.
    let context = (floats - (UCONTEXT + SIGINFO) as u64) & !15;
    let at = context - 8;
    let mut frame = recovery.0.to_le_bytes().to_vec();
    frame.extend(ucontext(regs, mask, floats));
    frame.resize((floats - at) as usize, 0);
    frame.extend(float_frame(state)?);
    memory.write(Addr(at), &frame).ok()?;
    Some(at)
}

/// uc_flags, uc_link, uc_stack; the general registers in the order of `struct sigcontext_64`; where the
/// floating-point ones are; the signal mask.
fn ucontext(regs: &Regs, mask: u64, floats: u64) -> Vec<u8> {
    let r = restarting(regs);
    // cs, gs, fs, ss share a word of 16 bits each.
    let segments = r.cs & 0xffff | (r.ss & 0xffff) << 48;
    let words = [
        // Flags that sigaltstack(2) refuses, so that the alternate stack stays as it is.
        UC_FLAGS, 0, 0, 4, 0, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi,
        r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp, r.rip, r.eflags, segments, 0, 0, mask, 0, floats,
        0, 0, 0, 0, 0, 0, 0, 0, mask,
    ];
    words
        .iter()
        .flat_map(|word: &u64| word.to_le_bytes())
        .collect()
}

/// What the kernel does to the registers of an interrupted system call before it restarts it; after a
/// sigreturn it would not.
fn restarting(regs: &Regs) -> Regs {
    let mut regs = *regs;
    let code = regs.rax as i64;
    if (regs.orig_rax as i64) < 0 || !(ERESTART_RESTARTBLOCK..=ERESTARTSYS).contains(&code) {
        return regs;
    }
    regs.rax = if code == ERESTART_RESTARTBLOCK {
        libc::SYS_restart_syscall as u64
    } else {
        regs.orig_rax
    };
    regs.rip = regs.rip.wrapping_sub(2);
    regs
}

/// The extended state as a signal frame holds it: with its size and features, and a mark at its end.
fn float_frame(mut state: Vec<u8>) -> Option<Vec<u8>> {
    let features: [u8; 8] = state.get(XFEATURES..XFEATURES + 8)?.try_into().ok()?;
    let size = state.len() as u32;
    let facts = [
        &MAGIC1.to_le_bytes()[..],
        &(size + 4).to_le_bytes(),
        &features,
        &size.to_le_bytes(),
    ]
    .concat();
    state
        .get_mut(SW_RESERVED..SW_RESERVED + facts.len())?
        .copy_from_slice(&facts);
    state.extend(MAGIC2.to_le_bytes());
    Some(state)
}
