//! A system call made by a tracee on our behalf.
//!
//! The stopped task's registers are set to the call and its instruction pointer to a `syscall`
//! instruction; after the call everything is put back, the interrupted call's number and restart code
//! included, so that a sleeping task goes on sleeping as if nothing had been
//! (kernel: arch/x86/kernel/signal.c, arch_do_signal_or_restart). No single-step: its SIGTRAP would be
//! delivered if we died at it.
//!
//! Should we be killed in the middle, the task would go on behind that instruction with registers that
//! are not its own. So the instruction is one of ours with rt_sigreturn(2) behind it, and the stack pointer
//! is at a frame that restores the task (see `sigframe`). Both are in a mapping of our own (see `places`):
//! the task's own stack may be that of a coroutine, with other memory right below it.

mod passage;
mod places;

use super::memory::ProcessMemory;
use super::ptrace::{self, Seccomp, Stopped};
use super::wait::Stop;
use super::{Error, Result, proc, sigframe};
use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use nix::errno::Errno;
pub use passage::next_stop;
pub(super) use passage::next_stop_of;
use passage::{Passed, gone, pass_through, undo};
pub(super) use places::Entry;
pub use places::SIZE as PAGES;
use places::{Borrowed, Places};
use std::path::Path;

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
    /// madvise(2)
    Advise,
    /// memfd_create(2)
    Memfd,
    /// close(2)
    Close,
    /// munmap(2)
    Unmap,
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
            (Call::Advise, Machine::Amd64) => 28,
            (Call::Advise, Machine::I386) => 219,
            (Call::Memfd, Machine::Amd64) => 319,
            (Call::Memfd, Machine::I386) => 356,
            (Call::Close, Machine::Amd64) => 3,
            (Call::Close, Machine::I386) => 6,
            (Call::Unmap, Machine::Amd64) => 11,
            (Call::Unmap, Machine::I386) => 91,
        }
    }
}

/// `syscall`
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// `int $0x80`, how 32-bit code calls the kernel.
const INT_80: [u8; 2] = [0xcd, 0x80];
/// No module's text is longer than is looked through for these.
const MOST_TEXT: u64 = 8 << 20;

/// How a process makes system calls for us.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    /// Whose system calls they are.
    pub(super) machine: Machine,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// By code and with a frame of ours.
    Ours(Places),
    /// By an instruction of the program's own. A task whose tracer dies in the middle of a call is lost.
    Bare(Addr),
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
pub fn is_sandboxed(tid: Tid) -> bool {
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
    /// Has the process map a page for its calls, by this task of its. All others must stand still.
    ///
    /// Where that cannot be had, calls are made by an instruction of the program's own. `None`: there is none.
    pub fn settle(stopped: &Stopped, memory: &ProcessMemory) -> Option<Remote> {
        let machine = memory.machine();
        let page = match Borrowed::find(memory, sigframe::state(stopped)?.len()) {
            Some(padding) => {
                let way = Way::Ours(padding.places);
                let page = padding.places.write_code(memory).ok().and_then(|()| {
                    let remote = Remote { machine, way };
                    remote.map_page(stopped, memory).ok()
                });
                padding.give_back(memory);
                page
            }
            None => {
                let way = Way::Bare(find_instruction(memory)?);
                let remote = Remote { machine, way };
                remote.map_page(stopped, memory).ok()
            }
        };
        let places = page.map(Places::in_page);
        let places = places.filter(|places| places.write_code(memory).is_ok());
        let way = places.map_or_else(
            || find_instruction(memory).map(Way::Bare),
            |p| Some(Way::Ours(p)),
        );
        way.map(|way| Remote { machine, way })
    }

    fn map_page(&self, stopped: &Stopped, memory: &ProcessMemory) -> Result<Addr> {
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let args = [0, places::SIZE, protection as u64, flags as u64, !0, 0];
        let page = self.call(stopped, memory, Call::Map, args)?;
        Ok(Addr(page))
    }

    /// By what an earlier tracer has mapped there.
    pub fn left_over(page: Addr, memory: &ProcessMemory) -> Option<Remote> {
        let places = Places::in_page(page);
        places.has_code(memory).then(|| Remote {
            machine: memory.machine(),
            way: Way::Ours(places),
        })
    }

    /// The mapping of ours, whose first 4096 bytes, executable, are free for more code.
    pub fn page(&self) -> Option<Addr> {
        match self.way {
            Way::Ours(places) => Some(places.page()),
            Way::Bare(_) => None,
        }
    }

    /// Whether the byte at this address belongs to what it needs of the process's code.
    pub fn uses(&self, at: Addr) -> bool {
        matches!(self.way, Way::Bare(start) if at.0.wrapping_sub(start.0) < SYSCALL.len() as u64)
    }

    pub(super) fn instruction(&self, entry: Entry) -> Addr {
        match self.way {
            Way::Ours(places) => places.instruction(entry),
            Way::Bare(instruction) => instruction,
        }
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
        self.perform_freely(stopped, memory, Entry::Task, call, args)
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
    ) -> Result<Child> {
        let args = [flags, 0, 0, 0, 0, 0];
        let (own, tid) = self.perform_freely(stopped, memory, Entry::Maker, Call::Clone, args)?;
        let tid = tid.ok_or(gone())?;
        Ok(Child { tid, own })
    }

    /// Performs a call, out of the reach of a sandbox. The result is the kernel's, and who was made.
    fn perform_freely(
        &self,
        stopped: &Stopped,
        memory: &ProcessMemory,
        entry: Entry,
        call: Call,
        args: [u64; 6],
    ) -> Result<(u64, Option<Tid>)> {
        // A process may enter its sandbox at any time.
        let is_sandboxed = is_sandboxed(stopped.tid());
        if is_sandboxed {
            stopped.set_seccomp(Seccomp::Suspended)?;
        }
        let result = self.perform(stopped, memory, entry, call, args);
        if is_sandboxed {
            stopped.set_seccomp(Seccomp::Enforced)?;
        }
        result
    }

    fn perform(
        &self,
        stopped: &Stopped,
        memory: &ProcessMemory,
        entry: Entry,
        call: Call,
        args: [u64; 6],
    ) -> Result<(u64, Option<Tid>)> {
        let saved = stopped.regs()?;
        let mask = stopped.signal_mask()?;
        let mut regs = saved;
        if let Way::Ours(places) = self.way
            && let Some(state) = sigframe::state(stopped)
        {
            let context = |state| sigframe::context(&saved, mask, state);
            let written = places.write_frame(memory, &state, context);
            regs.rsp = written.map_err(|_| unwritable())?;
        }
        self.set_up(&mut regs, entry, call, args);
        let passed = pass_through(stopped, &regs).and_then(|passed| {
            // In this order: the registers alone have it restored with the mask.
            stopped.set_signal_mask(mask)?;
            stopped.set_regs(&saved)?;
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
    pub(super) fn set_up(&self, regs: &mut Regs, entry: Entry, call: Call, args: [u64; 6]) {
        regs.rip = self.instruction(entry).0;
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

/// An instruction of the process's own that calls the kernel: its C library's, or at least that in its vDSO,
/// which has one for the clocks it cannot read itself (vdso(7)).
fn find_instruction(memory: &ProcessMemory) -> Option<Addr> {
    let maps = proc::maps(memory.pid()).ok()?;
    let wanted = match memory.machine() {
        Machine::Amd64 => SYSCALL,
        Machine::I386 => INT_80,
    };
    let code = |m: &&proc::Mapping| m.executable && m.path != Path::new("[vsyscall]");
    let mut code = maps.iter().filter(code).map(|m| Code::read(memory, m));
    code.find_map(|code| code.find(&wanted))
}

fn unwritable() -> Error {
    Error {
        call: "pwrite",
        errno: Errno::EIO,
    }
}

/// A task that was made by another for us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// Its id.
    pub(super) tid: Tid,
    /// Its id in the pid namespace of the one that made it, which may be another than ours.
    pub(super) own: u64,
}
