//! The frames of one thread, from the innermost on. They lie close together, callers below their callees
//! (`datastack_chunk` of pycore_pystate.h), so one read of memory serves many.

use super::layout::{Entry, Frame, OWNED_BY_C_STACK};
use crate::base::addr::Addr;
use crate::base::memory::Memory;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Its code object, and the instruction that it has come to; `None` for a frame that only separates.
    pub running: Option<(Addr, u64)>,
    /// One call of the evaluator began with it.
    pub ends_run: bool,
}

/// Goes from frame to frame.
pub(super) struct Frames<'a> {
    layout: &'a Frame,
    memory: &'a dyn Memory,
    next: u64,
    /// What was read, and where that begins.
    start: u64,
    bytes: Vec<u8>,
}

/// What is looked at of a frame.
const FRAME: u64 = 80;

impl<'a> Frames<'a> {
    pub(super) fn new(layout: &'a Frame, first: Addr, memory: &'a dyn Memory) -> Frames<'a> {
        Frames {
            layout,
            memory,
            next: first.0,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// The bytes of a frame, out of what was read if they are there.
    fn frame(&mut self, at: u64) -> Option<&[u8]> {
        let end = at.checked_add(FRAME)?;
        let read = self.start..self.start.saturating_add(self.bytes.len() as u64);
        if !(read.contains(&at) && end <= read.end) {
            // What is on the same page can be read as well.
            self.start = at & !0xfff;
            self.bytes.resize((end - self.start) as usize, 0);
            let got = self.memory.read(Addr(self.start), &mut self.bytes);
            self.bytes.truncate(got.unwrap_or(0));
        }
        let from = (at - self.start) as usize;
        self.bytes.get(from..)?.get(..FRAME as usize)
    }
}

impl Iterator for Frames<'_> {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        if self.next == 0 {
            return None;
        }
        let layout = *self.layout;
        let frame = self.frame(self.next)?;
        let word = |offset: u64| {
            let bytes = frame.get(offset as usize..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let byte = |offset: u64| frame.get(offset as usize).copied();
        let running = Some((Addr(word(layout.code)?), word(layout.instruction)?));
        let call = match layout.entry {
            Entry::Marked(flag) => Call {
                running,
                ends_run: byte(flag)? != 0,
            },
            Entry::Bounded(owner) => {
                let bounds = byte(owner)? >= OWNED_BY_C_STACK;
                Call {
                    running: running.filter(|_| !bounds),
                    ends_run: bounds,
                }
            }
        };
        self.next = word(layout.previous)?;
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Stretch;

    const AT: u64 = 0x10f80;

    /// Frames of 3.11 below each other from [`AT`] on, the innermost last: code, whether it is an entry.
    fn stack(frames: &[(u64, u8)]) -> (Stretch, Addr) {
        let mut bytes = Vec::new();
        let mut previous = 0_u64;
        for &(code, entry) in frames {
            let at = AT + bytes.len() as u64;
            let mut frame = [0; FRAME as usize];
            frame[32..40].copy_from_slice(&code.to_le_bytes());
            frame[48..56].copy_from_slice(&previous.to_le_bytes());
            frame[56..64].copy_from_slice(&(code + 100).to_le_bytes());
            frame[68] = entry;
            bytes.extend(frame);
            previous = at;
        }
        // The page before belongs to the chunk as well.
        let lead = (AT & 0xfff) as usize;
        let mut page = vec![0; lead];
        page.extend(bytes);
        let at = Addr(AT - lead as u64);
        (Stretch { at, bytes: page }, Addr(previous))
    }

    fn layout(entry: Entry) -> Frame {
        Frame {
            code: 32,
            previous: 48,
            instruction: 56,
            entry,
        }
    }

    #[track_caller]
    fn check(entry: Entry, frames: &[(u64, u8)], expected: &[(Option<u64>, bool)]) {
        let (memory, innermost) = stack(frames);
        let layout = layout(entry);
        let calls: Vec<_> = Frames::new(&layout, innermost, &memory)
            .map(|call| (call.running.map(|(code, _)| code.0), call.ends_run))
            .collect();
        assert_eq!(calls, expected);
    }

    #[test]
    fn from_the_innermost_on() {
        check(
            Entry::Marked(68),
            &[(1000, 1), (2000, 0), (3000, 1)],
            &[(Some(3000), true), (Some(2000), false), (Some(1000), true)],
        );
        check(
            Entry::Bounded(68),
            &[(1000, 3), (2000, 0), (3000, 1)],
            &[(Some(3000), false), (Some(2000), false), (None, true)],
        );
    }

    #[test]
    fn memory_that_ends_or_goes_round() {
        let (mut memory, innermost) = stack(&[(1000, 1), (2000, 0), (3000, 1)]);
        let layout = layout(Entry::Marked(68));
        let whole = memory.bytes.clone();
        for length in 0..whole.len() {
            memory.bytes.truncate(whole.len() - length);
            assert!(Frames::new(&layout, innermost, &memory).count() <= 3);
        }
        memory.bytes = whole;
        let from = (innermost.0 - memory.at.0) as usize + 48;
        memory.bytes[from..from + 8].copy_from_slice(&innermost.0.to_le_bytes());
        let calls = Frames::new(&layout, innermost, &memory).take(100).count();
        assert_eq!(calls, 100, "the caller bounds it");
        assert_eq!(Frames::new(&layout, Addr(u64::MAX), &memory).count(), 0);
    }
}
