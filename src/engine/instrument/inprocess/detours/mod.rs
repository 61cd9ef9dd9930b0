//! Functions whose calls are recorded at their first instruction, wherever they come from: a jump to a slot nearby
//! takes the place of what stands there, which the slot holds as a copy.
//!
//! | slot | |
//! |---|---|
//! | 0 | `jmp` through the next word |
//! | 8 | where calls are led to: a stub, or the copy |
//! | 16 | the jump's address, for a tracer that comes after us |
//! | 24 | the copy, and a jump back |
//!
//! Slots are never unmapped: a task may be in a copy. A later tracer uses them again.

mod branches;
mod moved;
mod tasks;

use super::islands::{self, BYTES};
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::process::gaps::REACH;
use crate::record::{Shared, header};
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use moved::{CODE, Copy, JUMP, Moved};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

const SLOT: u64 = 128;
const HEAD: u64 = 8;
const KEY: u64 = 16;
const COPY: u64 = 24;
/// `jmp *2(%rip)`: through the word at [`HEAD`].
const JUMP_THROUGH_HEAD: [u8; 8] = [0xff, 0x25, 2, 0, 0, 0, 0xcc, 0xcc];

/// The detours of one address space.
#[derive(Clone, Debug, Default)]
pub(super) struct Detours {
    groups: Vec<Group>,
    /// Slots of earlier tracers, by the addresses of their jumps.
    left: HashMap<u64, u64>,
    /// By the addresses of their jumps.
    made: BTreeMap<u64, Detour>,
    /// Where branches lead to, by the beginning of the mapping that they are in.
    branches: HashMap<u64, Arc<Text>>,
    /// Slots that are to lead to other stubs.
    to_lead: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
struct Group {
    start: u64,
    used: u64,
}

/// A function's detour.
#[derive(Clone, Debug)]
struct Detour {
    slot: u64,
    /// Where calls go on behind the jump.
    head: u64,
    /// Displaced instructions: their offsets behind the jump's address and in the copy.
    offsets: Vec<(u64, u64)>,
}

/// A mapping of code.
#[derive(Debug)]
struct Text {
    range: Range<u64>,
    far_targets: Vec<u32>,
}

/// A function to be detoured.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its first instruction.
    pub entry: Addr,
    /// The size of its code, in bytes; zero when it is not stated.
    pub size: u64,
}

/// Where a function can be detoured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Where the jump goes.
    pub(super) at: u64,
    /// Where it leads to.
    pub(super) slot: u64,
    /// Where calls are to go on.
    pub(super) head: u64,
    /// Something is led there already.
    pub(super) is_led: bool,
}

impl Detours {
    /// The slots that an earlier tracer has left.
    pub(super) fn left(memory: &ProcessMemory, shared: Shared<'_>) -> Detours {
        let words = (0..header::MOST_DETOURS).map(|n| shared.load(header::DETOURS + 8 * n));
        let mut detours = Detours::default();
        for start in words.take_while(|start| *start != 0) {
            let mut bytes = vec![0; BYTES as usize];
            let view: &dyn Memory = memory;
            if view.read_exact(Addr(start), &mut bytes).is_err() {
                continue;
            }
            let word = |slot: &[u8]| slot[KEY as usize..].first_chunk().copied();
            let keys = bytes.chunks_exact(SLOT as usize).map(word);
            let keys = keys.map_while(|key| key.map(u64::from_le_bytes).filter(|key| *key != 0));
            let slots = keys.zip((start..).step_by(SLOT as usize));
            let mut used = 0;
            for (key, slot) in slots {
                detours.left.insert(key, slot);
                used = slot + SLOT - start;
            }
            detours.groups.push(Group { start, used });
        }
        detours
    }

    /// Tells who comes after us where slots are, as far as there is room for that.
    pub(super) fn note(&self, shared: Shared<'_>) {
        let starts = self.groups.iter().map(|group| group.start);
        let starts = starts.take(header::MOST_DETOURS as usize - 1);
        for (n, start) in (0..).zip(starts.chain([0])) {
            shared.store(header::DETOURS + 8 * n, start);
        }
    }

    /// Prepares a detour of a function. `program`: the memory as it would be without us.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub(super) fn place(
        &mut self,
        stopped: &Stopped,
        remote: &Remote,
        (memory, program): (&ProcessMemory, &dyn Memory),
        function: Function,
    ) -> Result<Place, String> {
        let entry = function.entry;
        if let Some(place) = self.known(entry) {
            return Ok(place);
        }
        let mut code = [0; CODE];
        let got = program.read(entry, &mut code);
        let got = got.map_err(|_| "its code cannot be read".to_owned())?;
        let moved = Moved::plan(&code[..got], entry)?;
        self.look_for_branches((memory, program), function, moved.at)?;
        let (slot, copy) = self.slot(stopped, remote, memory, &moved)?;
        let head = slot + COPY;
        let words = [head, moved.at];
        let words = words.iter().flat_map(|word: &u64| word.to_le_bytes());
        let bytes: Vec<u8> = JUMP_THROUGH_HEAD.into_iter().chain(words).collect();
        let bytes = [bytes, copy.bytes].concat();
        let written = memory.write(Addr(slot), &bytes);
        written.map_err(|why| format!("cannot write code into the process: {why}"))?;
        let detour = Detour {
            slot,
            head,
            offsets: copy.offsets,
        };
        self.made.insert(moved.at, detour);
        Ok(Place {
            at: moved.at,
            slot,
            head,
            is_led: false,
        })
    }

    /// The detour of a function, perhaps behind its `endbr64`.
    fn known(&self, entry: Addr) -> Option<Place> {
        let (at, detour) = self.made.range(entry.0..entry.0 + JUMP as u64).next()?;
        Some(Place {
            at: *at,
            slot: detour.slot,
            head: detour.head,
            is_led: detour.head != detour.slot + COPY,
        })
    }

    /// Has the calls of a function led to this stub, as soon as [`Detours::write`] is called.
    pub(super) fn lead(&mut self, at: u64, stub: u64) {
        if let Some(detour) = self.made.get_mut(&at) {
            detour.head = stub;
            self.to_lead.push((detour.slot, stub));
        }
    }

    /// Leads to stubs that stand in the target now.
    pub(super) fn write(&mut self, memory: &ProcessMemory) -> Result<(), String> {
        for (slot, stub) in self.to_lead.drain(..) {
            let written = memory.write(Addr(slot + HEAD), &stub.to_le_bytes());
            written.map_err(|why| format!("cannot write code into the process: {why}"))?;
        }
        Ok(())
    }

    /// Forgets those of a module that is no longer mapped. Other code may come there.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        self.made.retain(|at, _| !range.contains(at));
        self.branches.retain(|start, _| !range.contains(start));
    }

    /// Refuses functions into whose first bytes something branches, or that loop to their beginning.
    fn look_for_branches(
        &mut self,
        (memory, program): (&ProcessMemory, &dyn Memory),
        Function { entry, size }: Function,
        at: u64,
    ) -> Result<(), String> {
        const AROUND: u64 = 256;
        const UNSIZED: u64 = 4096;
        let text = self.text((memory, program), at)?;
        let offset = |at: u64| u32::try_from(at - text.range.start);
        let (Ok(first), Ok(end)) = (offset(at + 1), offset(at + JUMP as u64)) else {
            return Err("the code around it is too long".to_owned());
        };
        let start = text.range.start.max(entry.0.saturating_sub(AROUND));
        let mut around = vec![0; 2 * AROUND as usize];
        let got = program.read(Addr(start), &mut around).unwrap_or_default();
        let around = &around[..got];
        let index = |at: u64| (at - start) as usize;
        let is_target = |far: Range<u32>, near: Range<usize>| {
            branches::leads_to(&text.far_targets, &far) || branches::short_leads_to(around, &near)
        };
        if is_target(first..end, index(at + 1)..index(at) + JUMP) {
            return Err("code branches into its first instructions".to_owned());
        }
        let Ok(beginning) = offset(entry.0) else {
            return Ok(());
        };
        if is_target(beginning..first, index(entry.0)..index(at + 1)) {
            let size = if size == 0 {
                UNSIZED
            } else {
                size.min(1 << 16)
            };
            let mut code = vec![0; size as usize];
            let got = program.read(entry, &mut code).unwrap_or_default();
            if branches::comes_back(&code[..got], &(0..(at + 1 - entry.0) as usize)) {
                return Err("it loops to its beginning".to_owned());
            }
        }
        Ok(())
    }

    /// The mapping of code around an address.
    fn text(
        &mut self,
        (memory, program): (&ProcessMemory, &dyn Memory),
        at: u64,
    ) -> Result<Arc<Text>, String> {
        let known = self.branches.values().find(|text| text.range.contains(&at));
        if let Some(text) = known {
            return Ok(text.clone());
        }
        let maps = proc::maps(memory.pid()).map_err(|why| why.to_string())?;
        let mapping = maps.iter().find(|m| m.executable && m.contains(Addr(at)));
        let range = mapping.ok_or("there is no code")?.range.clone();
        let text = Arc::new(Text {
            far_targets: far_targets(program, &range).ok_or("the code around it cannot be read")?,
            range: range.clone(),
        });
        self.branches.insert(range.start, text.clone());
        Ok(text)
    }

    /// A slot near the function, and what is to stand in it: the one that an earlier tracer had for the same code.
    fn slot(
        &mut self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
        moved: &Moved,
    ) -> Result<(u64, Copy), String> {
        let copy = |slot: u64| {
            let copy = moved.at(slot + COPY);
            copy.filter(|copy| copy.bytes.len() as u64 <= SLOT - COPY)
        };
        if let Some(slot) = self.left.remove(&moved.at)
            && let Some(copy) = copy(slot)
        {
            let mut there = vec![0; copy.bytes.len()];
            let view: &dyn Memory = memory;
            let read = view.read_exact(Addr(slot + COPY), &mut there);
            if read.is_ok() && there == copy.bytes {
                return Ok((slot, copy));
            }
        }
        let has_room = |group: &&mut Group| {
            group.start.abs_diff(moved.at) < REACH && group.used + SLOT <= BYTES
        };
        let group = match self.groups.iter_mut().find(has_room) {
            Some(group) => group,
            None => {
                let start = islands::map(stopped, remote, memory, Addr(moved.at))?;
                self.groups.push(Group { start, used: 0 });
                self.groups.last_mut().ok_or("no room")?
            }
        };
        let slot = group.start + group.used;
        let copy = copy(slot).ok_or("its first instructions cannot run elsewhere")?;
        group.used += SLOT;
        Ok((slot, copy))
    }
}

/// Where branches with 32-bit displacements in this code lead to; offsets from its beginning, sorted.
fn far_targets(program: &dyn Memory, range: &Range<u64>) -> Option<Vec<u32>> {
    // Large enough for few system calls, small enough to be no fresh memory each time.
    const PART: usize = 1 << 16;
    let length = (range.end - range.start) as usize;
    let mut part = vec![0; PART + branches::LONGEST];
    let mut targets = Vec::new();
    for offset in (0..length).step_by(PART) {
        let wanted = part.len().min(length - offset);
        let at = Addr(range.start + offset as u64);
        let got = program.read(at, &mut part[..wanted]);
        let got = match got {
            Ok(got) => got,
            Err(_) if offset == 0 => return None,
            Err(_) => break,
        };
        branches::add_far_targets(&part[..got], offset, length, &mut targets);
    }
    targets.sort_unstable();
    targets.dedup();
    Some(targets)
}
