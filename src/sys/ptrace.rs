//! ptrace(2), one request a function. A [`Stopped`] task is a token that can be resumed once.

use super::{Error, Result, fault, proc};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::regs::{FloatRegs, Regs};
use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use nix::errno::Errno;

/// What is asked of every tracee at its seizing (ptrace(2), PTRACE_SETOPTIONS).
const OPTIONS: i32 = libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEVFORKDONE
    | libc::PTRACE_O_TRACESYSGOOD;

/// A task in a ptrace-stop. It runs again by one of the methods that take the token.
#[derive(Debug)]
#[must_use = "a stopped task stands still until it is resumed"]
pub struct Stopped {
    tid: Tid,
}

/// What becomes of a task's seccomp filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// They let everything pass.
    Suspended,
    /// They judge every system call.
    Enforced,
}

/// Whether a task stops before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It does, once more, with memory and registers as they were.
    Told,
    /// It is gone when its end is seen.
    Silent,
}

/// Where in a system call a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemCallStop {
    /// Before the kernel carries it out.
    Entry(SystemCallEntry),
    /// Before it returns.
    Exit {
        /// The result, a negative error number included.
        result: u64,
        /// The instruction behind the call.
        ip: Addr,
    },
    /// In none, or the kernel says nothing of it.
    Neither,
}

/// A system call that is about to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCallEntry {
    /// Whose numbers and registers hold: those of the instruction that called.
    pub machine: Machine,
    /// Which call.
    pub number: u64,
    /// What is passed.
    pub args: [u64; 6],
    /// The instruction behind the call.
    pub ip: Addr,
}

impl SystemCallStop {
    /// Out of `struct ptrace_syscall_info` (ptrace(2), PTRACE_GET_SYSCALL_INFO): a byte that says what stop it is, the
    /// architecture four bytes behind it; two pointers; the number and six arguments, or the result.
    fn of(words: &[u64; 11]) -> SystemCallStop {
        let [what, ip, _, first, a, b, c, d, e, f, _] = *words;
        let (op, architecture) = (what as u8, (what >> 32) as u32);
        let ip = Addr(ip);
        match op {
            SYSCALL_INFO_ENTRY => SystemCallStop::Entry(SystemCallEntry {
                machine: match architecture {
                    AUDIT_ARCH_I386 => Machine::I386,
                    _ => Machine::Amd64,
                },
                number: first,
                args: [a, b, c, d, e, f],
                ip,
            }),
            SYSCALL_INFO_EXIT => SystemCallStop::Exit { result: first, ip },
            _ => SystemCallStop::Neither,
        }
    }
}

/// <linux/ptrace.h>; the C library's headers do not have all of it.
const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
const SYSCALL_INFO_ENTRY: u8 = 1;
const SYSCALL_INFO_EXIT: u8 = 2;
/// <linux/audit.h>
const AUDIT_ARCH_I386: u32 = 0x4000_0003;

/// A signal's full description, `siginfo_t` as the kernel gave it.
#[derive(Clone, Copy)]
pub struct SignalInfo(libc::siginfo_t);

impl std::fmt::Debug for SignalInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} by {}", self.signal(), self.code())
    }
}

impl SignalInfo {
    /// Which signal it describes.
    pub fn signal(&self) -> Signal {
        Signal(self.0.si_signo)
    }

    /// `si_code`: who sent it (sigaction(2)).
    pub fn code(&self) -> i32 {
        self.0.si_code
    }
}

/// Begins to trace a task without stopping it (PTRACE_SEIZE).
pub fn seize(tid: Tid) -> Result<()> {
    request(
        "ptrace(PTRACE_SEIZE)",
        libc::PTRACE_SEIZE,
        tid,
        0,
        OPTIONS as usize,
    )
    .map(drop)
}

/// Asks a seized task to stop (PTRACE_INTERRUPT); the stop comes through a wait.
pub fn interrupt(tid: Tid) -> Result<()> {
    insist(
        "ptrace(PTRACE_INTERRUPT)",
        libc::PTRACE_INTERRUPT,
        tid,
        0,
        0,
    )
    .map(drop)
}

/// One word of the memory of a task that stands still (PTRACE_PEEKDATA).
pub(super) fn peek(tid: Tid, at: Addr) -> Result<u64> {
    let call = "ptrace(PTRACE_PEEKDATA)";
    // The C library's function gives the word, where the system call would store it (ptrace(2), "C
    // library/kernel differences").
    request(call, libc::PTRACE_PEEKDATA, tid, at.0 as usize, 0).map(|word| word as u64)
}

/// Writes one, over whatever protection the page has (PTRACE_POKEDATA).
pub(super) fn poke(tid: Tid, at: Addr, word: u64) -> Result<()> {
    request(
        "ptrace(PTRACE_POKEDATA)",
        libc::PTRACE_POKEDATA,
        tid,
        at.0 as usize,
        word as usize,
    )
    .map(drop)
}

impl Stopped {
    /// A task that a wait just reported as stopped.
    pub(super) fn new(tid: Tid) -> Stopped {
        Stopped { tid }
    }

    /// Whose stop this is.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Suspends or enforces the task's seccomp filters (PTRACE_SETOPTIONS, PTRACE_O_SUSPEND_SECCOMP).
    pub fn set_seccomp(&self, seccomp: Seccomp) -> Result<()> {
        let options = match seccomp {
            Seccomp::Suspended => OPTIONS | libc::PTRACE_O_SUSPEND_SECCOMP,
            Seccomp::Enforced => OPTIONS,
        };
        request(
            "ptrace(PTRACE_SETOPTIONS)",
            libc::PTRACE_SETOPTIONS,
            self.tid,
            0,
            options as usize,
        )
        .map(drop)
    }

    /// Says whether the task, and every task that it makes from now on, stops before it ends
    /// (PTRACE_SETOPTIONS, PTRACE_O_TRACEEXIT).
    pub fn set_ends(&self, ends: Ends) -> Result<()> {
        let options = match ends {
            Ends::Told => OPTIONS | libc::PTRACE_O_TRACEEXIT,
            Ends::Silent => OPTIONS,
        };
        let call = "ptrace(PTRACE_SETOPTIONS)";
        request(call, libc::PTRACE_SETOPTIONS, self.tid, 0, options as usize).map(drop)
    }

    /// Lets it run, delivering a signal when one is given (PTRACE_CONT).
    pub fn resume(self, signal: Option<Signal>) -> Result<()> {
        let signal = signal.map_or(0, |s| s.0 as usize);
        insist(
            "ptrace(PTRACE_CONT)",
            libc::PTRACE_CONT,
            self.tid,
            0,
            signal,
        )
        .map(drop)
    }

    /// Lets it run to the entry or exit of a system call (PTRACE_SYSCALL). This and its siblings are for
    /// [`super::remote`], which waits for the stop that follows before the loop sees the token.
    pub(super) fn resume_to_syscall(&self) -> Result<()> {
        insist(
            "ptrace(PTRACE_SYSCALL)",
            libc::PTRACE_SYSCALL,
            self.tid,
            0,
            0,
        )
        .map(drop)
    }

    /// The same, delivering a signal.
    pub(super) fn resume_to_syscall_with(&self, signal: Signal) -> Result<()> {
        let signal = signal.0 as usize;
        insist(
            "ptrace(PTRACE_SYSCALL)",
            libc::PTRACE_SYSCALL,
            self.tid,
            0,
            signal,
        )
        .map(drop)
    }

    /// Lets it run, into a stop that was asked for already (PTRACE_CONT).
    pub(super) fn resume_again(&self) -> Result<()> {
        insist("ptrace(PTRACE_CONT)", libc::PTRACE_CONT, self.tid, 0, 0).map(drop)
    }

    /// Lets it run to the entry or exit of a system call, which is looked at like other stops, delivering a signal when
    /// one is given (PTRACE_SYSCALL).
    pub fn resume_watched(self, signal: Option<Signal>) -> Result<()> {
        match signal {
            None => self.resume_to_syscall(),
            Some(signal) => self.resume_to_syscall_with(signal),
        }
    }

    /// Leaves it in its group-stop, but listens for its end (PTRACE_LISTEN; ptrace(2), "Group-stop").
    pub fn listen(self) -> Result<()> {
        insist("ptrace(PTRACE_LISTEN)", libc::PTRACE_LISTEN, self.tid, 0, 0).map(drop)
    }

    /// Lets go of it for good, delivering a signal when one is given (PTRACE_DETACH).
    pub fn detach(self, signal: Option<Signal>) -> Result<()> {
        let signal = signal.map_or(0, |s| s.0 as usize);
        insist(
            "ptrace(PTRACE_DETACH)",
            libc::PTRACE_DETACH,
            self.tid,
            0,
            signal,
        )
        .map(drop)
    }

    /// The general registers (PTRACE_GETREGS).
    pub fn regs(&self) -> Result<Regs> {
        let mut regs = Regs::default();
        let data = std::ptr::from_mut(&mut regs) as usize;
        request(
            "ptrace(PTRACE_GETREGS)",
            libc::PTRACE_GETREGS,
            self.tid,
            0,
            data,
        )?;
        Ok(regs)
    }

    /// Sets the general registers (PTRACE_SETREGS).
    pub fn set_regs(&self, regs: &Regs) -> Result<()> {
        let data = std::ptr::from_ref(regs) as usize;
        request(
            "ptrace(PTRACE_SETREGS)",
            libc::PTRACE_SETREGS,
            self.tid,
            0,
            data,
        )
        .map(drop)
    }

    /// Sets the instruction pointer alone (PTRACE_POKEUSER).
    pub fn set_rip(&self, rip: u64) -> Result<()> {
        let at = std::mem::offset_of!(Regs, rip);
        request(
            "ptrace(PTRACE_POKEUSER)",
            libc::PTRACE_POKEUSER,
            self.tid,
            at,
            rip as usize,
        )
        .map(drop)
    }

    /// The floating-point registers (PTRACE_GETFPREGS).
    pub fn float_regs(&self) -> Result<FloatRegs> {
        // The layout is that of FXSAVE (Intel SDM vol. 1, 10.5.1), which user_fpregs_struct mirrors.
        let mut area = FxArea([0; 512]);
        let data = std::ptr::from_mut(&mut area) as usize;
        request(
            "ptrace(PTRACE_GETFPREGS)",
            libc::PTRACE_GETFPREGS,
            self.tid,
            0,
            data,
        )?;
        let mut floats = FloatRegs::default();
        for (st, bytes) in floats.st.iter_mut().zip(area.0[32..].chunks_exact(16)) {
            st.copy_from_slice(&bytes[..10]);
        }
        for (xmm, bytes) in floats.xmm.iter_mut().zip(area.0[160..].chunks_exact(16)) {
            xmm.copy_from_slice(bytes);
        }
        Ok(floats)
    }

    /// The extended state of the processor as XSAVE writes it (PTRACE_GETREGSET, NT_X86_XSTATE; Intel SDM
    /// vol. 1, 13.4).
    pub fn extended_state(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; MOST_EXTENDED];
        let mut buffer = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let data = std::ptr::from_mut(&mut buffer) as usize;
        request(
            "ptrace(PTRACE_GETREGSET)",
            libc::PTRACE_GETREGSET,
            self.tid,
            NT_X86_XSTATE,
            data,
        )?;
        bytes.truncate(buffer.iov_len);
        Ok(bytes)
    }

    /// What an event-stop is about: a new task's id, or the former id after exec (PTRACE_GETEVENTMSG).
    pub fn event_message(&self) -> Result<u64> {
        let mut message: libc::c_ulong = 0;
        let data = std::ptr::from_mut(&mut message) as usize;
        request(
            "ptrace(PTRACE_GETEVENTMSG)",
            libc::PTRACE_GETEVENTMSG,
            self.tid,
            0,
            data,
        )?;
        Ok(message)
    }

    /// Where in a system call it stands (PTRACE_GET_SYSCALL_INFO, since Linux 5.3).
    pub fn system_call(&self) -> Result<SystemCallStop> {
        let mut words = [0u64; 11];
        let data = std::ptr::from_mut(&mut words) as usize;
        request(
            "ptrace(PTRACE_GET_SYSCALL_INFO)",
            GET_SYSCALL_INFO,
            self.tid,
            size_of_val(&words),
            data,
        )?;
        Ok(SystemCallStop::of(&words))
    }

    /// The signal that this signal-delivery-stop is about (PTRACE_GETSIGINFO).
    pub fn signal_info(&self) -> Result<SignalInfo> {
        // SAFETY: an all-zero siginfo_t is a valid value of that plain C structure.
        let mut info = SignalInfo(unsafe { std::mem::zeroed() });
        let data = std::ptr::from_mut(&mut info.0) as usize;
        request(
            "ptrace(PTRACE_GETSIGINFO)",
            libc::PTRACE_GETSIGINFO,
            self.tid,
            0,
            data,
        )?;
        Ok(info)
    }

    /// Sets what the signal that is delivered at the next resume will carry (PTRACE_SETSIGINFO).
    pub fn set_signal_info(&self, info: &SignalInfo) -> Result<()> {
        let data = std::ptr::from_ref(&info.0) as usize;
        request(
            "ptrace(PTRACE_SETSIGINFO)",
            libc::PTRACE_SETSIGINFO,
            self.tid,
            0,
            data,
        )
        .map(drop)
    }

    /// Sends it a signal (tgkill(2)), which waits as long as it stands still.
    pub fn send(&self, pid: Pid, signal: Signal) -> Result<()> {
        // SAFETY: tgkill takes numbers only.
        match unsafe { libc::syscall(libc::SYS_tgkill, pid.0, self.tid.0, signal.0) } {
            -1 => Err(Error::last("tgkill")),
            _ => Ok(()),
        }
    }

    /// The signals that the task blocks, bit N-1 for signal N (PTRACE_GETSIGMASK).
    pub fn signal_mask(&self) -> Result<u64> {
        let mut mask = 0u64;
        let data = std::ptr::from_mut(&mut mask) as usize;
        request(
            "ptrace(PTRACE_GETSIGMASK)",
            libc::PTRACE_GETSIGMASK,
            self.tid,
            8,
            data,
        )?;
        Ok(mask)
    }

    /// Sets the signals that the task blocks (PTRACE_SETSIGMASK).
    pub fn set_signal_mask(&self, mask: u64) -> Result<()> {
        let data = std::ptr::from_ref(&mask) as usize;
        request(
            "ptrace(PTRACE_SETSIGMASK)",
            libc::PTRACE_SETSIGMASK,
            self.tid,
            8,
            data,
        )
        .map(drop)
    }
}

/// <elf.h>
const NT_X86_XSTATE: usize = 0x202;
/// More than any processor's state so far (AMX makes 11 KiB of it).
const MOST_EXTENDED: usize = 16384;

#[repr(C, align(16))]
struct FxArea([u8; 512]);

/// A request that is made once more when it fails though the task is there: one that is not resumed stands
/// still as long as we live, and one that is not asked to stop is waited for in vain.
fn insist(
    call: &'static str,
    number: libc::c_uint,
    tid: Tid,
    addr: usize,
    data: usize,
) -> Result<libc::c_long> {
    request(call, number, tid, addr, data).or_else(|e| match proc::state(tid) {
        None | Some('Z' | 'X') => Err(e),
        Some(_) => request(call, number, tid, addr, data),
    })
}

/// The one door to ptrace(2). `data` and `addr` are numbers or addresses of live, properly laid out
/// objects of the caller, as each request asks for.
fn request(
    call: &'static str,
    request: libc::c_uint,
    tid: Tid,
    addr: usize,
    data: usize,
) -> Result<libc::c_long> {
    if let Some(errno) = fault::strike(call) {
        return Err(Error { call, errno });
    }
    Errno::clear();
    // SAFETY: every caller above passes numbers, or the address of a local object of the size that
    // its request reads or fills; the kernel touches nothing else of ours.
    let result = unsafe { libc::ptrace(request, tid.0, addr, data) };
    if result == -1 && Errno::last_raw() != 0 {
        return Err(Error::last(call));
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::{SystemCallEntry, SystemCallStop};
    use crate::base::addr::Addr;
    use crate::base::machine::Machine;

    #[test]
    fn system_calls_as_the_kernel_tells_of_them() {
        let of = |words: [u64; 11]| SystemCallStop::of(&words);
        let entry = |machine, number| {
            SystemCallStop::Entry(SystemCallEntry {
                machine,
                number,
                args: [1, 2, 3, 4, 5, 6],
                ip: Addr(0x10),
            })
        };
        let told = |what, first| of([what, 0x10, 0x20, first, 1, 2, 3, 4, 5, 6, 0]);
        assert_eq!(told(0xc000_003e << 32 | 1, 0), entry(Machine::Amd64, 0));
        assert_eq!(told(0x4000_0003 << 32 | 1, 5), entry(Machine::I386, 5));
        let exit = |result| SystemCallStop::Exit {
            result,
            ip: Addr(0x10),
        };
        assert_eq!(
            told(0xc000_003e << 32 | 2, -2i64 as u64),
            exit(-2i64 as u64)
        );
        assert_eq!(told(0xc000_003e << 32, 0), SystemCallStop::Neither);
    }
}
