//! Integers of 16 bytes: `__int128` and its kin.

use super::{Integer, Laid, Lens, Names, Passing, Struct, Type, Width};
use std::sync::Arc;

/// Bytes of one, and what its address is a multiple of (psABI, figure 3.1).
const BYTES: u64 = 16;

impl Type {
    /// An integer of 16 bytes: two words, the low one first.
    pub fn wide(signed: bool) -> Type {
        let word = Type::Integer(Integer::unsigned(Width::W64));
        let structure = Struct::announced();
        let laid = Laid {
            offsets: [0, BYTES / 2].into(),
            size: BYTES,
            align: BYTES,
            passing: Passing::ByMembers,
        };
        structure.tell(vec![word; 2], Names::default(), Some(laid));
        Type::Struct(Arc::new(structure)).shown(Lens::Wide { signed })
    }

    /// It is an integer of 16 bytes.
    pub fn is_wide(&self) -> bool {
        matches!(self, Type::Shown(Lens::Wide { .. }, _))
    }
}
