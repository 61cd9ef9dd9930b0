//! The part of the area that tracer and target both see, as atomic words: the target may write any of them at any
//! time.

use std::sync::atomic::{AtomicU64, Ordering};

/// The shared part, from its first byte on. Offsets are in bytes; what lies outside is 0 and cannot be stored.
#[derive(Clone, Copy)]
pub struct Shared<'s>(pub &'s [AtomicU64]);

impl Shared<'_> {
    fn word(&self, offset: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(offset / 8).ok()?)
    }

    /// A word; what was stored before it is seen as well.
    pub fn load(&self, offset: u64) -> u64 {
        let word = self.word(offset);
        word.map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Stores a word, after all that was stored before.
    pub fn store(&self, offset: u64, value: u64) {
        if let Some(word) = self.word(offset) {
            word.store(value, Ordering::Release);
        }
    }

    /// Stores a word and gives what it was; a barrier for loads as well.
    pub fn swap(&self, offset: u64, value: u64) -> u64 {
        let word = self.word(offset);
        word.map_or(0, |word| word.swap(value, Ordering::SeqCst))
    }

    /// Copies so many words.
    pub fn copy(&self, offset: u64, words: usize, to: &mut Vec<u64>) {
        to.clear();
        let from = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let rest = self.0.get(from..).unwrap_or_default();
        let words = rest.iter().take(words);
        to.extend(words.map(|word| word.load(Ordering::Relaxed)));
    }
}
