//! A process as it was for one moment: owned, so that the process itself goes on.

use super::Tid;
use super::addr::Addr;
use super::memory::{Memory, Stretch, Unreadable};
use std::ops::Range;
use std::time::Duration;

/// Registers, maps and memory of one moment.
pub struct Snapshot {
    /// Every writable mapping, ascending; no devices.
    pub regions: Vec<Region>,
    /// Mapped files that are not writable: what points into one may be a vtable's address.
    pub images: Vec<Range<u64>>,
    /// Every task.
    pub tasks: Vec<TaskState>,
    /// The content of the regions.
    pub memory: Box<dyn Memory + Send>,
    /// How long the process was held for it: from the first task that stood still to the last that went on.
    pub pause: Duration,
    /// How the memory was kept.
    pub copying: Copying,
}

/// How memory is kept as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Copying {
    /// All of it was copied.
    #[default]
    Copied,
    /// A child of the process has it.
    Forked,
    /// It was copied, since the process could not be made to have a child. Why.
    Refused(String),
    /// It is the process's own, which is about to end and stands still until it is let go on.
    InPlace,
}

/// How memory is to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotMethod {
    /// By a child when there is much of it.
    #[default]
    Auto,
    /// Copied, however much there is.
    Copy,
    /// By a child, however little there is.
    Fork,
}

/// One writable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its addresses.
    pub range: Range<u64>,
    /// What /proc/PID/maps calls it: a path, `[heap]`, or nothing.
    pub name: String,
}

/// The registers of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// The task.
    pub thread: Tid,
    /// Its stack pointer.
    pub sp: u64,
    /// Where its thread-local storage is.
    pub fs_base: u64,
    /// Every word that a general or vector register holds.
    pub words: Vec<u64>,
}

/// Memory of several stretches, ascending.
#[derive(Clone, Debug, Default)]
pub struct Copies(pub Vec<Stretch>);

impl Memory for Copies {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let after = self.0.partition_point(|stretch| stretch.at <= at);
        let stretch = after.checked_sub(1).and_then(|before| self.0.get(before));
        stretch.ok_or(Unreadable(at))?.read(at, buf)
    }

    fn beyond(&self, at: Addr) -> Addr {
        let after = self.0.partition_point(|stretch| stretch.at <= at);
        self.0.get(after).map_or(Addr(u64::MAX), |next| next.at)
    }
}

/// Memory of another owner, with some stretches replaced.
pub struct Layered<M> {
    /// These come first.
    pub over: Copies,
    /// The memory behind.
    pub under: M,
}

impl<M: Memory> Memory for Layered<M> {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        if let Ok(got) = self.over.read(at, buf) {
            return Ok(got);
        }
        self.under.read(at, buf)
    }

    fn beyond(&self, at: Addr) -> Addr {
        self.under.beyond(at).min(self.over.beyond(at))
    }
}

impl Snapshot {
    /// The word there.
    pub fn word(&self, at: u64) -> Option<u64> {
        let memory: &dyn Memory = &*self.memory;
        memory.read_word(Addr(at)).ok()
    }

    /// It is where a vtable may be.
    pub fn is_image(&self, at: u64) -> bool {
        let after = self.images.partition_point(|image| image.start <= at);
        let before = after
            .checked_sub(1)
            .and_then(|before| self.images.get(before));
        before.is_some_and(|image| image.contains(&at))
    }
}
