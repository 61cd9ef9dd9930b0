//! Reachability from outside: of all live blocks, which can the program still get at? Works on a
//! snapshot of registers and memory, while the program itself goes on.

pub mod chunks;
pub mod habits;
pub mod index;
pub mod jemalloc;
pub mod lost;
pub mod mark;
pub mod scan;

use crate::base::snapshot::{Region, Snapshot};
use habits::Lineages;
use index::{Block, Index, Node};
use lost::Group;
use mark::{Holder, Marks, Reached};
use scan::{MOST_POINTERS, Place, Pointers, RootRule};

/// What a check found.
pub struct Check {
    /// The blocks that were looked at.
    pub index: Index,
    /// Everything that cannot be reached.
    pub groups: Vec<Group>,
    pointers: Pointers,
    marks: Marks,
    verdicts: Vec<Verdict>,
    /// The group of each lost block.
    in_group: Vec<u32>,
}

/// What is known of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It cannot be reached, nor anything that points to it.
    Lost,
    /// Only lost blocks point to it.
    Indirect,
    /// Only pointers to the inside of blocks lead to it.
    Possible,
    /// The program can get at it.
    Reachable,
}

/// One step from a block to what holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This block does.
    Block(Node),
    /// A place outside of all blocks does: the last step.
    Place(Place),
}

const NO_GROUP: u32 = u32::MAX;
/// No reader follows a longer chain of holders.
const LONGEST: usize = 64;

impl Check {
    /// Follows all pointers. `rule` says of memory between blocks, by region and address, what its
    /// words mean, `lineages` which blocks are of one origin.
    pub fn new(
        snapshot: &Snapshot,
        blocks: Vec<Block>,
        lineages: &Lineages,
        rule: &RootRule<'_>,
    ) -> Check {
        Check::of(snapshot, Index::new(blocks), lineages, rule, MOST_POINTERS)
    }

    fn of(
        snapshot: &Snapshot,
        index: Index,
        lineages: &Lineages,
        rule: &RootRule<'_>,
        most: usize,
    ) -> Check {
        let pointers = Pointers::find(snapshot, &index, lineages, rule, most);
        let count = index.blocks.len();
        let marks = Marks::new(&pointers, count);
        let groups = lost::groups(&pointers, &marks, &index.blocks);
        let verdict = |node| match marks.reached(node) {
            Reached::Start => Verdict::Reachable,
            Reached::Inside => Verdict::Possible,
            Reached::Never => Verdict::Indirect,
        };
        let mut verdicts: Vec<Verdict> = (0..count as Node).map(verdict).collect();
        let mut in_group = vec![NO_GROUP; count];
        for (number, group) in (0..).zip(&groups) {
            for &node in group.all() {
                if let Some(in_group) = in_group.get_mut(node as usize) {
                    *in_group = number;
                }
            }
            for &node in group.leaders() {
                if let Some(verdict) = verdicts.get_mut(node as usize) {
                    *verdict = Verdict::Lost;
                }
            }
        }
        Check {
            index,
            groups,
            pointers,
            marks,
            verdicts,
            in_group,
        }
    }

    /// There were more blocks or pointers than can be numbered: what is held by the others may be called lost.
    pub fn is_cut(&self) -> bool {
        self.index.is_cut || self.pointers.is_cut
    }

    /// What is known of a block.
    pub fn verdict(&self, node: Node) -> Verdict {
        self.verdicts
            .get(node as usize)
            .copied()
            .unwrap_or(Verdict::Reachable)
    }

    /// The group of a lost block.
    pub fn group(&self, node: Node) -> Option<&Group> {
        let number = self.in_group.get(node as usize)?;
        self.groups.get(*number as usize)
    }

    /// Who holds a block, and who holds that, and so on to the root.
    pub fn holders(&self, node: Node) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut node = node;
        while steps.len() < LONGEST {
            match self.marks.holder(node) {
                Holder::None => break,
                Holder::Root(place) => {
                    steps.push(Step::Place(place));
                    break;
                }
                Holder::Block(holder) => {
                    steps.push(Step::Block(holder));
                    node = holder;
                }
            }
        }
        steps
    }

    /// How far inside the one block its pointer to the other is.
    pub fn offset(&self, snapshot: &Snapshot, from: Node, to: Node) -> Option<u64> {
        let block = self.index.blocks.get(from as usize)?;
        // What the scan did not see need not be looked for.
        self.pointers.of(from).find(|pointer| pointer.to == to)?;
        let points_there = |offset: &u64| {
            let word = snapshot.word(block.start + offset);
            word.and_then(|word| self.index.find(word))
                .is_some_and(|(node, _)| node == to)
        };
        (0..block.size / 8)
            .map(|number| number * 8)
            .find(points_there)
    }
}

impl Group {
    /// Every block of it, the leader first.
    pub fn all(&self) -> impl Iterator<Item = &Node> {
        self.leaders().chain(&self.members)
    }

    /// The leader, or the whole cycle.
    pub fn leaders(&self) -> impl Iterator<Item = &Node> {
        let rest = self.cycle.iter().filter(|&&node| node != self.leader);
        std::iter::once(&self.leader)
            .chain(rest)
            .chain(&self.others)
    }
}

/// The region is no allocator's: a file's data, or a stack. What has no name, or `[heap]`, or a name that
/// prctl(2) gave (`[anon:…]`), may be one's.
pub fn is_data(region: &Region) -> bool {
    !(region.name.is_empty() || region.name == "[heap]" || region.name.starts_with("[anon"))
}

#[cfg(test)]
mod tests;
