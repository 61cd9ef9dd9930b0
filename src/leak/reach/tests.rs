//! Heaps made by hand. Blocks are at 0x10000 and up, data at 0x1000, a stack at 0x8000, vtables at 0x500000.

use super::habits::Lineages;
use super::scan::Holds;
use super::*;
use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::memory::Stretch;
use crate::base::snapshot::{Copies, Copying, TaskState};
use proptest::prelude::*;
use std::time::Duration;

const DATA: u64 = 0x1000;
const STACK: u64 = 0x8000;
const HEAP: u64 = 0x10000;

/// A process to be filled: blocks with what their words are, and words elsewhere.
#[derive(Default)]
struct World {
    blocks: Vec<(u64, u64)>,
    young: Vec<u64>,
    /// From before the attach.
    older: Vec<u64>,
    words: Vec<(u64, u64)>,
    registers: Vec<u64>,
    fs_base: u64,
    sp: Option<u64>,
}

impl World {
    fn snapshot(&self) -> Snapshot {
        let region = |start: u64, size: u64, name: &str| {
            let mut bytes = vec![0; size as usize];
            for (at, word) in &self.words {
                if let Some(from) = at.checked_sub(start).filter(|from| from + 8 <= size) {
                    let from = from as usize;
                    bytes[from..from + 8].copy_from_slice(&word.to_le_bytes());
                }
            }
            let range = start..start + size;
            (
                Region {
                    range,
                    name: name.to_owned(),
                },
                Stretch {
                    at: Addr(start),
                    bytes,
                },
            )
        };
        let (regions, copies) = [
            region(DATA, 0x1000, "/bin/server"),
            region(STACK, 0x1000, "[stack]"),
            region(HEAP, 0x10000, "[heap]"),
        ]
        .into_iter()
        .unzip();
        let sp = self.sp.unwrap_or(STACK + 0x800);
        Snapshot {
            regions,
            images: std::iter::once(0x500000..0x600000).collect(),
            tasks: vec![TaskState {
                thread: Tid(7),
                sp,
                fs_base: self.fs_base,
                words: self.registers.clone(),
            }],
            memory: Box::new(Copies(copies)),
            pause: Duration::ZERO,
            copying: Copying::Copied,
        }
    }

    fn check(&self) -> Check {
        let block = |&(start, size): &(u64, u64)| Block {
            start,
            size,
            is_root: self.young.contains(&start),
            site: (!self.older.contains(&start)).then_some(start as u32),
        };
        let blocks = self.blocks.iter().map(block).collect();
        Check::new(&self.snapshot(), blocks, &Lineages::new(), &data_only)
    }

    /// A letter for each block, in the order of their addresses.
    fn letters(&self) -> String {
        let check = self.check();
        let letter = |node| match check.verdict(node) {
            Verdict::Lost => 'L',
            Verdict::Indirect => 'i',
            Verdict::Possible => 'p',
            Verdict::Reachable => 'R',
        };
        (0..check.index.blocks.len() as Node).map(letter).collect()
    }
}

fn data_only(region: &Region, _: u64) -> (Holds, u64) {
    if is_data(region) {
        (Holds::All, u64::MAX)
    } else {
        (Holds::Nothing, u64::MAX)
    }
}

fn from(begin: u64, at: u64) -> (Holds, u64) {
    if at >= begin {
        (Holds::All, u64::MAX)
    } else {
        (Holds::Nothing, u64::MAX)
    }
}

/// Three blocks: a of 32 bytes, b of 64, c of 32.
const A: u64 = HEAP + 0x10;
const B: u64 = HEAP + 0x40;
const C: u64 = HEAP + 0x90;

fn three(words: &[(u64, u64)]) -> World {
    World {
        blocks: vec![(A, 32), (B, 64), (C, 32)],
        words: words.to_vec(),
        ..World::default()
    }
}

#[track_caller]
fn check(words: &[(u64, u64)], expected: &str) {
    assert_eq!(three(words).letters(), expected);
}

#[test]
fn chains() {
    check(&[], "LLL");
    check(&[(DATA, A)], "RLL");
    check(&[(DATA, A), (A, B), (B + 56, C)], "RRR");
    check(&[(A, B), (B + 56, C)], "Lii");
    check(&[(A + 4, B)], "LLL");
    check(&[(A + 32, B)], "LLL");
    check(&[(DATA + 8, C), (C + 24, B)], "LRR");
    check(&[(HEAP, A)], "LLL");
}

#[test]
fn more_than_can_be_numbered_is_said() {
    let world = three(&[(DATA, A), (A, B), (B + 56, C)]);
    let check = |blocks, pointers| {
        let block = |&(start, size): &(u64, u64)| Block {
            start,
            size,
            site: Some(0),
            ..Block::default()
        };
        let all = world.blocks.iter().map(block).collect();
        let index = Index::with_most(all, blocks);
        Check::of(
            &world.snapshot(),
            index,
            &Lineages::new(),
            &data_only,
            pointers,
        )
    };
    assert!(!check(3, 2).is_cut());
    assert!(check(2, 2).is_cut());
    let cut = check(3, 1);
    assert!(cut.is_cut());
    assert_eq!(cut.verdict(2), Verdict::Lost, "held by what was left out");
}

#[test]
fn stacks_and_registers() {
    check(
        &[
            (STACK + 0x800, A),
            (STACK + 0x800 - 128, B),
            (STACK + 0x800 - 136, C),
        ],
        "RRL",
    );
    let registers = vec![B, 5];
    assert_eq!(
        World {
            registers,
            ..three(&[])
        }
        .letters(),
        "LRL"
    );
    // A stack that is a block itself.
    assert_eq!(
        World {
            sp: Some(B + 8),
            ..three(&[(B + 16, C)])
        }
        .letters(),
        "LRR"
    );
}

#[test]
fn stacks_of_threads_that_have_ended() {
    let world = three(&[(0x9_0100, A), (0x9_0f00, 0x9_0f00), (0x9_0f10, 0x9_0f00)]);
    let mut snapshot = world.snapshot();
    let mut bytes = vec![0; 0x1000];
    for (at, word) in &world.words {
        let from = (at - 0x9_0000) as usize;
        bytes[from..from + 8].copy_from_slice(&word.to_le_bytes());
    }
    let stack = Stretch {
        at: Addr(0x9_0000),
        bytes,
    };
    snapshot.regions = vec![Region {
        range: 0x9_0000..0x9_1000,
        name: String::new(),
    }];
    snapshot.memory = Box::new(Copies(vec![stack]));
    let mut verdict = |fs_base| {
        snapshot.tasks[0].fs_base = fs_base;
        let blocks = vec![Block {
            start: A,
            size: 8,
            is_root: false,
            site: Some(0),
        }];
        Check::new(&snapshot, blocks, &Lineages::new(), &|_, _| {
            (Holds::All, u64::MAX)
        })
        .verdict(0)
    };
    assert_eq!(verdict(0), Verdict::Lost);
    assert_eq!(
        verdict(0x9_0f00),
        Verdict::Reachable,
        "it lives, though on another stack"
    );
}

#[test]
fn insides() {
    check(&[(DATA, A + 4)], "pLL");
    check(&[(DATA, A + 8), (A, B), (B, C)], "ppp");
    check(&[(DATA, A), (A, B + 1), (B, C)], "Rpp");
    check(&[(DATA, A + 1), (DATA + 8, A)], "RLL");
    check(&[(DATA, A), (A, B + 1), (A + 8, C + 1), (B, C)], "Rpp");
    // Something in between is as good as reached: its own pointers count.
    check(&[(A, B + 1), (B, C)], "Lii");
}

#[test]
fn insides_that_are_as_good() {
    // new T[3] with 8 bytes each
    check(&[(A, 3), (DATA, A + 8)], "RLL");
    check(&[(A, 5), (DATA, A + 8)], "pLL");
    // std::string's body: length 7, capacity 7
    check(&[(A, 7), (A + 8, 7), (DATA, A + 24)], "RLL");
    check(&[(A, 8), (A + 8, 7), (DATA, A + 24)], "pLL");
    // two vtables
    check(&[(A, 0x500010), (A + 16, 0x500050), (DATA, A + 16)], "RLL");
    check(&[(A, 0x500010), (A + 16, 0x700050), (DATA, A + 16)], "pLL");
    // dtv
    let thread = World {
        fs_base: DATA + 0x100,
        ..three(&[(DATA + 0x108, B + 16)])
    };
    assert_eq!(thread.letters(), "LRL");
}

#[test]
fn young_blocks_are_not_judged_and_hold_others() {
    assert_eq!(
        World {
            young: vec![A],
            ..three(&[(A, B)])
        }
        .letters(),
        "RRL"
    );
}

#[test]
fn memory_between_blocks() {
    let world = three(&[(HEAP + 0x2000, A)]);
    let blocks = || {
        world
            .blocks
            .iter()
            .map(|&(start, size)| Block {
                start,
                size,
                is_root: false,
                site: Some(0),
            })
            .collect()
    };
    let verdict = |rule: &RootRule<'_>| {
        Check::new(&world.snapshot(), blocks(), &Lineages::new(), rule).verdict(0)
    };
    assert_eq!(verdict(&|_, _| (Holds::All, u64::MAX)), Verdict::Reachable);
    assert_eq!(
        verdict(&|_, at| from(HEAP + 0x2000, at)),
        Verdict::Reachable
    );
    assert_eq!(verdict(&|_, at| from(HEAP + 0x3000, at)), Verdict::Lost);
}

#[test]
fn an_allocators_lists_point_to_headers() {
    let world = three(&[(DATA, A + 16), (DATA + 8, B)]);
    let blocks = world
        .blocks
        .iter()
        .map(|&(start, size)| Block {
            start,
            size,
            is_root: false,
            site: Some(0),
        })
        .collect();
    let check = Check::new(&world.snapshot(), blocks, &Lineages::new(), &|_, _| {
        (Holds::Starts, u64::MAX)
    });
    assert_eq!(
        (check.verdict(0), check.verdict(1)),
        (Verdict::Lost, Verdict::Reachable)
    );
}

/// `leader: cycle / others / members` of each group.
#[track_caller]
fn check_groups(words: &[(u64, u64)], expected: &[&str]) {
    let check = three(words).check();
    let name = |node: &Node| ["a", "b", "c"][*node as usize];
    let names = |nodes: &[Node]| nodes.iter().map(name).collect::<Vec<_>>().join(" ");
    let told = |group: &Group| {
        let lists = [&group.cycle, &group.others, &group.members].map(|nodes| names(nodes));
        format!("{}: {}", name(&group.leader), lists.join("/"))
    };
    assert_eq!(
        check.groups.iter().map(told).collect::<Vec<String>>(),
        expected
    );
}

#[test]
fn groups_and_cycles() {
    check_groups(&[], &["a: //", "b: //", "c: //"]);
    check_groups(&[(A, B), (B, C)], &["a: //b c"]);
    check_groups(&[(C, B), (B, A)], &["c: //b a"]);
    // What points to itself, as a short string does or the end of an empty list, is no cycle.
    check_groups(&[(A, A)], &["a: //", "b: //", "c: //"]);
    check_groups(&[(A, A + 16), (A + 8, A + 8)], &["a: //", "b: //", "c: //"]);
    check_groups(&[(A, A), (A + 8, B), (B, B + 16)], &["a: //b", "c: //"]);
    check_groups(&[(A, B), (B + 24, A), (B, C)], &["a: a b//c"]);
    check_groups(&[(A, C), (C, B), (B, A)], &["a: a c b//"]);
    // c is in the component, though not on the short way round
    check_groups(&[(A, B), (B, A), (B + 8, C), (C, B)], &["a: a b/c/"]);
    // a cycle that something leads to leads nothing
    check_groups(&[(C, A), (A, B), (B, A)], &["c: //a b"]);
    // a map and its nodes, which point into it
    check_groups(&[(A, B), (B, A + 8)], &["a: //b", "c: //"]);
    check_groups(&[(A, B), (B, A), (B + 8, C), (C, B + 8)], &["a: a b//c"]);
    // a list through the middle of its elements
    check_groups(&[(A, B + 8), (B, A + 8)], &["a: a b//", "c: //"]);
    // two leaders of one member
    check_groups(&[(A, C), (B, C)], &["a: //c", "b: //"]);
    check_groups(&[(A, B), (B, A), (DATA, B)], &["c: //"]);
    assert_eq!(three(&[(A, C), (C, B), (B, A)]).letters(), "LLL");
    assert_eq!(
        three(&[(A, B), (B, A), (B + 8, C), (C, B)]).letters(),
        "LLL"
    );
}

#[test]
fn holders_and_offsets() {
    let world = three(&[
        (DATA + 0x20, B),
        (B + 16, C),
        (C + 8, A),
        (STACK + 0x900, C),
    ]);
    let check = world.check();
    assert_eq!(
        check.holders(0),
        [
            Step::Block(2),
            Step::Block(1),
            Step::Place(Place::Data(DATA + 0x20))
        ],
        "data comes before stacks"
    );
    assert_eq!(check.offset(&world.snapshot(), 1, 2), Some(16));
    assert_eq!(check.offset(&world.snapshot(), 2, 1), None);
    let world = three(&[(STACK + 0x900, C)]);
    assert_eq!(
        world.check().holders(2),
        [Step::Place(Place::Stack(Tid(7), STACK + 0x900))]
    );
    assert_eq!(world.check().holders(0), []);
}

#[test]
fn memory_that_cannot_be_read_is_passed_over() {
    let mut snapshot = three(&[(DATA, A)]).snapshot();
    snapshot.regions.push(Region {
        range: 0x100_0000..0x100_4000,
        name: String::new(),
    });
    let blocks = vec![
        Block {
            start: A,
            size: 8,
            is_root: false,
            site: Some(0),
        },
        Block {
            start: 0x100_1000,
            size: 64,
            is_root: false,
            site: Some(0),
        },
    ];
    let check = Check::new(&snapshot, blocks, &Lineages::new(), &|_, _| {
        (Holds::All, u64::MAX)
    });
    assert_eq!(
        (check.verdict(0), check.verdict(1)),
        (Verdict::Reachable, Verdict::Lost)
    );
}

proptest! {
    /// Against the plainest way to follow pointers.
    #[test]
    fn random_heaps(
        edges in proptest::collection::vec((0u64..24, 0u64..4, 0u64..24, prop::sample::select(vec![0u64, 0, 0, 4])), 0..60),
        roots in proptest::collection::vec(0u64..24, 0..4),
    ) {
        let start = |n: u64| HEAP + n * 48;
        let mut words: Vec<(u64, u64)> = edges.iter().map(|&(from, slot, to, inside)| (start(from) + slot * 8, start(to) + inside)).collect();
        words.extend(roots.iter().enumerate().map(|(slot, &to)| (DATA + 8 * slot as u64, start(to))));
        let blocks: Vec<(u64, u64)> = (0..24).map(|n| (start(n), 32)).collect();
        let world = World { blocks, words: words.clone(), ..World::default() };
        // The last word written to a place is there.
        let memory: std::collections::HashMap<u64, u64> = words.into_iter().collect();
        let reach = |exact: bool| {
            let mut seen: Vec<bool> = (0..24).map(|n| roots.contains(&n)).collect();
            for _ in 0..24 {
                for (&at, &word) in memory.iter().filter(|(at, _)| **at >= HEAP) {
                    let (from, to, inside) = ((at - HEAP) / 48, (word - HEAP) / 48, (word - HEAP) % 48);
                    if seen[from as usize] && (inside == 0 || !exact) {
                        seen[to as usize] = true;
                    }
                }
            }
            seen
        };
        let (starts, any) = (reach(true), reach(false));
        let check = world.check();
        let mut in_groups = 0;
        for node in 0..24 {
            let expected = match (starts[node as usize], any[node as usize]) {
                (true, _) => [Verdict::Reachable, Verdict::Reachable],
                (false, true) => [Verdict::Possible, Verdict::Possible],
                (false, false) => [Verdict::Lost, Verdict::Indirect],
            };
            prop_assert!(expected.contains(&check.verdict(node)), "{node}: {:?}", check.verdict(node));
        }
        for group in &check.groups {
            in_groups += group.all().count();
            // Only a leader points to the start of a leader, and only the group to its inside.
            for &leader in group.leaders() {
                prop_assert_eq!(check.verdict(leader), Verdict::Lost);
                for node in (0..24).filter(|node| !any[*node as usize]) {
                    for pointer in check.pointers.of(node).filter(|pointer| pointer.to == leader) {
                        let mut own = group.all().filter(|_| !pointer.is_start).chain(group.leaders());
                        prop_assert!(own.any(|&n| n == node));
                    }
                }
            }
        }
        prop_assert_eq!(in_groups, any.iter().filter(|reached| !**reached).count());
    }
}

/// So many blocks of 64 bytes, each with who asked for it, and pointers to them out of data: by number and
/// offset.
fn crowd(sites: &[Option<u32>], pointers: &[(u64, u64)]) -> String {
    let at = |number: u64| HEAP + number * 80;
    let world = World {
        words: (0..)
            .zip(pointers)
            .map(|(slot, (number, offset))| (DATA + 8 * slot, at(*number) + offset))
            .collect(),
        ..World::default()
    };
    let blocks = (0..).zip(sites).map(|(number, site)| Block {
        start: at(number),
        size: 64,
        is_root: false,
        site: *site,
    });
    let check = Check::new(
        &world.snapshot(),
        blocks.collect(),
        &Lineages::new(),
        &data_only,
    );
    let letter = |node| match check.verdict(node) {
        Verdict::Lost => 'L',
        Verdict::Indirect => 'i',
        Verdict::Possible => 'p',
        Verdict::Reachable => 'R',
    };
    (0..check.index.blocks.len() as Node).map(letter).collect()
}

#[test]
fn blocks_that_are_always_pointed_to_at_one_offset() {
    let same = |count: usize| vec![Some(7); count];
    let all = |offset: u64, count: u64| (0..count).map(|n| (n, offset)).collect::<Vec<_>>();
    assert_eq!(crowd(&same(10), &all(16, 10)), "RRRRRRRRRR");
    assert_eq!(
        crowd(&same(10), &all(3, 9)),
        "RRRRRRRRRL",
        "a block without pointers to it is lost"
    );
    assert_eq!(
        crowd(&same(7), &all(16, 7)),
        "ppppppp",
        "too few for a habit"
    );
    assert_eq!(
        crowd(&[None; 10], &all(16, 10)),
        "RRRRRRRRRR",
        "from before the attach"
    );
    // Of several sites, each has its own habits.
    let two: Vec<Option<u32>> = (0..10).map(|n| Some(n % 2)).collect();
    assert_eq!(crowd(&two, &all(16, 10)), "pppppppppp");
    // Two offsets, as redis' strings have by their lengths; and some that are pointed to at their starts.
    let mixed: Vec<(u64, u64)> = (0..24).map(|n| (n, [0, 1, 3][n as usize % 3])).collect();
    assert_eq!(crowd(&same(24), &mixed), "R".repeat(24));
    // All over the place: that is no habit, and the ones at 16 are none either.
    let wild: Vec<(u64, u64)> = (0..20).map(|n| (n, if n < 10 { 16 } else { n })).collect();
    assert_eq!(crowd(&same(20), &wild), "p".repeat(20));
}

#[test]
fn who_is_older_than_the_attach_leads_nobody() {
    let groups = |words: &[(u64, u64)]| {
        let world = World {
            older: vec![A],
            ..three(words)
        };
        let check = world.check();
        let told = |group: &Group| (group.leader, group.members.clone());
        check.groups.iter().map(told).collect::<Vec<_>>()
    };
    // a keeps b and c, which keep nothing.
    assert_eq!(groups(&[(A, B), (A + 8, C)]), [(1, vec![]), (2, vec![])]);
    // b keeps c by way of a.
    assert_eq!(groups(&[(B, A), (A, C)]), [(1, vec![0, 2])]);
    assert_eq!(groups(&[]), [(1, vec![]), (2, vec![])]);
}
