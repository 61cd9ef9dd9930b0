//! How long the verdict on a big heap takes: blocks of mixed sizes in one region, held by a table or by
//! each other, a hundredth of them lost. `cargo bench --bench reach -- BLOCKS`
#![allow(clippy::print_stdout)]

use ltrace::base::Tid;
use ltrace::base::addr::Addr;
use ltrace::base::memory::Stretch;
use ltrace::base::snapshot::{Copies, Copying, Region, Snapshot, TaskState};
use ltrace::leak::reach::habits::Lineages;
use ltrace::leak::reach::index::{Block, Index};
use ltrace::leak::reach::scan::Holds;
use ltrace::leak::reach::{Check, Verdict, is_data};
use std::time::{Duration, Instant};

const HEAP: u64 = 0x5555_0000_0000;
const DATA: u64 = 0x5554_0000_0000;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let count = std::env::args().find_map(|word| word.parse().ok());
    let count: usize = count.unwrap_or(1_000_000);
    let (snapshot, blocks, lost) = world(count);
    let heap = blocks.last().map_or(0, Block::end) - HEAP;
    let begin = Instant::now();
    let index = Index::new(blocks.clone());
    let indexed = begin.elapsed();
    let begin = Instant::now();
    let found = (0..count as u64)
        .filter(|n| index.find(HEAP + n * 7919 % heap).is_some())
        .count();
    let looked = begin.elapsed();
    let begin = Instant::now();
    let check = Check::new(
        &snapshot,
        blocks,
        &Lineages::new(),
        &|region, _| match is_data(region) {
            true => (Holds::All, u64::MAX),
            false => (Holds::Nothing, u64::MAX),
        },
    );
    let checked = begin.elapsed();
    let verdicts = (0..count as u32)
        .filter(|&node| check.verdict(node) != Verdict::Reachable)
        .count();
    println!(
        "{count} blocks, {} MiB: verdict {:.3} s ({:.0} ns a block), of it index {:.3} s; \
         look-up {:.0} ns ({found} found); lost {verdicts} of {lost}",
        heap >> 20,
        checked.as_secs_f64(),
        checked.as_nanos() as f64 / count as f64,
        indexed.as_secs_f64(),
        looked.as_nanos() as f64 / count as f64,
    );
    assert_eq!(verdicts, lost);
}

/// Every hundredth block is lost, every fourth of the others is held by its neighbour.
fn world(count: usize) -> (Snapshot, Vec<Block>, usize) {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut blocks = Vec::with_capacity(count);
    let mut at = HEAP + 16;
    for _ in 0..count {
        let size = 16 + next() % 240;
        blocks.push(Block {
            start: at,
            size,
            is_root: false,
            site: Some(0),
        });
        at += (size + 8).next_multiple_of(16);
    }
    let mut heap = vec![0u8; (at - HEAP).next_multiple_of(4096) as usize];
    let mut data = vec![0u8; count * 8];
    let mut lost = 0;
    for (number, block) in blocks.iter().enumerate() {
        let own = (block.start - HEAP) as usize;
        // Text, numbers, and now and then a pointer to a block further on that is held anyway.
        for word in heap[own..own + block.size as usize / 8 * 8]
            .as_chunks_mut::<8>()
            .0
        {
            *word = (next() >> (next() % 64)).to_le_bytes();
        }
        let word = block.start.to_le_bytes();
        match number % 100 {
            0 => lost += 1,
            n if n % 4 == 2 => {
                let before = (blocks[number - 1].start - HEAP) as usize;
                heap[before..before + 8].copy_from_slice(&word);
            }
            _ => data[number * 8..number * 8 + 8].copy_from_slice(&word),
        }
    }
    let region = |start, bytes: &Vec<u8>, name: &str| Region {
        range: start..start + bytes.len() as u64,
        name: name.to_owned(),
    };
    let snapshot = Snapshot {
        regions: vec![
            region(DATA, &data, "/bin/server"),
            region(HEAP, &heap, "[heap]"),
        ],
        images: Vec::new(),
        tasks: vec![TaskState {
            thread: Tid(1),
            sp: 0,
            fs_base: 0,
            words: Vec::new(),
        }],
        memory: Box::new(Copies(vec![
            Stretch {
                at: Addr(DATA),
                bytes: data,
            },
            Stretch {
                at: Addr(HEAP),
                bytes: heap,
            },
        ])),
        pause: Duration::ZERO,
        copying: Copying::Copied,
    };
    (snapshot, blocks, lost)
}
