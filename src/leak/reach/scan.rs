//! Finds every word of a snapshot that points to a block: who points from outside, and which block
//! points to which.

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::snapshot::{Region, Snapshot};
use crate::leak::reach::habits::{Habits, Inside, Lineages, inside};
use crate::leak::reach::index::{Index, Node};
use std::ops::Range;

/// A word that points to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// To which block.
    pub to: Node,
    /// To its start, or as good as that. Else only to somewhere inside.
    pub is_start: bool,
}

/// A pointer from outside of all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where the word is.
    pub place: Place,
    /// What it points to.
    pub pointer: Pointer,
}

/// Where a root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory that is no stack.
    Data(u64),
    /// In a thread's stack.
    Stack(Tid, u64),
    /// In a thread's register.
    Register(Tid),
    /// It is a root by itself.
    Itself,
}

/// All pointers of a snapshot.
pub struct Pointers {
    /// Those from outside, data before stacks and registers.
    pub roots: Vec<Root>,
    /// Where each block's own begin in `edges`; one more than there are blocks.
    offsets: Vec<u32>,
    /// Block by block, what it points to.
    edges: Vec<u32>,
    /// There were more pointers from block to block than can be numbered.
    pub is_cut: bool,
}

/// What a word in memory between blocks says of the block that it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing: it is an allocator's own, or was some freed block's.
    Nothing,
    /// It is held if it points to the start. An allocator's lists point to headers, which may lie in the
    /// last bytes of the block before.
    Starts,
    /// It is held, or may be.
    All,
}

/// What words between blocks say, by region and address, and up to where they say that: no further than the end
/// of their page matters.
pub type RootRule<'c> = dyn Fn(&Region, u64) -> (Holds, u64) + 'c;

/// The x86-64 red zone: a leaf function uses so much below its stack pointer (psABI 3.2.2).
const RED_ZONE: u64 = 128;
/// A thread's control block, `struct pthread`, is no larger.
const CONTROL: u64 = 4096;
/// So much is read at once.
const CHUNK: u64 = 1 << 18;
/// A pointer to somewhere inside, in an edge.
const INSIDE: u32 = 1 << 31;
/// So many pointers from block to block can be numbered.
pub const MOST_POINTERS: usize = u32::MAX as usize;
/// How far behind the start of its block a thread's dtv begins: the word before it counts its slots
/// (glibc, `allocate_dtv`: `dtv + 1` is installed, and each slot has two words).
const DTV_OFFSET: u64 = 16;

impl Pointers {
    /// Looks at all of it.
    pub fn find(
        snapshot: &Snapshot,
        index: &Index,
        lineages: &Lineages,
        rule: &RootRule<'_>,
        most: usize,
    ) -> Pointers {
        let mut scan = Scan {
            snapshot,
            index,
            rule,
            most,
            bounds: index.bounds(),
            data: Vec::new(),
            stacks: Vec::new(),
            insides: Vec::new(),
            found: Pointers {
                roots: Vec::new(),
                offsets: Vec::with_capacity(index.blocks.len() + 1),
                edges: Vec::new(),
                is_cut: false,
            },
        };
        for region in &snapshot.regions {
            scan.region(region);
        }
        scan.registers();
        let Scan {
            data,
            stacks,
            insides,
            mut found,
            ..
        } = scan;
        // Blocks that no region held.
        found
            .offsets
            .resize(index.blocks.len() + 1, found.edges.len() as u32);
        let itself = |(node, block): (usize, &super::index::Block)| {
            let pointer = Pointer {
                to: node as Node,
                is_start: true,
            };
            block.is_root.then_some(Root {
                place: Place::Itself,
                pointer,
            })
        };
        found.roots = index.blocks.iter().enumerate().filter_map(itself).collect();
        let first = found.roots.len();
        found.roots.extend(data);
        let first_of_stacks = found.roots.len();
        found.roots.extend(stacks);
        found.learn(index, lineages, &insides, first, first_of_stacks);
        found
    }

    /// Makes those pointers to insides that are as good as ones to starts such. The roots in data begin
    /// at `data`, those in stacks at `stacks`.
    fn learn(
        &mut self,
        index: &Index,
        lineages: &Lineages,
        insides: &[(At, Inside)],
        data: usize,
        stacks: usize,
    ) {
        let all = insides.iter().map(|(_, inside)| *inside).collect();
        let habits = Habits::new(&index.blocks, lineages, self, all);
        if habits.is_empty() {
            return;
        }
        for (at, inside) in insides {
            let block = index.blocks.get(inside.to as usize);
            if !block.is_some_and(|block| habits.hold(block, lineages, inside.offset)) {
                continue;
            }
            let root = match *at {
                At::Edge(number) => {
                    if let Some(edge) = self.edges.get_mut(number) {
                        *edge &= !INSIDE;
                    }
                    continue;
                }
                At::Data(number) => data + number,
                At::Stacks(number) => stacks + number,
            };
            if let Some(root) = self.roots.get_mut(root) {
                root.pointer.is_start = true;
            }
        }
    }

    /// Which blocks are pointed to at their starts.
    pub(super) fn to_starts(&self, blocks: usize) -> Vec<bool> {
        let mut starts = vec![false; blocks];
        let edges = self.edges.iter().filter(|&&edge| edge & INSIDE == 0);
        let roots = self.roots.iter().map(|root| root.pointer);
        let roots = roots.filter(|pointer| pointer.is_start);
        for to in edges.copied().chain(roots.map(|pointer| pointer.to)) {
            if let Some(is_start) = starts.get_mut(to as usize) {
                *is_start = true;
            }
        }
        starts
    }

    /// What a block points to.
    pub fn of(&self, node: Node) -> impl Iterator<Item = Pointer> {
        let bound = |at: usize| {
            self.offsets
                .get(at)
                .map_or(self.edges.len(), |&offset| offset as usize)
        };
        let range = bound(node as usize)..bound(node as usize + 1);
        let edges = self.edges.get(range).unwrap_or_default();
        edges.iter().map(|edge| Pointer {
            to: edge & !INSIDE,
            is_start: edge & INSIDE == 0,
        })
    }
}

/// Where a pointer was noted.
#[derive(Clone, Copy)]
enum At {
    Edge(usize),
    Data(usize),
    Stacks(usize),
}

struct Scan<'c> {
    snapshot: &'c Snapshot,
    index: &'c Index,
    rule: &'c RootRule<'c>,
    /// See [`MOST_POINTERS`].
    most: usize,
    bounds: (u64, u64),
    data: Vec<Root>,
    stacks: Vec<Root>,
    /// Pointers to insides, in any of these.
    insides: Vec<(At, Inside)>,
    found: Pointers,
}

impl Scan<'_> {
    fn region(&mut self, region: &Region) {
        let range = &region.range;
        let inside = self
            .snapshot
            .tasks
            .iter()
            .filter(|task| range.contains(&task.sp));
        match inside.min_by_key(|task| task.sp) {
            // A stack made of a block is scanned as one.
            Some(task) if self.index.find(task.sp).is_none() => {
                let from = task.sp.saturating_sub(RED_ZONE).max(range.start);
                self.memory(from..range.end, region, Some(task.thread));
            }
            None => match self.dead_stack(region) {
                Some(control) => {
                    let place = Place::Data(control);
                    let dtv = self.dtv(control);
                    self.data.extend(dtv.map(|pointer| Root { place, pointer }));
                }
                None => self.memory(range.clone(), region, None),
            },
            _ => self.memory(range.clone(), region, None),
        }
    }

    /// The stack of a thread that has ended, kept for the next one: nothing in it is alive but the dtv. At its
    /// top is the thread's control block, which points to itself twice (glibc, `tcbhead_t`: `tcb` and `self`).
    fn dead_stack(&self, region: &Region) -> Option<u64> {
        if !region.name.is_empty() {
            return None;
        }
        let top = region
            .range
            .end
            .saturating_sub(CONTROL)
            .max(region.range.start);
        let is_control = |at: &u64| {
            let points_back = |offset| self.snapshot.word(at + offset) == Some(*at);
            points_back(0) && points_back(16)
        };
        let control = (aligned(top)..region.range.end).step_by(8).find(is_control);
        control.filter(|at| self.snapshot.tasks.iter().all(|task| task.fs_base != *at))
    }

    /// The dtv, whose address is the second word of a thread's control block (glibc, `tcbhead_t`).
    fn dtv(&self, control: u64) -> Option<Pointer> {
        let dtv = self.snapshot.word(control.wrapping_add(8))?;
        let (to, offset) = self.index.find(dtv)?;
        (offset == DTV_OFFSET).then_some(Pointer { to, is_start: true })
    }

    /// All words of a range, in order, and so block by block.
    fn memory(&mut self, range: Range<u64>, region: &Region, stack: Option<Tid>) {
        let mut buffer = vec![0; CHUNK.min(range.end - range.start) as usize];
        let mut node = self.index.after(range.start);
        let mut at = aligned(range.start);
        while at < range.end {
            let want = (range.end - at).min(CHUNK) as usize;
            let got = match self.snapshot.memory.read(Addr(at), &mut buffer[..want]) {
                Ok(got) if got >= 8 => got / 8 * 8,
                // A page that cannot be read holds nothing.
                _ => {
                    at = aligned(self.snapshot.memory.beyond(Addr(at)).0.max(at + 8));
                    continue;
                }
            };
            self.words(&buffer[..got], at, &mut node, region, stack);
            at += got as u64;
        }
    }

    fn words(
        &mut self,
        bytes: &[u8],
        at: u64,
        node: &mut Node,
        region: &Region,
        stack: Option<Tid>,
    ) {
        let end = at + bytes.len() as u64;
        let mut at = at;
        while at < end {
            let block = self.index.blocks.get(*node as usize);
            let (start, stop) =
                block.map_or((u64::MAX, u64::MAX), |block| (block.start, block.end()));
            // A small one that begins and ends between two words.
            if stop <= at {
                *node += 1;
                continue;
            }
            // Words that reach over an end belong to what they begin in.
            let inside = start <= at;
            let until = if inside { stop } else { aligned(start) }.min(end);
            let from = (bytes.len() as u64 - (end - at)) as usize;
            let length = (until.saturating_sub(at).next_multiple_of(8)).min(end - at) as usize;
            let part = bytes.get(from..from + length).unwrap_or_default();
            match inside {
                true => self.block(*node, part, stop - at),
                false if stack.is_some() => self.roots(part, at, stack, Holds::All),
                false => self.roots_by_page(part, at, region),
            }
            at += length.max(8) as u64;
            if inside && at >= stop {
                *node += 1;
            }
        }
    }

    /// Memory between blocks: some pages of it may be an allocator's, others not.
    fn roots_by_page(&mut self, part: &[u8], at: u64, region: &Region) {
        let mut at = at;
        let mut rest = part;
        while !rest.is_empty() {
            let (holds, until) = (self.rule)(region, at);
            let until = until.min((at | 0xfff) + 1).max(at + 1);
            // Words that reach over the end of a part belong to what they begin in.
            let length = (until - at).next_multiple_of(8).min(rest.len() as u64) as usize;
            let (page, next) = rest.split_at(length);
            if holds != Holds::Nothing {
                self.roots(page, at, None, holds);
            }
            at += length as u64;
            rest = next;
        }
    }

    fn roots(&mut self, part: &[u8], at: u64, stack: Option<Tid>, holds: Holds) {
        for (number, word) in words(part).enumerate() {
            let pointer = self.pointer(word);
            let Some(pointer) = pointer.filter(|p| p.is_start || holds == Holds::All) else {
                continue;
            };
            let at = at + 8 * number as u64;
            self.note_inside(
                word,
                pointer,
                match stack {
                    Some(_) => At::Stacks(self.stacks.len()),
                    None => At::Data(self.data.len()),
                },
            );
            match stack {
                Some(thread) => self.stacks.push(Root {
                    place: Place::Stack(thread, at),
                    pointer,
                }),
                None => self.data.push(Root {
                    place: Place::Data(at),
                    pointer,
                }),
            }
        }
    }

    /// `left` is how much of the block there is: a word that reaches beyond its end is none of its own.
    fn block(&mut self, node: Node, part: &[u8], left: u64) {
        let part = part.get(..(left / 8 * 8) as usize).unwrap_or(part);
        // Blocks in memory that is in no region point nowhere.
        while self.found.offsets.len() <= node as usize {
            self.found.offsets.push(self.found.edges.len() as u32);
        }
        for word in words(part) {
            if let Some(pointer) = self.pointer(word) {
                if self.found.edges.len() >= self.most {
                    self.found.is_cut = true;
                    return;
                }
                let flag = if pointer.is_start { 0 } else { INSIDE };
                self.note_inside(word, pointer, At::Edge(self.found.edges.len()));
                self.found.edges.push(pointer.to | flag);
            }
        }
    }

    fn registers(&mut self) {
        for task in &self.snapshot.tasks {
            let own_stack = self.index.find(task.sp).map(|(node, _)| Pointer {
                to: node,
                is_start: true,
            });
            let dtv = self.dtv(task.fs_base);
            let place = Place::Register(task.thread);
            for &word in &task.words {
                if let Some(pointer) = self.pointer(word) {
                    self.note_inside(word, pointer, At::Stacks(self.stacks.len()));
                    self.stacks.push(Root { place, pointer });
                }
            }
            let own = own_stack.into_iter().chain(dtv);
            self.stacks
                .extend(own.map(|pointer| Root { place, pointer }));
        }
    }

    fn note_inside(&mut self, word: u64, pointer: Pointer, at: At) {
        let block = self.index.blocks.get(pointer.to as usize);
        if let Some(inside) = block.and_then(|block| inside(pointer, word - block.start)) {
            self.insides.push((at, inside));
        }
    }

    #[inline]
    fn pointer(&self, word: u64) -> Option<Pointer> {
        if word < self.bounds.0 || word >= self.bounds.1 {
            return None;
        }
        let (to, offset) = self.index.find(word)?;
        let is_start = offset == 0 || self.is_as_good(to, offset);
        Some(Pointer { to, is_start })
    }

    /// Whether programs keep such a pointer as the only one to a block.
    fn is_as_good(&self, to: Node, offset: u64) -> bool {
        let Some(block) = self.index.blocks.get(to as usize) else {
            return false;
        };
        let word = |at: u64| self.snapshot.word(block.start.wrapping_add(at));
        match offset {
            // new T[n]: a cookie tells n (Itanium C++ ABI 2.7).
            8 if word(0)
                .is_some_and(|n| n > 0 && (block.size - 8) % n == 0 && n <= block.size - 8) =>
            {
                true
            }
            // std::string with shared bodies: length, capacity, count of owners (libstdc++, cow_string.h).
            24 if word(0) <= word(8)
                && word(8).is_some_and(|n| n.checked_add(25) == Some(block.size)) =>
            {
                true
            }
            // A base class that is not the first one: the object and its part have a vtable each.
            _ if offset.is_multiple_of(8) => {
                let is_vtable = |at| word(at).is_some_and(|word| self.snapshot.is_image(word));
                is_vtable(0) && is_vtable(offset)
            }
            _ => false,
        }
    }
}

/// The first address of a word, from there on.
fn aligned(at: u64) -> u64 {
    at.saturating_add(7) & !7
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word))
}
