//! A forked child that is followed records as its maker does, into rings of its own; one that is not gets its own
//! instructions back.

use super::patches::Patches;
use super::{Patched, Recorder, area};
use crate::record::{Code, Shared, Tables};
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use std::ops::Range;

/// What a forked child has of its maker's recorder: code and patches in its memory, and the tables by which calls
/// return that were open at the fork.
pub struct Forked {
    patched: Patched,
    tables: Tables,
}

/// The patches of its maker's recorder that are in the memory of a child, which does not record.
#[derive(Clone, Debug)]
pub struct Inherited(Patches);

impl Inherited {
    /// Puts the instructions back. The code that they led to stays: calls that were open at the fork return there.
    pub fn remove(mut self, memory: &ProcessMemory) {
        self.0.undo(memory);
    }

    /// Forgets those of a module that is no longer mapped.
    pub fn forget(&mut self, range: &Range<u64>) {
        self.0.forget(range);
    }
}

impl Recorder {
    /// The patches that a child has that was just forked.
    pub fn inherited(&self) -> Inherited {
        Inherited(self.patched.patches.clone())
    }

    /// What a child has that was just forked.
    pub fn forked(&self) -> Forked {
        Forked {
            tables: Code::tables(self.shared()),
            patched: self.patched.clone(),
        }
    }
}

impl Forked {
    /// Gives the child rings and tables of its own, and has it record. It stands still and has executed nothing.
    ///
    /// # Errors
    /// Why that cannot be done. The child then records nothing.
    pub fn record(
        self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
    ) -> Result<Recorder, String> {
        let Forked {
            mut patched,
            tables,
        } = self;
        let fill = |shared: Shared<'_>| tables.store(shared);
        let shared = area::map_shared(stopped, remote, memory, patched.layout, fill)?;
        patched.code.make_missing_trampolines(memory);
        patched.walks.for_child();
        patched.samples.for_child(Shared(shared.words()));
        let mut recorder = Recorder::of(patched, shared);
        recorder.write_code(memory)?;
        recorder.enable(memory)?;
        Ok(recorder)
    }
}
