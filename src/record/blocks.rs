//! Blocks whose releases are to be seen: in the target counted by a hash of their addresses, so that a release of any
//! other block is most often known by one look.

use super::layout::{BLOCKS, BLOCKS_LOG2};
use super::shared::Shared;
use rustc_hash::FxHashSet;

/// An address is hashed so that neighbours have neighbouring counts: its lowest bits are left out, and the upper ones
/// folded in.
pub(super) const IGNORED: u32 = 4;
pub(super) const FOLDED: u32 = 16;
pub(super) const MASK: u64 = (1 << BLOCKS_LOG2) - 1;

/// Those of one target.
#[derive(Clone, Debug, Default)]
pub struct Blocks(FxHashSet<u64>);

impl Blocks {
    /// Adds one.
    pub fn insert(&mut self, shared: Shared<'_>, at: u64) {
        if self.0.insert(at) {
            count(shared, at, |count| count.wrapping_add(1));
        }
    }

    /// Takes one out. Whether it was there.
    pub fn remove(&mut self, shared: Shared<'_>, at: u64) -> bool {
        let was_there = self.0.remove(&at);
        if was_there {
            count(shared, at, |count| count.wrapping_sub(1));
        }
        was_there
    }

    /// Counts all of them in a target that does not know of them yet.
    pub fn store(&self, shared: Shared<'_>) {
        for at in &self.0 {
            count(shared, *at, |count| count.wrapping_add(1));
        }
    }
}

/// Changes the count of an address, which only the tracer writes.
fn count(shared: Shared<'_>, at: u64, change: impl Fn(u16) -> u16) {
    let at = at >> IGNORED;
    let offset = BLOCKS + 2 * ((at ^ at >> FOLDED) & MASK);
    let (word, shift) = (offset & !7, offset % 8 * 8);
    let old = shared.load(word);
    let new = change((old >> shift) as u16);
    shared.store(word, old & !(0xffff << shift) | u64::from(new) << shift);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn counts_are_those_of_the_blocks() {
        let words: Vec<AtomicU64> = (0..(BLOCKS + (2 << BLOCKS_LOG2)) / 8)
            .map(|_| AtomicU64::new(0))
            .collect();
        let shared = Shared(&words);
        let sum = |from: u64| {
            words[(from / 8) as usize..].iter().map(|word| {
                let word = word.load(std::sync::atomic::Ordering::Relaxed);
                (0..4).map(|part| word >> (16 * part) & 0xffff).sum::<u64>()
            })
        };
        let all = || sum(BLOCKS).sum::<u64>();
        let mut blocks = Blocks::default();
        // Four in one word, one of them twice, and one far away.
        let starts = [0x1000, 0x1010, 0x1020, 0x1030, 0x1030, 0x7fff_ffff_fff0];
        starts.iter().for_each(|at| blocks.insert(shared, *at));
        assert_eq!(all(), 5);
        assert!(!blocks.remove(shared, 0x1040));
        assert!(blocks.remove(shared, 0x1010));
        assert!(!blocks.remove(shared, 0x1010));
        assert_eq!(all(), 4);
        words
            .iter()
            .for_each(|word| word.store(0, std::sync::atomic::Ordering::Relaxed));
        blocks.store(shared);
        assert_eq!(all(), 4);
    }
}
