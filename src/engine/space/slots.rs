//! Where displaced instructions run: areas of slots, mapped near the code that they come from.

use crate::base::addr::Addr;
use crate::engine::instrument::int3::displaced::SLOT;
use crate::engine::instrument::int3::guard::Taken;
use crate::engine::space::{Refused, Space};
use crate::process::gaps::{REACH, gap_near};
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Call;
use nix::libc;
use std::collections::HashMap;

/// One page of slots, as long as is worth a system call.
const AREA: u64 = 64 << 10;

#[derive(Clone, Debug)]
pub(super) struct Area {
    pub(super) start: u64,
    /// The breakpoint that each slot belongs to.
    pub(super) slots: Vec<Addr>,
    pub(super) free: Vec<u64>,
}

impl Space {
    /// An area near `at`, by its index, and the address of a free slot in it.
    pub(super) fn room(&mut self, stopped: &Stopped, at: Addr) -> Result<(usize, u64), Refused> {
        if let Some(start) = self.old_slots.remove(&at.0)
            && let Some(index) = self.areas.iter().position(|area| area.contains(start))
        {
            return Ok((index, start));
        }
        let near = |area: &Area| area.start.abs_diff(at.0) < REACH;
        for (index, area) in self.areas.iter().enumerate().filter(|(_, area)| near(area)) {
            if let Some(start) = area.next() {
                return Ok((index, start));
            }
        }
        let start = self.map_area(stopped, at)?;
        self.areas.push(Area {
            start,
            slots: Vec::new(),
            free: Vec::new(),
        });
        if let Some(Ok(guard)) = &self.guard {
            let starts: Vec<u64> = self.areas.iter().map(|area| area.start).collect();
            // The next tracer maps others, that is all.
            let _ = guard.note_areas(&self.memory, &starts);
        }
        Ok((self.areas.len() - 1, start))
    }

    /// Uses the areas that an earlier tracer has left. A task may still be in a slot, or come back to it from a
    /// signal handler: none stands for another address than before, though one for that is used again.
    pub(super) fn take_areas(&mut self, taken: &Taken) {
        let mut owners: HashMap<u64, Option<u64>> = HashMap::new();
        for (&at, &slot) in &taken.slots {
            // Used for two modules, one after the other.
            let owner = owners.entry(slot).or_insert(Some(at));
            *owner = owner.filter(|&owner| owner == at);
        }
        for &start in &taken.areas {
            let inside = owners
                .keys()
                .filter(|slot| (start..start + AREA).contains(slot));
            let used = inside
                .max()
                .map_or(0, |last| (last - start) as usize / SLOT + 1);
            self.areas.push(Area {
                start,
                slots: vec![Addr(0); used],
                free: Vec::new(),
            });
        }
        let owned = owners
            .iter()
            .filter_map(|(&slot, owner)| Some(((*owner)?, slot)));
        self.old_slots = owned.collect();
    }

    pub(super) fn take_slot(&mut self, area: usize, start: u64, at: Addr) {
        let Some(area) = self.areas.get_mut(area) else {
            return;
        };
        let index = (start - area.start) as usize / SLOT;
        match area.slots.get_mut(index) {
            Some(owner) => *owner = at,
            None => area.slots.push(at),
        }
        area.free.retain(|&free| free != start);
    }

    fn map_area(&mut self, stopped: &Stopped, at: Addr) -> Result<u64, Refused> {
        let refused = Refused::NoRoom;
        let remote = self
            .remote(stopped)
            .ok_or_else(|| refused("no syscall instruction".into()))?;
        let maps = proc::maps(self.pid).map_err(|e| refused(e.to_string()))?;
        let start = gap_near(&maps, at.0, AREA, REACH)
            .ok_or_else(|| refused("no free addresses".into()))?;
        let protection = (libc::PROT_READ | libc::PROT_EXEC) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
        let args = [start, AREA, protection, flags, !0, 0];
        remote
            .call(stopped, &self.memory, Call::Map, args)
            .map_err(|e| refused(e.to_string()))
    }
}

impl Area {
    /// Whether an address is in it.
    pub(super) fn contains(&self, at: u64) -> bool {
        (self.start..self.start + AREA).contains(&at)
    }

    fn next(&self) -> Option<u64> {
        let fresh = self.start + (self.slots.len() * SLOT) as u64;
        self.free
            .last()
            .copied()
            .or_else(|| (fresh + SLOT as u64 <= self.start + AREA).then_some(fresh))
    }
}
