//! Which pages an allocator has given small blocks from. What lies between blocks there is its own
//! bookkeeping, and free blocks with whatever they held: no reason to call anything reachable.

use rustc_hash::FxHashMap;

/// A set of pages, 64 to a word.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    words: FxHashMap<u64, u64>,
}

const PAGE: u64 = 4096;
/// Larger blocks may have pages of their own, which other blocks get when they are freed.
const SMALL: u64 = 64 * 1024;

impl Pages {
    /// The allocator gave a block there.
    pub fn note(&mut self, start: u64, size: u64) {
        if size >= SMALL {
            return;
        }
        for page in start / PAGE..=start.saturating_add(size.max(1) - 1) / PAGE {
            *self.words.entry(page / 64).or_default() |= 1 << (page % 64);
        }
    }

    /// It gave one from the page that this address is in.
    pub fn contains(&self, at: u64) -> bool {
        let page = at / PAGE;
        self.words
            .get(&(page / 64))
            .is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.words.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_blocks() {
        let mut pages = Pages::default();
        pages.note(0x1ff0, 32);
        pages.note(0x10_0000, 0);
        pages.note(0x20_0000, SMALL);
        pages.note(u64::MAX, 4);
        let check = |at, expected| assert_eq!(pages.contains(at), expected, "{at:#x}");
        check(0xfff, false);
        check(0x1000, true);
        check(0x2fff, true);
        check(0x3000, false);
        check(0x10_0800, true);
        check(0x20_0000, false);
    }
}
