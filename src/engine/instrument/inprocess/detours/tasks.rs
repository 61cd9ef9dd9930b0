//! Tasks between instructions that a jump is about to take the place of: they go on in the copy.

use super::moved::JUMP;
use super::{COPY, Detours};
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::Stopped;

/// How much of a stack is searched for signal frames.
const STACK: usize = 64 << 10;
/// From the return address of a signal frame, which leads to rt_sigreturn(2), to the saved instruction pointer
/// (arch/x86/include/asm/sigframe.h, struct rt_sigframe; asm/sigcontext.h, struct sigcontext_64).
const SAVED_IP: usize = 176;
/// How such code begins: `mov $15, %rax` or `mov $15, %eax`, and `syscall`.
const SIGRETURN: [&[u8]; 2] = [
    &[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05],
    &[0xb8, 15, 0, 0, 0, 0x0f, 0x05],
];

impl Detours {
    /// Where a task goes on whose instruction pointer is behind the beginning of a jump's place.
    fn instead(&self, ip: u64) -> Option<u64> {
        let (at, detour) = self.made.range(..ip).next_back()?;
        let offset = ip - at;
        let mut offsets = detour.offsets.iter().filter(|_| offset < JUMP as u64);
        let (_, new) = offsets.find(|(old, _)| *old == offset)?;
        Some(detour.slot + COPY + new)
    }

    /// Moves a task that stands still, and what it will come back to from signal handlers. To be done before the jumps
    /// are written.
    pub(in super::super) fn make_way(&self, stopped: &Stopped, memory: &ProcessMemory) {
        // One that is gone by now needs no help.
        let Ok(regs) = stopped.regs() else { return };
        if let Some(instead) = self.instead(regs.rip) {
            let _ = stopped.set_rip(instead);
        }
        let mut stack = vec![0; STACK];
        let got = memory.read(Addr(regs.rsp), &mut stack).unwrap_or_default();
        let words: Vec<u64> = stack[..got]
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        for (index, ip) in words.iter().enumerate().skip(SAVED_IP / 8) {
            let Some(instead) = self.instead(*ip) else {
                continue;
            };
            if leads_to_sigreturn(memory, words[index - SAVED_IP / 8]) {
                let at = Addr(regs.rsp).offset(8 * index as i64);
                // The stack of a task that stands still can be written.
                let _ = memory.write(at, &instead.to_le_bytes());
            }
        }
    }
}

fn leads_to_sigreturn(memory: &ProcessMemory, at: u64) -> bool {
    let mut code = [0; 9];
    let got = memory.read(Addr(at), &mut code).unwrap_or_default();
    SIGRETURN.iter().any(|begin| code[..got].starts_with(begin))
}
