//! What lies where in the recorder's area of a target. Code reaches everything by addresses relative to itself,
//! so code, control and shared data are contiguous.
//!
//! | part | mapping | what |
//! |---|---|---|
//! | code | private, anonymous, read and execute | common code, trampolines, stubs |
//! | control | private, anonymous, read and write, `MADV_WIPEONFORK` | one byte: whether calls are recorded |
//! | shared | one memfd, `MAP_SHARED`, mapped by the tracer as well | tables, heads of rings, rings |
//!
//! The shared part is inherited by a forked child: frames that return there need the trampolines' table. The
//! child's control page is wiped, so that it writes nothing into the rings of its parent.

use std::ops::Range;

/// Room for the code that all stubs share.
pub const COMMON_BYTES: u64 = 0x1_0000;
/// So many trampolines there can be; the first is never used.
pub const MOST_TRAMPOLINES: u64 = 0x1_0000;
/// What one trampoline takes, and its entry in the table.
pub const TRAMPOLINE: u64 = 16;
/// So many tracepoints there can be; number 0 stands for none.
pub const MOST_POINTS: u64 = 0x2_0000;
/// So many instructions can be led to stubs.
pub const MOST_PATCHES: u64 = 0x10_0000;
/// All code.
const CODE_BYTES: u64 = 12 << 20;
const CONTROL_BYTES: u64 = 4096;

/// Places in the hash of trampolines, 4 bytes each: at most half of them are ever taken.
pub(super) const HASH_LOG2: u32 = 17;
/// Places in the hash of threads, 16 bytes each: thread pointer and address of the ring's head.
pub(super) const THREADS_LOG2: u32 = 14;
/// So many rings there can be: the hash of threads stays three quarters empty.
pub const MOST_RINGS: u32 = 1 << (THREADS_LOG2 - 2);
/// No record is longer. Bytes.
pub const MOST_RECORD: u64 = 16 << 10;
/// What the head of a ring takes.
const HEAD_BYTES: u64 = 8192;

/// The words of the shared part's first page, by their byte offsets. They are written by different parties, so
/// they have cache lines of their own.
pub mod header {
    /// The tracer's robust futex: the kernel clears the thread id in it when the tracer dies
    /// (Documentation/locking/robust-futexes.rst). No id: the rings are not read.
    pub const OWNER: u64 = 0;
    /// The number of the next trampoline; 1 at first.
    pub const NEXT_TRAMPOLINE: u64 = 64;
    /// Trampolines from this number on are not written yet. Set by the tracer.
    pub const TRAMPOLINES: u64 = 128;
    /// From 1 to 4095. When the tracer changes it, pages that were found readable are looked at anew.
    pub const EPOCH: u64 = 192;
    /// Changes as long as the tracer reads rings.
    pub const PROGRESS: u64 = 200;
    /// Where the next stub will be: for a later tracer that goes on with this area.
    pub const NEXT_CODE: u64 = 256;
    /// Its number.
    pub const NEXT_POINT: u64 = 264;
    /// Where errno is, against the thread pointer; zero while that is not known.
    pub const ERRNO: u64 = 272;
    /// Not zero: a seccomp filter may forbid system calls, so that our code makes none.
    pub const SANDBOXED: u64 = 280;
    /// Where the code of operator new lies whose calls are recorded: its start above 16 bits, in which is its length.
    pub const OPERATORS: u64 = 288;
    /// How many patches are noted.
    pub const PATCHES: u64 = 320;
    /// Words: where jumps to stubs are mapped near far modules. Zero ends them.
    pub const ISLANDS: u64 = 512;
    /// So many of them there can be.
    pub const MOST_ISLANDS: u64 = (DETOURS - ISLANDS) / 8;
    /// Words up to the end of the page: where the displaced instructions of functions are mapped. Zero ends them.
    pub const DETOURS: u64 = 2048;
    /// So many of them there can be.
    pub const MOST_DETOURS: u64 = (4096 - DETOURS) / 8;
}

/// The words of a ring's head, by their byte offsets.
pub mod head {
    /// Where the next record begins. Stored by the thread when a record is complete.
    pub const WRITE: u64 = 0;
    /// A record may begin here at the latest. The thread's own.
    pub const LIMIT: u64 = 8;
    /// The first byte of the ring.
    pub const BASE: u64 = 16;
    /// The first byte behind it.
    pub const END: u64 = 24;
    /// The `TAIL` at which the thread gave up waiting; no address before.
    pub const STALLED: u64 = 32;
    /// How many records found no room.
    pub const LOST: u64 = 40;
    /// The thread's own stack; zeros when it is not known. Set by the tracer.
    pub const STACK_START: u64 = 48;
    /// The first byte behind it.
    pub const STACK_END: u64 = 56;
    /// So many bytes may be allocated before one is drawn. Set by the tracer.
    pub const LEFT: u64 = 192;
    /// Of the last allocation whose return address was another one, or elsewhere: where that lay. What the function
    /// led to by a tail call, which is its own business, has the same.
    pub const LAST_FRAME: u64 = 200;
    /// Its return address.
    pub const LAST_RETURN: u64 = 208;
    /// Its tracepoint.
    pub const LAST_NUMBER: u64 = 216;
    /// Of the last release that was recorded: where the return address lay. What its function jumps to has the same.
    pub const RELEASED_FRAME: u64 = 224;
    /// Its return address.
    pub const RELEASED_RETURN: u64 = 232;
    /// What was released.
    pub const RELEASED_KEY: u64 = 240;
    /// The rank of the function, or of the last one that it led to.
    pub const RELEASED_RANK: u64 = 248;
    /// As far as the tracer has read.
    pub const TAIL: u64 = 64;
    /// The thread waits for room.
    pub const WAITING: u64 = 128;
    /// The futex that it waits on, its low 32 bits.
    pub const SEQUENCE: u64 = 136;
    /// The tracer's progress when the thread looked last. The thread's own.
    pub const PROGRESS: u64 = 144;
    /// 64 words: pages found readable, each with the epoch in its low bits.
    pub const PAGES: u64 = 512;
    /// 64 entries of 8 words: what calls keep for their returns. Frame, tracepoint, six words.
    pub const KEPT: u64 = 1024;
}

/// Where the area of one target is, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    base: u64,
    rings: u32,
    ring_bytes: u64,
}

impl Layout {
    /// An area at this page boundary, with so many rings of so many bytes each. Both are cut to what is sensible:
    /// a ring holds several of the longest records, and all data lies within reach of the code.
    pub fn new(base: u64, rings: u32, ring_bytes: u64) -> Layout {
        Layout {
            base,
            rings: rings.clamp(1, MOST_RINGS),
            ring_bytes: ring_bytes.clamp(4 * MOST_RECORD, 1 << 30) & !4095,
        }
    }

    /// The area whose shared part begins there.
    pub fn of_shared(self, start: u64) -> Layout {
        self.at(start.wrapping_sub(CODE_BYTES + CONTROL_BYTES))
    }

    /// The part of the shared part that holds nothing but rings, from the first to the last byte.
    pub fn all_rings(&self) -> Range<u64> {
        self.rings_at()..self.shared().end - self.shared().start
    }

    /// The same parts at another base.
    pub fn at(self, base: u64) -> Layout {
        Layout { base, ..self }
    }

    /// Where the area begins.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Where code is.
    pub fn code(&self) -> Range<u64> {
        self.base..self.base + CODE_BYTES
    }

    /// The page of the byte that tells whether calls are recorded.
    pub fn control(&self) -> Range<u64> {
        let start = self.code().end;
        start..start + CONTROL_BYTES
    }

    /// What tracer and target both map. It begins with the memfd's first byte.
    pub fn shared(&self) -> Range<u64> {
        let start = self.control().end;
        start..start + self.rings_at() + u64::from(self.rings) * self.ring_bytes
    }

    /// The length of all parts together. Bytes.
    pub fn total_bytes(&self) -> u64 {
        self.shared().end - self.base
    }

    /// How many rings there are.
    pub fn rings(&self) -> u32 {
        self.rings
    }

    /// What a ring holds. Bytes.
    pub fn ring_bytes(&self) -> u64 {
        self.ring_bytes
    }

    /// The byte that is not zero while calls are recorded.
    pub fn enabled(&self) -> u64 {
        self.control().start
    }

    /// Where all trampolines are.
    pub fn pool(&self) -> Range<u64> {
        let start = self.base + COMMON_BYTES;
        start..start + MOST_TRAMPOLINES * TRAMPOLINE
    }

    /// Where stubs are.
    pub fn stubs(&self) -> Range<u64> {
        self.pool().end..self.code().end
    }

    /// The address of what has this offset in the shared part.
    pub(super) fn in_shared(&self, offset: u64) -> u64 {
        self.shared().start + offset
    }

    /// The head of a ring. Offset in the shared part.
    pub fn head(&self, ring: u32) -> u64 {
        HEADS + u64::from(ring) * HEAD_BYTES
    }

    /// The first byte of a ring. Offset in the shared part.
    pub fn ring(&self, ring: u32) -> u64 {
        self.rings_at() + u64::from(ring) * self.ring_bytes
    }

    fn rings_at(&self) -> u64 {
        HEADS + u64::from(self.rings) * HEAD_BYTES
    }
}

/// Offsets in the shared part.
pub(super) const THREADS: u64 = 4096;
/// Entries of 16 bytes: where the function's address is, or the address; the code for its returns, or 0.
pub(super) const POINTS: u64 = THREADS + (16 << THREADS_LOG2);
pub(super) const HASH: u64 = POINTS + 16 * MOST_POINTS;
/// Entries of 16 bytes: return address, tracepoint, and whether its returns have code of their own.
pub(super) const TABLE: u64 = HASH + (4 << HASH_LOG2);
/// The entry of a tracepoint.
pub(super) fn point(number: u32) -> u64 {
    POINTS + 16 * u64::from(number)
}

/// Entries of 16 bytes: where a patch is, and what stood there before.
pub(super) const PATCHES: u64 = TABLE + TRAMPOLINE * MOST_TRAMPOLINES;
/// Places in the hash of rules by which stacks are walked, 16 bytes each: return address and rule.
pub(super) const RULES_LOG2: u32 = 18;
pub(super) const RULES: u64 = PATCHES + 16 * MOST_PATCHES;
/// Numbers of 16 bits, by a hash of addresses: how many blocks there are whose releases are to be seen.
pub(super) const BLOCKS_LOG2: u32 = 20;
pub(super) const BLOCKS: u64 = RULES + (16 << RULES_LOG2);
/// Places in the hash of formats, 16 bytes each: the format's address, and which words of a call lead to texts. So many
/// more follow, as a search goes on there.
pub(super) const FORMATS_LOG2: u32 = 12;
pub(super) const FORMAT_PROBES: u64 = 4;
pub(super) const FORMATS: u64 = BLOCKS + (2 << BLOCKS_LOG2);
const FORMATS_END: u64 = FORMATS + 16 * ((1 << FORMATS_LOG2) + FORMAT_PROBES);
const HEADS: u64 = FORMATS_END.next_multiple_of(4096);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        let layout = Layout::new(0x7000_0000, 10, 1 << 20);
        assert_eq!(layout.stubs().end, layout.control().start);
        assert_eq!(layout.control().end, layout.shared().start);
        assert_eq!(layout.ring(0), layout.head(10));
        assert_eq!(
            layout.ring(10),
            layout.total_bytes() - (layout.shared().start - layout.base())
        );
        assert!(layout.ring(0).is_multiple_of(4096));
    }

    #[test]
    fn sizes_are_sensible() {
        let least = Layout::new(0, 0, 0);
        assert_eq!((least.rings(), least.ring_bytes()), (1, 4 * MOST_RECORD));
        let most = Layout::new(0, u32::MAX, u64::MAX);
        assert_eq!((most.rings(), most.ring_bytes()), (MOST_RINGS, 1 << 30));
        assert!(most.head(MOST_RINGS) < 1 << 30);
    }
}
