//! Programs that keep pointers into their blocks always do so at the same places: behind a header of their
//! own (CPython's objects, redis' strings), or at a member that links them. Where nearly all pointers to
//! blocks of one origin agree on a few offsets, such a pointer holds its block as one to the start does.

use crate::leak::reach::index::{Block, Node};
use crate::leak::reach::scan::{Pointer, Pointers};
use std::collections::HashMap;

/// What blocks have in common, from the general to the special: the function that asks the allocator,
/// its caller, and so on up to the whole stack. Equal numbers at one place are one origin.
pub type Lineage = [u64; GENERATIONS];

/// So many callers are looked at, and the whole stack.
pub const GENERATIONS: usize = 6;

/// By the number of a block's site.
pub type Lineages = HashMap<u32, Lineage>;

/// So many blocks at least must be pointed to at an offset.
const BLOCKS: u32 = 8;
/// And one in so many of those that are pointed to.
const SHARE: u32 = 10;
/// All but one in so many of them must be pointed to at the start or at such offsets.
const REST: u32 = 20;
/// Headers are no longer.
pub(super) const LONGEST: u64 = 256;

/// A pointer to the inside of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inside {
    pub(super) to: Node,
    pub(super) offset: u32,
}

/// How the blocks of one origin are pointed to.
#[derive(Default)]
struct Habit {
    /// How many are.
    blocks: u32,
    /// How many are at each offset.
    at: HashMap<u32, u32>,
    /// The offsets that count.
    offsets: Vec<u32>,
}

/// Which pointers to the inside of which blocks are as good as ones to the start.
pub(super) struct Habits {
    by_origin: HashMap<(usize, u64), Habit>,
}

impl Habits {
    /// `insides` are all pointers to insides that are not far in.
    pub(super) fn new(
        blocks: &[Block],
        lineages: &Lineages,
        pointers: &Pointers,
        mut insides: Vec<Inside>,
    ) -> Habits {
        let mut by_origin: HashMap<(usize, u64), Habit> = HashMap::new();
        insides.sort_unstable();
        insides.dedup();
        if insides.len() < BLOCKS as usize {
            return Habits { by_origin };
        }
        let starts = pointers.to_starts(blocks.len());
        let at_all = |node: Node| starts.get(node as usize).is_some_and(|is_start| *is_start);
        let groups: Vec<&[Inside]> = insides.chunk_by(|a, b| a.to == b.to).collect();
        let mut next = groups.iter().peekable();
        for (node, block) in (0..).zip(blocks) {
            let own = next.next_if(|group| group.first().is_some_and(|inside| inside.to == node));
            if own.is_none() && !at_all(node) {
                continue;
            }
            for origin in origins(block, lineages) {
                let habit = by_origin.entry(origin).or_default();
                habit.blocks += 1;
                for inside in own.into_iter().flat_map(|group| group.iter()) {
                    *habit.at.entry(inside.offset).or_default() += 1;
                }
            }
        }
        for habit in by_origin.values_mut() {
            habit.choose();
        }
        by_origin.retain(|_, habit| !habit.offsets.is_empty());
        // How many of the blocks do they explain?
        let mut unexplained: HashMap<(usize, u64), u32> = HashMap::new();
        for group in groups {
            let Some(to) = group
                .first()
                .map(|inside| inside.to)
                .filter(|&to| !at_all(to))
            else {
                continue;
            };
            for origin in blocks
                .get(to as usize)
                .into_iter()
                .flat_map(|block| origins(block, lineages))
            {
                let is_known = by_origin.get(&origin).is_some_and(|habit| {
                    group
                        .iter()
                        .any(|inside| habit.offsets.contains(&inside.offset))
                });
                *unexplained.entry(origin).or_default() += u32::from(!is_known);
            }
        }
        by_origin.retain(|origin, habit| {
            let unexplained = unexplained.get(origin).copied().unwrap_or(0);
            unexplained.saturating_mul(REST) <= habit.blocks
        });
        Habits { by_origin }
    }

    /// There are none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_origin.is_empty()
    }

    /// Pointers to this offset of the block hold it.
    pub(super) fn hold(&self, block: &Block, lineages: &Lineages, offset: u32) -> bool {
        origins(block, lineages).any(|origin| {
            let habit = self.by_origin.get(&origin);
            habit.is_some_and(|habit| habit.offsets.contains(&offset))
        })
    }
}

impl Habit {
    fn choose(&mut self) {
        let blocks = self.blocks;
        let is_usual = |count: u32| count >= BLOCKS && count.saturating_mul(SHARE) >= blocks;
        let usual = self.at.iter().filter(|(_, count)| is_usual(**count));
        self.offsets = usual.map(|(offset, _)| *offset).collect();
        self.at = HashMap::new();
    }
}

/// All origins of a block. Of one from before the attach only the size is known.
fn origins(block: &Block, lineages: &Lineages) -> impl Iterator<Item = (usize, u64)> {
    let own = match block.site {
        Some(site) => lineages
            .get(&site)
            .copied()
            .unwrap_or([u64::from(site); GENERATIONS]),
        None => [block.size; GENERATIONS],
    };
    let first = usize::from(block.site.is_none()) * GENERATIONS;
    let mut last = None;
    own.into_iter().enumerate().filter_map(move |(at, origin)| {
        // The same once more: a stack that is no longer.
        let is_new = last.replace(origin) != Some(origin);
        is_new.then_some((first + at, origin))
    })
}

/// A pointer to the inside.
pub(super) fn inside(pointer: Pointer, offset: u64) -> Option<Inside> {
    let is_near = !pointer.is_start && offset <= LONGEST;
    is_near.then_some(Inside {
        to: pointer.to,
        offset: offset as u32,
    })
}
