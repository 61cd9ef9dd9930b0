//! Heaps laid out by hand.

use super::*;
use crate::base::memory::Stretch;
use crate::base::snapshot::{Copies, Copying};
use proptest::prelude::*;
use std::time::Duration;

const HEAP: u64 = 0x55_5555_0000;
const LIBC: u64 = 0x7f00_0000_0000;

fn snapshot(stretches: Vec<(u64, &str, Vec<u8>)>) -> Snapshot {
    let region = |(at, name, bytes): &(u64, &str, Vec<u8>)| Region {
        range: *at..*at + bytes.len() as u64,
        name: (*name).to_owned(),
    };
    Snapshot {
        regions: stretches.iter().map(region).collect(),
        images: Vec::new(),
        tasks: Vec::new(),
        memory: Box::new(Copies(
            stretches
                .into_iter()
                .map(|(at, _, bytes)| Stretch {
                    at: Addr(at),
                    bytes,
                })
                .collect(),
        )),
        pause: Duration::ZERO,
        copying: Copying::Copied,
    }
}

fn put(bytes: &mut [u8], at: u64, word: u64) {
    bytes[at as usize..at as usize + 8].copy_from_slice(&word.to_le_bytes());
}

/// Chunks of these sizes from an offset on, the last one the top; `free` ones are told to their
/// neighbour. What comes back is where each begins.
fn chunks(bytes: &mut [u8], from: u64, flags: u64, list: &[(u64, bool)]) -> Vec<u64> {
    let mut at = from;
    let mut before_in_use = true;
    let mut starts = Vec::new();
    for (size, in_use) in list {
        starts.push(at);
        put(bytes, at + 8, size | flags | u64::from(before_in_use));
        before_in_use = *in_use;
        at += size;
        if !in_use {
            put(bytes, at, *size);
        }
    }
    let top = bytes.len() as u64 - at;
    put(bytes, at + 8, top | u64::from(before_in_use));
    starts.push(at);
    starts
}

#[track_caller]
fn check(snapshot: &Snapshot, expected: &[(u64, u64)]) {
    let found = walk(snapshot);
    let shown: Vec<String> = found
        .held
        .iter()
        .map(|(at, size)| format!("{at:#x}+{size:#x}"))
        .collect();
    let expected: Vec<String> = expected
        .iter()
        .map(|(at, size)| format!("{at:#x}+{size:#x}"))
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn the_main_heap() {
    let mut heap = vec![0; 0x2000];
    chunks(
        &mut heap,
        0,
        0,
        &[(0x20, true), (0x110, false), (0x30, true), (0x410, true)],
    );
    let snapshot = snapshot(vec![(HEAP, "[heap]", heap)]);
    check(
        &snapshot,
        &[
            (HEAP + 0x10, 0x18),
            (HEAP + 0x140, 0x28),
            (HEAP + 0x170, 0x408),
        ],
    );
    let walked = walk(&snapshot);
    assert!(walked.cover(HEAP) && walked.cover(HEAP + 0x1fff) && !walked.cover(HEAP + 0x2000));
}

#[test]
fn a_heap_that_is_broken_is_not_walked() {
    let mut heap = vec![0; 0x2000];
    let starts = chunks(
        &mut heap,
        0,
        0,
        &[(0x20, true), (0x110, false), (0x30, true)],
    );
    put(&mut heap, starts[2] + 8, 0x10_0001);
    let found = walk(&snapshot(vec![(HEAP, "[heap]", heap)]));
    let nothing = Chunks {
        broken: vec![HEAP],
        ..Chunks::default()
    };
    assert_eq!(found, nothing);
}

#[test]
fn a_heap_that_is_not_as_it_was_seen_is_left_out() {
    let mut heap = vec![0; 0x2000];
    chunks(
        &mut heap,
        0,
        0,
        &[(0x20, true), (0x110, false), (0x30, true)],
    );
    let snapshot = snapshot(vec![(HEAP, "[heap]", heap)]);
    let check = |known: &[u64], agrees: bool| {
        let mut found = walk(&snapshot);
        found.agree_with(known);
        assert_eq!(found.held.is_empty(), !agrees, "{known:x?}");
        assert_eq!(found.cover(HEAP), agrees, "{known:x?}");
        assert_eq!(found.broken.is_empty(), agrees, "{known:x?}");
    };
    check(&[], true);
    check(&[HEAP - 16, HEAP + 0x10, HEAP + 0x140, HEAP + 0x2000], true);
    check(&[HEAP + 0x30], false);
    check(&[HEAP + 0x10, HEAP + 0x150], false);
}

#[test]
fn nothing_is_said_of_memory_behind_a_fence() {
    let mut heap = vec![0; 0x4000];
    let mut first = vec![0; 0x1000];
    chunks(&mut first, 0, 0, &[(0x20, true), (0xfd0, true)]);
    heap[..0x1000].copy_from_slice(&first);
    put(&mut heap, 0xff8, 0x11);
    let found = walk(&snapshot(vec![(HEAP, "[heap]", heap)]));
    assert_eq!(found.held, [(HEAP + 0x10, 0x18), (HEAP + 0x30, 0xfc8)]);
    assert!(found.cover(HEAP + 0xfef) && !found.cover(HEAP + 0xff0));
}

#[test]
fn a_threads_cache() {
    let mut heap = vec![0; 0x2000];
    let starts = chunks(
        &mut heap,
        0,
        0,
        &[
            (0x290, true),
            (0x20, true),
            (0x20, true),
            (0x30, true),
            (0x30, true),
        ],
    );
    let memory = |n: usize| HEAP + starts[n] + HEADER;
    // The list of 0x20: both; of 0x30: the second.
    put(&mut heap, 0x10 + 0x80, memory(1));
    put(&mut heap, starts[1] + 16, memory(2) ^ (memory(1) >> 12));
    put(&mut heap, starts[2] + 16, memory(2) >> 12);
    put(&mut heap, 0x10 + 0x88, memory(4));
    put(&mut heap, starts[4] + 16, memory(4) >> 12);
    put(&mut heap, 0x10, 2 | 1 << 16);
    check(
        &snapshot(vec![(HEAP, "[heap]", heap.clone())]),
        &[(memory(0), 0x288), (memory(3), 0x28)],
    );
    // With a head of another size, or one that the counts do not know, it is somebody's data.
    let all =
        [(0x288, 0), (0x18, 1), (0x18, 2), (0x28, 3), (0x28, 4)].map(|(size, n)| (memory(n), size));
    for (at, word) in [(0x90, memory(1)), (0, 2), (0, 2 | 1 << 16 | 1 << 32)] {
        let mut other = heap.clone();
        put(&mut other, 0x10 + at, word);
        if at == 0x90 {
            put(&mut other, 0x10, 2 | 1 << 16 | 1 << 32);
        }
        check(&snapshot(vec![(HEAP, "[heap]", other)]), &all);
    }
}

#[test]
fn fast_bins_of_the_main_arena() {
    let mut heap = vec![0; 0x2000];
    let starts = chunks(&mut heap, 0, 0, &[(0x20, true), (0x20, true), (0x20, true)]);
    let mut libc = vec![0; 0x1000];
    let arena = 0x100;
    put(&mut libc, arena + TOP, HEAP + starts[3]);
    put(&mut libc, arena + BINS, LIBC + arena + TOP);
    put(&mut libc, arena + 16, HEAP + starts[0]);
    let at = HEAP + starts[0] + HEADER;
    put(&mut heap, starts[0] + 16, (HEAP + starts[2]) ^ (at >> 12));
    let snapshot = snapshot(vec![(HEAP, "[heap]", heap), (LIBC, "/lib/libc.so.6", libc)]);
    check(&snapshot, &[(HEAP + starts[1] + HEADER, 0x18)]);
}

#[test]
fn a_threads_arena() {
    let base = 0x7e00_0000_0000;
    let mut heap = vec![0; 0x21000];
    put(&mut heap, 0, base + 0x30);
    put(&mut heap, 16, 0x21000);
    let starts = chunks(&mut heap, 0x8d0, NON_MAIN, &[(0x40, true), (0x50, false)]);
    put(&mut heap, 0x30 + TOP, base + starts[2]);
    check(
        &snapshot(vec![(base, "", heap.clone())]),
        &[(base + 0x8e0, 0x38)],
    );
    // A second heap of the same arena has no state.
    let second = base + HEAP_ALIGNMENT;
    let mut more = vec![0; 0x21000];
    put(&mut more, 0, base + 0x30);
    put(&mut more, 16, 0x21000);
    chunks(&mut more, 0x30, NON_MAIN, &[(0x60, true)]);
    check(
        &snapshot(vec![(base, "", heap), (second, "", more)]),
        &[(base + 0x8e0, 0x38), (second + 0x40, 0x58)],
    );
}

#[test]
fn blocks_with_mappings_of_their_own() {
    let mut mapping = vec![0; 0x40000];
    put(&mut mapping, 8, 0x21002);
    put(&mut mapping, 0x21000 + 8, 0x10002);
    put(&mut mapping, 0x31000 + 8, 0x1234);
    let at = 0x7d00_0000_0000;
    let snapshot = snapshot(vec![(at, "", mapping)]);
    check(&snapshot, &[(at + 16, 0x20ff0), (at + 0x21010, 0xfff0)]);
    assert!(!walk(&snapshot).cover(at + 0x31000));
}

proptest! {
    #[test]
    fn any_memory_is_taken(words in proptest::collection::vec(prop_oneof![any::<u64>(), 0u64..0x500, HEAP..HEAP + 0x1000], 0..200)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let snapshot = snapshot(vec![(HEAP, "[heap]", bytes.clone()), (1 << 40, "", bytes.clone()), (LIBC, "libc", bytes)]);
        walk(&snapshot);
    }
}
