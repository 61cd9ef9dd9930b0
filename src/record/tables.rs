//! What a forked child needs of its maker's shared part: calls that were open at the fork return by way of it.

use super::code::Code;
use super::layout::{HASH, HASH_LOG2, MOST_TRAMPOLINES, POINTS, TABLE, TRAMPOLINE, header};
use super::shared::Shared;

/// Words by their places. Rings and threads are not among them.
pub struct Tables(Vec<(u64, Vec<u64>)>);

impl Tables {
    /// Stores them in another shared part.
    pub fn store(&self, shared: Shared<'_>) {
        for (start, words) in &self.0 {
            let at = (*start..).step_by(8);
            let stored = at.zip(words).filter(|(_, word)| **word != 0);
            stored.for_each(|(at, word)| shared.store(at, *word));
        }
    }
}

impl Code {
    /// The tables as they are now. Threads may go on adding to them.
    pub fn tables(&self, shared: Shared<'_>) -> Tables {
        let take = |start: u64, bytes: u64| {
            let mut words = Vec::new();
            shared.copy(start, bytes as usize / 8, &mut words);
            (start, words)
        };
        // An entry is complete before its number is in the hash: so the hash comes first.
        let hash = take(HASH, 4 << HASH_LOG2);
        let next = take(header::NEXT_TRAMPOLINE, 8);
        let count = shared.load(header::NEXT_TRAMPOLINE).min(MOST_TRAMPOLINES);
        let table = take(TABLE, TRAMPOLINE * count);
        let points = take(POINTS, 16 * self.shapes().len() as u64);
        Tables(vec![hash, next, table, points])
    }
}
