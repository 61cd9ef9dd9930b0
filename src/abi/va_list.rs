//! A `va_list` that was passed on: the arguments that it has not given out yet (psABI 3.5.7).

use super::Place;
use super::sysv::MODEL;
use crate::base::addr::Addr;
use crate::base::memory::{Memory, Unreadable};
use crate::proto::layout::round_up;
use crate::proto::types::{Real, Type};

/// Where the general registers end in the register save area, and the vector registers after them.
const GENERAL_END: u64 = 6 * 8;
const VECTOR_END: u64 = GENERAL_END + 8 * 16;

/// A copy of the target's `va_list`, taken forward without touching the target's.
pub struct VaList<'e> {
    memory: &'e dyn Memory,
    gp_offset: u64,
    fp_offset: u64,
    overflow: Addr,
    save_area: Addr,
}

impl<'e> VaList<'e> {
    /// Reads the structure that a `va_list` argument points to.
    pub fn read(memory: &'e dyn Memory, at: Addr) -> Result<VaList<'e>, Unreadable> {
        let mut bytes = [0; 24];
        memory.read_exact(at, &mut bytes)?;
        let [low, overflow, save_area] = [0, 8, 16].map(|from| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[from..from + 8]);
            u64::from_le_bytes(word)
        });
        Ok(VaList {
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
        let mut bytes = [0; 16];
        let size = (size as usize).min(bytes.len());
        match self.memory.read_exact(at, &mut bytes[..size]) {
            Ok(()) => Place::Bytes(bytes),
            Err(_) => Place::Memory(at),
        }
    }
}
