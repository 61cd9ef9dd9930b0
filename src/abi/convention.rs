//! The calling convention that a task's code goes by, whichever it is: the one place that chooses.

use super::location::Location;
use super::{Place, i386, sysv};
use crate::base::machine::Machine;
use crate::base::regs::View;
use crate::proto::layout::Model;
use crate::proto::types::Type;

/// Where the parameters of a function are passed, taken one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cursor {
    Amd64(sysv::Cursor),
    I386(i386::Cursor),
}

impl Cursor {
    /// Stands before the first parameter of a function with such a result.
    pub fn new(machine: Machine, result: &Type) -> Cursor {
        match machine {
            Machine::Amd64 => Cursor::Amd64(sysv::Cursor::new(result)),
            Machine::I386 => Cursor::I386(i386::Cursor::new(result)),
        }
    }

    /// Where the next parameter is, and past it.
    pub fn next(&mut self, ty: &Type) -> Location {
        match self {
            Cursor::Amd64(cursor) => cursor.next(ty),
            Cursor::I386(cursor) => cursor.next(ty),
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

/// The argument of this number from 0, of an unknown function.
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
