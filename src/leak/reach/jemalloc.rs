//! Memory that jemalloc has for itself and that holds nothing of the program's, though addresses of blocks are
//! all over it: its metadata tell where slabs begin, and each thread's cache goes on telling what it handed out.
//!
//! Sources: jemalloc's src/base.c and base.h (`struct base_block_s`), 5.0 to 5.3; cache_bin.h (`struct
//! cache_bin_s`, `cache_bin_init`) and tcache.c, 5.3. What older versions cache is not recognised.

use crate::base::snapshot::{Region, Snapshot};
use std::ops::Range;

/// Blocks of metadata are multiples of it (`HUGEPAGE`), and mostly aligned to it.
const HUGE: u64 = 2 << 20;
/// None is larger.
const LARGEST: u64 = 1 << 36;
/// So far below the thread pointer a library's thread-local data are looked for.
const THREAD_LOCAL: u64 = 64 << 10;
/// A `struct cache_bin_s`: where its stack ends now, the count of requests, and the last two bytes of the addresses
/// of its lowest mark, its beginning (full) and its end (empty).
const BIN: u64 = 24;
/// There are more sizes than this, and each has a bin.
const BINS: usize = 16;

/// All of it that is found, ascending.
pub fn own(snapshot: &Snapshot) -> Vec<Range<u64>> {
    let is_anonymous =
        |region: &&Region| region.name.is_empty() || region.name.starts_with("[anon");
    let regions = snapshot.regions.iter().filter(is_anonymous);
    let mut own: Vec<Range<u64>> = regions
        .flat_map(|region| metadata(snapshot, region))
        .collect();
    own.extend(
        snapshot
            .tasks
            .iter()
            .filter_map(|task| cache(snapshot, task.fs_base)),
    );
    own.sort_unstable_by_key(|range| range.start);
    own
}

/// Blocks of metadata in a mapping. Each begins with its size, the one before it, and what is left of it.
fn metadata(snapshot: &Snapshot, region: &Region) -> Vec<Range<u64>> {
    let Range { start, end } = region.range;
    let aligned = (start.next_multiple_of(HUGE)..end).step_by(HUGE as usize);
    let mut found = Vec::new();
    let mut behind = start;
    for at in std::iter::once(start).chain(aligned) {
        if at < behind {
            continue;
        }
        let word = |number: u64| snapshot.word(at + 8 * number);
        let (Some(size), Some(before), Some(left)) = (word(0), word(1), word(3)) else {
            continue;
        };
        let is_size = size > 0 && size.is_multiple_of(HUGE) && size <= LARGEST.min(end - at);
        if is_size && before.is_multiple_of(4096) && (at + 1..=at + size).contains(&left) {
            behind = at + size;
            found.push(at..behind);
        }
    }
    found
}

/// The stacks of the bins of a thread's cache, which lie one behind the other. Its bins are in the data that a
/// library has for each thread, below the thread pointer (ELF TLS, variant II).
fn cache(snapshot: &Snapshot, fs_base: u64) -> Option<Range<u64>> {
    let from = fs_base.saturating_sub(THREAD_LOCAL) & !7;
    let mut at = from;
    while at < fs_base {
        if let Some(stacks) = bins(snapshot, at) {
            return Some(stacks);
        }
        at += 8;
    }
    None
}

/// The stacks of the bins of which the first is there.
fn bins(snapshot: &Snapshot, first: u64) -> Option<Range<u64>> {
    let begin = bin(snapshot, first)?;
    let mut all = begin.clone();
    let mut count = 1;
    while let Some(next) =
        bin(snapshot, first + BIN * count as u64).filter(|next| next.start == all.end)
    {
        all.end = next.end;
        count += 1;
    }
    (count >= BINS && all.end > all.start).then_some(all)
}

/// The stack of one bin.
fn bin(snapshot: &Snapshot, at: u64) -> Option<Range<u64>> {
    let (head, marks) = (snapshot.word(at)?, snapshot.word(at + 16)?);
    let (full, empty) = ((marks >> 16) as u16, (marks >> 32) as u16);
    let (used, room) = ((head as u16).wrapping_sub(full), empty.wrapping_sub(full));
    let is_bin = head > 4096 && head.is_multiple_of(8) && used <= room && room.is_multiple_of(8);
    let start = head.checked_sub(u64::from(used))?;
    is_bin.then(|| start..start + u64::from(room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Addr;
    use crate::base::memory::Stretch;
    use crate::base::snapshot::{Copies, Copying, TaskState};
    use std::time::Duration;

    const META: u64 = 0x7f00_0020_0000;
    const LOCAL: u64 = 0x7f11_0000_0000;
    const STACKS: u64 = 0x7f00_0081_f640;

    fn snapshot(stretches: Vec<(u64, Vec<u64>)>) -> Snapshot {
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let region = |(at, words): &(u64, Vec<u64>)| Region {
            range: *at..*at + (8 * words.len() as u64).max(if *at == META { 2 * HUGE } else { 0 }),
            name: String::new(),
        };
        Snapshot {
            regions: stretches.iter().map(region).collect(),
            images: Vec::new(),
            tasks: vec![TaskState {
                thread: crate::base::Tid(1),
                sp: 0,
                fs_base: LOCAL + 0x1000,
                words: Vec::new(),
            }],
            memory: Box::new(Copies(
                stretches
                    .iter()
                    .map(|(at, words)| Stretch {
                        at: Addr(*at),
                        bytes: bytes(words),
                    })
                    .collect(),
            )),
            pause: Duration::ZERO,
            copying: Copying::Copied,
        }
    }

    #[test]
    fn blocks_of_metadata() {
        let check = |words: [u64; 4], expected: Option<Range<u64>>| {
            assert_eq!(
                own(&snapshot(vec![(META, words.to_vec())])).pop(),
                expected,
                "{words:x?}"
            );
        };
        check(
            [HUGE, 0, 0xe800_00ff, META + 0x1f00],
            Some(META..META + HUGE),
        );
        check(
            [2 * HUGE, META - HUGE, 0, META + 2 * HUGE],
            Some(META..META + 2 * HUGE),
        );
        check([HUGE, 0, 0, META - 8], None);
        check([HUGE + 8, 0, 0, META + 0x1f00], None);
        check([4 * HUGE, 0, 0, META + 0x1f00], None);
        check([HUGE, 5, 0, META + 0x1f00], None);
    }

    /// The thread-local data of a thread with so many bins, each with room for eight and two in it.
    fn bins_of(count: u64, gap: u64) -> Vec<u64> {
        let mut words = vec![0; 0x200];
        for number in 0..count {
            let start = STACKS + number * (64 + gap);
            let (full, empty) = (start & 0xffff, (start + 64) & 0xffff);
            let at = 100 + 3 * number as usize;
            words[at] = start + 48;
            words[at + 1] = 7;
            words[at + 2] = (start + 40) & 0xffff | full << 16 | empty << 32;
        }
        words
    }

    #[test]
    fn a_threads_cache() {
        let check = |words: Vec<u64>, expected: Option<Range<u64>>| {
            assert_eq!(own(&snapshot(vec![(LOCAL, words)])).pop(), expected);
        };
        // Over the end of the 64 KiB that two bytes can tell.
        check(bins_of(40, 0), Some(STACKS..STACKS + 40 * 64));
        check(bins_of(40, 8), None);
        check(bins_of(10, 0), None);
        check(vec![0; 0x200], None);
        check(vec![STACKS; 0x200], None);
    }
}
