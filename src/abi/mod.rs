//! Where a call's arguments and its result are, by the calling convention: no text, no prototypes'
//! meaning. One file for each convention.

pub mod convention;
pub mod extended;
pub mod i386;
pub mod location;
pub mod sysv;
pub mod va_list;

#[cfg(test)]
mod tests;

use crate::base::addr::Addr;
use crate::proto::types::Type;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// Here: its bytes as they were in registers or in an argument's stack slot, low bytes first.
    Bytes([u8; 16]),
    /// In the target's memory.
    Memory(Addr),
    /// Nowhere any more: the task is gone.
    Lost,
}

impl Place {
    /// A general register.
    pub fn word(word: u64) -> Place {
        Place::pair([word, 0])
    }

    /// Its low eight bytes; of what is in memory, the address; zero for what is lost.
    pub fn low(&self) -> u64 {
        match self {
            Place::Bytes([a, b, c, d, e, f, g, h, ..]) => {
                u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
            }
            Place::Memory(at) => at.0,
            Place::Lost => 0,
        }
    }

    /// Two eightbytes.
    fn pair([low, high]: [u64; 2]) -> Place {
        Place::Bytes((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }
}

/// A typed value of a call: one of its arguments, or its result.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'t> {
    /// How it is laid out and shown.
    pub ty: &'t Type,
    /// Where it is.
    pub place: Place,
}
