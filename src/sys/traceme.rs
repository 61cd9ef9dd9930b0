//! A child that asks to be traced by its parent (ptrace(2), PTRACE_TRACEME) while we trace it, since it still
//! shares memory with our int3s: a debugger's, between vfork(2) and execve(2). It is told that it is traced, and
//! becomes so when it runs its own program.

use super::memory::ProcessMemory;
use super::ptrace::Stopped;
use super::remote::next_stop_of;
use super::wait::Stop;
use super::{Error, Result};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use nix::errno::Errno;

/// What a system call's result is before the kernel has made it (ptrace(2), "Syscall-stops").
const NOT_YET: u64 = -(libc::ENOSYS as i64) as u64;

/// ptrace(2) and getpid(2), by their numbers (asm/unistd_32.h, asm/unistd_64.h), and what makes a system call.
fn facts(machine: Machine) -> (u64, u64, [u8; 2]) {
    match machine {
        Machine::Amd64 => (
            libc::SYS_ptrace as u64,
            libc::SYS_getpid as u64,
            [0x0f, 0x05],
        ),
        Machine::I386 => (26, 20, [0xcd, 0x80]),
    }
}

/// With these registers a task is about to ask its parent to trace it.
pub fn is_asked(regs: &Regs) -> bool {
    let (ptrace, _, _) = facts(regs.machine());
    let request = match regs.machine() {
        Machine::Amd64 => regs.rdi,
        Machine::I386 => regs.rbx,
    };
    let is_entry = regs.rax as i32 == -libc::ENOSYS;
    is_entry && regs.orig_rax == ptrace && request as u32 == libc::PTRACE_TRACEME
}

/// Skips the call at whose entry the task stands, which returns as if all were well.
///
/// # Errors
/// Those of ptrace(2).
pub fn skip(stopped: &Stopped, regs: &Regs) -> Result<()> {
    stopped.set_regs(&Regs {
        orig_rax: !0,
        rax: 0,
        ..*regs
    })
}

/// Lets go of a task that is at the first instruction of its program, so that its parent traces it from there:
/// it makes the call that was skipped, and stops by the SIGTRAP that follows an exec (ptrace(2), "execve(2)
/// under ptrace").
///
/// # Errors
/// Those of ptrace(2) and of the memory; the task is still ours then.
pub fn make_up_for(stopped: Stopped, memory: &ProcessMemory) -> Result<()> {
    let own = stopped.regs()?;
    let (ptrace, getpid, instruction) = facts(own.machine());
    let unwritable = |_| Error {
        call: "pwrite",
        errno: Errno::EIO,
    };
    let mut kept = [0; 2];
    let reading: &dyn Memory = memory;
    let at = Addr(own.rip);
    reading.read_exact(at, &mut kept).map_err(|_| Error {
        call: "process_vm_readv",
        errno: Errno::EFAULT,
    })?;
    memory.write(at, &instruction).map_err(unwritable)?;
    let entered = enter(&stopped, &own, getpid);
    let put_back = memory.write(at, &kept).map_err(unwritable);
    if let Err(why) = entered.and(put_back) {
        let _ = stopped.set_regs(&own);
        return Err(why);
    }
    // Which call it is, and where it returns to, is read from here on. All arguments are zero after an exec, as
    // those of PTRACE_TRACEME are.
    stopped.set_regs(&Regs {
        orig_rax: ptrace,
        rax: NOT_YET,
        ..own
    })?;
    let tid = stopped.tid().0;
    // SAFETY: tgkill takes numbers only; the task stands still, and its id, which its process has as well after
    // an exec, is its own.
    unsafe { libc::syscall(libc::SYS_tgkill, tid, tid, libc::SIGTRAP) };
    stopped.detach(None)
}

/// Takes the task to the entry of a system call that does nothing.
fn enter(stopped: &Stopped, own: &Regs, number: u64) -> Result<()> {
    stopped.set_regs(&Regs {
        rax: number,
        orig_rax: !0,
        ..*own
    })?;
    stopped.resume_to_syscall()?;
    next_stop_of(stopped.tid(), Stop::Syscall).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{NOT_YET, is_asked};
    use crate::base::regs::Regs;

    #[test]
    fn the_entry_of_the_request() {
        let asked = Regs {
            orig_rax: libc::SYS_ptrace as u64,
            rax: NOT_YET,
            cs: 0x33,
            ..Regs::default()
        };
        assert!(is_asked(&asked));
        assert!(!is_asked(&Regs { rax: 0, ..asked }));
        assert!(!is_asked(&Regs { rdi: 16, ..asked }));
    }
}
