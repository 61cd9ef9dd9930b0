//! A signal frame that restores a task: what the kernel would have pushed, had a signal interrupted it
//! there (kernel: arch/x86/include/asm/sigframe.h, struct rt_sigframe). rt_sigreturn(2) undoes it.
//!
//! It is the frame of 64-bit code, for tasks of 32 bits too: it holds their code segment.

use super::ptrace::Stopped;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::regs::Regs;
use std::arch::x86_64::__cpuid_count;

/// `struct ucontext` up to and with its signal mask. The kernel finds it at the stack pointer.
pub(super) const CONTEXT: usize = 304;
/// UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS (<asm/ucontext.h>).
const UC_FLAGS: u64 = 7;
/// `sw_reserved` of the legacy area: FP_XSTATE_MAGIC1 (<asm/sigcontext.h>).
const SW_RESERVED: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// The kernel reports the features that the area has room for in the unused bytes of the legacy area that
/// ptrace gives (arch/x86/kernel/fpu/regset.c).
const XFEATURES: usize = 464;
/// XSTATE_BV, the features in use, in the XSAVE header; and the end of that (Intel SDM vol. 1, 13.4.2).
const IN_USE: usize = 512;
const HEADER_END: usize = 576;

/// Restart codes of interrupted system calls (include/linux/errno.h).
const ERESTARTSYS: i64 = -512;
const ERESTART_RESTARTBLOCK: i64 = -516;

/// uc_flags, uc_link, uc_stack; the general registers in the order of `struct sigcontext_64`; where the
/// extended state is; the signal mask.
pub(super) fn context(regs: &Regs, mask: u64, state: Addr) -> Vec<u8> {
    let r = restarting(regs);
    // cs, gs, fs, ss share a word of 16 bits each.
    let segments = r.cs & 0xffff | (r.ss & 0xffff) << 48;
    let words = [
        // Flags that sigaltstack(2) refuses, so that the alternate stack stays as it is.
        UC_FLAGS, 0, 0, 4, 0, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi,
        r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp, r.rip, r.eflags, segments, 0, 0, mask, 0,
        state.0, 0, 0, 0, 0, 0, 0, 0, 0, mask,
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
    // restart_syscall(2): asm/unistd_64.h, asm/unistd_32.h.
    let (number, code, restart) = match regs.machine() {
        Machine::Amd64 => (regs.orig_rax as i64, regs.rax as i64, 219),
        Machine::I386 => (regs.orig_rax as i32 as i64, regs.rax as i32 as i64, 0),
    };
    if number < 0 || !(ERESTART_RESTARTBLOCK..=ERESTARTSYS).contains(&code) {
        return regs;
    }
    regs.rax = match code {
        ERESTART_RESTARTBLOCK => restart,
        _ => regs.orig_rax,
    };
    regs.rip = regs.rip.wrapping_sub(2);
    regs
}

/// The task's extended state as a signal frame holds it: with its size and features, and a mark at its end.
/// What lies beyond the last feature in use is left out. `None`: it cannot be had.
pub(super) fn state(stopped: &Stopped) -> Option<Vec<u8>> {
    let mut state = stopped.extended_state().ok()?;
    let features: [u8; 8] = state.get(XFEATURES..XFEATURES + 8)?.try_into().ok()?;
    let in_use = state.get(IN_USE..IN_USE + 8)?.try_into().ok()?;
    state.truncate(extent(u64::from_le_bytes(in_use)));
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

/// Where the last of these features ends in the standard format. The first two are in the legacy area (Intel
/// SDM vol. 1, 13.4.3: CPUID leaf 0xd gives each one's size in EAX and its offset in EBX).
fn extent(features: u64) -> usize {
    let end = |feature| {
        // SAFETY: a processor with features in a signal frame's extended state has CPUID leaf 0xd. (Safe since
        // Rust 1.94, hence the lint.)
        #[allow(unused_unsafe)]
        let place = unsafe { __cpuid_count(0xd, feature) };
        (place.ebx + place.eax) as usize
    };
    let used = (2..63).filter(|feature| features & 1 << feature != 0);
    used.map(end).max().unwrap_or(0).max(HEADER_END)
}

#[cfg(test)]
mod tests {
    use super::{extent, restarting};
    use crate::base::regs::Regs;

    #[test]
    fn only_features_in_use_take_room() {
        assert_eq!(extent(0b11), 576);
        if std::is_x86_feature_detected!("avx") {
            // 16 upper halves of 16 bytes, behind the header.
            assert_eq!(extent(0b111), 832);
        }
    }

    #[track_caller]
    fn check_restart(cs: u64, (number, result): (u64, u64), (rip, rax): (u64, u64)) {
        let interrupted = Regs {
            cs,
            orig_rax: number,
            rax: result,
            rip: 0x1002,
            ..Regs::default()
        };
        let restarted = restarting(&interrupted);
        assert_eq!((restarted.rip, restarted.rax), (rip, rax));
    }

    #[test]
    fn interrupted_calls_are_made_again() {
        let (amd64, i386) = (0x33, 0x23);
        check_restart(amd64, (7, -512i64 as u64), (0x1000, 7));
        check_restart(amd64, (35, -516i64 as u64), (0x1000, 219));
        check_restart(amd64, (7, -4i64 as u64), (0x1002, -4i64 as u64));
        check_restart(amd64, (!0, -512i64 as u64), (0x1002, -512i64 as u64));
        check_restart(i386, (168, -512i64 as u64), (0x1000, 168));
        check_restart(i386, (162, -516i32 as u32 as u64), (0x1000, 0));
        check_restart(
            i386,
            (!0 >> 32, -516i32 as u32 as u64),
            (0x1002, -516i32 as u32 as u64),
        );
    }
}
