//! The calling convention that a task's code goes by, whichever it is: the one place that chooses.

use super::va_list::VaList;
use super::{Place, i386, sysv};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::View;
use crate::proto::layout::Model;
use crate::proto::types::Type;

/// Where the arguments of one call are, taken one after the other.
// Lives on the stack while one call is decoded; a box would cost more than the unused bytes.
#[allow(missing_docs, clippy::large_enum_variant)]
pub enum Arguments<'e> {
    Amd64(sysv::Arguments<'e>),
    /// In a register save area and on the stack.
    Amd64List(VaList<'e>),
    I386(i386::Arguments<'e>),
}

impl<'e> Arguments<'e> {
    /// Stands before the first argument of a function with such a result, on its first instruction.
    pub fn new(view: View<'e>, result: &Type) -> Arguments<'e> {
        match view.regs.machine() {
            Machine::Amd64 => Arguments::Amd64(sysv::Arguments::new(view, result)),
            Machine::I386 => Arguments::I386(i386::Arguments::new(view, result)),
        }
    }

    /// Stands before the first of those that an argument of type `va_list` still has to give out. `None`
    /// when it cannot be read.
    pub fn listed(machine: Machine, memory: &'e dyn Memory, argument: &Place) -> Option<Self> {
        let Place::Bytes(bytes) = argument else {
            return None;
        };
        let at = u128::from_le_bytes(*bytes) as u64;
        match machine {
            Machine::Amd64 => VaList::read(memory, Addr(at))
                .ok()
                .map(Arguments::Amd64List),
            Machine::I386 => Some(Arguments::I386(i386::Arguments::at(memory, at))),
        }
    }

    /// Where the next argument is, and past it.
    pub fn next(&mut self, ty: &Type) -> Place {
        match self {
            Arguments::Amd64(arguments) => arguments.next(ty),
            Arguments::Amd64List(list) => list.next(ty),
            Arguments::I386(arguments) => arguments.next(ty),
        }
    }
}

/// Where the result of a call is that has just returned.
pub fn result(view: &View<'_>, ty: &Type) -> Place {
    match view.regs.machine() {
        Machine::Amd64 => sysv::result(view, ty),
        Machine::I386 => i386::result(view, ty),
    }
}

/// The argument of this number from 0, of a function that nobody knows.
pub fn word(view: &View<'_>, number: usize) -> u64 {
    match view.regs.machine() {
        Machine::Amd64 => sysv::word(view.regs, number),
        Machine::I386 => i386::word(view, number),
    }
}

/// How values are laid out in the memory of such code.
pub fn model(machine: Machine) -> Model {
    match machine {
        Machine::Amd64 => sysv::MODEL,
        Machine::I386 => i386::MODEL,
    }
}
