//! Where a function's parameters are at its first instruction, by the calling convention: computed once from
//! its prototype, and followed at each call.

use super::{Place, sysv};
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::{FloatRegs, View};
use std::cell::OnceCell;

/// Where one parameter is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// Nowhere: it has no size.
    Nowhere,
    /// In one register, or its halves in two.
    Registers(Register, Option<Register>),
    /// One half in a register, the other one in memory.
    Split {
        /// The register.
        register: Register,
        /// It has the lower half.
        is_low: bool,
        /// As that of a stack.
        offset: u64,
    },
    /// All of a vector register, by its number.
    Vector(u8),
    /// In memory.
    Stack {
        /// From the stack pointer, which points at the return address. Bytes.
        offset: u64,
        /// Bytes.
        size: u64,
    },
}

/// A register that carries arguments, by its number in their order (psABI 3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// `rdi`, `rsi`, `rdx`, `rcx`, `r8`, `r9`.
    General(u8),
    /// `xmm0` to `xmm7`.
    Vector(u8),
}

/// The arguments of one call, at the function's first instruction.
pub struct Entry<'v> {
    view: &'v View<'v>,
    floats: OnceCell<Option<FloatRegs>>,
}

impl<'v> Entry<'v> {
    /// What can be seen at that instruction.
    pub fn new(view: &'v View<'v>) -> Entry<'v> {
        Entry {
            view,
            floats: OnceCell::new(),
        }
    }

    /// Follows a location. A scalar on the stack is taken out at once: the callee may use its slot for
    /// anything.
    pub fn fetch(&self, location: Location) -> Place {
        match location {
            Location::Nowhere => Place::word(0),
            Location::Registers(first, second) => {
                let second = second.map_or(Some(0), |register| self.register(register));
                match (self.register(first), second) {
                    (Some(low), Some(high)) => Place::pair([low, high]),
                    _ => Place::Lost,
                }
            }
            Location::Split {
                register,
                is_low,
                offset,
            } => {
                let at = Addr(self.view.regs.rsp.wrapping_add(offset));
                let stored = self.view.memory.read_word(at).ok();
                match (self.register(register), stored, is_low) {
                    (Some(low), Some(high), true) | (Some(high), Some(low), false) => {
                        Place::pair([low, high])
                    }
                    _ => Place::Lost,
                }
            }
            Location::Vector(number) => {
                let register = |floats: &FloatRegs| floats.xmm.get(usize::from(number)).copied();
                match self.floats().and_then(register) {
                    Some(bytes) => Place::Bytes(bytes),
                    None => Place::Lost,
                }
            }
            Location::Stack { offset, size } => {
                let at = Addr(self.view.regs.rsp.wrapping_add(offset));
                in_memory(self.view.memory, at, size)
            }
        }
    }

    /// Floating-point registers cost a system call, so they are fetched once, and only when needed.
    fn register(&self, register: Register) -> Option<u64> {
        match register {
            Register::General(number) => Some(sysv::word(self.view.regs, usize::from(number))),
            Register::Vector(number) => Some(sysv::low_half(self.floats()?, usize::from(number))),
        }
    }

    fn floats(&self) -> Option<&FloatRegs> {
        let floats = self.floats.get_or_init(|| self.view.floats.floats());
        floats.as_ref()
    }
}

/// What is at an address: its bytes when it is small, for a scalar's place may be used for anything later.
pub(super) fn in_memory(memory: &dyn Memory, at: Addr, size: u64) -> Place {
    let mut bytes = [0; 16];
    let small = usize::try_from(size).ok();
    let Some(slot) = small.and_then(|size| bytes.get_mut(..size)) else {
        return Place::Memory(at);
    };
    match memory.read_exact(at, slot) {
        Ok(()) => Place::Bytes(bytes),
        Err(_) => Place::Memory(at),
    }
}
