//! A check: what is asked, which takes what is known of a process; the answer, which takes only its
//! snapshot, and so can be found while the process goes on; and what the answer means by then.

use crate::base::snapshot::{Region, Snapshot};
use crate::leak::heap::{block_at, has_addresses, is_heap};
use crate::leak::pages::Pages;
use crate::leak::reach::chunks::{self, Chunks};
use crate::leak::reach::habits::Lineages;
use crate::leak::reach::index::{Block, Node};
use crate::leak::reach::scan::Holds;
use crate::leak::reach::{self, Check, Verdict, lost};
use crate::leak::report::model::Amount;
use crate::leak::table::Live;
use crate::leak::tracker::{HEAP, Knowledge, Tracker};
use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, Instant};

/// What is to be found out about a process of which a snapshot was made just now.
pub struct Question {
    blocks: Vec<Block>,
    /// Where the heap's blocks begin.
    heap: Vec<u64>,
    pages: Pages,
    /// Which blocks are of one origin.
    lineages: Lineages,
    knows_all: bool,
    /// Releases are not seen any more.
    is_unseen: bool,
    /// No block is on its way from one place to another.
    is_quiet: bool,
    /// The allocators that were seen.
    allocators: Allocators,
    born_before: u64,
}

/// What is known of the allocators of a process.
#[derive(Clone, Debug, Default)]
pub struct Allocators {
    /// The files whose data are an allocator's.
    pub files: Vec<String>,
    /// One of them is jemalloc.
    pub is_jemalloc: bool,
}

/// What was found.
pub struct Answer {
    check: Check,
    snapshot: Snapshot,
    took: Duration,
    before: Before,
    gone: Vec<u64>,
    born_before: u64,
}

/// Blocks from before the attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Those that the allocator says are held.
    pub held: Amount,
    /// Those of them that cannot be reached.
    pub lost: Amount,
    /// How many heaps could not be walked.
    pub broken: u64,
}

/// A check and what it was made of.
pub struct Checked {
    /// What it found.
    pub check: Check,
    /// The process as it was.
    pub snapshot: Snapshot,
    /// How long the verdict took.
    pub took: Duration,
    /// What was found of blocks from before the attach.
    pub before: Before,
    /// Blocks that were released unseen.
    pub gone: Vec<u64>,
    /// What was handed out after this, in microseconds, is not judged.
    pub born_before: u64,
    /// The one block of each group that it is told by: of several leaders the oldest.
    pub told_by: Vec<Node>,
    /// The same, to be looked up.
    tellers: HashSet<Node>,
}

impl Question {
    /// Who can be reached? What is younger than `older`, and what a call holds that has not returned,
    /// counts as reached. `lineages` says which sites ask in the same way.
    pub fn new(
        tracker: &Tracker,
        older: Duration,
        allocators: Allocators,
        lineages: Lineages,
    ) -> Question {
        let born_before = born_before(tracker, older);
        let mut blocks = Vec::new();
        let mut heap = Vec::new();
        for (id, holdings) in tracker.holdings() {
            let kind = tracker.kinds().kind(id);
            let Some(kind) = kind.filter(|kind| has_addresses(kind)) else {
                continue;
            };
            if is_heap(kind) && kind.label == HEAP {
                heap.extend(holdings.table.iter().map(|(start, _)| start));
            }
            let block = |(start, live): (u64, Live)| Block {
                start,
                size: live.size,
                is_root: live.born > born_before,
                site: Some(live.site.0),
            };
            blocks.extend(holdings.table.iter().map(block));
        }
        let in_flight = tracker.in_flight().into_iter();
        blocks.extend(in_flight.map(|(start, size)| Block {
            start,
            size,
            is_root: true,
            site: None,
        }));
        Question {
            blocks,
            heap,
            lineages,
            pages: tracker.pages().clone(),
            knows_all: tracker.knowledge() == Knowledge::All,
            is_unseen: tracker.unseen().is_some(),
            is_quiet: !tracker.is_moving() && tracker.unseen().is_none(),
            allocators,
            born_before,
        }
    }

    /// Follows all pointers of the process as it was.
    pub fn answer(mut self, snapshot: Snapshot) -> Answer {
        let begin = Instant::now();
        // Not when the question is asked, as processes wait for that.
        self.heap.sort_unstable();
        // What was handed out before the attach may be all that holds what came after.
        let is_glibc = self.allocators.files.iter().any(|file| is_glibc(file));
        let mut older = match is_glibc && (!self.knows_all || self.is_unseen) {
            true => chunks::walk(&snapshot),
            false => Chunks::default(),
        };
        let mut gone = Vec::new();
        match self.is_unseen {
            true => gone = self.take_gone(&older),
            false => older.agree_with(&self.heap),
        }
        let strangers = self.strangers(&older);
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.extend(strangers.iter().map(|&(start, size)| Block {
            start,
            size,
            is_root: false,
            site: None,
        }));
        let own = match self.allocators.is_jemalloc {
            true => reach::jemalloc::own(&snapshot),
            false => Vec::new(),
        };
        let check = Check::new(
            &snapshot,
            blocks,
            &self.lineages,
            &|region, at| match own_part(&own, at) {
                (true, until) => (Holds::Nothing, until),
                (false, until) => (self.rule(&older, region, at), until),
            },
        );
        let before = before(&strangers, &check, &older);
        Answer {
            check,
            snapshot,
            took: begin.elapsed(),
            before,
            gone,
            born_before: self.born_before,
        }
    }

    /// Blocks that the heap's chunks do not hold any more.
    fn take_gone(&mut self, older: &Chunks) -> Vec<u64> {
        let has_room = |block: &Block| {
            let found = older.held.binary_search_by_key(&block.start, |held| held.0);
            let chunk = found.ok().and_then(|at| older.held.get(at));
            chunk.is_some_and(|(_, size)| *size >= block.size)
        };
        let heap = &self.heap;
        let is_gone = |block: &Block| {
            let is_of_heap = || heap.binary_search(&block.start).is_ok();
            older.cover(block.start) && !has_room(block) && is_of_heap()
        };
        let gone = self.blocks.extract_if(.., |block| is_gone(block));
        gone.map(|block| block.start).collect()
    }

    /// Chunks that we do not know.
    fn strangers(&mut self, older: &Chunks) -> Vec<(u64, u64)> {
        self.blocks.sort_unstable_by_key(|block| block.start);
        let mut known = self.blocks.iter().map(|block| block.start).peekable();
        let mut strangers = older.held.clone();
        strangers.retain(|(start, _)| {
            while known.next_if(|known| known < start).is_some() {}
            known.peek() != Some(start)
        });
        strangers
    }

    /// What words between blocks say.
    fn rule(&self, older: &Chunks, region: &Region, at: u64) -> Holds {
        if reach::is_data(region) {
            return match self.allocators.files.contains(&region.name) {
                true => Holds::Starts,
                false => Holds::All,
            };
        }
        let is_walked = older.cover(at);
        match (
            is_walked || self.pages.contains(at),
            is_walked || self.knows_all,
        ) {
            (false, _) => Holds::All,
            // Where the allocator gives blocks from there are only free ones between those we know,
            // unless realloc(3) is about to move one.
            (true, true) if self.is_quiet => Holds::Nothing,
            (true, _) => Holds::Starts,
        }
    }
}

/// Whether an address is in one of these, and up to where that is so.
fn own_part(own: &[Range<u64>], at: u64) -> (bool, u64) {
    let after = own.partition_point(|range| range.start <= at);
    let before = after.checked_sub(1).and_then(|n| own.get(n));
    match before.filter(|range| range.contains(&at)) {
        Some(range) => (true, range.end),
        None => (false, own.get(after).map_or(u64::MAX, |next| next.start)),
    }
}

fn before(strangers: &[(u64, u64)], check: &Check, older: &Chunks) -> Before {
    let mut before = Before {
        broken: older.broken.len() as u64,
        ..Before::default()
    };
    let mut nodes = (0..).zip(&check.index.blocks).peekable();
    for &(start, size) in strangers {
        before.held += Amount::of(size);
        while nodes.next_if(|(_, block)| block.start < start).is_some() {}
        let node = nodes.peek().filter(|(_, block)| block.start == start);
        let verdict = node.map(|(node, _)| check.verdict(*node));
        if matches!(verdict, Some(Verdict::Lost | Verdict::Indirect)) && older.knows_free {
            before.lost += Amount::of(size);
        }
    }
    before
}

impl Checked {
    /// What an answer means to what is known of the process by now.
    pub fn new(tracker: &Tracker, answer: Answer) -> Checked {
        let Answer {
            check,
            snapshot,
            took,
            before,
            gone,
            born_before,
        } = answer;
        // Of one moment, that whose site is older.
        let born = |node: &Node| {
            let block = check.index.blocks.get(*node as usize);
            block
                .and_then(|block| block_at(tracker, block.start))
                .map_or((u64::MAX, None), |live| (live.born, Some(live.site)))
        };
        let oldest = |group: &lost::Group| group.leaders().min_by_key(|node| born(node)).copied();
        let groups = check.groups.iter();
        let told_by: Vec<Node> = groups
            .map(|group| oldest(group).unwrap_or(group.leader))
            .collect();
        Checked {
            tellers: told_by.iter().copied().collect(),
            told_by,
            check,
            snapshot,
            took,
            before,
            gone,
            born_before,
        }
    }

    /// A group is told by this block.
    pub fn tells(&self, node: Node) -> bool {
        self.tellers.contains(&node)
    }
}

/// When that was born, in microseconds, which is so old now.
pub(super) fn born_before(tracker: &Tracker, older: Duration) -> u64 {
    let now = tracker.micros(tracker.now());
    now.saturating_sub(u64::try_from(older.as_micros()).unwrap_or(u64::MAX))
}

fn is_glibc(allocator: &str) -> bool {
    let name = allocator.rsplit('/').next().unwrap_or(allocator);
    name.starts_with("libc.so") || name.starts_with("libc-2")
}
