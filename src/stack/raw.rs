//! What is copied of a task at a stop, so that its stack can be unwound when there is time.

use super::ScriptCalls;
use crate::base::addr::Addr;
use crate::base::regs::Regs;

/// Registers, and the top of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawStack {
    pub(super) registers: Registers,
    pub(super) moment: Moment,
    /// Where the copied bytes begin.
    bottom: u64,
    /// The stack from there up.
    bytes: Box<[u8]>,
    /// What an interpreter was running on it.
    scripts: Option<ScriptCalls>,
    /// The stack of the goroutine that has called what runs on this one.
    left: Option<Box<LeftStack>>,
}

/// The stack that a goroutine of Go's has left to call C on another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftStack {
    /// Its `runtime.g`.
    pub goroutine: u64,
    /// Where its stack ends, above.
    pub end: u64,
    /// Where it left it, and where the copied bytes begin.
    pub bottom: u64,
    /// The stack from there up.
    pub bytes: Box<[u8]>,
}

/// When a copy was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// On the first instruction of a function: the return address is at `rsp`, whatever is known
    /// of the function.
    Entry,
    /// Anywhere else.
    Inside,
}

impl RawStack {
    /// The copy of a task with these registers, and the bytes from `rsp` up.
    pub fn new(regs: &Regs, moment: Moment, bytes: Box<[u8]>) -> RawStack {
        RawStack {
            registers: Registers::new(regs),
            moment,
            bottom: regs.rsp,
            bytes,
            scripts: None,
            left: None,
        }
    }

    /// The copy, and what an interpreter was running on that stack.
    pub fn with_scripts(self, scripts: Option<ScriptCalls>) -> RawStack {
        RawStack { scripts, ..self }
    }

    /// The copy, and the stack that was left for it.
    pub fn with_left(self, left: Option<LeftStack>) -> RawStack {
        let left = left.map(Box::new);
        RawStack { left, ..self }
    }

    /// The stack of the goroutine that has called what runs on this one.
    pub(super) fn left(&self) -> Option<&LeftStack> {
        self.left.as_deref()
    }

    /// What an interpreter was running on it.
    pub fn scripts(&self) -> Option<&ScriptCalls> {
        self.scripts.as_ref()
    }

    /// The `size` bytes at an address, up to 8, if they were copied.
    pub(super) fn read(&self, at: Addr, size: usize) -> Option<u64> {
        let left = self.left().map(|left| (left.bottom, &left.bytes));
        let parts = [(self.bottom, &self.bytes)].into_iter().chain(left);
        let bytes = parts.into_iter().find_map(|(bottom, bytes)| {
            let from = usize::try_from(at.0.checked_sub(bottom)?).ok()?;
            bytes.get(from..)?.get(..size)
        })?;
        let mut word = [0; 8];
        word.get_mut(..size)?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }

    /// Whether the address is above everything that was copied.
    pub(super) fn ends_before(&self, at: Addr) -> bool {
        let is_above = |bottom: u64, bytes: &[u8]| {
            let end = bottom.saturating_add(bytes.len() as u64);
            at.0 >= end.saturating_sub(7)
        };
        match self.left() {
            Some(left) if (left.bottom..left.end).contains(&at.0) => {
                is_above(left.bottom, &left.bytes)
            }
            _ => is_above(self.bottom, &self.bytes),
        }
    }
}

/// What is known of the registers of one frame, by their DWARF numbers (psABI 3.6.2, "DWARF Register
/// Number Mapping"); the last is the return address, here the instruction pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registers([Option<u64>; 17]);

pub(super) const RBP: u16 = 6;
pub(super) const RSP: u16 = 7;
pub(super) const RIP: u16 = 16;

impl Registers {
    fn new(r: &Regs) -> Registers {
        let all = [
            r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11,
            r.r12, r.r13, r.r14, r.r15, r.rip,
        ];
        Registers(all.map(Some))
    }

    pub(super) fn get(&self, number: u16) -> Option<u64> {
        *self.0.get(usize::from(number))?
    }

    pub(super) fn set(&mut self, number: u16, value: Option<u64>) {
        if let Some(register) = self.0.get_mut(usize::from(number)) {
            *register = value;
        }
    }

    /// Forgets what a callee need not preserve (psABI 3.2.1, "Registers").
    pub(super) fn keep_callee_saved(&mut self) {
        const RBX: u16 = 3;
        let kept = |number| matches!(number, RBX | RBP | RSP | 12..=15 | RIP);
        for (number, value) in (0..).zip(&mut self.0) {
            if !kept(number) {
                *value = None;
            }
        }
    }
}
