//! Which block an address is in: a table of cells over each stretch of heap. A cell tells by bits where blocks begin in
//! it, so that a look-up takes one load from a table that is small, and one of the block.

/// A block to be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its first address.
    pub start: u64,
    /// Its bytes as they were asked for.
    pub size: u64,
    /// It is a root whatever points to it: too young to be judged, or in flight.
    pub is_root: bool,
    /// The site that asked for it; unknown for blocks from before the attach.
    pub site: Option<u32>,
}

impl Block {
    /// The address behind it. A block of nothing can be pointed at, too.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.size.max(1))
    }
}

/// A block, by its place in [`Index::blocks`].
pub type Node = u32;

/// So many blocks can be numbered: the highest bit of a number says something else in `scan` and `mark`.
pub const MOST_BLOCKS: usize = 1 << 31;

/// All blocks, ascending; no two overlap.
pub struct Index {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// There were more than can be numbered.
    pub is_cut: bool,
    spans: Vec<Span>,
}

/// Blocks that lie near each other.
struct Span {
    start: u64,
    end: u64,
    /// A cell is `1 << shift` bytes.
    shift: u32,
    /// No two blocks begin in the same `1 << granule` bytes, of which a cell has 64. `None`: a cell has more.
    granule: Option<u32>,
    cells: Vec<Cell>,
}

/// A piece of a span.
#[derive(Clone, Copy)]
struct Cell {
    /// The first block that begins in it or behind it.
    first: Node,
    /// A bit for each granule in which a block begins.
    begins: u64,
}

/// Blocks further apart than this are in different spans.
const GAP: u64 = 1 << 20;
/// A cell has so many granules, as a logarithm.
const GRANULES: u32 = u64::BITS.ilog2();

impl Index {
    /// Sorts the blocks. Of two that overlap the first one stays.
    pub fn new(blocks: Vec<Block>) -> Index {
        Index::with_most(blocks, MOST_BLOCKS)
    }

    /// The same with a bound of one's own, no higher than [`MOST_BLOCKS`].
    pub fn with_most(mut blocks: Vec<Block>, most: usize) -> Index {
        blocks.sort_unstable_by_key(|block| (block.start, std::cmp::Reverse(block.size)));
        let is_cut = blocks.len() > most;
        blocks.truncate(most);
        let mut end = 0;
        blocks.retain(|block| {
            let is_free = block.start >= end;
            end = end.max(block.end());
            is_free
        });
        let mut spans = Vec::new();
        let mut first = 0;
        while first < blocks.len() {
            let apart =
                |pair: &[Block]| matches!(pair, [a, b] if b.start - a.end().min(b.start) > GAP);
            let rest = &blocks[first..];
            let count = rest
                .windows(2)
                .position(apart)
                .map_or(rest.len(), |at| at + 1);
            spans.push(Span::new(&rest[..count], first as Node));
            first += count;
        }
        Index {
            blocks,
            is_cut,
            spans,
        }
    }

    /// The block around an address, and how far inside it is.
    pub fn find(&self, at: u64) -> Option<(Node, u64)> {
        let after = match self.spans.as_slice() {
            [] => return None,
            [only] => usize::from(only.start <= at),
            spans => spans.partition_point(|span| span.start <= at),
        };
        let span = self.spans.get(after.checked_sub(1)?)?;
        if at >= span.end {
            return None;
        }
        let number = ((at - span.start) >> span.shift) as usize;
        let cell = span.cells.get(number)?;
        let behind = match span.granule {
            Some(granule) => {
                let place = ((at - span.start) >> granule) as u32 % u64::BITS;
                let up_to_here = cell.begins << (u64::BITS - 1 - place);
                cell.first + up_to_here.count_ones()
            }
            None => {
                let next = span.cells.get(number + 1)?;
                let here = self.blocks.get(cell.first as usize..next.first as usize)?;
                cell.first + here.partition_point(|block| block.start <= at) as Node
            }
        };
        let node = behind.checked_sub(1)?;
        let block = self.blocks.get(node as usize)?;
        (at < block.end()).then(|| (node, at - block.start))
    }

    /// The block around an address, which is most often the first behind this one.
    pub fn find_behind(&self, node: Node, at: u64) -> Option<Node> {
        let next = self.blocks.get(node as usize + 1);
        match next.is_some_and(|next| next.start == at) {
            true => Some(node + 1),
            false => self.find(at).map(|(node, _)| node),
        }
    }

    /// The lowest and the highest address that any block has.
    pub fn bounds(&self) -> (u64, u64) {
        match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => (first.start, last.end),
            _ => (0, 0),
        }
    }

    /// The first block that ends behind an address.
    pub fn after(&self, at: u64) -> Node {
        self.blocks.partition_point(|block| block.end() <= at) as Node
    }
}

impl Span {
    fn new(blocks: &[Block], first: Node) -> Span {
        let start = blocks.first().map_or(0, |block| block.start);
        let end = blocks.last().map_or(0, Block::end);
        let length = end - start;
        let apart = blocks
            .iter()
            .fold(0, |all, block| all | (block.start - start));
        let granule = apart.trailing_zeros().min(u64::BITS - 1 - GRANULES);
        // Few blocks over much memory get larger cells, so that the table stays in proportion.
        let most = 4 * blocks.len() as u64 + 16;
        let fits = |shift: &u32| length >> shift <= most;
        let smallest = granule + GRANULES;
        let shift = (smallest..u64::BITS).find(fits).unwrap_or(u64::BITS - 1);
        let mut span = Span {
            start,
            end,
            shift,
            granule: (shift == smallest).then_some(granule),
            cells: Vec::new(),
        };
        span.cells = span.cells(blocks, first);
        span
    }

    fn cells(&self, blocks: &[Block], first: Node) -> Vec<Cell> {
        let count = ((self.end - self.start) >> self.shift) as usize + 2;
        let mut cells = Vec::with_capacity(count);
        let mut blocks = (first..).zip(blocks).peekable();
        let mut behind = first;
        for number in 0..count as u64 {
            let (first, mut begins) = (behind, 0);
            let is_here =
                |(_, block): &(Node, &Block)| (block.start - self.start) >> self.shift == number;
            while let Some((node, block)) = blocks.next_if(is_here) {
                let place = (block.start - self.start) >> self.granule.unwrap_or_default();
                begins |= 1 << (place % u64::from(u64::BITS));
                behind = node + 1;
            }
            cells.push(Cell { first, begins });
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(list: &[(u64, u64)]) -> Vec<Block> {
        list.iter()
            .map(|&(start, size)| Block {
                start,
                size,
                is_root: false,
                site: Some(0),
            })
            .collect()
    }

    #[track_caller]
    fn check(list: &[(u64, u64)], at: u64, expected: Option<(u64, u64)>) {
        let index = Index::new(blocks(list));
        let found = index
            .find(at)
            .map(|(node, offset)| (index.blocks[node as usize].start, offset));
        assert_eq!(found, expected, "{at:#x}");
    }

    #[test]
    fn finding() {
        let list = [
            (0x2000, 16),
            (0x1000, 32),
            (0x1020, 0),
            (0x9_0000_0000, 5 << 30),
            (0x1_0000_0000, 8),
        ];
        check(&list, 0xfff, None);
        check(&list, 0x1000, Some((0x1000, 0)));
        check(&list, 0x101f, Some((0x1000, 31)));
        check(&list, 0x1020, Some((0x1020, 0)));
        check(&list, 0x1021, None);
        check(&list, 0x1fff, None);
        check(&list, 0x200f, Some((0x2000, 15)));
        check(&list, 0x2010, None);
        check(
            &list,
            0x9_0000_0000 + (3 << 30),
            Some((0x9_0000_0000, 3 << 30)),
        );
        check(&list, 0x9_0000_0000 + (5 << 30), None);
        check(&[], 0, None);
        check(&[(0, 8)], 3, Some((0, 3)));
        check(
            &[(u64::MAX - 7, 100)],
            u64::MAX - 1,
            Some((u64::MAX - 7, 6)),
        );
        check(
            &[(0x1000, 64), (0x1010, 8), (0x1040, 8)],
            0x1012,
            Some((0x1000, 0x12)),
        );
        check(
            &[(0x1000, 64), (0x1010, 8), (0x1040, 8)],
            0x1041,
            Some((0x1040, 1)),
        );
    }

    proptest! {
        #[test]
        fn as_a_plain_search(
            list in proptest::collection::vec((0u64..0x4000, 0u64..0x300), 0..60),
            scale in prop::sample::select(vec![1u64, 16, 0x1000, 0x10_0000, 1 << 40]),
            at in 0u64..0x5000, extra in 0u64..0x300,
        ) {
            let list: Vec<(u64, u64)> = list.iter().map(|(start, size)| (start * scale, *size)).collect();
            let index = Index::new(blocks(&list));
            let at = at * scale + extra;
            let plain = index.blocks.iter().position(|block| (block.start..block.end()).contains(&at));
            prop_assert_eq!(index.find(at).map(|(node, _)| node as usize), plain);
            for node in 0..index.blocks.len() as Node {
                prop_assert_eq!(index.find_behind(node, at).map(|node| node as usize), plain);
                let next = node + 1;
                let start = index.blocks.get(next as usize).map(|block| block.start);
                prop_assert_eq!(start.and_then(|start| index.find_behind(node, start)), start.and(Some(next)));
            }
            prop_assert!(index.blocks.windows(2).all(|pair| pair[0].end() <= pair[1].start));
        }
    }
}
