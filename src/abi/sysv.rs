//! The System V calling convention for AMD64 (psABI 3.2.3): general registers, vector registers and
//! the stack, as a cursor over parameters.

use super::Place;
use crate::base::addr::Addr;
use crate::base::regs::{FloatRegs, Regs, View};
use crate::proto::layout::{Layout, Model, round_up};
use crate::proto::types::{Real, Type};
use std::cell::OnceCell;

/// The data model of this convention.
pub const MODEL: Model = Model::Lp64;

/// Where the arguments of one call are, taken one after the other.
pub struct Arguments<'e> {
    view: View<'e>,
    floats: OnceCell<Option<FloatRegs>>,
    general: usize,
    vector: usize,
    stack: Addr,
}

/// The class of an eightbyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Integer,
    Sse,
}

/// How a type is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    /// Not at all: it has no size.
    Nowhere,
    /// Its eightbytes, the second perhaps missing, in registers while there are enough.
    Registers(Class, Option<Class>),
    /// On the stack.
    Memory,
    /// On the stack; as a result in `st(0)`.
    X87,
}

impl<'e> Arguments<'e> {
    /// Stands before the first argument of a function with such a result. At its first instruction
    /// `rsp` points at the return address, and above it are the arguments passed in memory.
    pub fn new(view: View<'e>, result: &Type) -> Arguments<'e> {
        // The caller passes the place for a result in memory as if it were the first argument.
        let general = usize::from(passed(result) == Passed::Memory);
        Arguments {
            view,
            floats: OnceCell::new(),
            general,
            vector: 0,
            stack: Addr(view.regs.rsp).offset(8),
        }
    }

    /// Where the next argument is, and past it. A scalar on the stack is taken out at once: the callee
    /// may use its slot for anything.
    pub fn next(&mut self, ty: &Type) -> Place {
        match passed(ty) {
            Passed::Nowhere => Place::word(0),
            Passed::Memory | Passed::X87 => self.on_stack(MODEL.layout(ty)),
            Passed::Registers(first, second) => {
                let classes = [Some(first), second];
                let count = |class| classes.iter().filter(|c| **c == Some(class)).count();
                let fits = self.general + count(Class::Integer) <= 6
                    && self.vector + count(Class::Sse) <= 8;
                if fits {
                    self.in_registers(classes)
                } else {
                    self.on_stack(MODEL.layout(ty))
                }
            }
        }
    }

    fn in_registers(&mut self, classes: [Option<Class>; 2]) -> Place {
        let mut eightbytes = [0; 2];
        for (eightbyte, class) in eightbytes.iter_mut().zip(classes) {
            *eightbyte = match class {
                None => 0,
                Some(Class::Integer) => {
                    self.general += 1;
                    word(self.view.regs, self.general - 1)
                }
                Some(Class::Sse) => {
                    let view = self.view;
                    let Some(floats) = self.floats.get_or_init(|| view.floats.floats()) else {
                        return Place::Lost;
                    };
                    self.vector += 1;
                    low_half(floats, self.vector - 1)
                }
            };
        }
        Place::pair(eightbytes)
    }

    fn on_stack(&mut self, layout: Layout) -> Place {
        let at = Addr(round_up(self.stack.0, layout.align.max(8)));
        self.stack = Addr(at.0.wrapping_add(round_up(layout.size, 8)));
        let mut bytes = [0; 16];
        let Some(slot) = usize::try_from(layout.size)
            .ok()
            .and_then(|size| bytes.get_mut(..size))
        else {
            return Place::Memory(at);
        };
        match self.view.memory.read_exact(at, slot) {
            Ok(()) => Place::Bytes(bytes),
            Err(_) => Place::Memory(at),
        }
    }
}

/// Where the result of a call is that has just returned.
pub fn result(view: &View<'_>, ty: &Type) -> Place {
    let regs = view.regs;
    match passed(ty) {
        Passed::Nowhere => Place::word(0),
        Passed::Registers(Class::Integer, None) => Place::word(regs.rax),
        // The callee hands back the place that it was passed.
        Passed::Memory => Place::Memory(Addr(regs.rax)),
        Passed::X87 => match view.floats.floats() {
            Some(floats) => {
                let mut bytes = [0; 16];
                bytes[..10].copy_from_slice(&floats.st[0]);
                Place::Bytes(bytes)
            }
            None => Place::Lost,
        },
        Passed::Registers(first, second) => {
            let Some(floats) = view.floats.floats() else {
                return Place::Lost;
            };
            let mut general = [regs.rax, regs.rdx].into_iter();
            let mut vector = [0, 1].into_iter();
            let mut eightbyte = |class| match class {
                Class::Integer => general.next().unwrap_or_default(),
                Class::Sse => low_half(&floats, vector.next().unwrap_or_default()),
            };
            let low = eightbyte(first);
            Place::pair([low, second.map_or(0, eightbyte)])
        }
    }
}

/// The general registers that carry arguments, by their number from 0.
pub fn word(regs: &Regs, number: usize) -> u64 {
    regs.arguments().get(number).copied().unwrap_or_default()
}

fn low_half(floats: &FloatRegs, number: usize) -> u64 {
    let register = floats.xmm.get(number).copied().unwrap_or_default();
    u128::from_le_bytes(register) as u64
}

fn passed(ty: &Type) -> Passed {
    match ty.unshown() {
        Type::Integer(_) | Type::Character(_) | Type::Pointer(_) => {
            Passed::Registers(Class::Integer, None)
        }
        Type::Real(Real::Extended) => Passed::X87,
        Type::Real(_) => Passed::Registers(Class::Sse, None),
        ty => aggregate(ty),
    }
}

/// Classes of a structure's eightbytes: SSE when nothing but floats and doubles are in it.
fn aggregate(ty: &Type) -> Passed {
    let layout = MODEL.layout(ty);
    if layout.size == 0 {
        return Passed::Nowhere;
    }
    if layout.size > 16 {
        return Passed::Memory;
    }
    let mut scalars = Vec::new();
    flatten(ty, 0, &mut scalars);
    if scalars
        .iter()
        .any(|(_, real)| *real == Some(Real::Extended))
    {
        return Passed::X87;
    }
    let class = |index: u64| {
        let mut inside = scalars.iter().filter(|(offset, _)| offset / 8 == index);
        if inside.all(|(_, real)| real.is_some()) {
            Class::Sse
        } else {
            Class::Integer
        }
    };
    let second = (layout.size > 8).then(|| class(1));
    Passed::Registers(class(0), second)
}

/// The scalars in a type of at most 16 bytes, each with its offset and, if it is one, its float format.
fn flatten(ty: &Type, base: u64, scalars: &mut Vec<(u64, Option<Real>)>) {
    match ty.unshown() {
        Type::Struct(s) => {
            for (offset, member) in MODEL.offsets(s.members().unwrap_or_default()) {
                flatten(member, base + offset, scalars);
            }
        }
        Type::Array(element, _) => {
            let size = MODEL.layout(element).size;
            // Elements without size hold nothing, however many there are.
            let count = MODEL.layout(ty).size.checked_div(size).unwrap_or(0);
            for i in 0..count {
                flatten(element, base + i * size, scalars);
            }
        }
        Type::Real(real) => scalars.push((base, Some(*real))),
        _ => scalars.push((base, None)),
    }
}
