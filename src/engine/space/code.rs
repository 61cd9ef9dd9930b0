//! The program's own code, as far as it tells what a hit means: calls, and branches back to a function's beginning. What was
//! read once is kept.

use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::elf::Go;
use crate::engine::instrument::int3::breakpoint::Breakpoint;
use crate::engine::space::Space;
use crate::process::callsite::{self, CallSite};
use crate::process::goroutine::Goroutine;
use crate::process::module::Module;
use crate::sys::proc;
use std::ops::Range;

/// The instruction `nop`.
const NOP: u8 = 0x90;
/// How far a function is read for branches: its end is not known.
const MOST_FUNCTION: usize = 4096;
/// What follows a call of runtime.morestack: arguments are put back into registers.
const MOST_AFTER_MORESTACK: usize = 160;
/// The instructions before a comparison of the stack pointer to its limit.
const MOST_PROLOGUE: usize = 40;

impl Space {
    /// The call instruction before a return address; read once.
    pub fn call_site(&self, return_address: Addr) -> CallSite {
        let mut known = self.call_sites.borrow_mut();
        *known
            .entry(return_address.0)
            .or_insert_with(|| self.read_call_site(return_address))
    }

    fn read_call_site(&self, return_address: Addr) -> CallSite {
        let module = self.module_at(return_address);
        let got = module.and_then(Module::got);
        let site = CallSite::before(self, return_address, got);
        match site {
            // By way of a register that need not hold the GOT's address.
            CallSite::Slot(slot)
                if got.is_some() && !module.is_some_and(|module| module.has_slot(slot)) =>
            {
                CallSite::Computed
            }
            site => site,
        }
    }

    /// Whether a displaced jump or call goes through its module's GOT, as far as that depends on a register.
    pub fn goes_through_got(&self, at: Addr, breakpoint: &Breakpoint, regs: &Regs) -> bool {
        let Some(base) = breakpoint.base else {
            return true;
        };
        let got = self.module_at(at).and_then(Module::got);
        got == Some(Addr(regs.by_number(base)))
    }

    fn module_at(&self, at: Addr) -> Option<&Module> {
        self.modules.iter().find(|m| m.range.contains(&at.0))
    }

    /// Whether a call instruction stands before this address, so that it may be where one returns to. Read once.
    pub fn follows_call(&self, return_address: Addr) -> bool {
        let mut known = self.returns.borrow_mut();
        *known
            .entry(return_address.0)
            .or_insert_with(|| self.read_whether_call(return_address))
    }

    fn read_whether_call(&self, return_address: Addr) -> bool {
        let code = self.code_at(return_address.offset(-8), 8);
        // The first function of a goroutine returns behind the `nop` that runtime.goexit begins with.
        let is_goexit = self.go().is_some() && code.last() == Some(&NOP);
        self.is_code(return_address)
            && code.len() == 8
            && (is_goexit || callsite::ends_with_call(self.memory.machine(), &code))
    }

    /// Facts of Go's runtime, if the program has one.
    pub fn go(&self) -> Option<Go> {
        self.modules.first()?.planned.image.go
    }

    /// Whether the arrival at a function's first instruction may be no call but a branch of its own, when an
    /// earlier arrival with the same return address is still open.
    pub fn comes_back(&self, entry: Addr, goroutine: Option<&Goroutine>) -> bool {
        let Some(goroutine) = goroutine else {
            return self.loops_to(entry);
        };
        // A function that finds no room on its stack calls runtime.morestack, which lets the goroutine go on
        // behind that call, where a jump to the beginning is. If it went on elsewhere since, this is a call that
        // comes after one that a panic has ended.
        let next = self.code_at(goroutine.resumed_at, MOST_AFTER_MORESTACK);
        let machine = self.memory.machine();
        callsite::jumps_on_to(machine, &next, goroutine.resumed_at) == Some(entry)
            || !self.grows_stack(entry) && self.loops_to(entry)
    }

    /// Whether a function of Go's begins by looking for room on the stack: with a comparison to
    /// `stackguard0`, which is 16 bytes into what %r14, or %rcx in older code, points at.
    fn grows_stack(&self, entry: Addr) -> bool {
        let code = self.code_at(entry, MOST_PROLOGUE);
        let is_check = |bytes: &[u8]| matches!(bytes, [0x3b, 0x66 | 0x61, 0x10]);
        code.windows(3).any(is_check)
    }

    /// Whether a function's code branches back to its first instruction: to arrive there once more is no
    /// call then. Read once.
    fn loops_to(&self, entry: Addr) -> bool {
        let mut known = self.loops.borrow_mut();
        *known
            .entry(entry.0)
            .or_insert_with(|| self.branches_back(entry))
    }

    fn branches_back(&self, entry: Addr) -> bool {
        let code = self.code_at(entry, MOST_FUNCTION);
        callsite::branches_to(self.memory.machine(), &code, entry)
    }

    /// Code as the program has it.
    pub(super) fn code_at(&self, at: Addr, length: usize) -> Vec<u8> {
        let mut code = vec![0; length];
        let got = Memory::read(self, at, &mut code).unwrap_or(0);
        code.truncate(got);
        code
    }

    /// Whether there is code at this address: an int3 in data would be read, not executed.
    pub(super) fn is_code(&self, at: Addr) -> bool {
        let holds = |code: &[Range<u64>]| code.iter().any(|range| range.contains(&at.0));
        if holds(&self.code.borrow()) {
            return true;
        }
        let maps = proc::maps(self.pid).unwrap_or_default();
        let executable = maps.into_iter().filter(|m| m.executable);
        let code: Vec<Range<u64>> = executable.map(|m| m.range).collect();
        let holds = holds(&code);
        self.code.replace(code);
        holds
    }
}
