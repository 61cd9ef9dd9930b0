//! In which order the rings of several tasks are read: by the times of their next records.

use super::Recorder;
use super::rings::Ring;
use crate::record::Shared;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The rings that hold something that has not been told, the one with the earliest record first.
#[derive(Debug, Default)]
pub(super) struct Queue(BinaryHeap<Reverse<(u64, usize)>>);

impl Queue {
    /// The ring with the earliest record, and up to when it alone has any.
    pub(super) fn pop(&mut self, now: u64) -> Option<(usize, u64)> {
        let Reverse((_, ring)) = self.0.pop()?;
        let second = self.0.peek().map_or(now, |Reverse((time, _))| *time);
        Some((ring, second))
    }
}

impl Recorder {
    /// Looks what stands in the rings from before `now`. What comes into an empty one meanwhile is for the next time.
    pub(super) fn queue(&mut self, now: u64) -> Queue {
        let mut queue = std::mem::take(&mut self.queue);
        queue.0.clear();
        (0..self.rings.used.len()).for_each(|ring| self.queue_up(&mut queue, ring, now));
        queue
    }

    /// Puts a ring where its next record belongs, if it has one from before `now`.
    pub(super) fn queue_up(&mut self, queue: &mut Queue, ring: usize, now: u64) {
        let shared = Shared(self.memory.words());
        let Some(Ring { reader, .. }) = self.rings.used.get_mut(ring) else {
            return;
        };
        let time = reader.time(shared, self.patched.code.shapes());
        if let Some(time) = time.filter(|time| *time <= now) {
            queue.0.push(Reverse((time, ring)));
        }
    }
}
