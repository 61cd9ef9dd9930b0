//! How things are found that library types hold, where that takes more than one step.

use std::sync::Arc;

/// When a member of a structure is there: another one tells it by its value.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// The member that tells, counted from 1; 0 where nothing has to.
    pub member: usize,
    /// Ranges of its values, both ends included.
    pub values: Vec<(u64, u64)>,
    /// It is there for all values but these.
    pub others: bool,
    /// What the structure is called then.
    pub name: Option<Arc<str>>,
}

impl When {
    /// Whether it is there for this value.
    pub fn holds(&self, value: u64) -> bool {
        let mut ranges = self.values.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&value)) != self.others
    }
}

/// How one leads from one element to the next. Offsets in a node, in bytes; members are those of the structure around,
/// counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// Each points to the next one, the last one to nothing or to where all began.
    Chain {
        /// The pointer.
        next: u64,
        /// The element lies behind so many bytes, where it is aligned.
        header: u64,
    },
    /// They are those of a tree, from the leftmost to the right.
    Tree {
        /// The pointer to those before.
        left: u64,
        /// The pointer to those behind.
        right: u64,
        /// The pointer to that above.
        parent: u64,
        /// The element lies behind so many bytes, where it is aligned.
        header: u64,
    },
    /// They are those of a B-tree, and hold several: the members of an element are the first ones of arrays in its node.
    BTree {
        /// The pointer to the node above.
        parent: u64,
        /// The number of this node below that, two bytes.
        index: u64,
        /// How many elements it holds, two bytes.
        count: u64,
        /// The pointers to the nodes below; those at the bottom have none.
        edges: u64,
        /// The member that tells how far the root is above the bottom.
        height: usize,
    },
    /// They lie side by side, and the one behind the last place is in the first.
    Ring {
        /// The member that tells the place of the first element.
        first: usize,
        /// That which tells how many places there are.
        places: usize,
    },
    /// They are those of a hash table, and lie in front of an array of bytes, the first one last: the highest bit of a byte
    /// is clear when its place is taken.
    Buckets,
    /// Each is one bit of words that lie side by side.
    Bits {
        /// Where they end, unless their number tells: the members with the address of a word, and with the number of a bit
        /// in it.
        end: Option<(usize, usize)>,
    },
}

/// Elements in blocks, to which a table of pointers leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Where the first element is.
    pub first: First,
    /// Blocks have so many bytes, or as many as so many elements.
    pub bytes: u64,
    /// The least number of elements in a block.
    pub least: u64,
}

/// How the first element of a table of blocks is told, by members of the structure around, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// By its address, in the first block; and the address behind the last element.
    Address {
        /// Of the first one.
        first: usize,
        /// Behind the last one.
        end: usize,
    },
    /// By its number.
    Index(usize),
}
