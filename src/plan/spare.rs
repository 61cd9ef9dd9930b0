//! Tracepoints whose owners have gone lately. To count one more owner of a tracepoint, and one less later, costs as
//! much as to decode a call; so what is told of a call and then thrown away hands its tracepoint on.

use super::Tracepoint;
use std::sync::Arc;

/// So many are kept, by some bits of their address.
const KEPT: usize = 1 << BITS;
const BITS: u32 = 6;

/// Tracepoints for owners to come.
#[derive(Debug)]
pub struct Spare {
    kept: [Option<Arc<Tracepoint>>; KEPT],
}

impl Default for Spare {
    fn default() -> Spare {
        Spare {
            kept: [const { None }; KEPT],
        }
    }
}

impl Spare {
    /// As a clone of this one.
    #[inline]
    pub fn take(&mut self, point: &Arc<Tracepoint>) -> Arc<Tracepoint> {
        let kept = &mut self.kept[slot(point, BITS)];
        let same = kept.take_if(|kept| Arc::ptr_eq(kept, point));
        same.unwrap_or_else(|| point.clone())
    }

    /// For the next who wants it.
    #[inline]
    pub fn give(&mut self, point: Arc<Tracepoint>) {
        let slot = slot(&point, BITS);
        self.kept[slot] = Some(point);
    }
}

/// A number of so many bits, at least one, that a tracepoint has by its place in memory. Fibonacci hashing, as addresses
/// of equal things differ in few bits.
#[inline]
pub fn slot(point: &Arc<Tracepoint>, bits: u32) -> usize {
    let address = Arc::as_ptr(point).addr() as u64;
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}
