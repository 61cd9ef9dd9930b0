//! The stacks that goroutines have left to call C: cgo runs that on the stack of the thread, and notes on it which
//! goroutine called and how deep it was in its own stack (runtime.asmcgocall).

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::View;
use crate::elf::Go;
use crate::plan::ModuleName;
use crate::stack::{Bytes, LeftStack};
use std::collections::HashSet;

/// The processes that hold Go's runtime.
#[derive(Default)]
pub(super) struct Gos(HashSet<Pid>);

/// So many notes that turn out to be none are looked at.
const LOOKS: usize = 4;
/// No goroutine has a larger stack (runtime.maxstacksize of 64-bit systems).
const DEEPEST: u64 = 1 << 30;
/// The words of `runtime.g` up to `sched.sp` (runtime2.go).
const WORDS: usize = 8;

impl Gos {
    /// A module was loaded; this is its file.
    pub(super) fn loaded(&mut self, pid: Pid, module: &ModuleName, file: &Bytes) {
        if module.is_main && Go::is_in(file) {
            self.0.insert(pid);
        }
    }

    /// The process began as a copy of another one.
    pub(super) fn forked(&mut self, parent: Pid, child: Pid) {
        if self.0.contains(&parent) {
            self.0.insert(child);
        }
    }

    /// The process runs another program, or none any more.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.0.remove(&pid);
    }

    /// The stack of the goroutine that has called what runs on this one, and as much of it as is copied of any.
    pub(super) fn left(
        &self,
        pid: Pid,
        view: &View<'_>,
        stack: &[u8],
        most: usize,
    ) -> Option<LeftStack> {
        if !self.0.contains(&pid) {
            return None;
        }
        let (words, _) = stack.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let notes = words.clone().zip(words.skip(1));
        let possible = notes.filter(|&(depth, id)| is_depth(depth) && is_goroutine(id));
        possible
            .take(LOOKS)
            .find_map(|(depth, id)| left(depth, id, view.memory, most))
    }
}

fn is_depth(word: u64) -> bool {
    word.is_multiple_of(8) && (1..=DEEPEST).contains(&word)
}

/// Whether this may be the address of a `runtime.g`: they are in Go's heap, of which every arena has the same
/// byte there (malloc.go, mallocinit).
fn is_goroutine(word: u64) -> bool {
    word.is_multiple_of(8) && (word >> 32) as u8 == 0xc0
}

fn left(depth: u64, id: u64, memory: &dyn Memory, most: usize) -> Option<LeftStack> {
    let mut bytes = [0; 8 * WORDS];
    memory.read_exact(Addr(id), &mut bytes).ok()?;
    let (words, _) = bytes.as_chunks::<8>();
    let word = |index: usize| words.get(index).map(|word| u64::from_le_bytes(*word));
    let (start, end, saved) = (word(0)?, word(1)?, word(7)?);
    let bottom = end.checked_sub(depth)?;
    if bottom != saved || bottom < start {
        return None;
    }
    let mut bytes = vec![0; most.min(usize::try_from(depth).ok()?)];
    let got = memory.read(Addr(bottom), &mut bytes).ok()?;
    bytes.truncate(got);
    Some(LeftStack {
        goroutine: id,
        end,
        bottom,
        bytes: bytes.into_boxed_slice(),
    })
}

#[cfg(test)]
mod tests {
    use super::left;
    use crate::base::addr::Addr;
    use crate::base::memory::Stretch;

    #[test]
    fn notes_are_true_or_none() {
        let mut words = vec![7u64; 0x800 / 8];
        let (start, end) = (0xc0_0000_0400, 0xc0_0000_0800);
        (words[0], words[1], words[7]) = (start, end, end - 0x100);
        let memory = Stretch {
            at: Addr(0xc0_0000_0000),
            bytes: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        };
        let found = left(0x100, 0xc0_0000_0000, &memory, 8192).map(|l| (l.bottom, l.bytes.len()));
        assert_eq!(found, Some((end - 0x100, 0x100)));
        assert!(left(0x108, 0xc0_0000_0000, &memory, 8192).is_none());
        assert!(left(0x500, 0xc0_0000_0000, &memory, 8192).is_none());
        assert!(left(0x100, 0xc0_0000_0008, &memory, 8192).is_none());
        assert!(left(0x100, 0xc0_0000_0800, &memory, 8192).is_none());
    }
}
