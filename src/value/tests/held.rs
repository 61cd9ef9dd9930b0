//! Library types in memory that was made by hand, and in memory that makes no sense.

use super::{AT, ints, words};
use crate::abi::{Argument, Place};
use crate::base::addr::Addr;
use crate::base::memory::Stretch;
use crate::base::regs::Unknown;
use crate::proto::held::{Begin, Case, Held, laid};
use crate::proto::layout::Model;
use crate::proto::tests::fuzz::Random;
use crate::proto::types::{Integer, Lens, Nodes, Passing, Type, Width};
use crate::value::read::Reader;
use crate::value::render::render;
use crate::value::{Limits, Value};

const CHAIN: Nodes = Nodes::Chain { next: 0, header: 8 };
const TREE: Nodes = Nodes::Tree {
    left: 0,
    right: 8,
    parent: 16,
    header: 25,
};

fn int() -> Type {
    Type::Integer(Integer::INT)
}

/// What such an object holds, at the beginning of memory that consists of these bytes.
fn value(held: Held, size: u64, bytes: &[u8], limits: Limits) -> Value {
    let memory = Stretch {
        at: Addr(AT),
        bytes: bytes.to_vec(),
    };
    let ty = held.shown(size, 8, Passing::InMemory).pointer();
    let argument = Argument {
        ty: &ty,
        place: Place::word(AT),
    };
    let reader = Reader {
        memory: &memory,
        model: Model::Lp64,
        limits,
        arguments: &[],
        result: None,
        errno: None,
        thread_pointer: 0,
        process: &Unknown,
    };
    reader.read(&argument)
}

#[track_caller]
fn check(held: &Held, bytes: &[u8], shown: &str) {
    let value = value(held.clone(), 64, bytes, Limits::default());
    assert_eq!(render(&value), shown, "{held:?}");
}

/// An address in the memory of these tests.
const fn at(offset: u64) -> u64 {
    AT + offset
}

#[test]
fn chains() {
    let counted = Held::Nodes {
        of: int(),
        nodes: CHAIN,
        at: 0,
        length: Some(8),
    };
    let two = words(&[at(16), 2, at(32), 1, at(16), 2]);
    check(&counted, &two, "[ 1, 2 ]");
    check(&counted, &words(&[0, 0]), "[  ]");
    check(&counted, &words(&[7, 0]), "[  ]");
    // It leads in a circle.
    let mut round = two.clone();
    round[8..16].fill(0xff);
    check(&counted, &round, "[  ]");
    round[8..16].copy_from_slice(&i64::MAX.to_le_bytes());
    check(&counted, &round, "[ 1, 2, 1, 2... ]");
    check(&counted, &words(&[1, 5]), "[ 0x9 ]");
    let uncounted = Held::Nodes {
        of: int(),
        nodes: CHAIN,
        at: 0,
        length: None,
    };
    check(&uncounted, &two, "[ 1, 2, 1, 2... ]");
    check(&uncounted, &words(&[at(8), 0, 5]), "[ 5 ]");
}

#[test]
fn rings() {
    let ring = Held::Numbered {
        of: int(),
        nodes: Nodes::Ring {
            first: 3,
            places: 4,
        },
        at: 0,
        length: 8,
        numbers: vec![16, 24],
    };
    let of = |length, first, places| {
        [words(&[at(32), length, first, places]), ints(&[1, 2, 3, 4])].concat()
    };
    check(&ring, &of(3, 2, 4), "[ 3, 4, 1 ]");
    check(&ring, &of(2, 0, 4), "[ 1, 2 ]");
    check(&ring, &of(0, 0, 0), "[  ]");
    // Such a place is not there, or there are none.
    check(&ring, &of(1, 7, 4), "[ 4 ]");
    check(&ring, &of(1, 1, 0), "[ 2 ]");
    check(&ring, &of(2, u64::MAX, u64::MAX), "[ 1, 2 ]");
}

#[test]
fn bits() {
    let flag = || Type::Integer(Integer::unsigned(Width::W8)).shown(Lens::Bool);
    let counted = Held::Numbered {
        of: flag(),
        nodes: Nodes::Bits { end: None },
        at: 0,
        length: 8,
        numbers: vec![],
    };
    check(
        &counted,
        &words(&[at(16), 3, 0b101]),
        "[ true, false, true ]",
    );
    check(&counted, &words(&[0, 0]), "[  ]");
    let ended = Held::Numbered {
        of: flag(),
        nodes: Nodes::Bits { end: Some((3, 4)) },
        at: 0,
        length: 8,
        numbers: vec![8, 16],
    };
    let of = |word, bit: u64| words(&[at(24), word, bit, 0b10, 1]);
    // What stands behind the number of a bit is not its.
    check(&ended, &of(at(24), 2 | 7 << 32), "[ false, true ]");
    check(&ended, &of(at(32), 1), "[ false, true, false, false... ]");
    check(&ended, &of(0, 0), "[  ]");
}

#[test]
fn buckets() {
    let table = Held::Numbered {
        of: int(),
        nodes: Nodes::Buckets,
        at: 0,
        length: 8,
        numbers: vec![],
    };
    let of = |count, control: [u8; 4]| {
        let mut bytes = words(&[at(32), count]);
        bytes.extend(ints(&[4, 3, 2, 1]));
        bytes.extend(control);
        bytes.extend([0xff; 16]);
        bytes
    };
    check(&table, &of(2, [0xff, 0x11, 0x80, 0x12]), "[ 2, 4 ]");
    check(&table, &of(1, [0x7f, 0x11, 0x80, 0x12]), "[ 1 ]");
    check(&table, &of(0, [0xff; 4]), "[  ]");
    // There are more than those that are found.
    check(&table, &of(3, [0xff, 0x11, 0xff, 0xff]), "[ 2... ]");
    check(&table, &words(&[7, 1]), "[ ... ]");
}

#[test]
fn b_trees() {
    // A node: two keys, two values, the pointer up, its number there, how many it holds, and those below.
    let node = |keys, values, parent, number: u16, count: u16, below: &[u64]| {
        let mut node = [ints(keys), ints(values), words(&[parent])].concat();
        node.extend([number.to_le_bytes(), count.to_le_bytes(), [0; 2], [0; 2]].concat());
        node.extend(words(below));
        node
    };
    let tree = |of| Held::Numbered {
        of: laid(of, &[]),
        nodes: Nodes::BTree {
            parent: 16,
            index: 24,
            count: 26,
            edges: 32,
            height: 3,
        },
        at: 0,
        length: 8,
        numbers: vec![16],
    };
    let map = tree(vec![(int(), 0), (int(), 8)]);
    let set = tree(vec![(int(), 0)]);
    let (root, left, right) = (at(32), at(80), at(112));
    let of = |count, height| {
        let nodes = [
            node(&[3, 0], &[30, 0], 0, 0, 1, &[left, right]),
            node(&[1, 2], &[10, 20], root, 0, 2, &[]),
            node(&[4, 0], &[40, 0], root, 1, 1, &[]),
        ];
        [words(&[root, count, height, 0]), nodes.concat()].concat()
    };
    check(
        &map,
        &of(4, 1),
        "[ { 1, 10 }, { 2, 20 }, { 3, 30 }, { 4, 40 } ]",
    );
    check(&set, &of(4, 1), "[ 1, 2, 3, 4 ]");
    check(&set, &of(2, 1), "[ 1, 2 ]");
    check(&set, &of(0, 1), "[  ]");
    check(&set, &words(&[0, 0, 0]), "[  ]");
    // It ends before that, is higher or lower, or leads nowhere or in a circle.
    check(&set, &of(9, 1), "[ 1, 2, 3, 4 ]");
    check(&set, &of(4, 0), "[ 3 ]");
    check(&set, &of(4, u64::MAX), "[  ]");
    check(&set, &words(&[7, 1, 0]), "[  ]");
    let round = node(&[5, 6], &[0, 0], AT + 24, 0, 0, &[AT + 24; 2]);
    check(&set, &[words(&[AT + 24, 9, 9]), round].concat(), "[  ]");
}

/// A node with its pointers to the left, to the right and up, and its number behind a colour.
fn node(left: u64, right: u64, parent: u64, number: u32) -> Vec<u8> {
    let mut node = words(&[left, right, parent]);
    node.extend(ints(&[0, number]));
    node
}

#[test]
fn trees() {
    let tree = Held::Nodes {
        of: int(),
        nodes: TREE,
        at: 0,
        length: Some(8),
    };
    let (root, left, right, inner) = (at(32), at(64), at(96), at(128));
    let of = |count| {
        let header = words(&[left, count, 0, 0]);
        let nodes = [
            node(left, right, AT, 3),
            node(0, inner, root, 1),
            node(0, 0, root, 4),
            node(0, 0, left, 2),
        ];
        [header, nodes.concat()].concat()
    };
    check(&tree, &of(4), "[ 1, 2, 3, 4 ]");
    check(&tree, &of(3), "[ 1, 2, 3 ]");
    check(&tree, &of(0), "[  ]");
    check(&tree, &words(&[left, 4]), "[ 0x105c ]");
    // A node that is its own parent and child, on each side.
    for (right, parent) in [(left, left), (0, left), (left, 0)] {
        let looped = [words(&[left, u64::MAX >> 1, 0, 0]), vec![0; 32]].concat();
        let looped = [looped, node(left, right, parent, 7)].concat();
        let value = value(tree.clone(), 64, &looped, Limits::default());
        let shown = render(&value);
        assert!(shown.starts_with("[ 7"), "{shown}");
    }
}

#[test]
fn blocks() {
    let by_address = Held::Blocks {
        of: int(),
        at: 0,
        first: Begin::Address { first: 8, end: 16 },
        bytes: 8,
        least: 1,
    };
    let table = words(&[at(40), at(48)]);
    let elements = ints(&[1, 2, 3, 4]);
    let of = |first, end| {
        [
            words(&[at(24), first, end]),
            table.clone(),
            elements.clone(),
        ]
        .concat()
    };
    check(&by_address, &of(at(44), at(52)), "[ 2, 3 ]");
    check(&by_address, &of(at(44), at(44)), "[  ]");
    // What is told does not fit together.
    check(
        &by_address,
        &of(0, 0),
        "[ 3, 4, 0x200000001, 0x200000005... ]",
    );
    check(&by_address, &words(&[3]), "0x3");
    let by_index = Held::Blocks {
        of: int(),
        at: 0,
        first: Begin::Index {
            first: 8,
            length: 16,
        },
        bytes: 8,
        least: 1,
    };
    check(&by_index, &of(1, 3), "[ 2, 3, 4 ]");
    check(&by_index, &of(3, 1), "[ 4 ]");
    check(&by_index, &of(u64::MAX, 1), "[ 0x5 ]");
}

#[test]
fn choices() {
    let choice = Held::Choice {
        tag: 8,
        size: 1,
        cases: vec![
            Case::Named("nullopt"),
            Case::Value { of: int(), at: 0 },
            Case::Value {
                of: Type::string(),
                at: 0,
            },
        ],
        other: "valueless",
    };
    check(&choice, &words(&[5, 0]), "nullopt");
    check(&choice, &words(&[5, 0xff01]), "5");
    check(&choice, &words(&[at(16), 2, 0x6261]), "\"ab\"");
    check(&choice, &words(&[5, 3]), "valueless");
    check(&choice, &words(&[5, 255]), "valueless");
}

#[test]
fn owners() {
    let of = |is_one_less| Held::Shared {
        of: int(),
        at: 0,
        block: 8,
        count: 8,
        is_one_less,
    };
    let memory = words(&[at(16), at(24), 7, 0, 2]);
    check(&of(false), &memory, "{ 7, use_count=2 }");
    check(&of(true), &memory, "{ 7, use_count=3 }");
    check(&of(false), &words(&[0, 0]), "nil");
    check(&of(false), &words(&[at(16), 0, 7]), "7");
    check(&of(false), &words(&[1, 1]), "{ 0x1, use_count=0x1 }");
    let together = Held::Together {
        of: int(),
        at: 0,
        value: 16,
        count: 0,
    };
    check(&together, &words(&[at(8), 3, 1, 7]), "{ 7, strong=3 }");
    check(&together, &words(&[0]), "nil");
}

#[test]
fn texts() {
    let text = Held::ShortText {
        unit: Integer::CHAR,
        tag: 0,
        short: 1,
        at: 16,
        length: 8,
    };
    let mut memory = b"\x06abc\0".to_vec();
    memory.resize(24, 0);
    check(&text, &memory, "\"abc\"");
    memory[0] = 0;
    check(&text, &memory, "\"\"");
    check(&text, &words(&[0x11, 3, at(24), 0x64_6362]), "\"bcd\"");
    check(&text, &words(&[0x11, u64::MAX, 0]), "\"\"");
    check(&text, &words(&[0x11, 3, 5]), "0x5");
    let empty = Held::Spanned {
        of: int(),
        at: 0,
        end: 8,
    };
    check(&empty, &words(&[0, 0]), "[  ]");
    check(&empty, &words(&[at(16), at(24), 1 | 2 << 32]), "[ 1, 2 ]");
}

/// Whatever memory holds, a value stays small and is read at once.
#[test]
fn nonsense() {
    let mut random = Random(1);
    let inner = |n| {
        let of = match n % 3 {
            0 => int(),
            1 => Type::string(),
            _ => {
                let of = int();
                let length = Some(8);
                let nodes = CHAIN;
                let at = 0;
                let held = Held::Nodes {
                    of,
                    nodes,
                    at,
                    length,
                };
                held.shown(16, 8, Passing::InMemory)
            }
        };
        let (at, length) = (0, 8);
        let numbered = |of, nodes| Held::Numbered {
            of,
            nodes,
            at,
            length,
            numbers: vec![16, 24],
        };
        match n % 5 {
            0 => numbered(of, Nodes::Buckets),
            1 => numbered(
                of,
                Nodes::Ring {
                    first: 3,
                    places: 4,
                },
            ),
            2 => {
                let nodes = Nodes::BTree {
                    parent: 0,
                    index: 8,
                    count: 10,
                    edges: 16,
                    height: 3,
                };
                numbered(laid(vec![(of, 0)], &[]), nodes)
            }
            n => Held::Nodes {
                of,
                nodes: if n == 3 { CHAIN } else { TREE },
                at,
                length: Some(length),
            },
        }
    };
    for round in 0..20_000 {
        // Most words lead to others.
        let word = |random: &mut Random| match random.below(4) {
            0 => random.below(64) as u64,
            1 => u64::MAX >> random.below(64),
            _ => at(8 * random.below(64) as u64),
        };
        let memory: Vec<u64> = (0..64).map(|_| word(&mut random)).collect();
        let limits = Limits {
            string: 32,
            array: 1 << 20,
        };
        let value = value(inner(round), 64, &words(&memory), limits);
        assert!(render(&value).len() < 8 << 10);
    }
}
