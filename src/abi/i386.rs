//! The System V calling convention for i386 (i386 psABI 2.2), as Linux has it: all arguments on the stack,
//! word by word; results in `eax`, `edx:eax` or `st(0)`; structures always in memory.

use super::location::Location;
use super::{Place, extended};
use crate::base::addr::Addr;
use crate::base::regs::View;
use crate::proto::layout::{Model, round_up};
use crate::proto::types::{Real, Type};

/// The data model of this convention.
pub const MODEL: Model = Model::Ilp32;

/// An address, and what a push takes.
const WORD: u64 = 4;

/// Where the next parameter of a function is passed. Computed from types alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// From the stack pointer at the function's first instruction, which points at the return address.
    stack: u64,
}

impl Cursor {
    /// Stands before the first parameter of a function with such a result.
    pub fn new(result: &Type) -> Cursor {
        // The caller passes the place for a result in memory as if it were the first argument.
        let hidden = if in_memory(result) { WORD } else { 0 };
        Cursor {
            stack: WORD + hidden,
        }
    }

    /// Stands at the beginning of a stretch: those arguments that a `va_list` has not given out, which is
    /// nothing but their address (i386 psABI 2.2.4).
    pub fn at_start() -> Cursor {
        Cursor { stack: 0 }
    }

    /// Where the next parameter is, and past it.
    pub fn next(&mut self, ty: &Type) -> Location {
        let size = MODEL.layout(ty).size;
        let offset = self.stack;
        self.stack = self.stack.saturating_add(round_up(size, WORD));
        Location::Stack { offset, size }
    }
}

/// The word of the stack that is the argument of this number from 0, if all before it are words.
pub fn word(view: &View<'_>, number: usize) -> u64 {
    let at = view.regs.rsp.wrapping_add(WORD * (number as u64 + 1));
    view.memory
        .read_uint(Addr(at), WORD as usize)
        .unwrap_or_default()
}

/// Where the result of a call is that has just returned.
pub fn result(view: &View<'_>, ty: &Type) -> Place {
    let low = |register: u64| register & u64::from(u32::MAX);
    let (eax, edx) = (low(view.regs.rax), low(view.regs.rdx));
    match ty.unshown() {
        Type::Real(real) => match view.floats.floats() {
            Some(floats) => Place::Bytes(narrowed(floats.st[0], *real)),
            None => Place::Lost,
        },
        // The callee hands back the place that it was passed.
        ty if in_memory(ty) => Place::Memory(Addr(eax)),
        _ => Place::word(edx << 32 | eax),
    }
}

/// What the caller would store of `st(0)`, which holds all formats in the widest.
fn narrowed(st: [u8; 10], real: Real) -> [u8; 16] {
    let mut bytes = [0; 16];
    let number = extended::to_f64(st);
    match real {
        Real::Single => bytes[..4].copy_from_slice(&(number as f32).to_le_bytes()),
        Real::Double => bytes[..8].copy_from_slice(&number.to_le_bytes()),
        Real::Extended => bytes[..10].copy_from_slice(&st),
    }
    bytes
}

fn in_memory(ty: &Type) -> bool {
    let aggregate = matches!(ty.unshown(), Type::Struct(_) | Type::Array(..));
    aggregate && MODEL.layout(ty).size > 0
}
