//! Jumps to stubs that are out of the reach of an instruction's 32 bits, near the modules that need them.

use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::process::gaps::{REACH, gap_near};
use crate::record::{Shared, header};
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::{Call, Remote};
use nix::libc;
use std::collections::HashMap;

/// What is mapped at once.
pub(super) const BYTES: u64 = 64 << 10;
/// What one takes: the jump, and the address behind it.
const ISLAND: u64 = 16;
/// `jmp *0(%rip)`
const JUMP: [u8; 6] = [0xff, 0x25, 0, 0, 0, 0];

/// The islands of one address space.
#[derive(Clone, Debug, Default)]
pub(super) struct Islands {
    groups: Vec<Group>,
}

#[derive(Clone, Debug)]
struct Group {
    start: u64,
    used: u64,
    /// By an earlier tracer: a signal that we did not see may have found a task there, and will have it come back.
    is_left: bool,
    by_stub: HashMap<u64, u64>,
}

impl Islands {
    /// Those that an earlier tracer has left: they stay what they are, and there is room behind them.
    pub(super) fn left(memory: &ProcessMemory, shared: Shared<'_>) -> Islands {
        let words = (0..header::MOST_ISLANDS).map(|n| shared.load(header::ISLANDS + 8 * n));
        let starts = words.take_while(|start| *start != 0);
        let groups = starts.filter_map(|start| Group::left(memory, start));
        Islands {
            groups: groups.collect(),
        }
    }

    /// Tells who comes after us where they are, as far as there is room for that.
    pub(super) fn note(&self, shared: Shared<'_>) {
        let starts = self.groups.iter().map(|group| group.start);
        let starts = starts.take(header::MOST_ISLANDS as usize - 1);
        for (n, start) in (0..).zip(starts.chain([0])) {
            shared.store(header::ISLANDS + 8 * n, start);
        }
    }

    /// Where an instruction at `at` is to be led, so that it comes to this stub.
    pub(super) fn towards(
        &mut self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
        at: Addr,
        stub: u64,
    ) -> Result<u64, String> {
        if at.0.abs_diff(stub) < REACH {
            return Ok(stub);
        }
        let near = |group: &&mut Group| group.start.abs_diff(at.0) < REACH;
        let known = self.groups.iter_mut().filter(near);
        let mut groups = known.filter_map(|group| group.island(stub));
        if let Some((island, is_new)) = groups.next() {
            if is_new {
                write(memory, island, stub)?;
            }
            return Ok(island);
        }
        drop(groups);
        let start = map(stopped, remote, memory, at)?;
        self.groups.push(Group {
            start,
            used: ISLAND,
            is_left: false,
            by_stub: HashMap::from([(stub, start)]),
        });
        write(memory, start, stub)?;
        Ok(start)
    }

    /// Where a task goes on whose instruction pointer is on an island.
    pub(super) fn past(&self, ip: u64) -> Option<u64> {
        let group = self.groups.iter().find(|group| {
            let islands = group.start..group.start + BYTES;
            islands.contains(&ip)
        })?;
        let mut islands = group.by_stub.iter();
        let (stub, _) = islands.find(|(_, island)| **island == ip)?;
        Some(*stub)
    }

    /// Unmaps those that are ours alone, when nothing leads there any more. No task may be on one.
    pub(super) fn unmap(&mut self, stopped: &Stopped, remote: &Remote, memory: &ProcessMemory) {
        for group in self.groups.extract_if(.., |group| !group.is_left) {
            // What cannot be unmapped does no harm.
            let _ = remote.call(
                stopped,
                memory,
                Call::Unmap,
                [group.start, BYTES, 0, 0, 0, 0],
            );
        }
    }
}

impl Group {
    fn left(memory: &ProcessMemory, start: u64) -> Option<Group> {
        let mut bytes = vec![0; BYTES as usize];
        let read: &dyn Memory = memory;
        read.read_exact(Addr(start), &mut bytes).ok()?;
        let islands = bytes.as_chunks::<{ ISLAND as usize }>().0.iter();
        let used = islands
            .take_while(|island| island.starts_with(&JUMP))
            .count() as u64;
        Some(Group {
            start,
            used: used * ISLAND,
            is_left: true,
            by_stub: HashMap::new(),
        })
    }

    /// The island for a stub, and whether it has still to be written.
    fn island(&mut self, stub: u64) -> Option<(u64, bool)> {
        if let Some(island) = self.by_stub.get(&stub) {
            return Some((*island, false));
        }
        if self.used + ISLAND > BYTES {
            return None;
        }
        let island = self.start + self.used;
        self.used += ISLAND;
        self.by_stub.insert(stub, island);
        Some((island, true))
    }
}

fn write(memory: &ProcessMemory, island: u64, stub: u64) -> Result<(), String> {
    let bytes = [&JUMP[..], &stub.to_le_bytes()].concat();
    let written = memory.write(Addr(island), &bytes);
    written.map_err(|why| format!("cannot write code into the process: {why}"))
}

/// Maps so many bytes for code near an address.
pub(super) fn map(
    stopped: &Stopped,
    remote: &Remote,
    memory: &ProcessMemory,
    at: Addr,
) -> Result<u64, String> {
    let maps = proc::maps(memory.pid()).map_err(|why| why.to_string())?;
    let start = gap_near(&maps, at.0, BYTES, REACH).ok_or("no free addresses nearby")?;
    let protection = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
    let args = [start, BYTES, protection, flags, !0, 0];
    remote
        .call(stopped, memory, Call::Map, args)
        .map_err(|why| why.to_string())
}
