//! A forked child's copy of a space. What was planted after the kernel had copied the memory, and before
//! the fork was told of, stands in our tables only.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::engine::instrument::int3::breakpoint::{INT3, Purpose};
use crate::engine::space::{Area, KnownThreads, Space};
use crate::process::files::GoneFiles;
use crate::sys::memory::ProcessMemory;
use std::collections::HashSet;

/// A breakpoint that a copy lacks.
#[derive(Debug)]
pub struct Missing {
    /// Where it belongs.
    pub at: Addr,
    /// For whom.
    pub purposes: Vec<Purpose>,
}

impl Space {
    /// A forked child's copy: the same modules and int3s in memory of its own.
    pub fn copy_for(&self, child: Pid) -> Space {
        Space {
            pid: child,
            memory: ProcessMemory::new(child, self.memory.machine()),
            modules: self.modules.clone(),
            r_debug: self.r_debug,
            exported_r_debug: self.exported_r_debug,
            tells_tasks_apart: true,
            threads: KnownThreads::default(),
            gone_files: GoneFiles::default(),
            recorder: None,
            inherited: match &self.recorder {
                Some(recorder) => Some(recorder.inherited()),
                None => self.inherited.clone(),
            },
            errno: self.errno,
            breakpoints: self.breakpoints.clone(),
            planted: self.planted,
            areas: self.areas.clone(),
            old_slots: self.old_slots.clone(),
            remote: self.remote,
            guard: self.guard.clone(),
            doubt: self.doubt,
            call_sites: self.call_sites.clone(),
            returns: self.returns.clone(),
            loops: self.loops.clone(),
            code: self.code.clone(),
        }
    }

    /// How many breakpoints were ever planted.
    pub fn planted(&self) -> u64 {
        self.planted
    }

    /// Forgets those of a copy's int3s that it lacks. Only what was planted after the first `before` may
    /// be missing: then the task that forked was last seen not to have done so yet.
    pub fn take_missing(&mut self, before: u64) -> Vec<Missing> {
        let memory: &dyn Memory = &self.memory;
        let stands = |at: u64| memory.read_uint(Addr(at), 1) == Ok(INT3.into());
        let later = self.breakpoints.iter().filter(|(_, b)| b.number >= before);
        let missing: Vec<u64> = later.map(|(&at, _)| at).filter(|&at| !stands(at)).collect();
        if missing.is_empty() {
            return Vec::new();
        }
        let is_mapped = |area: &Area| memory.read_uint(Addr(area.start), 1).is_ok();
        self.areas.retain(is_mapped);
        let is_missing = |at: Addr| memory.read_uint(at, 1).is_err();
        self.remote
            .take_if(|remote| remote.page().is_some_and(is_missing));
        if matches!(&self.guard, Some(Ok(guard)) if !guard.is_mapped(memory)) {
            self.guard = None;
        }
        let mut keys = HashSet::new();
        let mut taken = Vec::new();
        for at in missing {
            let Some(breakpoint) = self.breakpoints.remove(&at) else {
                continue;
            };
            let start = breakpoint.slot.start.0;
            keys.extend([at.wrapping_add(1), start]);
            if let Some(area) = self.areas.iter_mut().find(|area| area.contains(start)) {
                area.free.push(start);
            }
            taken.push(Missing {
                at: Addr(at),
                purposes: breakpoint.purposes,
            });
        }
        if let Some(Ok(guard)) = &mut self.guard {
            guard.forget(&keys);
        }
        taken
    }
}
