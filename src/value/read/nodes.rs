//! Elements that do not lie side by side: in nodes that lead to each other, and in blocks. Each step is taken for an
//! element that is shown, and goes down or up a tree no further than any tree of this size does.

use super::{Absent, Around, Reading, Source};
use crate::base::addr::Addr;
use crate::proto::layout::round_up;
use crate::proto::types::{Blocks, First, Nodes, Type};
use crate::value::Value;

/// Twice as deep as a red-black tree can be that fits into memory is 128.
pub(super) const MOST_DEPTH: usize = 128;

impl Reading<'_> {
    /// The elements of nodes, from the one on that a pointer leads to.
    pub(super) fn nodes(
        &mut self,
        nodes: Nodes,
        to: &Type,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Result<Value, Absent> {
        let Type::Array(element, length) = to else {
            return Ok(Value::Void);
        };
        let mut node = self.pointer_at(source)?;
        let count = self.length(length, around);
        let (Nodes::Chain { header, .. } | Nodes::Tree { header, .. }) = nodes else {
            return Ok(self.collection(nodes, element, node, count, around));
        };
        let offset = round_up(header, self.reader.model.layout(element).align);
        let next = |reading: &Self, is_first: bool| {
            if !is_first {
                node = reading.next(nodes, node)?;
            }
            (node != Addr(0)).then(|| node.offset(offset as i64))
        };
        Ok(self.elements(count, next, |reading, at| {
            reading.value(element, None, Source::Memory(at), around)
        }))
    }

    fn next(&self, nodes: Nodes, node: Addr) -> Option<Addr> {
        let word = |at: Addr, offset: u64| {
            let source = Source::Memory(at.offset(offset as i64));
            self.pointer_at(source).ok()
        };
        let (left, right, parent) = match nodes {
            Nodes::Chain { next, .. } => return word(node, next),
            Nodes::Tree {
                left,
                right,
                parent,
                ..
            } => (left, right, parent),
            _ => return None,
        };
        let mut at = word(node, right)?;
        if at == Addr(0) {
            at = node;
            for _ in 0..MOST_DEPTH {
                let above = word(at, parent)?;
                if word(above, right)? != at {
                    return Some(above);
                }
                at = above;
            }
            return None;
        }
        for _ in 0..MOST_DEPTH {
            match word(at, left)? {
                Addr(0) => return Some(at),
                below => at = below,
            }
        }
        None
    }

    /// The elements of blocks, whose table a pointer leads into.
    pub(super) fn blocks(
        &mut self,
        blocks: Blocks,
        to: &Type,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Result<Value, Absent> {
        let Type::Array(element, length) = to else {
            return Ok(Value::Void);
        };
        let size = self.reader.model.layout(element).size.max(1);
        let per_block = (blocks.bytes / size).max(blocks.least);
        let member = |n| around.and_then(|around| self.member(n, around));
        let member = |n| member(n).unwrap_or_default() as u64;
        let mut table = self.pointer_at(source)?;
        let (mut index, end) = match blocks.first {
            First::Address { first, end } => {
                let block = self.pointer_at(Source::Memory(table))?;
                (
                    member(first).wrapping_sub(block.0) / size,
                    Some(member(end)),
                )
            }
            First::Index(first) => {
                let first = member(first);
                let before = (first / per_block).wrapping_mul(8);
                table = table.offset(before as i64);
                (first % per_block, None)
            }
        };
        let count = match end {
            Some(_) => u64::MAX,
            None => self.length(length, around),
        };
        let next = |reading: &Self, is_first: bool| {
            if !is_first {
                index += 1;
            }
            if index >= per_block {
                index = 0;
                table = table.offset(8);
            }
            let block = reading.pointer_at(Source::Memory(table)).ok()?;
            let at = block.offset(index.wrapping_mul(size) as i64);
            (Some(at.0) != end && block != Addr(0)).then_some(at)
        };
        Ok(self.elements(count, next, |reading, at| {
            reading.value(element, None, Source::Memory(at), around)
        }))
    }

    /// So many elements at most, each read where it is.
    pub(super) fn elements<P>(
        &mut self,
        count: u64,
        mut next: impl FnMut(&Self, bool) -> Option<P>,
        mut read: impl FnMut(&mut Self, P) -> Value,
    ) -> Value {
        let mut items = Vec::new();
        while (items.len() as u64) < count {
            let Some(place) = next(self, items.is_empty()) else {
                break;
            };
            if items.len() >= self.limits.array || self.parts_left == 0 {
                return Value::Array { items, cut: true };
            }
            items.push(read(self, place));
        }
        Value::Array { items, cut: false }
    }

    fn pointer_at(&self, source: Source<'_>) -> Result<Addr, Absent> {
        let word = self.reader.uint(source, self.reader.model.pointer())?;
        Ok(Addr(word))
    }
}
