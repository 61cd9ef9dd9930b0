//! glibc's heap as its own headers tell it: the blocks that were handed out before the attach. Where
//! it can be walked, nothing between blocks needs to be taken for a pointer. A heap whose headers
//! contradict each other, or what was seen of its blocks, is left alone.
//!
//! Sources: glibc's malloc/malloc.c (`struct malloc_chunk`, `struct malloc_state`, `tcache_perthread_struct`,
//! `PROTECT_PTR`) and malloc/arena.c (`heap_info`), 2.26 to 2.42, 64 bits.

mod free;
#[cfg(test)]
mod tests;

use crate::base::addr::Addr;
use crate::base::snapshot::{Region, Snapshot};
use std::ops::Range;

/// What was found in all heaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// Address and size of the memory in each chunk in use, ascending.
    pub held: Vec<(u64, u64)>,
    /// The memory that was walked from end to end, ascending.
    pub walked: Vec<Range<u64>>,
    /// Where heaps begin that could not be walked.
    pub broken: Vec<u64>,
    /// Every arena was found, so that what is held is known to be no free chunk in one of its lists.
    pub knows_free: bool,
}

/// A chunk's header: the size of the one before if that is free, then its own.
const HEADER: u64 = 16;
const ALIGNMENT: u64 = 16;
const SMALLEST: u64 = 32;
/// The flags in a size (malloc.c, "Chunk representation").
const PREV_IN_USE: u64 = 1;
const IS_MMAPPED: u64 = 2;
const NON_MAIN: u64 = 4;
const FLAGS: u64 = 7;

/// `HEAP_MAX_SIZE`: where the heaps of threads' arenas begin, they are aligned to it.
const HEAP_ALIGNMENT: u64 = 64 << 20;
/// `heap_info` is no larger, whatever the version.
const HEAP_INFO: u64 = 0x80;

/// In `malloc_state`: the fast bins, the top chunk, the first bin, and its whole size.
const FASTBINS: Range<u64> = 16..96;
const TOP: u64 = 96;
const BINS: u64 = 112;
const STATE: u64 = 2200;

const PAGE: u64 = 4096;

/// Walks every heap that can be walked.
pub fn walk(snapshot: &Snapshot) -> Chunks {
    let mut walk = Walk {
        words: Words::new(snapshot),
        snapshot,
        arenas: Vec::new(),
        found: Chunks::default(),
    };
    for region in &snapshot.regions {
        if region.name == "[heap]" {
            walk.main(region);
        } else if region.name.is_empty() || region.name.starts_with("[anon") {
            walk.anonymous(region);
        }
    }
    let Walk {
        arenas, mut found, ..
    } = walk;
    free::remove_free(snapshot, &arenas, &mut found.held);
    found
}

impl Chunks {
    /// The address is in memory that was walked.
    pub fn cover(&self, at: u64) -> bool {
        self.range_of(at).is_some()
    }

    /// Leaves out every heap in which a block is known where there is no chunk in use.
    /// `known` is ascending.
    pub fn agree_with(&mut self, known: &[u64]) {
        let mut held = self.held.iter().map(|(start, _)| *start).peekable();
        let mut wrong: Vec<Range<u64>> = Vec::new();
        for &start in known {
            while held.next_if(|chunk| *chunk < start).is_some() {}
            if held.peek() != Some(&start)
                && let Some(range) = self.range_of(start)
                && wrong.last() != Some(range)
            {
                wrong.push(range.clone());
            }
        }
        if wrong.is_empty() {
            return;
        }
        let is_wrong = |at: u64| wrong.iter().any(|range| range.contains(&at));
        self.held.retain(|(start, _)| !is_wrong(*start));
        self.walked.retain(|range| !is_wrong(range.start));
        self.broken.extend(wrong.iter().map(|range| range.start));
    }

    fn range_of(&self, at: u64) -> Option<&Range<u64>> {
        let after = self.walked.partition_point(|range| range.start <= at);
        let before = after.checked_sub(1).and_then(|n| self.walked.get(n));
        before.filter(|range| range.contains(&at))
    }
}

struct Walk<'f> {
    snapshot: &'f Snapshot,
    words: Words<'f>,
    /// Where arenas are.
    arenas: Vec<u64>,
    found: Chunks,
}

/// Which arena a list of chunks is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arena {
    Main,
    Thread,
}

/// The chunks of one heap.
struct List {
    /// Memory of those in use.
    in_use: Vec<(u64, u64)>,
    /// The last chunk: the top one, or one before a fence.
    last: u64,
    /// Where it ends.
    end: u64,
}

impl Walk<'_> {
    /// The heap that brk(2) grows.
    fn main(&mut self, region: &Region) {
        let start = region.range.start.next_multiple_of(ALIGNMENT);
        let Some(list) = self.list(start, region.range.end, Arena::Main) else {
            self.found.broken.push(region.range.start);
            return;
        };
        let arena = main_arena(self.snapshot, list.last);
        self.found.knows_free = arena.is_some();
        self.arenas.extend(arena);
        self.take(list, region.range.start);
    }

    /// Neighbouring mappings are one region: a heap of a thread's arena, and large blocks, which have a
    /// mapping each.
    fn anonymous(&mut self, region: &Region) {
        let end = region.range.end;
        let mut at = region.range.start;
        while at < end {
            let heap = at
                .is_multiple_of(HEAP_ALIGNMENT)
                .then(|| self.arena_heap(at, end));
            at = match heap.flatten().or_else(|| self.mapped(at, end)) {
                Some(next) => next,
                None => match self.behind(at).checked_next_multiple_of(HEAP_ALIGNMENT) {
                    Some(next) => next,
                    None => return,
                },
            };
        }
    }

    /// Where to look on behind an address at which there is nothing. Reservations may be of many TiB.
    fn behind(&mut self, at: u64) -> u64 {
        match self.words.at(at) {
            Some(_) => at + 1,
            None => self.snapshot.memory.beyond(Addr(at)).0.max(at + 1),
        }
    }

    /// A chunk with a mapping of its own; what comes back is where it ends.
    fn mapped(&mut self, at: u64, end: u64) -> Option<u64> {
        let (before, size) = (self.words.at(at)?, self.words.at(at + 8)?);
        let length = size & !FLAGS;
        let fits = length >= PAGE && length.is_multiple_of(PAGE) && length <= end - at;
        if before != 0 || size & FLAGS != IS_MMAPPED || !fits {
            return None;
        }
        self.found.held.push((at + HEADER, length - HEADER));
        self.found.walked.push(at..at + length);
        Some(at + length)
    }

    /// A heap of a thread's arena: `heap_info`, in the first one the arena itself, then chunks. What comes
    /// back is where it ends.
    fn arena_heap(&mut self, start: u64, end: u64) -> Option<u64> {
        let (arena, size) = (self.words.at(start)?, self.words.at(start + 16)?);
        if size < PAGE || !size.is_multiple_of(PAGE) || size > (end - start).min(HEAP_ALIGNMENT) {
            return None;
        }
        let end = start + size;
        let is_first = arena > start && arena <= start + HEAP_INFO;
        // Behind the structure, where memory is aligned (arena.c, `new_heap`, `_int_new_arena`).
        let candidates = match is_first {
            true => vec![(arena + STATE).next_multiple_of(ALIGNMENT)],
            // The size of `heap_info` differs with the version.
            false => vec![start + 0x20, start + 0x30, start + 0x40],
        };
        let mut lists = candidates
            .into_iter()
            .filter_map(|first| self.list(first, end, Arena::Thread));
        let list = lists.next();
        if is_first {
            // The arena knows its top chunk, here or in a newer heap.
            let top = self.words.at(arena + TOP);
            let agrees = |list: &List| {
                top.is_some_and(|top| top == list.last || !(start..end).contains(&top))
            };
            let Some(list) = list.filter(agrees) else {
                self.found.broken.push(start);
                return None;
            };
            self.arenas.push(arena);
            self.take(list, start);
        } else {
            self.take(list?, start);
        }
        Some(end)
    }

    /// The chunks from one on to the last, which is the top one or one before a fence; `None` when they do
    /// not follow each other.
    fn list(&mut self, first: u64, end: u64, arena: Arena) -> Option<List> {
        let mut in_use = Vec::new();
        let mut at = first;
        let mut head = self.words.at(at + 8)?;
        let mut size = size_of(head, at, end)?;
        loop {
            let next = at + size;
            // The top chunk reaches to the end; two small fences stand at that of a heap that is left.
            if next >= end || end - next < SMALLEST {
                return Some(List {
                    in_use,
                    last: at,
                    end,
                });
            }
            let (before, next_head) = (self.words.at(next)?, self.words.at(next + 8)?);
            let is_used = next_head & PREV_IN_USE != 0;
            let next_size = size_of(next_head, next, end);
            // A fence, or what brk(2) gave and is not used yet.
            let is_end = next_size.is_none() && next_head & !FLAGS <= HEADER;
            if is_used {
                let is_of_thread = head & NON_MAIN != 0;
                if is_of_thread != (arena == Arena::Thread) {
                    return None;
                }
                in_use.push((at + HEADER, size - 8));
            } else if before != size && !is_end {
                return None;
            }
            match next_size {
                Some(next_size) => (at, head, size) = (next, next_head, next_size),
                None if is_end => {
                    return Some(List {
                        in_use,
                        last: at,
                        end: next,
                    });
                }
                None => return None,
            }
        }
    }

    fn take(&mut self, list: List, start: u64) {
        self.found.held.extend(list.in_use);
        self.found.walked.push(start..list.end);
    }
}

/// The size of a chunk there, if one can be.
fn size_of(head: u64, at: u64, end: u64) -> Option<u64> {
    let size = head & !FLAGS;
    let fits = size >= SMALLEST && size.is_multiple_of(ALIGNMENT) && size <= end.checked_sub(at)?;
    (fits && head & IS_MMAPPED == 0).then_some(size)
}

/// glibc's main arena, which no symbol leads to: it knows the top chunk, and its first bin is empty, and
/// then points to itself, or not, and then into the heap.
fn main_arena(snapshot: &Snapshot, top: u64) -> Option<u64> {
    let libraries = snapshot.regions.iter();
    let data = libraries.filter(|region| region.name.contains("libc"));
    let mut words = Words::new(snapshot);
    for region in data {
        let first = region.range.start.next_multiple_of(8);
        for at in (first..region.range.end.saturating_sub(STATE)).step_by(8) {
            if words.at(at) != Some(top) || at < region.range.start + TOP {
                continue;
            }
            let arena = at - TOP;
            let bin = snapshot.word(arena + BINS);
            if bin.is_some_and(|bin| bin == arena + BINS - HEADER || bin < top && bin > 0) {
                return Some(arena);
            }
        }
    }
    None
}

/// Words that are mostly asked for one behind the other.
struct Words<'f> {
    snapshot: &'f Snapshot,
    start: u64,
    bytes: Vec<u8>,
}

/// So much is read at once.
const WINDOW: usize = 1 << 16;

impl<'f> Words<'f> {
    fn new(snapshot: &'f Snapshot) -> Words<'f> {
        Words {
            snapshot,
            start: 0,
            bytes: Vec::new(),
        }
    }

    fn at(&mut self, at: u64) -> Option<u64> {
        if let Some(word) = self.cached(at) {
            return Some(word);
        }
        self.bytes.resize(WINDOW, 0);
        let got = self.snapshot.memory.read(Addr(at), &mut self.bytes);
        self.start = at;
        self.bytes.truncate(got.unwrap_or(0));
        self.cached(at)
    }

    fn cached(&self, at: u64) -> Option<u64> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(from..from.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}
