//! Reads a ring. The target can write all of it at any time: everything is copied before it is looked at, and what
//! makes no sense costs records, never more.

use super::layout::{Layout, MOST_RECORD, head};
use super::shape::Shape;
use super::shared::Shared;
use std::ops::Range;
use std::sync::Arc;

/// What a record is about: bits 32 to 39 of its first word. Bits 0 to 31 are the number of the tracepoint, bits 48 to
/// 63 the length in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call whose return will be recorded.
    Call = 1,
    /// A call whose return will not.
    CallOnly = 2,
    /// A return.
    Return = 3,
    /// Nothing more up to the end of the ring.
    Skip = 4,
}

/// The words of a call before those of its shape: header, time, frame, return address.
pub(super) const CALL_FIXED: u16 = 4;
/// The words of a return before those of its shape: header, time, frame, `rax`.
pub(super) const RETURN_FIXED: u16 = 4;

/// The upper half of a record's first word.
pub(super) fn header_word(kind: Kind, words: u16) -> u32 {
    kind as u32 | u32::from(words) << 16
}

/// So many words of a ring are copied at a time: the longest record, and no more than stays in the processor's first cache.
const CHUNK: usize = MOST_RECORD as usize / 8;

/// What one thread has recorded.
#[derive(Debug)]
pub struct Record<'r> {
    /// What it is about.
    pub kind: Kind,
    /// The number of the tracepoint.
    pub number: u32,
    /// The time stamp counter.
    pub time: u64,
    /// Where the word lies on the stack that holds, or held, the return address.
    pub frame: u64,
    /// Of a call, the return address, which may be a trampoline's: see [`Code::caller`](super::Code::caller). Of a
    /// return, `rax`.
    pub word: u64,
    /// How the rest is laid out.
    pub shape: &'r Arc<Shape>,
    /// The rest.
    pub(super) words: &'r [u64],
}

/// Reads one ring.
#[derive(Debug)]
pub struct Reader {
    /// The address of the ring in the target.
    base: u64,
    /// Offsets in the shared part.
    head: u64,
    ring: u64,
    bytes: u64,
    /// The offset in the ring of what was copied.
    at: u64,
    copied: Vec<u64>,
    /// The next record in it, and how long that is, once it has been looked at.
    next: usize,
    length: usize,
    /// The thread has gone on at the beginning: behind what was copied, up to the end of the ring, there is nothing
    /// but an older round.
    wrapped: bool,
    /// What was copied ends somewhere.
    cut: bool,
    /// As far as room was given back: an offset.
    released: u64,
    /// How often the ring made no sense.
    corrupted: u64,
}

/// What stands at the next place.
enum Next {
    Record(usize),
    Skip,
    Incomplete,
    Nonsense,
}

impl Reader {
    /// Makes a ring ready for a thread, and reads it from its beginning.
    pub fn new(layout: &Layout, ring: u32, shared: Shared<'_>) -> Reader {
        let head = layout.head(ring);
        let base = layout.in_shared(layout.ring(ring));
        let end = base + layout.ring_bytes();
        for offset in (head::PAGES..head::KEPT + 64 * 64).step_by(8) {
            shared.store(head + offset, 0);
        }
        for (offset, value) in [
            (head::WRITE, base),
            (head::LIMIT, end - MOST_RECORD),
            (head::BASE, base),
            (head::END, end),
            (head::STALLED, 0),
            (head::LOST, 0),
            (head::STACK_START, 0),
            (head::STACK_END, 0),
            (head::TAIL, base),
            (head::WAITING, 0),
        ] {
            shared.store(head + offset, value);
        }
        Reader {
            base,
            head,
            ring: layout.ring(ring),
            bytes: layout.ring_bytes(),
            at: 0,
            copied: Vec::new(),
            next: 0,
            length: 0,
            wrapped: false,
            cut: false,
            released: 0,
            corrupted: 0,
        }
    }

    /// Tells the thread where its own stack is.
    pub fn set_stack(&self, stack: &Range<u64>, shared: Shared<'_>) {
        shared.store(self.head + head::STACK_START, stack.start);
        shared.store(self.head + head::STACK_END, stack.end);
    }

    /// The time of the next record, when there is one.
    pub fn time(&mut self, shared: Shared<'_>, shapes: &[Arc<Shape>]) -> Option<u64> {
        if self.length == 0 && !self.find(shared, shapes) {
            return None;
        }
        self.copied.get(self.next + 1).copied()
    }

    /// The next record, when [`time`](Self::time) has found one.
    pub fn take<'r>(&'r mut self, shapes: &'r [Arc<Shape>]) -> Option<Record<'r>> {
        let words = self.copied.get(self.next..self.next + self.length)?;
        self.next += self.length;
        self.length = 0;
        record(words, shapes)
    }

    /// The same, and with a call its return, if that stands behind it and was not after a time.
    pub fn take_with_return<'r>(
        &'r mut self,
        shapes: &'r [Arc<Shape>],
        until: u64,
    ) -> Option<(Record<'r>, Option<Record<'r>>)> {
        let (start, end) = (self.next, self.next + self.length);
        self.next = end;
        self.length = 0;
        let mut after = end;
        if let Next::Record(length) = self.look(shapes) {
            self.length = length;
            let [header, _, frame, ..] = *self.copied.get(start..end)? else {
                return None;
            };
            let [other, time, other_frame, ..] = *self.copied.get(end..end + length)? else {
                return None;
            };
            let numbers = (header as u32, other as u32);
            if (kind(header), kind(other)) == (Some(Kind::Call), Some(Kind::Return))
                && numbers.0 == numbers.1
                && frame == other_frame
                && time <= until
            {
                after += length;
                self.next = after;
                self.length = 0;
            }
        }
        let call = record(self.copied.get(start..end)?, shapes)?;
        let returned = record(self.copied.get(end..after)?, shapes);
        Some((call, returned))
    }

    /// Gives the room of all records that were taken back to the thread. Whether it is to be woken at the futex
    /// [`head::SEQUENCE`], whose value has been changed: if it waits for room, and half of the ring is free, as each time
    /// costs both sides as much as dozens of records.
    #[must_use]
    pub fn release(&mut self, shared: Shared<'_>) -> bool {
        let at = self.at + 8 * self.next as u64;
        if at != self.released {
            self.released = at;
            shared.swap(self.head + head::TAIL, self.base + at);
        }
        if shared.load(self.head + head::WAITING) == 0 {
            return false;
        }
        let is_half_free = self.write(shared).is_none_or(|write| {
            let used = (write + self.bytes).wrapping_sub(at) % self.bytes;
            used <= self.bytes / 2
        });
        if is_half_free {
            shared.store(self.head + head::WAITING, 0);
            self.nudge(shared);
        }
        is_half_free
    }

    /// Changes the futex, so that a thread that waits looks around; it is then to be woken.
    pub fn nudge(&self, shared: Shared<'_>) {
        let sequence = self.head + head::SEQUENCE;
        shared.store(sequence, shared.load(sequence).wrapping_add(1));
    }

    /// The offset of the futex in the shared part.
    pub fn futex(&self) -> u64 {
        self.head + head::SEQUENCE
    }

    /// How many records found no room since this was asked last.
    pub fn take_lost(&self, shared: Shared<'_>) -> u64 {
        match shared.load(self.head + head::LOST) {
            0 => 0,
            _ => shared.swap(self.head + head::LOST, 0),
        }
    }

    /// How often the ring made no sense: what was in it then is lost.
    pub fn corrupted(&self) -> u64 {
        self.corrupted
    }

    /// Looks for the next record, and copies more when there is none.
    fn find(&mut self, shared: Shared<'_>, shapes: &[Arc<Shape>]) -> bool {
        loop {
            if self.next == self.copied.len() && !self.copy(shared) {
                return false;
            }
            match self.look(shapes) {
                Next::Record(length) => {
                    self.length = length;
                    return true;
                }
                // Once, as no record lies before the beginning.
                Next::Skip if self.wrapped => self.go_to(0),
                Next::Incomplete if self.cut && self.next > 0 => {
                    self.go_to(self.at + 8 * self.next as u64);
                }
                Next::Skip | Next::Incomplete | Next::Nonsense => {
                    self.give_up(shared);
                    return false;
                }
            }
        }
    }

    /// What stands at the next place.
    fn look(&self, shapes: &[Arc<Shape>]) -> Next {
        let rest = &self.copied[self.next..];
        let Some(header) = rest.first() else {
            return Next::Incomplete;
        };
        let Some(kind) = kind(*header) else {
            return Next::Nonsense;
        };
        if kind == Kind::Skip {
            return Next::Skip;
        }
        let length = (*header >> 48) as usize;
        let Some(shape) = shapes.get(*header as u32 as usize) else {
            return Next::Nonsense;
        };
        let least = match kind {
            Kind::Return => RETURN_FIXED + shape.result.words(),
            _ => CALL_FIXED + shape.entry_words(),
        };
        if length < usize::from(least) || length > MOST_RECORD as usize / 8 {
            return Next::Nonsense;
        }
        if length > rest.len() {
            return Next::Incomplete;
        }
        Next::Record(length)
    }

    fn go_to(&mut self, at: u64) {
        self.at = at;
        self.copied.clear();
        self.next = 0;
        self.length = 0;
    }

    /// Copies what is behind what was copied before; `false` when there is nothing, or where the thread writes
    /// makes no sense.
    fn copy(&mut self, shared: Shared<'_>) -> bool {
        self.go_to(self.at + 8 * self.next as u64);
        let Some(write) = self.write(shared) else {
            self.corrupted += 1;
            return false;
        };
        if self.at == self.bytes && write < self.at {
            self.go_to(0);
        }
        if write == self.at {
            return false;
        }
        self.wrapped = write < self.at;
        let end = if self.wrapped { self.bytes } else { write };
        let words = (end - self.at) as usize / 8;
        self.cut = words > CHUNK;
        shared.copy(self.ring + self.at, words.min(CHUNK), &mut self.copied);
        !self.copied.is_empty()
    }

    /// Where the thread writes: the offset in the ring.
    fn write(&self, shared: Shared<'_>) -> Option<u64> {
        let write = shared.load(self.head + head::WRITE);
        let offset = write.wrapping_sub(self.base);
        (offset <= self.bytes && offset.is_multiple_of(8)).then_some(offset)
    }

    /// Goes on where the thread writes.
    fn give_up(&mut self, shared: Shared<'_>) {
        self.corrupted += 1;
        let at = self.write(shared).unwrap_or(self.at);
        self.go_to(at);
    }
}

/// What these words say.
#[inline]
fn record<'r>(words: &'r [u64], shapes: &'r [Arc<Shape>]) -> Option<Record<'r>> {
    let [header, time, frame, word, rest @ ..] = words else {
        return None;
    };
    Some(Record {
        kind: kind(*header)?,
        number: *header as u32,
        time: *time,
        frame: *frame,
        word: *word,
        shape: shapes.get(*header as u32 as usize)?,
        words: rest,
    })
}

fn kind(header: u64) -> Option<Kind> {
    Some(match header >> 32 & 0xff {
        n if n == Kind::Call as u64 => Kind::Call,
        n if n == Kind::CallOnly as u64 => Kind::CallOnly,
        n if n == Kind::Return as u64 => Kind::Return,
        n if n == Kind::Skip as u64 => Kind::Skip,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Seen;
    use super::*;
    use crate::base::addr::Addr;
    use crate::record::shape::{Blob, Ends, Source};
    use proptest::prelude::*;
    use std::sync::atomic::AtomicU64;

    /// The tracepoints: nothing, a plain one, one with all that there is.
    fn shapes() -> Vec<Arc<Shape>> {
        let blob = |source| Blob {
            source,
            most: 64,
            ends: Ends::AtZero,
            by_format: false,
        };
        let full = Shape {
            general: 6,
            vector: 8,
            stack: 3,
            at_entry: [blob(Source::General(0)), blob(Source::Stack(1))].into(),
            kept: [Source::General(1)].into(),
            at_return: [blob(Source::Kept(0)), blob(Source::Result)].into(),
            ..Shape::default()
        };
        let plain = Shape {
            general: 1,
            ..Shape::default()
        };
        [Shape::default(), plain, full].map(Arc::new).into()
    }

    /// The shared part of an area with one ring.
    fn words(layout: &Layout) -> Vec<AtomicU64> {
        let all = layout.ring(1) / 8;
        (0..all).map(|_| AtomicU64::new(0)).collect()
    }

    /// Words that are more often than not a record's header, or nearly.
    fn word() -> impl Strategy<Value = u64> {
        let header = (0..4_u64, 0..6_u64, 0..48_u64)
            .prop_map(|(number, kind, words)| number | kind << 32 | words << 48);
        prop_oneof![4 => header, 1 => any::<u64>(), 1 => 0..100_u64]
    }

    /// Reads whatever is there, and all that can be seen of it. How many records there were.
    fn drain(reader: &mut Reader, shared: Shared<'_>, shapes: &[Arc<Shape>]) -> usize {
        let mut count = 0;
        while reader.time(shared, shapes).is_some() {
            let (record, returned) = match count % 2 {
                0 => (reader.take(shapes).expect("a record that was found"), None),
                _ => reader
                    .take_with_return(shapes, !0)
                    .expect("a record that was found"),
            };
            if let Some(returned) = returned {
                assert_eq!(
                    (returned.kind, returned.frame),
                    (Kind::Return, record.frame)
                );
                count += 1;
            }
            let mut regs = Seen::registers(1);
            let seen = Seen::new(&record, &mut regs, 2);
            let view = seen.view(&crate::base::regs::Unknown);
            for at in [0, record.frame, record.frame.wrapping_add(8), !0] {
                let _ = view.memory.read_c_string(Addr(at), 100);
                let _ = view.memory.read(Addr(at), &mut [0; 16]);
            }
            count += 1;
        }
        let _ = reader.release(shared);
        count
    }

    fn fuzz(cases: u32) {
        // Longer than what is copied at a time.
        let layout = Layout::new(0x10_0000, 1, 128 << 10);
        let head_at = layout.head(0);
        let words = words(&layout);
        let shared = Shared(&words);
        let shapes = shapes();
        let base = layout.in_shared(layout.ring(0));
        let places = prop::collection::vec((0..layout.ring_bytes() / 8, word()), 0..80);
        let writes = prop::collection::vec(
            prop_oneof![8 => (0..=layout.ring_bytes() / 8).prop_map(move |n| base + 8 * n), 1 => any::<u64>()],
            1..6,
        );
        let tiled = prop::collection::vec(word(), 1..40);
        let config = ProptestConfig::with_cases(cases);
        proptest!(config, |(places in places, writes in writes, tiled in tiled)| {
            let mut reader = Reader::new(&layout, 0, shared);
            for (index, word) in tiled.iter().cycle().take(1 << 14).enumerate() {
                shared.store(layout.ring(0) + 8 * index as u64, *word);
            }
            for (place, word) in &places {
                shared.store(layout.ring(0) + 8 * place, *word);
            }
            for write in &writes {
                shared.store(head_at + head::WRITE, *write);
                let records = drain(&mut reader, shared, &shapes);
                prop_assert!(records as u64 <= 2 * layout.ring_bytes() / 32);
                let tail = shared.load(head_at + head::TAIL);
                prop_assert!((base..=base + layout.ring_bytes()).contains(&tail));
            }
        });
    }

    #[test]
    fn corrupted_rings() {
        fuzz(200);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn very_many_corrupted_rings() {
        fuzz(100_000);
    }

    /// A record of a call of the plain tracepoint.
    fn record(shared: Shared<'_>, at: u64, time: u64) {
        let header = 1 | u64::from(header_word(Kind::Call, 5)) << 32;
        for (index, word) in [header, time, 0x7000, 0x40, time].into_iter().enumerate() {
            shared.store(at + 8 * index as u64, word);
        }
    }

    /// A call with what stands behind it: its return, up to a time.
    #[test]
    fn calls_and_their_returns() {
        let layout = Layout::new(0x10_0000, 1, 0);
        let words = words(&layout);
        let shared = Shared(&words);
        let (shapes, base) = (shapes(), layout.in_shared(layout.ring(0)));
        let mut reader = Reader::new(&layout, 0, shared);
        let mut at = 0;
        for (kind, number, time, frame) in [
            (Kind::Call, 1, 1, 0x7000),
            (Kind::Return, 1, 2, 0x7000),
            (Kind::Call, 1, 3, 0x7000),
            (Kind::Return, 1, 4, 0x6000),
            (Kind::CallOnly, 1, 5, 0x7000),
            (Kind::Return, 1, 6, 0x7000),
            (Kind::Call, 1, 7, 0x7000),
            (Kind::Return, 0, 8, 0x7000),
            (Kind::Call, 1, 9, 0x7000),
            (Kind::Return, 1, 10, 0x7000),
        ] {
            let words = 4 + u64::from(kind != Kind::Return);
            let header = number | u64::from(header_word(kind, words as u16)) << 32;
            for (index, word) in [header, time, frame, 0x40, 7].into_iter().enumerate() {
                shared.store(layout.ring(0) + at + 8 * index as u64, word);
            }
            at += 8 * words;
        }
        shared.store(layout.head(0) + head::WRITE, base + at);
        let mut found = Vec::new();
        while reader.time(shared, &shapes).is_some() {
            let taken = reader.take_with_return(&shapes, 9).expect("a record");
            found.push((taken.0.time, taken.1.map(|back| back.time)));
        }
        let alone = |time| (time, None);
        let first = [(1, Some(2))].into_iter();
        assert_eq!(found, first.chain((3..=10).map(alone)).collect::<Vec<_>>());
        assert_eq!(reader.corrupted(), 0);
    }

    #[test]
    fn records_around_the_end() {
        let layout = Layout::new(0x10_0000, 1, 0);
        let words = words(&layout);
        let shared = Shared(&words);
        let (shapes, base) = (shapes(), layout.in_shared(layout.ring(0)));
        let mut reader = Reader::new(&layout, 0, shared);
        let head = layout.head(0);
        let whole = layout.ring_bytes() / 40;
        for number in 0..whole {
            record(shared, layout.ring(0) + 40 * number, number);
        }
        shared.store(head + head::WRITE, base + 40 * (whole - 1));
        assert_eq!(drain(&mut reader, shared, &shapes) as u64, whole - 1);
        // One more, nothing up to the end, and two at the beginning.
        let skip = u64::from(header_word(Kind::Skip, 1)) << 32;
        shared.store(layout.ring(0) + 40 * whole, skip);
        record(shared, layout.ring(0), 7);
        record(shared, layout.ring(0) + 40, 8);
        shared.store(head + head::WRITE, base + 80);
        assert_eq!(drain(&mut reader, shared, &shapes), 3);
        assert_eq!(shared.load(head + head::TAIL), base + 80);
        assert_eq!(drain(&mut reader, shared, &shapes), 0);
        assert_eq!(reader.corrupted(), 0);
        // Nothing but zeros where a record should be.
        shared.store(layout.ring(0) + 80, 0);
        shared.store(head + head::WRITE, base + 400);
        assert_eq!(drain(&mut reader, shared, &shapes), 0);
        assert_eq!(reader.corrupted(), 1);
        assert_eq!(shared.load(head + head::TAIL), base + 400);
    }
}
