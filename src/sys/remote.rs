//! A system call made by a tracee on our behalf.
//!
//! The stopped task's registers are set to the call and its instruction pointer to a `syscall`
//! instruction of its vDSO; after one step everything is put back, the interrupted call's number and
//! restart code included, so that a sleeping task goes on sleeping as if nothing had been
//! (kernel: arch/x86/kernel/signal.c, arch_do_signal_or_restart).

use super::ptrace::Stopped;
use super::wait::{self, Patience, Status, Stop};
use super::{Error, Result, proc};
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::{Pid, Tid};
use nix::errno::Errno;
use std::path::Path;

/// A `syscall` instruction in the process: the vDSO has one for the clocks it cannot read itself (vdso(7)).
pub fn find_syscall(pid: Pid, memory: &dyn Memory) -> Option<Addr> {
    let maps = proc::maps(pid).ok()?;
    let vdso = maps
        .iter()
        .filter(|m| m.executable && m.path == Path::new("[vdso]"));
    let others = maps.iter().filter(|m| {
        m.executable && m.path != Path::new("[vdso]") && m.path != Path::new("[vsyscall]")
    });
    vdso.chain(others).find_map(|mapping| {
        let length = (mapping.range.end - mapping.range.start).min(4 << 20);
        let mut code = vec![0; length as usize];
        let got = memory.read(Addr(mapping.range.start), &mut code).ok()?;
        let at = code[..got].windows(2).position(|two| two == [0x0f, 0x05])?;
        Some(Addr(mapping.range.start + at as u64))
    })
}

/// Makes the stopped task perform one system call; it is stopped as before when this returns. All its
/// signals are blocked meanwhile.
///
/// # Errors
/// The task was killed in the middle (ESRCH), or ptrace failed.
pub fn call(
    stopped: &Stopped,
    instruction: Addr,
    number: libc::c_long,
    args: [u64; 6],
) -> Result<std::result::Result<u64, Errno>> {
    let saved = stopped.regs()?;
    let mask = stopped.signal_mask()?;
    stopped.set_signal_mask(!0)?;
    let mut regs = saved;
    regs.rip = instruction.0;
    regs.rax = number as u64;
    // No system call is in progress as far as the kernel can see, so it does not restart one here.
    regs.orig_rax = !0;
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
    stopped.set_regs(&regs)?;
    let done = loop {
        stopped.step()?;
        let _stopped_again = next_stop(stopped.tid())?;
        let regs = stopped.regs()?;
        // A group-stop or an interrupt may come before the instruction is executed.
        if regs.rip != instruction.0 {
            break regs;
        }
    };
    stopped.set_regs(&saved)?;
    stopped.set_signal_mask(mask)?;
    let value = done.rax as i64;
    Ok(if (-4095..0).contains(&value) {
        Err(Errno::from_raw(-value as i32))
    } else {
        Ok(done.rax)
    })
}

/// Waits for the next stop of one task, leaving others alone.
pub fn next_stop(tid: Tid) -> Result<(Stopped, Stop)> {
    loop {
        match wait::look_at(tid, Patience::Block)? {
            Some(Status::Stopped(stopped, stop)) => return Ok((stopped, stop)),
            Some(_) => {
                return Err(Error {
                    call: "waitid",
                    errno: Errno::ESRCH,
                });
            }
            None => {}
        }
    }
}
