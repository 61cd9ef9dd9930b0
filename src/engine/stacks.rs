//! The stacks that a task runs on: which of them an address is on decides whether frames can be compared.
//!
//! Known for sure are the stack that the task was born with, and the alternate one that it handles a signal
//! on. Coroutines live elsewhere: their stacks may lie anywhere, side by side in one mapping, so that nothing
//! follows from the order of their addresses.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::base::{Pid, Tid};
use crate::sys::proc;
use std::cell::OnceCell;
use std::ops::Range;
use std::path::Path;

/// Which stack an address is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// The one that the task was born with.
    Own,
    /// The alternate stack of the signal handler that runs (sigaltstack(2)).
    Signal,
    /// A coroutine's, or one that we know nothing of.
    Elsewhere,
}

/// What is known of one task's stacks.
#[derive(Clone, Debug, Default)]
pub struct Stacks {
    /// Found when first asked for.
    own: OnceCell<Option<Range<u64>>>,
    /// The alternate stack, while a handler that has made calls runs on it.
    signal: Option<Range<u64>>,
    /// The alternate stack that a handler ran on last: its signal frame may be overwritten when a call is told of
    /// that was recorded there.
    alternate: Option<Range<u64>>,
    /// Stack pointer and instruction pointer when a signal was delivered, until the next event.
    interrupted: Option<(u64, u64)>,
}

/// Whose stacks these are, as it stands at one event.
#[derive(Clone, Copy)]
pub struct Runner<'m> {
    /// The task.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// Its thread pointer.
    pub thread_pointer: u64,
    /// Its memory.
    pub memory: &'m dyn Memory,
}

/// How far below its signal frame a handler's first traced call may be.
const HANDLER: usize = 64 << 10;
/// The main stack grows down as it is used, at most that far: the kernel keeps other mappings away from
/// so much of it at least (arch/x86/mm/mmap.c, mmap_base).
const MAIN: u64 = 64 << 20;
/// Where the kernel puts what in a `ucontext_t` (<sys/ucontext.h>): offsets of the alternate stack's start
/// and size, and of the stack pointer and the instruction pointer.
struct Context {
    start: usize,
    size: usize,
    sp: usize,
    ip: usize,
}

impl Context {
    fn of(machine: Machine) -> Context {
        match machine {
            Machine::Amd64 => Context {
                start: 16,
                size: 32,
                sp: 160,
                ip: 168,
            },
            // Only a handler with SA_SIGINFO gets such a thing there.
            Machine::I386 => Context {
                start: 8,
                size: 16,
                sp: 48,
                ip: 76,
            },
        }
    }
}

impl Stacks {
    /// The stacks of a task whose own one is known.
    pub fn born_on(own: Range<u64>) -> Stacks {
        Stacks {
            own: OnceCell::from(Some(own)),
            ..Stacks::default()
        }
    }

    /// A signal is delivered to the task, which has these registers.
    pub fn interrupt(&mut self, regs: &Regs) {
        self.interrupted = Some((regs.rsp, regs.rip));
    }

    /// Which stack the task runs on, when something happens at this stack pointer.
    #[inline]
    pub fn meet(&mut self, rsp: u64, runner: Runner<'_>) -> Stack {
        match self.own.get() {
            Some(Some(own)) if self.interrupted.is_none() && self.signal.is_none() => {
                if own.contains(&rsp) {
                    Stack::Own
                } else {
                    Stack::Elsewhere
                }
            }
            _ => self.meet_any(rsp, runner),
        }
    }

    fn meet_any(&mut self, rsp: u64, runner: Runner<'_>) -> Stack {
        let contains = |range: &Range<u64>| range.contains(&rsp);
        let on_own = self.own(runner).is_some_and(|own| contains(&own));
        if let Some((sp, ip)) = self.interrupted.take()
            && !(on_own && rsp < sp)
            && let Some(found) = alternate(rsp, sp, ip, runner.memory)
                .or_else(|| self.alternate.clone().filter(contains))
        {
            self.alternate = Some(found.clone());
            self.signal = Some(found);
        }
        if self.signal.as_ref().is_some_and(contains) {
            return Stack::Signal;
        }
        // Its handler is over, and the next one may have another stack.
        self.signal = None;
        if on_own { Stack::Own } else { Stack::Elsewhere }
    }

    /// The stack that the task was born with, if it is known.
    pub fn own_range(&self, runner: Runner<'_>) -> Option<Range<u64>> {
        self.own(runner)
    }

    /// Whether an address is on the stack that the task was born with.
    pub fn is_own(&self, at: u64, runner: Runner<'_>) -> bool {
        self.own(runner).is_some_and(|own| own.contains(&at))
    }

    fn own(&self, runner: Runner<'_>) -> Option<Range<u64>> {
        self.own.get_or_init(|| own(runner)).clone()
    }
}

/// The stack that a task was born with. The C libraries put the thread's control block, which points to itself, on
/// top of it (psABI 3.4.2; ELF Handling For Thread-Local Storage, 3.4.2 for i386). Other threads may have their
/// stacks anywhere.
fn own(runner: Runner<'_>) -> Option<Range<u64>> {
    let maps = proc::maps(runner.pid).ok()?;
    if runner.tid.0 == runner.pid.0 {
        let stack = maps.iter().find(|m| m.path == Path::new("[stack]"))?;
        let end = stack.range.end;
        return Some(end.saturating_sub(MAIN).min(stack.range.start)..end);
    }
    let top = runner.thread_pointer;
    if runner.memory.read_word(Addr(top)) != Ok(top) {
        return None;
    }
    let mapping = maps.iter().find(|m| m.range.contains(&top) && m.writable)?;
    Some(mapping.range.start..top)
}

/// The alternate stack that `rsp` is on, by the frame that the kernel has put there for the handler: it
/// holds the registers of the interrupted program, and the alternate stack's bounds.
fn alternate(rsp: u64, sp: u64, ip: u64, memory: &dyn Memory) -> Option<Range<u64>> {
    let mut above = vec![0; HANDLER];
    let size = memory.machine().word();
    let got = memory
        .read(Addr(rsp & !(size as u64 - 1)), &mut above)
        .ok()?;
    let words: Vec<u64> = memory.machine().words(&above[..got]).collect();
    let at = Context::of(memory.machine());
    (0..words.len()).find_map(|context| {
        let word = |offset: usize| words.get(context + offset / size).copied();
        let saved_ip = word(at.ip)?;
        // A system call that is to be restarted is two bytes back.
        if word(at.sp)? != sp || (saved_ip != ip && saved_ip != ip.wrapping_sub(2)) {
            return None;
        }
        let start = word(at.start)?;
        let range = start..start.checked_add(word(at.size)?)?;
        range.contains(&rsp).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::alternate;
    use crate::base::addr::Addr;
    use crate::base::memory::Stretch;

    /// Memory from 0x10000 on, with a ucontext in it that was pushed for a task at `sp` and `ip`.
    fn frame(at: u64, sp: u64, ip: u64, stack: (u64, u64)) -> Stretch {
        let mut bytes = vec![0x5a; 0x2000];
        let mut put = |offset: u64, word: u64| {
            let from = (at - 0x10000 + offset) as usize;
            bytes[from..from + 8].copy_from_slice(&word.to_le_bytes());
        };
        put(16, stack.0);
        put(32, stack.1);
        put(160, sp);
        put(168, ip);
        Stretch {
            at: Addr(0x10000),
            bytes,
        }
    }

    #[test]
    fn alternate_stacks_by_their_signal_frame() {
        let check = |rsp, ip, stack, expected| {
            let memory = frame(0x11000, 0x7ffc_0000, 0x40_1000, stack);
            assert_eq!(alternate(rsp, 0x7ffc_0000, ip, &memory), expected);
        };
        let whole = (0x10000, 0x2000);
        let range = Some(0x10000..0x12000);
        check(0x10800, 0x40_1000, whole, range.clone());
        check(0x10ff0, 0x40_1002, whole, range);
        check(0x10800, 0x40_1003, whole, None);
        check(0x11008, 0x40_1000, whole, None);
        check(0x10800, 0x40_1000, (0x10900, 0x1000), None);
        check(0x10800, 0x40_1000, (0, 0), None);
        check(0x10800, 0x40_1000, (!0, !0), None);
        check(0x9000, 0x40_1000, whole, None);
        check(0x11ff8, 0x40_1000, whole, None);
    }
}
