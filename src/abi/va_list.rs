//! A `va_list` that was passed on: the arguments that it has not given out yet (psABI 3.5.7; i386 psABI
//! 2.2.4).

use super::location::{Location, in_memory};
use super::sysv::MODEL;
use super::{Place, i386};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};
use crate::proto::layout::round_up;
use crate::proto::types::{Real, Type};

/// Where the general registers end in the register save area, and the vector registers after them.
const GENERAL_END: u64 = 6 * 8;
const VECTOR_END: u64 = GENERAL_END + 8 * 16;

/// A copy of the target's `va_list`, taken forward without touching the target's.
#[allow(missing_docs)]
pub enum VaList<'e> {
    Amd64(SaveArea<'e>),
    /// Nothing but the address of arguments that lie one after the other.
    I386 {
        memory: &'e dyn Memory,
        at: u64,
        cursor: i386::Cursor,
    },
}

impl<'e> VaList<'e> {
    /// The list that an argument of type `va_list` is. `None` when it cannot be read.
    pub fn of(machine: Machine, memory: &'e dyn Memory, argument: &Place) -> Option<VaList<'e>> {
        let Place::Bytes(bytes) = argument else {
            return None;
        };
        let at = u128::from_le_bytes(*bytes) as u64;
        match machine {
            Machine::Amd64 => SaveArea::read(memory, Addr(at)).ok().map(VaList::Amd64),
            Machine::I386 => Some(VaList::I386 {
                memory,
                at,
                cursor: i386::Cursor::at_start(),
            }),
        }
    }

    /// Where the next argument is, a scalar taken out at once: the list may live shorter than the call.
    pub fn next(&mut self, ty: &Type) -> Place {
        match self {
            VaList::Amd64(area) => area.next(ty),
            VaList::I386 { memory, at, cursor } => match cursor.next(ty) {
                Location::Stack { offset, size } => {
                    in_memory(*memory, Addr(at.wrapping_add(offset)), size)
                }
                Location::Nowhere
                | Location::Registers(..)
                | Location::Split { .. }
                | Location::Vector(_) => Place::word(0),
            },
        }
    }
}

/// AMD64: a register save area, and the stack behind it.
pub struct SaveArea<'e> {
    memory: &'e dyn Memory,
    gp_offset: u64,
    fp_offset: u64,
    overflow: Addr,
    save_area: Addr,
}

impl<'e> SaveArea<'e> {
    /// Reads the structure that a `va_list` argument points to.
    pub fn read(memory: &'e dyn Memory, at: Addr) -> Result<SaveArea<'e>, Unreadable> {
        let mut bytes = [0; 24];
        memory.read_exact(at, &mut bytes)?;
        let [low, overflow, save_area] = [0, 8, 16].map(|from| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[from..from + 8]);
            u64::from_le_bytes(word)
        });
        Ok(SaveArea {
            memory,
            gp_offset: low & u64::from(u32::MAX),
            fp_offset: low >> 32,
            overflow: Addr(overflow),
            save_area: Addr(save_area),
        })
    }

    /// Where the next argument is, a scalar taken out at once: the list may live shorter than the call.
    pub fn next(&mut self, ty: &Type) -> Place {
        let (offset, end, step) = match ty.unshown() {
            Type::Real(Real::Extended) => return self.next_overflowing(ty),
            Type::Real(_) => (&mut self.fp_offset, VECTOR_END, 16),
            _ => (&mut self.gp_offset, GENERAL_END, 8),
        };
        if *offset + step > end {
            return self.next_overflowing(ty);
        }
        let at = self.save_area.offset(*offset as i64);
        *offset += step;
        self.take(at, 8)
    }

    fn next_overflowing(&mut self, ty: &Type) -> Place {
        let layout = MODEL.layout(ty);
        let at = Addr(round_up(self.overflow.0, layout.align.max(8)));
        let size = round_up(layout.size, 8);
        self.overflow = Addr(at.0.wrapping_add(size));
        self.take(at, size)
    }

    fn take(&self, at: Addr, size: u64) -> Place {
        in_memory(self.memory, at, size.min(16))
    }
}
