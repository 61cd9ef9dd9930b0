//! The patches in the target's text, noted in the shared part before they are written: who comes after a tracer that
//! was killed finds them there.

use super::layout::{Layout, MOST_PATCHES, PATCHES, header};
use super::shared::Shared;
use crate::base::addr::Addr;
use crate::base::memory::Memory;

/// Where a patch is, and what stood there before.
pub type Patch = (u64, [u8; 6]);

/// Notes patches behind those that are noted already, as far as there is room.
pub fn note(shared: Shared<'_>, patches: impl Iterator<Item = Patch>) {
    let mut count = shared.load(header::PATCHES).min(MOST_PATCHES);
    for (at, [a, b, c, d, e, f]) in patches.take((MOST_PATCHES - count) as usize) {
        let entry = PATCHES + 16 * count;
        shared.store(entry, at);
        shared.store(entry + 8, u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
        count += 1;
    }
    shared.store(header::PATCHES, count);
}

/// No patch stands any more.
pub fn clear(shared: Shared<'_>) {
    shared.store(header::PATCHES, 0);
}

/// The patches of an area that a tracer has left. The target may have written anything there.
pub fn left(layout: Layout, memory: &dyn Memory) -> Vec<Patch> {
    let at = |offset: u64| Addr(layout.in_shared(offset));
    let count = memory.read_word(at(header::PATCHES)).unwrap_or_default();
    let mut bytes = vec![0; 16 * count.min(MOST_PATCHES) as usize];
    let got = memory.read(at(PATCHES), &mut bytes).unwrap_or_default();
    let entries = bytes[..got].as_chunks::<16>().0.iter();
    entries
        .map(|entry| {
            let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
            let [a, b, c, d, e, f, ..] = word(&entry[8..]).to_le_bytes();
            (word(&entry[..8]), [a, b, c, d, e, f])
        })
        .collect()
}
