//! The System V calling convention for AMD64 (psABI 3.2.3): general registers, vector registers and
//! the stack, as a cursor over parameters.

use super::Place;
use super::location::{Location, Register};
use crate::base::addr::Addr;
use crate::base::regs::{FloatRegs, Regs, View};
use crate::proto::layout::{Layout, Model, round_up};
use crate::proto::types::{Passing, Real, Type};

/// The data model of this convention.
pub const MODEL: Model = Model::Lp64;

/// Where the next parameter of a function is passed. Computed from types alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    general: u8,
    vector: u8,
    /// From the stack pointer at the function's first instruction, which points at the return address.
    stack: u64,
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
    /// The same, each by itself.
    Halves(Class, Class),
    /// All of a vector register.
    Vector,
    /// On the stack.
    Memory,
    /// On the stack; as a result in `st(0)`.
    X87,
}

impl Cursor {
    /// Stands before the first parameter of a function with such a result.
    pub fn new(result: &Type) -> Cursor {
        // The caller passes the place for a result in memory as if it were the first argument.
        let general = u8::from(passed(result) == Passed::Memory);
        Cursor {
            general,
            vector: 0,
            stack: 8,
        }
    }

    /// Where the next parameter is, and past it.
    pub fn next(&mut self, ty: &Type) -> Location {
        match passed(ty) {
            Passed::Nowhere => Location::Nowhere,
            Passed::Vector if self.vector < 8 => {
                self.vector += 1;
                Location::Vector(self.vector - 1)
            }
            Passed::Halves(first, second) => self.halves(first, second),
            Passed::Vector | Passed::Memory | Passed::X87 => self.on_stack(MODEL.layout(ty)),
            Passed::Registers(first, second) => {
                let classes = [Some(first), second];
                let count = |class| classes.iter().filter(|c| **c == Some(class)).count() as u8;
                let fits = self.general + count(Class::Integer) <= 6
                    && self.vector + count(Class::Sse) <= 8;
                if fits {
                    let first = self.register(first);
                    Location::Registers(first, second.map(|class| self.register(class)))
                } else {
                    self.on_stack(MODEL.layout(ty))
                }
            }
        }
    }

    fn halves(&mut self, first: Class, second: Class) -> Location {
        let low = self.half(first);
        let high = self.half(second);
        let (register, is_low, offset) = match (low, high) {
            (Ok(low), Ok(high)) => return Location::Registers(low, Some(high)),
            (Ok(register), Err(offset)) => (register, true, offset),
            (Err(offset), Ok(register)) => (register, false, offset),
            // One behind the other.
            (Err(offset), Err(_)) => return Location::Stack { offset, size: 16 },
        };
        Location::Split {
            register,
            is_low,
            offset,
        }
    }

    /// A register, or where on the stack.
    fn half(&mut self, class: Class) -> Result<Register, u64> {
        let is_left = match class {
            Class::Integer => self.general < 6,
            Class::Sse => self.vector < 8,
        };
        match is_left {
            true => Ok(self.register(class)),
            false => {
                self.stack = self.stack.saturating_add(8);
                Err(self.stack - 8)
            }
        }
    }

    fn register(&mut self, class: Class) -> Register {
        match class {
            Class::Integer => {
                self.general += 1;
                Register::General(self.general - 1)
            }
            Class::Sse => {
                self.vector += 1;
                Register::Vector(self.vector - 1)
            }
        }
    }

    /// The first stack slot is at an address that 16 divides (psABI 3.2.2).
    fn on_stack(&mut self, layout: Layout) -> Location {
        let align = layout.align.max(8);
        let offset = round_up(self.stack - 8, align).saturating_add(8);
        self.stack = offset.saturating_add(round_up(layout.size, 8));
        Location::Stack {
            offset,
            size: layout.size,
        }
    }
}

/// Where the result of a call is that has just returned.
pub fn result(view: &View<'_>, ty: &Type) -> Place {
    let regs = view.regs;
    match passed(ty) {
        Passed::Nowhere => Place::word(0),
        Passed::Registers(Class::Integer, None) => Place::word(regs.rax),
        Passed::Vector => match view.floats.floats() {
            Some(floats) => Place::Bytes(floats.xmm[0]),
            None => Place::Lost,
        },
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
        Passed::Halves(..) => Place::Lost,
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

/// Registers that hold a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// `rax`, `rdx`: so many.
    pub general: u8,
    /// `xmm0`, `xmm1`: so many.
    pub vector: u8,
    /// All of `xmm0`.
    pub wide: bool,
    /// `st(0)`
    pub x87: bool,
    /// It is in memory; `rax` has its address.
    pub memory: bool,
}

/// Where results of a type are.
pub fn results(ty: &Type) -> Results {
    let mut at = Results::default();
    match passed(ty) {
        Passed::Nowhere | Passed::Halves(..) => {}
        Passed::Memory => at.memory = true,
        Passed::X87 => at.x87 = true,
        Passed::Vector => at.wide = true,
        Passed::Registers(first, second) => {
            for class in std::iter::once(first).chain(second) {
                match class {
                    Class::Integer => at.general += 1,
                    Class::Sse => at.vector += 1,
                }
            }
        }
    }
    at
}

/// The general registers that carry arguments, by their number from 0.
pub fn word(regs: &Regs, number: usize) -> u64 {
    regs.arguments().get(number).copied().unwrap_or_default()
}

pub(super) fn low_half(floats: &FloatRegs, number: usize) -> u64 {
    let register = floats.xmm.get(number).copied().unwrap_or_default();
    u128::from_le_bytes(register) as u64
}

fn passed(ty: &Type) -> Passed {
    match ty.unshown() {
        Type::Integer(_) | Type::Character(_) | Type::Part(_) | Type::Pointer(_) => {
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
    if let Type::Struct(s) = ty
        && s.laid()
            .is_some_and(|laid| laid.passing == Passing::InMemory)
    {
        return Passed::Memory;
    }
    if layout.size == 0 {
        return Passed::Nowhere;
    }
    if layout.size > 16 {
        return Passed::Memory;
    }
    let mut scalars = Scalars::default();
    scalars.add(ty, 0);
    match scalars {
        Scalars { is_wide: true, .. } => Passed::Vector,
        Scalars {
            is_crooked: true, ..
        } => Passed::Memory,
        Scalars {
            extended: 1,
            others: 0,
            ..
        } => Passed::X87,
        Scalars { extended: 1.., .. } => Passed::Memory,
        // Of a class without members, and of what is larger only to be aligned, nothing is passed.
        Scalars { classes, .. } => match classes {
            [None, None] => Passed::Nowhere,
            [Some(first), Some(second)] if is_by_halves(ty) => Passed::Halves(first, second),
            [first, second] => Passed::Registers(first.unwrap_or(Class::Sse), second),
        },
    }
}

fn is_by_halves(ty: &Type) -> bool {
    let Type::Struct(s) = ty else {
        return false;
    };
    s.laid()
        .is_some_and(|laid| laid.passing == Passing::ByHalves)
}

/// What a type of at most 16 bytes consists of.
#[derive(Default)]
struct Scalars {
    /// Of each eightbyte that has anything in it.
    classes: [Option<Class>; 2],
    /// So many of C's `long double`, and of anything else.
    extended: u32,
    others: u32,
    /// A vector of 16 bytes.
    is_wide: bool,
    /// Some of them is not at a multiple of its size.
    is_crooked: bool,
}

impl Scalars {
    fn add(&mut self, ty: &Type, base: u64) {
        match ty.unshown() {
            Type::Struct(s) if s.laid().is_some_and(|laid| laid.passing == Passing::Vector) => {
                let Layout { size, align } = MODEL.layout(ty);
                self.others += 1;
                self.is_crooked |= !base.is_multiple_of(align.max(1));
                match size {
                    16 => self.is_wide = true,
                    _ => self.take(base, Class::Sse),
                }
            }
            Type::Struct(s) => {
                for (offset, member) in MODEL.offsets(s) {
                    self.add(member, base.saturating_add(offset));
                }
            }
            Type::Array(element, _) => {
                let size = MODEL.layout(element).size;
                // Elements without size hold nothing, however many there are.
                let count = MODEL.layout(ty).size.checked_div(size).unwrap_or(0);
                for i in 0..count.min(16) {
                    self.add(element, base.saturating_add(i * size));
                }
            }
            Type::Void => {}
            Type::Real(Real::Extended) => self.extended += 1,
            scalar => {
                let Layout { size, align } = MODEL.layout(scalar);
                self.others += 1;
                self.is_crooked |= !base.is_multiple_of(align.max(1));
                let class = match scalar {
                    Type::Real(_) => Class::Sse,
                    _ => Class::Integer,
                };
                // A bit-field may lie in both.
                let last = base.saturating_add(size.saturating_sub(1));
                self.take(base, class);
                self.take(last, class);
            }
        }
    }

    fn take(&mut self, at: u64, class: Class) {
        let eightbyte = &mut self.classes[usize::from(at >= 8)];
        if *eightbyte != Some(Class::Integer) {
            *eightbyte = Some(class);
        }
    }
}
