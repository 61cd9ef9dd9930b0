//! The tables by which calls return that are open: what a forked child needs of its maker's shared part, and a tracer
//! of the area that an earlier one has left.

use super::code::Code;
use super::layout::{
    HASH, HASH_LOG2, Layout, MOST_PATCHES, MOST_POINTS, MOST_TRAMPOLINES, PATCHES, POINTS, TABLE,
    TRAMPOLINE, header,
};
use super::shared::Shared;
use crate::base::addr::Addr;
use crate::base::memory::Memory;

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

    /// Takes them, by a function that gives the words from an offset on, so many bytes. Threads may go on adding to
    /// them.
    fn taken(take: impl Fn(u64, u64) -> Vec<u64>) -> Tables {
        let part = |start: u64, bytes: u64| (start, take(start, bytes));
        let word = |at: u64| take(at, 8).first().copied().unwrap_or_default();
        // An entry is complete before its number is in the hash: so the hash comes first.
        let hash = part(HASH, 4 << HASH_LOG2);
        let next = part(header::NEXT_TRAMPOLINE, 8);
        let count = word(header::NEXT_TRAMPOLINE).min(MOST_TRAMPOLINES);
        let table = part(TABLE, TRAMPOLINE * count);
        let points = part(POINTS, 16 * word(header::NEXT_POINT).min(MOST_POINTS));
        let errno = part(header::ERRNO, 8);
        let sandboxed = part(header::SANDBOXED, 8);
        let noted = part(header::PATCHES, 8);
        let patches = part(PATCHES, 16 * word(header::PATCHES).min(MOST_PATCHES));
        let islands = part(header::ISLANDS, 8 * header::MOST_ISLANDS);
        let detours = part(header::DETOURS, 8 * header::MOST_DETOURS);
        Tables(vec![
            hash, next, table, points, errno, sandboxed, noted, patches, islands, detours,
        ])
    }
}

impl Code {
    /// The tables as they are now.
    pub fn tables(shared: Shared<'_>) -> Tables {
        Tables::taken(|start, bytes| {
            let mut words = Vec::new();
            shared.copy(start, bytes as usize / 8, &mut words);
            words
        })
    }

    /// Goes on with an area that an earlier tracer has left, if its code is such as we make: its stubs, trampolines
    /// and tables stay, as calls may still return there. All tasks stand still.
    pub fn left(layout: Layout, memory: &dyn Memory) -> Option<(Code, Tables)> {
        let tables = Tables::taken(|start, bytes| {
            let mut read = vec![0; bytes as usize];
            let got = memory.read(Addr(layout.in_shared(start)), &mut read);
            read.truncate(got.unwrap_or_default());
            let words = read.as_chunks::<8>().0.iter();
            words.map(|word| u64::from_le_bytes(*word)).collect()
        });
        let word = |at: u64| memory.read_word(Addr(layout.in_shared(at))).ok();
        let next = (word(header::NEXT_CODE)?, word(header::NEXT_POINT)?);
        let code = Code::new(layout, 0).ok()?;
        let code = code.resumed(next, word(header::TRAMPOLINES)?, memory)?;
        Some((code, tables))
    }
}
