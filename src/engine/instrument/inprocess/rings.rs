//! Whose ring is which.

use super::Recorder;
use crate::base::Tid;
use crate::record::{Layout, Reader, Shared, threads};
use crate::sys::shared::SharedMemory;

/// The rings of one address space.
#[derive(Debug)]
pub(super) struct Rings {
    layout: Layout,
    pub(super) used: Vec<Ring>,
    free: Vec<u32>,
    /// How many were ever used.
    next: u32,
}

/// A ring that a task writes to.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) tid: Tid,
    pub(super) thread_pointer: u64,
    pub(super) reader: Reader,
    pub(super) whose: Whose,
    pub(super) number: u32,
}

/// Whose calls are in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of the task.
    Own,
    /// Those of its vfork child.
    VforkChild(Tid),
}

impl Ring {
    /// The task whose calls are in it.
    pub(super) fn writer(&self) -> Tid {
        match self.whose {
            Whose::Own => self.tid,
            Whose::VforkChild(child) => child,
        }
    }
}

impl Rings {
    pub(super) fn new(layout: Layout) -> Rings {
        Rings {
            layout,
            used: Vec::new(),
            free: Vec::new(),
            next: 0,
        }
    }

    /// Gives a task a ring. `false`: there is none left.
    pub(super) fn assign(&mut self, shared: Shared<'_>, tid: Tid, thread_pointer: u64) -> bool {
        if self.used.iter().any(|ring| ring.tid == tid) {
            self.release(shared, tid);
        }
        let fresh = Some(self.next).filter(|next| *next < self.layout.rings());
        let Some(number) = self.free.pop().or(fresh) else {
            return false;
        };
        if Some(number) == fresh {
            self.next += 1;
        }
        let reader = Reader::new(&self.layout, number, shared);
        if !threads::assign(&self.layout, shared, thread_pointer, number) {
            self.free.push(number);
            return false;
        }
        self.used.push(Ring {
            tid,
            thread_pointer,
            reader,
            whose: Whose::Own,
            number,
        });
        true
    }

    pub(super) fn release(&mut self, shared: Shared<'_>, tid: Tid) {
        if let Some(at) = self.used.iter().position(|ring| ring.tid == tid) {
            let ring = self.used.swap_remove(at);
            threads::forget(shared, ring.thread_pointer);
            self.free.push(ring.number);
        }
    }

    pub(super) fn lend(&mut self, tid: Tid, whose: Whose) {
        if let Some(ring) = self.used.iter_mut().find(|ring| ring.tid == tid) {
            ring.whose = whose;
        }
    }

    /// Wakes all threads that wait for room, to look whether they still have to.
    pub(super) fn wake_all(&self, memory: &SharedMemory) {
        for ring in &self.used {
            ring.reader.nudge(Shared(memory.words()));
            memory.wake(ring.reader.futex());
        }
    }
}

impl Recorder {
    /// Gives a task with this thread pointer a ring.
    pub fn assign(&mut self, tid: Tid, thread_pointer: u64) -> bool {
        let shared = Shared(self.memory.words());
        let is_given = thread_pointer != 0 && self.rings.assign(shared, tid, thread_pointer);
        self.draw_first(thread_pointer);
        is_given
    }

    /// Whose ring is found by this thread pointer.
    pub fn holder(&self, thread_pointer: u64) -> Option<Tid> {
        let mut rings = self.rings.used.iter();
        let ring = rings.find(|ring| ring.thread_pointer == thread_pointer)?;
        Some(ring.tid)
    }

    /// A task has gone; what it has recorded has been read.
    pub fn release(&mut self, tid: Tid) {
        self.rings.release(Shared(self.memory.words()), tid);
    }

    /// What a task records from now on is not its own: a child runs in its place that shares its memory.
    pub fn lend(&mut self, tid: Tid, whose: Whose) {
        self.rings.lend(tid, whose);
    }
}
