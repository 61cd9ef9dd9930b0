//! Stacks as the program would have them: without the addresses of trampolines.

use super::Space;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};

/// Memory of a space in which words that hold a trampoline's address hold the return address that it stands for.
pub struct Translated<'s> {
    /// The memory.
    pub memory: &'s dyn Memory,
    /// The space.
    pub space: &'s Space,
}

impl Memory for Translated<'_> {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let got = self.memory.read(at, buf)?;
        if let Some(recorder) = &self.space.recorder {
            for word in buf[..got].as_chunks_mut::<8>().0 {
                let address = Addr(u64::from_le_bytes(*word));
                *word = recorder.caller(address).0.to_le_bytes();
            }
        }
        Ok(got)
    }

    fn beyond(&self, at: Addr) -> Addr {
        self.memory.beyond(at)
    }

    fn machine(&self) -> Machine {
        self.memory.machine()
    }
}
