//! Chunks that were freed and not told so to their neighbours: those in fast bins and in threads' caches.
//! A list that is not understood leaves its chunks among those in use, where they do no harm: a program cannot
//! reach them.

use crate::base::snapshot::Snapshot;
use crate::leak::reach::chunks::{ALIGNMENT, FASTBINS, FLAGS, HEADER, SMALLEST};
use std::collections::HashSet;

/// Lists of free chunks are no longer than this, or they are none.
const LONGEST: usize = 1 << 20;

/// Takes them out of `held`, which is ascending.
pub(super) fn remove_free(snapshot: &Snapshot, arenas: &[u64], held: &mut Vec<(u64, u64)>) {
    let mut lists = Lists {
        snapshot,
        held,
        free: HashSet::new(),
    };
    for arena in arenas {
        for bin in FASTBINS.step_by(8) {
            let first = snapshot.word(arena + bin).unwrap_or(0);
            // The bins hold chunks, the links stand in their memory.
            lists.chain(first.wrapping_add(HEADER), HEADER);
        }
    }
    lists.caches();
    let free = lists.free;
    held.retain(|(memory, _)| !free.contains(memory));
}

struct Lists<'h> {
    snapshot: &'h Snapshot,
    held: &'h [(u64, u64)],
    /// The memory of free chunks.
    free: HashSet<u64>,
}

/// A thread's cache: a chunk in use that holds, for each size, how many free chunks there are, and the
/// first of them.
struct Form {
    /// Its chunk's size.
    size: u64,
    /// How many lists there are.
    lists: u64,
    /// Where the first chunks are told.
    heads: u64,
    counts: Counts,
}

/// What stands before the heads.
#[derive(Clone, Copy)]
enum Counts {
    /// How many there are, a byte each.
    Bytes,
    /// The same, two bytes each.
    Shorts,
    /// How many more may come, two bytes each.
    Room,
}

/// 2.30 to 2.41; 2.26 to 2.29; from 2.42.
const FORMS: [Form; 3] = [
    Form {
        size: 0x290,
        lists: 64,
        heads: 0x80,
        counts: Counts::Shorts,
    },
    Form {
        size: 0x250,
        lists: 64,
        heads: 0x40,
        counts: Counts::Bytes,
    },
    Form {
        size: 0x300,
        lists: 76,
        heads: 0x98,
        counts: Counts::Room,
    },
];

impl Lists<'_> {
    fn caches(&mut self) {
        let held = self.held;
        for &(memory, size) in held {
            for form in FORMS.iter().filter(|form| form.size == size + 8) {
                if let Some(heads) = self.heads(memory, form) {
                    heads.into_iter().for_each(|head| self.chain(head, 0));
                }
            }
        }
    }

    /// Every head is empty, and there are none, or a chunk of the size that its place stands for.
    fn heads(&self, memory: u64, form: &Form) -> Option<Vec<u64>> {
        let mut heads = Vec::new();
        for list in 0..form.lists {
            let head = self.snapshot.word(memory + form.heads + 8 * list)?;
            let is_empty = match form.counts {
                Counts::Bytes => Some(self.number(memory + list, 1)? == 0),
                Counts::Shorts => Some(self.number(memory + 2 * list, 2)? == 0),
                Counts::Room => None,
            };
            if is_empty.is_some_and(|is_empty| is_empty != (head == 0)) {
                return None;
            }
            if head != 0 && !self.is_of_list(head, list) {
                return None;
            }
            heads.push(head);
        }
        Some(heads)
    }

    fn number(&self, at: u64, bytes: u32) -> Option<u64> {
        let within = at % 8;
        let word = self.snapshot.word(at - within)?;
        Some(word >> (within * 8) & ((1 << (bytes * 8)) - 1))
    }

    /// Lists of 32, 48, 64 … bytes; those behind the 64th are of larger steps.
    fn is_of_list(&self, memory: u64, list: u64) -> bool {
        let size = self.size(memory);
        size.is_some_and(|size| list >= 64 || size == SMALLEST + ALIGNMENT * list)
    }

    /// The size of the chunk whose memory begins there.
    fn size(&self, memory: u64) -> Option<u64> {
        let found = self.held.binary_search_by_key(&memory, |held| held.0);
        let (_, size) = self.held.get(found.ok()?)?;
        Some((size + 8) & !FLAGS)
    }

    /// Follows a list of free chunks by their memory. Links are mangled with where they are since 2.32
    /// (`PROTECT_PTR`); `header` is what lies between what a link says and the memory it means.
    fn chain(&mut self, first: u64, header: u64) {
        let mut memory = first;
        for _ in 0..LONGEST {
            if self.size(memory).is_none() || !self.free.insert(memory) {
                return;
            }
            let Some(link) = self.snapshot.word(memory) else {
                return;
            };
            let plain = (link ^ (memory >> 12)).wrapping_add(header);
            memory = match self.size(plain) {
                Some(_) => plain,
                None => link.wrapping_add(header),
            };
        }
    }
}
