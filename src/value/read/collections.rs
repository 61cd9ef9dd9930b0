//! Elements of collections that lie in places of a kind: Rust's. In a damaged one no more places are looked at than the
//! limits allow.

use super::nodes::MOST_DEPTH;
use super::{Absent, Around, Reading, Source};
use crate::base::addr::Addr;
use crate::proto::types::{Nodes, Type};
use crate::value::Value;

/// So many places of a hash table are looked at, in groups: as many as its code looks at once are always there.
const MOST_PLACES: u64 = 4096;
const GROUP: usize = 16;

impl Reading<'_> {
    /// So many elements from this address on.
    pub(super) fn collection(
        &mut self,
        nodes: Nodes,
        element: &Type,
        at: Addr,
        count: u64,
        around: Option<&Around<'_>>,
    ) -> Value {
        let member = |n| around.and_then(|around| self.member(n, around));
        let member = |n| member(n).unwrap_or_default() as u64;
        match nodes {
            Nodes::BTree { height, .. } => {
                let tree = Tree {
                    nodes,
                    node: at,
                    height: member(height),
                    index: 0,
                };
                self.b_tree(tree, element, count, around)
            }
            Nodes::Ring { first, places } => {
                let (first, places) = (member(first), member(places));
                self.ring(element, at, first..places, count, around)
            }
            Nodes::Buckets => self.buckets(element, at, count, around),
            Nodes::Bits { end } => {
                let count = end.map_or(count, |(word, bit)| {
                    let words = member(word).saturating_sub(at.0);
                    // Behind the number of the bit may be anything.
                    words
                        .saturating_mul(8)
                        .saturating_add(member(bit) & 0xffff_ffff)
                });
                self.bits_of_words(at, count)
            }
            Nodes::Chain { .. } | Nodes::Tree { .. } => Value::Void,
        }
    }

    /// So many bits, the lowest of a word first.
    fn bits_of_words(&mut self, at: Addr, count: u64) -> Value {
        let mut bit = 0_u64;
        let next = |_: &Self, is_first: bool| {
            bit += u64::from(!is_first);
            Some(bit)
        };
        self.elements(count, next, |reading, bit| {
            let byte = at.offset((bit / 8) as i64);
            match reading.reader.uint(Source::Memory(byte), 1) {
                Ok(byte) => Value::Bool(byte >> (bit % 8) & 1 == 1),
                Err(Absent(value)) => value,
            }
        })
    }

    /// Those of a ring: the place of the first one, up to the number of places.
    fn ring(
        &mut self,
        element: &Type,
        at: Addr,
        places: std::ops::Range<u64>,
        count: u64,
        around: Option<&Around<'_>>,
    ) -> Value {
        let size = self.reader.model.layout(element).size;
        let mut place = places.start;
        let next = |_: &Self, is_first: bool| {
            if !is_first {
                place = place.wrapping_add(1);
            }
            if place >= places.end {
                place -= places.end;
            }
            Some(at.offset(place.wrapping_mul(size) as i64))
        };
        self.elements(count, next, |reading, at| {
            reading.value(element, None, Source::Memory(at), around)
        })
    }

    /// Those of a hash table (hashbrown's `RawTable`).
    fn buckets(
        &mut self,
        element: &Type,
        control: Addr,
        count: u64,
        around: Option<&Around<'_>>,
    ) -> Value {
        let size = self.reader.model.layout(element).size;
        let mut place = 0;
        let mut group = [0; GROUP];
        let next = |reading: &Self, _| {
            while place < MOST_PLACES {
                let in_group = place as usize % GROUP;
                if in_group == 0 {
                    let at = Source::Memory(control.offset(place as i64));
                    reading.reader.fill(at, &mut group).ok()?;
                }
                place += 1;
                if group[in_group] & 0x80 == 0 {
                    return Some(control.offset(place.wrapping_mul(size).wrapping_neg() as i64));
                }
            }
            None
        };
        let found = self.elements(count, next, |reading, at| {
            reading.value(element, None, Source::Memory(at), around)
        });
        match found {
            // The others are further on.
            Value::Array { items, .. } if (items.len() as u64) < count => {
                Value::Array { items, cut: true }
            }
            found => found,
        }
    }

    /// Those of a B-tree.
    fn b_tree(
        &mut self,
        mut tree: Tree,
        element: &Type,
        count: u64,
        around: Option<&Around<'_>>,
    ) -> Value {
        let model = self.reader.model;
        let next = |reading: &Self, is_first| tree.next(reading, is_first);
        self.elements(count, next, |reading, (node, index)| {
            let Type::Struct(pair) = element else {
                return Value::Void;
            };
            let mut values: Vec<Value> = model
                .offsets(pair)
                .map(|(offset, ty)| {
                    let before = model.layout(ty).size.wrapping_mul(index);
                    let at = node.offset(offset.wrapping_add(before) as i64);
                    reading.value(ty, None, Source::Memory(at), around)
                })
                .collect();
            match values.len() {
                1 => values.remove(0),
                _ => Value::Struct(values),
            }
        })
    }
}

/// The way through a B-tree (`alloc::collections::btree`).
struct Tree {
    nodes: Nodes,
    /// Where it is: at the root in the beginning.
    node: Addr,
    /// So far above the bottom.
    height: u64,
    /// The number of the element there.
    index: u64,
}

impl Tree {
    /// The node of the next element, and its number there.
    fn next(&mut self, reading: &Reading<'_>, is_first: bool) -> Option<(Addr, u64)> {
        let Nodes::BTree {
            parent,
            index,
            count,
            edges,
            ..
        } = self.nodes
        else {
            return None;
        };
        let number = |at: Addr, offset: u64, size| {
            let source = Source::Memory(at.offset(offset as i64));
            reading.reader.uint(source, size).ok()
        };
        if !is_first {
            self.index += 1;
        }
        let mut edge = self.index;
        for _ in 0..MOST_DEPTH {
            if self.height == 0 {
                break;
            }
            let below = edges.wrapping_add(edge.wrapping_mul(8));
            self.node = Addr(number(self.node, below, 8)?);
            self.height -= 1;
            (self.index, edge) = (0, 0);
        }
        for _ in 0..MOST_DEPTH {
            if self.node == Addr(0) {
                return None;
            }
            if self.index < number(self.node, count, 2)? {
                return Some((self.node, self.index));
            }
            self.index = number(self.node, index, 2)?;
            self.node = Addr(number(self.node, parent, 8)?);
            self.height += 1;
        }
        None
    }
}
