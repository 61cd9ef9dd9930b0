//! Where code makes tasks by itself, as the runtimes of sanitizers do.

use super::Image;
use super::system_calls::Numbers;
use crate::base::addr::Vaddr;

/// clone(2) (asm/unistd_64.h, asm/unistd_32.h).
const NUMBERS: Numbers = Numbers {
    amd64: 56,
    i386: 120,
};

impl Image {
    /// The instructions that make clone(2) with flags that others choose. A C library makes processes and threads with
    /// its own, and has one function for others; so has Go.
    pub fn clones(&self, bytes: &[u8]) -> Vec<Vaddr> {
        if self.go.is_some() {
            return Vec::new();
        }
        let mut calls = self.system_calls(bytes, NUMBERS);
        if let Some(clone) = self.exports.iter().find(|symbol| symbol.name == "clone") {
            let end = Vaddr(clone.vaddr.0.saturating_add(clone.size));
            calls.retain(|call| (clone.vaddr..end).contains(call));
        }
        calls
    }
}
