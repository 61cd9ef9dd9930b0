//! Tasks that are made so that no tracer learns of them (`CLONE_UNTRACED`, clone(2)), in memory that has our int3s:
//! LeakSanitizer makes one, which stops the others by ptrace(2). Without us it dies of an int3, as it has all
//! signals blocked, and the task that waits for it then waits for ever.

use crate::base::machine::Machine;
use crate::base::regs::Regs;
use nix::libc;

const UNTRACED: u64 = libc::CLONE_UNTRACED as u64;
const SHARING: u64 = libc::CLONE_VM as u64;

/// The registers of a task that is about to make such a one by clone(2), so that we are told of it.
pub(super) fn told_of(regs: &Regs) -> Option<Regs> {
    // System call numbers by asm/unistd_64.h and asm/unistd_32.h; the flags come first.
    let (number, flags) = match regs.machine() {
        Machine::Amd64 => (56, regs.rdi),
        Machine::I386 => (120, regs.rbx),
    };
    let is_meant = regs.rax == number && flags & UNTRACED != 0 && flags & SHARING != 0;
    is_meant.then(|| match regs.machine() {
        Machine::Amd64 => Regs {
            rdi: flags & !UNTRACED,
            ..*regs
        },
        Machine::I386 => Regs {
            rbx: flags & !UNTRACED,
            ..*regs
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_share_memory_and_would_not_be_told() {
        let check = |number: u64, flags: u64, expected: Option<u64>| {
            let regs = Regs {
                rax: number,
                rdi: flags,
                cs: 0x33,
                ..Regs::default()
            };
            assert_eq!(told_of(&regs).map(|told| told.rdi), expected, "{flags:#x}");
        };
        // As LeakSanitizer makes it: CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED.
        check(56, 0x80_0700, Some(0x700));
        check(56, 0x700, None);
        check(56, 0x80_0011, None);
        check(57, 0x80_0700, None);
    }
}
