//! A system call made by a tracee on our behalf.
//!
//! The stopped task's registers are set to the call and its instruction pointer to a `syscall`
//! instruction of its own code; after the call everything is put back, the interrupted call's number and
//! restart code included, so that a sleeping task goes on sleeping as if nothing had been
//! (kernel: arch/x86/kernel/signal.c, arch_do_signal_or_restart). No single-step: its SIGTRAP would be
//! delivered if we died at it.
//!
//! Should we be killed in the middle, the task would go on behind that instruction with registers that
//! are not its own. So the instruction is one with a `ret` behind it where there is such a thing, and the
//! stack is made to return into rt_sigreturn(2) with a frame that restores the task (see `sigframe`).

use super::memory::ProcessMemory;
use super::ptrace::{self, Seccomp, Stopped};
use super::wait::{self, Patience, Status, Stop};
use super::{Error, Result, proc, sigframe};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::base::{Pid, Tid};
use nix::errno::Errno;
use std::path::Path;
use std::time::{Duration, Instant};

/// A system call that a tracee can be made to perform. Its arguments are the same on each machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// mmap(2); on i386 mmap2(2), which counts the offset in pages.
    Map,
    /// rt_sigaction(2), with the kernel's own structures.
    SignalAction,
    /// clone(2), whose last two arguments are in another order on i386.
    Clone,
    /// wait4(2)
    Wait,
}

impl Call {
    /// Its number (asm/unistd_64.h, asm/unistd_32.h).
    fn number(self, machine: Machine) -> u64 {
        match (self, machine) {
            (Call::Map, Machine::Amd64) => 9,
            (Call::Map, Machine::I386) => 192,
            (Call::SignalAction, Machine::Amd64) => 13,
            (Call::SignalAction, Machine::I386) => 174,
            (Call::Clone, Machine::Amd64) => 56,
            (Call::Clone, Machine::I386) => 120,
            (Call::Wait, Machine::Amd64) => 61,
            (Call::Wait, Machine::I386) => 114,
        }
    }
}

/// `syscall; ret`
const SYSCALL_RET: [u8; 3] = [0x0f, 0x05, 0xc3];
/// `mov $15, %rax; syscall`: what the C libraries' signal handlers return through.
const SIGRETURN: [u8; 9] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
/// `int $0x80`, how 32-bit code calls the kernel. Nothing like the recovery exists there: a task whose tracer
/// dies in the middle of a call is lost.
const INT_80: [u8; 2] = [0xcd, 0x80];
/// No module's text is longer than is looked through for these.
const MOST_TEXT: u64 = 8 << 20;
/// How long a task may take to stop that has one system call to make.
const UNDOING: Duration = Duration::from_millis(200);

/// How a process makes system calls for us.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    /// Whose system calls they are.
    pub(super) machine: Machine,
    /// A `syscall` instruction, or `int $0x80`.
    pub instruction: Addr,
    /// Code that calls rt_sigreturn(2), when a `ret` follows the instruction.
    pub recovery: Option<Addr>,
}

/// Whether a task can be made to perform system calls without harm: no seccomp filter stands before them,
/// or we may suspend it (PTRACE_O_SUSPEND_SECCOMP takes CAP_SYS_ADMIN).
pub fn may_call(stopped: &Stopped) -> bool {
    !is_sandboxed(stopped.tid())
        || stopped
            .set_seccomp(Seccomp::Suspended)
            .and_then(|()| stopped.set_seccomp(Seccomp::Enforced))
            .is_ok()
}

/// A seccomp filter that is not ours as well judges the task's system calls, and may kill it for one that
/// we want. All processes of a container have a filter, and it lets what we need pass, as it let us.
fn is_sandboxed(tid: Tid) -> bool {
    let field = |tid, name| proc::status_field(tid, name).and_then(|n| n.parse::<u32>().ok());
    let ours = Tid(std::process::id() as i32);
    let filters = |tid| field(tid, "Seccomp_filters");
    // SECCOMP_MODE_STRICT and SECCOMP_MODE_FILTER (proc_pid_status(5), "Seccomp").
    match field(tid, "Seccomp") {
        None | Some(0) => false,
        Some(2) => filters(tid) > filters(ours) || field(ours, "Seccomp") == Some(0),
        Some(_) => true,
    }
}

impl Remote {
    /// Finds the instructions in the process: both of them in its C library, or at least a `syscall` in its
    /// vDSO, which has one for the clocks it cannot read itself (vdso(7)).
    pub fn find(pid: Pid, memory: &dyn Memory) -> Option<Remote> {
        let maps = proc::maps(pid).ok()?;
        let mut code = maps
            .iter()
            .filter(|m| m.executable && m.path != Path::new("[vsyscall]"))
            .map(|mapping| Code::read(memory, mapping));
        let machine = memory.machine();
        let (instruction, recovery) = match machine {
            Machine::Amd64 => with_recovery(code)?,
            Machine::I386 => (code.find_map(|code| code.find(&INT_80))?, None),
        };
        Some(Remote {
            machine,
            instruction,
            recovery,
        })
    }

    /// Whether the byte at this address belongs to what it needs of the process's code.
    pub fn uses(&self, at: Addr) -> bool {
        let holds = |start: Addr, length: usize| at.0.wrapping_sub(start.0) < length as u64;
        holds(self.instruction, SYSCALL_RET.len())
            || self
                .recovery
                .is_some_and(|start| holds(start, SIGRETURN.len()))
    }

    /// Makes the stopped task perform one system call; it is stopped as before when this returns. All its
    /// signals are blocked meanwhile.
    ///
    /// # Errors
    /// The call's own; or the task was killed in the middle (ESRCH), or ptrace failed; or a seccomp filter
    /// stands before the call and we may not suspend it (EPERM; PTRACE_O_SUSPEND_SECCOMP takes
    /// CAP_SYS_ADMIN).
    pub fn call(
        &self,
        stopped: &Stopped,
        memory: &ProcessMemory,
        call: Call,
        args: [u64; 6],
    ) -> Result<u64> {
        self.perform_freely(stopped, memory, call, args)
            .map(|(result, _)| result)
    }

    /// Makes the task clone(2) itself; its child is not resumed from its first stop.
    ///
    /// # Errors
    /// As of [`Remote::call`].
    pub(super) fn clone(
        &self,
        stopped: &Stopped,
        memory: &ProcessMemory,
        flags: u64,
        stack: u64,
    ) -> Result<Child> {
        let args = [flags, stack, 0, 0, 0, 0];
        let (own, tid) = self.perform_freely(stopped, memory, Call::Clone, args)?;
        let tid = tid.ok_or(gone())?;
        Ok(Child { tid, own })
    }

    /// Performs a call, out of the reach of a sandbox. The result is the kernel's, and who was made.
    fn perform_freely(
        &self,
        stopped: &Stopped,
        memory: &ProcessMemory,
        call: Call,
        args: [u64; 6],
    ) -> Result<(u64, Option<Tid>)> {
        // A process may enter its sandbox at any time.
        let is_sandboxed = is_sandboxed(stopped.tid());
        if is_sandboxed {
            stopped.set_seccomp(Seccomp::Suspended)?;
        }
        let result = self.perform(stopped, memory, call, args);
        if is_sandboxed {
            stopped.set_seccomp(Seccomp::Enforced)?;
        }
        result
    }

    fn perform(
        &self,
        stopped: &Stopped,
        memory: &ProcessMemory,
        call: Call,
        args: [u64; 6],
    ) -> Result<(u64, Option<Tid>)> {
        let saved = stopped.regs()?;
        let mask = stopped.signal_mask()?;
        stopped.set_signal_mask(!0)?;
        let mut regs = saved;
        if let Some(recovery) = self.recovery
            && let Some(rsp) = sigframe::push(stopped, memory, &saved, mask, recovery)
        {
            regs.rsp = rsp;
        }
        self.set_up(&mut regs, call, args);
        let passed = pass_through(stopped, &regs).and_then(|passed| {
            stopped.set_regs(&saved)?;
            stopped.set_signal_mask(mask)?;
            if matches!(passed.last, Stop::Group(_)) {
                // Interrupted, it falls back into its group-stop before it executes anything
                // (kernel/signal.c, do_jobctl_trap).
                ptrace::interrupt(stopped.tid())?;
            }
            Ok(passed)
        });
        if passed.is_err() {
            undo(stopped, saved, mask);
        }
        let Passed { done, child, .. } = passed?;
        Ok((self.result(&done)?, child))
    }

    /// Where the kernel looks for a call and its arguments (syscall(2), "Architecture calling conventions").
    pub(super) fn set_up(&self, regs: &mut Regs, call: Call, args: [u64; 6]) {
        regs.rip = self.instruction.0;
        regs.rax = call.number(self.machine);
        // No system call is in progress as far as the kernel can see, so it does not restart one here.
        regs.orig_rax = !0;
        let [a, b, c, d, e, f] = args;
        match self.machine {
            Machine::Amd64 => {
                (regs.rdi, regs.rsi, regs.rdx) = (a, b, c);
                (regs.r10, regs.r8, regs.r9) = (d, e, f);
            }
            Machine::I386 => {
                (regs.rbx, regs.rcx, regs.rdx) = (a, b, c);
                (regs.rsi, regs.rdi, regs.rbp) = (d, e, f);
            }
        }
    }

    pub(super) fn result(&self, done: &Regs) -> Result<u64> {
        let (result, signed) = match self.machine {
            Machine::Amd64 => (done.rax, done.rax as i64),
            Machine::I386 => (done.rax as u32 as u64, done.rax as i32 as i64),
        };
        if (-4095..0).contains(&signed) {
            let errno = Errno::from_raw(-signed as i32);
            return Err(Error {
                call: "a system call in the process",
                errno,
            });
        }
        Ok(result)
    }
}

/// The code of one mapping.
struct Code {
    start: u64,
    bytes: Vec<u8>,
}

impl Code {
    fn read(memory: &dyn Memory, mapping: &proc::Mapping) -> Code {
        let start = mapping.range.start;
        let mut bytes = vec![0; (mapping.range.end - start).min(MOST_TEXT) as usize];
        let got = memory.read(Addr(start), &mut bytes).unwrap_or(0);
        bytes.truncate(got);
        Code { start, bytes }
    }

    fn find(&self, wanted: &[u8]) -> Option<Addr> {
        let mut windows = self.bytes.windows(wanted.len());
        let at = windows.position(|bytes| bytes == wanted)?;
        Some(Addr(self.start + at as u64))
    }
}

/// A `syscall` instruction, and the recovery if there is a `ret` behind it.
fn with_recovery(code: impl Iterator<Item = Code>) -> Option<(Addr, Option<Addr>)> {
    let (mut plain, mut with_ret, mut recovery) = (None, None, None);
    for code in code {
        plain = plain.or_else(|| code.find(&SYSCALL_RET[..2]));
        with_ret = with_ret.or_else(|| code.find(&SYSCALL_RET));
        recovery = recovery.or_else(|| code.find(&SIGRETURN));
        if let (Some(instruction), Some(_)) = (with_ret, recovery) {
            return Some((instruction, recovery));
        }
    }
    Some((plain?, None))
}

/// A task that was made by another for us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// Its id.
    pub(super) tid: Tid,
    /// Its id in the pid namespace of the one that made it, which may be another than ours.
    pub(super) own: u64,
}

/// What came of a system call.
struct Passed {
    /// The registers that the task came out with.
    done: Regs,
    /// The stop that it is in.
    last: Stop,
    /// Whom it made.
    child: Option<Tid>,
}

/// Takes a task with these registers through a system call.
fn pass_through(stopped: &Stopped, regs: &Regs) -> Result<Passed> {
    let tid = stopped.tid();
    stopped.set_regs(regs)?;
    // The stops at its entry and exit are such that the task takes no harm if we die at one.
    stopped.resume_to_syscall()?;
    next_stop_of(tid, Stop::Syscall)?;
    stopped.resume_to_syscall()?;
    let (_, child) = next_stop_of(tid, Stop::Syscall)?;
    let done = stopped.regs()?;
    // Only from a stop like this does the kernel look after an interrupted call of the task's own.
    ptrace::interrupt(tid)?;
    stopped.resume_again()?;
    let (last, _) = next_stop_of(tid, Stop::Interrupt)?;
    Ok(Passed { done, last, child })
}

/// Puts a task right for which something has failed in the middle, wherever it stands. One that is gone needs
/// nothing.
fn undo(stopped: &Stopped, saved: Regs, mask: u64) {
    let began = Instant::now();
    // On its way to a stop, or in one that was consumed.
    while proc::state(stopped.tid()) != Some('t') && began.elapsed() < UNDOING {
        std::thread::sleep(Duration::from_micros(100));
    }
    // A system call that it is about to enter is skipped.
    let skipping = Regs {
        orig_rax: !0,
        ..saved
    };
    let _ = stopped
        .set_regs(&skipping)
        .and_then(|()| ptrace::interrupt(stopped.tid()))
        .and_then(|()| stopped.resume_again())
        .and_then(|()| next_stop_of(stopped.tid(), Stop::Interrupt));
    let _ = stopped.set_regs(&saved);
    let _ = stopped.set_signal_mask(mask);
}

/// Waits until one task stops in this way. A SIGSTOP, which cannot be blocked, may come in between, and
/// whom it makes is told before its call returns.
pub(super) fn next_stop_of(tid: Tid, wanted: Stop) -> Result<(Stop, Option<Tid>)> {
    let mut child = None;
    loop {
        let (stopped, stop) = next_stop(tid)?;
        match stop {
            Stop::Group(_) if wanted == Stop::Interrupt => return Ok((stop, child)),
            _ if stop == wanted => return Ok((stop, child)),
            Stop::Clone => {
                child = Some(Tid(stopped.event_message()? as i32));
                stopped.resume_to_syscall()?;
            }
            // Of another thread, which has taken this one's id: the task is no more.
            Stop::Exec => return Err(gone()),
            Stop::Signal(signal) => stopped.resume_to_syscall_with(signal)?,
            _ => stopped.resume_to_syscall()?,
        }
    }
}

/// Waits for the next stop of one task, leaving others alone.
pub fn next_stop(tid: Tid) -> Result<(Stopped, Stop)> {
    loop {
        match wait::look_at(tid, Patience::Block)? {
            Some(Status::Stopped(stopped, stop)) => return Ok((stopped, stop)),
            Some(_) => return Err(gone()),
            None => {}
        }
    }
}

fn gone() -> Error {
    Error {
        call: "waitid",
        errno: Errno::ESRCH,
    }
}
