//! What keeps a program alive when its tracer is killed (kill -9), with int3s in its text: a SIGTRAP
//! handler in the program itself, which sends a task that hits an int3 on to the slot where the displaced
//! instruction runs.
//!
//! The handler looks the instruction pointer up in a hash table of ours. Behind an int3 it finds the
//! slot; at the start of a slot, where a dying tracer may have just put the task, it finds that same
//! place. Anything else is the program's own SIGTRAP and goes to the handler that it had installed.
//!
//! While the tracer lives the handler never runs for an int3: those stops are suppressed.

mod handler;

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::message;
use crate::engine::instrument::int3::breakpoint::INT3;
use crate::sys;
use crate::sys::memory::ProcessMemory;
use crate::sys::pagemap::Pagemap;
use crate::sys::proc::Mapping;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::{self, Call, Remote};
use nix::libc;
use std::collections::{HashMap, HashSet};

/// Code and restorer; then the table's page of facts; then the table.
const CODE: u64 = 4096;
const HEADER: u64 = 4096;
/// Entries of 16 bytes: key and value. Most are never touched, so they cost addresses, not memory. A
/// program of 200 MB makes some 300,000 calls that a filter can name, and each takes two.
const ENTRIES_LOG2: u32 = 20;
/// The most breakpoints that a table takes: probing stays short while a quarter of it is free.
pub const MOST: usize = (3 << ENTRIES_LOG2) / 8;
const TABLE: u64 = 16 << ENTRIES_LOG2;
/// The hash takes the upper bits of a product with 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Offsets in the header of the kernel's `struct sigaction`s: the program's own, ours, the default one,
/// what the last installation replaced, and what the program had before us.
const OLD_ACTION: u64 = 0;
const NEW_ACTION: u64 = 64;
const DEFAULT_ACTION: u64 = 128;
const REPLACED_ACTION: u64 = 192;
const FIRST_ACTION: u64 = 256;
/// From here to the header's end, 8 bytes each: where the areas of slots are. Zero ends them.
const AREAS: u64 = 512;

/// A value holds the byte that the int3 displaced above the slot's address, which has 47 bits.
const ORIGINAL_SHIFT: u32 = 56;
/// Stands at the end of the code's page, after the table's address.
const SIGNATURE: &[u8; 16] = b"ltrace guard 2\n\0";

const SA_RESTORER: u64 = 0x0400_0000;
const FLAGS: u64 =
    libc::SA_SIGINFO as u64 | libc::SA_NODEFER as u64 | libc::SA_ONSTACK as u64 | SA_RESTORER;

/// The handler and its table in one process.
#[derive(Clone, Debug)]
pub struct Guard {
    machine: Machine,
    code: u64,
    table: u64,
    /// The keys in the table, by their places.
    taken: HashMap<u32, u64>,
}

/// What a guard held that an earlier tracer has left.
#[derive(Debug, Default)]
pub struct Taken {
    /// How many int3s stood.
    pub stood: usize,
    /// Where the areas of slots are.
    pub areas: Vec<u64>,
    /// The slots that a task may be in, by the addresses that they stand for.
    pub slots: HashMap<u64, u64>,
}

impl Taken {
    fn add(&mut self, memory: &ProcessMemory, key: u64, value: u64) {
        // A slot's own entry.
        if key == value {
            return;
        }
        let at = key.wrapping_sub(1);
        self.slots.insert(at, value & ((1 << ORIGINAL_SHIFT) - 1));
        let view: &dyn Memory = memory;
        if view.read_uint(Addr(at), 1) == Ok(INT3.into()) {
            // Nothing better can be done for a page that has become unwritable.
            let _ = memory.write(Addr(at), &[(value >> ORIGINAL_SHIFT) as u8]);
            self.stood += 1;
        }
    }
}

/// What a program has for SIGTRAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// The guard.
    Ours,
    /// The default.
    Default,
    /// Anything else.
    Other,
}

/// Why there is no guard: the program then dies of SIGTRAP if its tracer is killed.
pub type Unguarded = String;

impl Guard {
    /// Maps code and table into the process, and installs the handler. To be done before the first int3.
    pub fn install(
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
    ) -> Result<Guard, Unguarded> {
        let map = |length: u64, protection: i32| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let args = [0, length, protection as u64, flags as u64, !0, 0];
            remote
                .call(stopped, memory, Call::Map, args)
                .map_err(|e| e.to_string())
        };
        let code = match remote.page() {
            Some(page) => page.0,
            None => map(CODE, libc::PROT_READ | libc::PROT_EXEC)?,
        };
        let table = map(HEADER + TABLE, libc::PROT_READ | libc::PROT_WRITE)?;
        let machine = memory.machine();
        let (bytes, restorer) =
            handler::assemble(machine, code, table).map_err(|e| e.to_string())?;
        let write = |at: u64, bytes: &[u8]| memory.write(Addr(at), bytes).map_err(|e| message(&e));
        write(code, &bytes)?;
        write(
            code + CODE - SIGNATURE.len() as u64 - 8,
            &table.to_le_bytes(),
        )?;
        write(code + CODE - SIGNATURE.len() as u64, SIGNATURE)?;
        let action = |handler, flags| action(machine, handler, flags, restorer);
        write(table + NEW_ACTION, &action(code, FLAGS))?;
        write(table + DEFAULT_ACTION, &action(0, SA_RESTORER))?;
        let guard = Guard {
            machine,
            code,
            table,
            taken: HashMap::new(),
        };
        guard.activate(stopped, remote, memory)?;
        let mut first = action(0, 0);
        let view: &dyn Memory = memory;
        let read = view.read_exact(Addr(table + OLD_ACTION), &mut first);
        read.map_err(|_| "the replaced SIGTRAP action cannot be read")?;
        write(table + FIRST_ACTION, &first)?;
        Ok(guard)
    }

    /// The guard that a tracer has left behind which did not live to take its int3s out.
    pub fn left_over(maps: &[Mapping], memory: &dyn Memory) -> Option<Guard> {
        let is_ours = |m: &&Mapping| m.executable && !m.writable && m.file.1 == 0;
        // Another of the program's may have become one with it (kernel: mm/vma.c, vma_merge).
        let places = |m: &Mapping| [m.range.start, m.range.end.wrapping_sub(remote::PAGES)];
        let mut places = maps.iter().filter(is_ours).flat_map(places);
        places.find_map(|code| Guard::left_at(code, memory))
    }

    fn left_at(code: u64, memory: &dyn Memory) -> Option<Guard> {
        let mut end = [0; 8 + SIGNATURE.len()];
        let at = code.wrapping_add(CODE - end.len() as u64);
        memory.read_exact(Addr(at), &mut end).ok()?;
        let (table, signature) = end.split_at(8);
        let table = table.try_into().map(u64::from_le_bytes).ok()?;
        (signature == SIGNATURE).then(|| Guard {
            machine: memory.machine(),
            code,
            table,
            taken: HashMap::new(),
        })
    }

    /// The page that its code is in.
    pub fn page(&self) -> Addr {
        Addr(self.code)
    }

    /// Takes over what the guard holds: puts the bytes that its int3s displaced back, and knows from now on
    /// which places of its table are taken. Every task of the process must stand still.
    pub fn clean_up(&mut self, memory: &ProcessMemory) -> Taken {
        let mut taken = Taken {
            areas: self.areas(memory),
            ..Taken::default()
        };
        let start = self.table + HEADER;
        let all = start..start + TABLE;
        let touched = Pagemap::of(memory.pid()).and_then(|mut pages| pages.touched(&all, None));
        let touched = touched.unwrap_or_else(|_| vec![all]);
        for part in touched {
            let mut table = vec![0; (part.end - part.start) as usize];
            let got = memory.read(Addr(part.start), &mut table).unwrap_or(0);
            let first = ((part.start - start) / 16) as u32;
            for (index, entry) in (first..).zip(table[..got].chunks_exact(16)) {
                let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
                let (key, value) = (word(&entry[..8]), word(&entry[8..]));
                if key != 0 {
                    self.taken.insert(index, key);
                    taken.add(memory, key, value);
                }
            }
        }
        taken
    }

    /// Tells who finds the guard without us where the areas of slots are, as far as there is room for that.
    pub fn note_areas(&self, memory: &ProcessMemory, areas: &[u64]) -> std::io::Result<()> {
        let most = ((HEADER - AREAS) / 8 - 1) as usize;
        let mut bytes: Vec<u8> = Vec::new();
        let areas = areas.iter().take(most).chain([&0]);
        areas.for_each(|start| bytes.extend(start.to_le_bytes()));
        memory.write(Addr(self.table + AREAS), &bytes)
    }

    fn areas(&self, memory: &dyn Memory) -> Vec<u64> {
        let mut bytes = vec![0; (HEADER - AREAS) as usize];
        let read = memory.read_exact(Addr(self.table + AREAS), &mut bytes);
        let words = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|w| u64::from_le_bytes(*w));
        match read {
            Ok(()) => words.take_while(|&start| start != 0).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// What the program has for SIGTRAP.
    pub fn there(
        &self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
    ) -> sys::Result<There> {
        let at = self.table + REPLACED_ACTION;
        self.act(stopped, remote, memory, 0, at)?;
        let view: &dyn Memory = memory;
        Ok(match view.read_word(Addr(at)) {
            Ok(handler) if handler == self.code => There::Ours,
            Ok(0) => There::Default,
            _ => There::Other,
        })
    }

    /// Does what rt_sigaction(2) would with these arguments, to the action that is kept for the program.
    /// `false`: they are for the kernel to refuse.
    pub fn answer(&self, memory: &ProcessMemory, new: Addr, old: Addr) -> bool {
        let kept = Addr(self.table + OLD_ACTION);
        let view: &dyn Memory = memory;
        let mut before = action(self.machine, 0, 0, 0);
        let mut after = before.clone();
        if view.read_exact(kept, &mut before).is_err()
            || new.0 != 0 && view.read_exact(new, &mut after).is_err()
        {
            return false;
        }
        (old.0 == 0 || memory.write(old, &before).is_ok())
            && (new.0 == 0 || memory.write(kept, &after).is_ok())
    }

    /// Installs the handler in another process that shares the memory, if the action there is the one that is
    /// kept already: there is no room for a second.
    pub fn share(
        &self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
    ) -> sys::Result<()> {
        let at = self.table + REPLACED_ACTION;
        self.act(stopped, remote, memory, 0, at)?;
        let view: &dyn Memory = memory;
        let mut actions = [(); 2].map(|()| action(self.machine, 0, 0, 0));
        for (at, action) in [at, self.table + OLD_ACTION].into_iter().zip(&mut actions) {
            if view.read_exact(Addr(at), action).is_err() {
                return Ok(());
            }
        }
        let [there, kept] = actions;
        if there == kept {
            self.act(stopped, remote, memory, self.table + NEW_ACTION, 0)?;
        }
        Ok(())
    }

    /// Installs the handler, and keeps the action that it replaces, unless it was installed already.
    pub fn activate(
        &self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
    ) -> Result<(), Unguarded> {
        let replaced = self.replace(stopped, remote, memory)?;
        if self.handler(&replaced) != self.code {
            let old = Addr(self.table + OLD_ACTION);
            memory.write(old, &replaced).map_err(|e| message(&e))?;
        }
        Ok(())
    }

    /// The same while we trace. The default action is what the kernel has put there, not the program.
    pub fn renew(
        &self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
    ) -> Result<(), Unguarded> {
        let replaced = self.replace(stopped, remote, memory)?;
        if ![self.code, 0].contains(&self.handler(&replaced)) {
            let old = Addr(self.table + OLD_ACTION);
            memory.write(old, &replaced).map_err(|e| message(&e))?;
        }
        Ok(())
    }

    /// Installs the handler. The result is the action that it replaces.
    fn replace(
        &self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
    ) -> Result<Vec<u8>, Unguarded> {
        let at = self.table + REPLACED_ACTION;
        self.act(stopped, remote, memory, self.table + NEW_ACTION, at)
            .map_err(|e| e.to_string())?;
        let view: &dyn Memory = memory;
        let mut replaced = action(self.machine, 0, 0, 0);
        let read = view.read_exact(Addr(at), &mut replaced);
        read.map_err(|_| "the replaced SIGTRAP action cannot be read")?;
        Ok(replaced)
    }

    fn handler(&self, action: &[u8]) -> u64 {
        self.machine.words(action).next().unwrap_or(0)
    }

    /// Makes the handler send a task on to `slot` from behind the int3 at `at`, which displaces the byte
    /// `original`. To be done before that int3 stands.
    pub fn cover(
        &mut self,
        memory: &ProcessMemory,
        at: Addr,
        slot: Addr,
        original: u8,
    ) -> std::io::Result<()> {
        let value = slot.0 | u64::from(original) << ORIGINAL_SHIFT;
        self.insert(memory, at.0.wrapping_add(1), value)?;
        self.insert(memory, slot.0, slot.0)
    }

    /// Makes the handler let a task go on behind an int3 that stays in code of ours: with this instruction pointer.
    pub fn pass(&mut self, memory: &ProcessMemory, ip: Addr) -> std::io::Result<()> {
        self.insert(memory, ip.0, ip.0)
    }

    /// Whether the memory has the guard: a copy that was made before it came has not.
    pub fn is_mapped(&self, memory: &dyn Memory) -> bool {
        let has = |at: u64| memory.read_uint(Addr(at), 1).is_ok();
        has(self.code) && has(self.table)
    }

    /// Forgets int3s (by the address behind them) and their slots of a copy whose table was made
    /// before they came. All that came later is among them, so nothing that stays had to make way for one.
    pub fn forget(&mut self, keys: &HashSet<u64>) {
        self.taken.retain(|_, key| !keys.contains(key));
    }

    /// Gives the program its own SIGTRAP action back. Code and table stay: a task may be in them.
    pub fn remove(
        &self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
    ) -> sys::Result<()> {
        self.act(stopped, remote, memory, self.table + OLD_ACTION, 0)
    }

    fn act(
        &self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
        new: u64,
        old: u64,
    ) -> sys::Result<()> {
        let args = [libc::SIGTRAP as u64, new, old, 8, 0, 0];
        remote
            .call(stopped, memory, Call::SignalAction, args)
            .map(drop)
    }

    /// Whether the table takes no further breakpoint.
    pub fn is_full(&self) -> bool {
        self.taken.len() >= 2 * MOST
    }

    /// Whether an address is in the handler: a task there is dying of a SIGTRAP of its own.
    pub fn contains(&self, at: Addr) -> bool {
        (self.code..self.code + CODE).contains(&at.0)
    }

    /// The value is written before the key: the handler of a task that looks meanwhile finds all or nothing.
    fn insert(&mut self, memory: &ProcessMemory, key: u64, value: u64) -> std::io::Result<()> {
        let index = self.place(key);
        let entry = self.table + HEADER + u64::from(index) * 16;
        memory.write(Addr(entry + 8), &value.to_le_bytes())?;
        memory.write(Addr(entry), &key.to_le_bytes())
    }

    /// The place of a key: the one that it has, or the first that is free, which is its own from now on.
    fn place(&mut self, key: u64) -> u32 {
        let mut index = hash(key);
        while self.taken.get(&index).is_some_and(|&other| other != key) {
            index = (index + 1) & ((1 << ENTRIES_LOG2) - 1);
        }
        self.taken.insert(index, key);
        index
    }
}

/// The kernel's `struct sigaction` (include/linux/signal_types.h, `struct compat_sigaction` in
/// include/linux/compat.h): handler, flags, restorer, and a mask of 64 bits that blocks nothing.
fn action(machine: Machine, handler: u64, flags: u64, restorer: u64) -> Vec<u8> {
    let words = [handler, flags, restorer];
    let words = words
        .iter()
        .flat_map(|word| word.to_le_bytes().into_iter().take(machine.word()));
    words.chain([0; 8]).collect()
}

fn hash(key: u64) -> u32 {
    (key.wrapping_mul(GOLDEN) >> (64 - ENTRIES_LOG2)) as u32
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES_LOG2, Guard, MOST, hash};
    use crate::base::machine::Machine;
    use std::collections::HashMap;

    fn empty() -> Guard {
        Guard {
            machine: Machine::Amd64,
            code: 0,
            table: 0,
            taken: HashMap::new(),
        }
    }

    #[test]
    fn a_table_holds_the_calls_of_a_very_big_program() {
        let mut guard = empty();
        for n in 0..300_000 {
            assert!(!guard.is_full(), "after {n}");
            guard.place(0x5555_0000_0001 + n * 23);
            guard.place(0x7fff_0000_0000 + n * 32);
        }
        assert_eq!(guard.taken.len(), 600_000);
        for n in 600_000..2 * MOST as u64 {
            guard.place(n << 12);
        }
        assert!(guard.is_full());
    }

    #[test]
    fn a_key_keeps_its_place() {
        let mut guard = empty();
        let same = |key: &u64| hash(*key) == hash(1);
        let keys: Vec<u64> = (1..40_000_000).filter(same).take(3).collect();
        let places: Vec<u32> = keys.iter().map(|&key| guard.place(key)).collect();
        assert_eq!(places, [hash(1), hash(1) + 1, hash(1) + 2]);
        assert_eq!(guard.place(keys[1]), places[1]);
    }

    #[test]
    fn hashes_stay_in_the_table() {
        assert!(
            (0..10_000)
                .map(|n| hash(0x5555_5555_0000 + n * 64))
                .all(|index| index < 1 << ENTRIES_LOG2)
        );
    }
}
