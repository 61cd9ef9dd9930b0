//! Which goroutine a task runs. Go's runtime moves goroutines from task to task, and their stacks to other
//! memory when they grow or shrink.

use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::elf::Go;
use std::ops::Range;

/// A goroutine on whose stack a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// Its `runtime.g`. It is never freed, but a later goroutine may have it.
    pub id: u64,
    /// Its stack, where that is now.
    pub stack: Range<u64>,
    /// Where it goes on, or went on the last time, from a switch to another goroutine or stack.
    pub resumed_at: Addr,
}

/// The beginning of `runtime.g` (runtime2.go): `stack.lo`, `stack.hi`, two guards, `_panic`, `_defer`, `m`, and
/// `sched`, which begins with the stack pointer and the instruction pointer.
const WORDS: usize = 9;
const RESUMED_AT: usize = 8;

impl Goroutine {
    /// The one whose stack a task with these registers is on, if any.
    pub fn running(go: Go, regs: &Regs, memory: &dyn Memory) -> Option<Goroutine> {
        // Go's own code keeps it in a register since 1.17 (abi-internal.md); other code leaves anything
        // there.
        Goroutine::at(regs.r14, regs.rsp, memory).or_else(|| {
            let current = Addr(regs.thread_pointer()).offset(go.goroutine);
            let id = memory.read_word(current).ok()?;
            Goroutine::at(id, regs.rsp, memory)
        })
    }

    /// Tells whether one is at this address, by the stack pointer of who runs on its stack.
    fn at(id: u64, rsp: u64, memory: &dyn Memory) -> Option<Goroutine> {
        if id == 0 || !id.is_multiple_of(8) {
            return None;
        }
        let mut bytes = [0; 8 * WORDS];
        memory.read_exact(Addr(id), &mut bytes).ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| words.get(index).map(|word| u64::from_le_bytes(*word));
        let stack = word(0)?..word(1)?;
        stack.contains(&rsp).then_some(Goroutine {
            id,
            stack,
            resumed_at: Addr(word(RESUMED_AT)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Goroutine;
    use crate::base::addr::Addr;
    use crate::base::memory::Stretch;
    use crate::base::regs::Regs;
    use crate::elf::Go;

    /// A `runtime.g` at 0x1000, a pointer to it at 0x1100.
    fn memory() -> Stretch {
        let mut words = vec![0u64; 0x200 / 8];
        (words[0], words[1], words[8]) = (0xc000_0000, 0xc000_0800, 0x40_1000);
        words[0x100 / 8] = 0x1000;
        Stretch {
            at: Addr(0x1000),
            bytes: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        }
    }

    #[track_caller]
    fn check(r14: u64, fs_base: u64, rsp: u64, expected: Option<u64>) {
        let regs = Regs {
            r14,
            fs_base,
            rsp,
            ..Regs::default()
        };
        let found = Goroutine::running(Go { goroutine: -8 }, &regs, &memory());
        assert_eq!(found.as_ref().map(|g| g.id), expected);
        if let Some(found) = found {
            assert_eq!(found.stack, 0xc000_0000..0xc000_0800);
            assert_eq!(found.resumed_at, Addr(0x40_1000));
        }
    }

    #[test]
    fn by_register_or_thread_pointer() {
        check(0x1000, 0, 0xc000_0400, Some(0x1000));
        check(0x1040, 0x1108, 0xc000_0400, Some(0x1000));
        check(0, 0x1108, 0xc000_0400, Some(0x1000));
        check(0x7, 0x1110, 0xc000_0400, None);
        check(0x1000, 0x1108, 0xc000_0800, None);
        check(0x1000, 0x1108, 0x7ffe_0000, None);
        check(0x9000_0000, 0, 0xc000_0400, None);
    }
}
