//! The recorder switched on and off, and taken out of a process.

use super::Recorder;
use crate::base::addr::Addr;
use crate::record::{formats, log};
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use std::ops::Range;

impl Recorder {
    /// From now on calls are recorded.
    ///
    /// # Errors
    /// The process's memory cannot be written.
    pub fn enable(&self, memory: &ProcessMemory) -> Result<(), String> {
        let written = memory.write(Addr(self.patched.layout.enabled()), &[1]);
        written.map_err(|why| format!("cannot write to the process: {why}"))
    }

    /// From now on no call is recorded, and functions are called by way of our code as if it were not there.
    pub fn disable(&mut self, memory: &ProcessMemory) {
        self.is_enabled = false;
        // A process that is gone needs nothing.
        let _ = memory.write(Addr(self.patched.layout.enabled()), &[0]);
        self.rings.wake_all(&self.memory);
    }

    /// Whether calls are recorded.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Forgets the patches of a module that is no longer mapped.
    pub fn forget(&mut self, range: &Range<u64>) {
        self.forget_module(range);
        formats::clear(self.shared());
        self.patched.patches.forget(range);
        self.patched.detours.forget(range);
        self.patched.operators.forget(range);
        self.publish_operators();
        self.patched.functions.retain(|at| !range.contains(at));
        self.patched.jumps.retain(|at, _| !range.contains(at));
        self.patched.callees.retain(|at, _| !range.contains(at));
        for callees in self.patched.callees.values_mut() {
            callees.retain(|callee| callee.caller != *range);
        }
        self.patched.unwinders.retain(|slot| !range.contains(slot));
    }

    /// Puts the instructions back and ends all recording. Our code stays: calls return there.
    pub fn remove(&mut self, memory: &ProcessMemory) {
        self.disable(memory);
        // From now on no thread stops for us.
        self.memory.release();
        self.is_removed = self.patched.patches.undo(memory);
        if self.is_removed {
            log::clear(self.shared());
        }
        // The process keeps the mapping, but not what was recorded.
        self.memory.discard(self.patched.layout.all_rings());
    }

    /// Unmaps what is no longer needed after that. No task may be on the way to a stub.
    pub fn unmap_islands(&mut self, stopped: &Stopped, remote: &Remote, memory: &ProcessMemory) {
        if self.is_removed {
            self.patched.islands.unmap(stopped, remote, memory);
            self.patched.islands.note(self.shared());
        }
    }
}
