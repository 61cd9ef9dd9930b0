//! Which words of a call lead to texts, by its printf format and what stands before the words that this tells of: a table in shared memory, which only the
//! tracer writes. A call with a format that is not in it asks the tracer.

use super::code::asm::GOLDEN;
use super::layout::{FORMAT_PROBES, FORMATS, FORMATS_LOG2};
use super::shape::Source;
use super::shared::Shared;

/// Has calls with the format of this [key](super::Shape::format_key) recorded, unless there is no room: `texts` tells which of their words lead to
/// texts, a bit for each, its registers first. What is there must never change.
pub fn add(shared: Shared<'_>, key: u64, texts: u64) {
    let free = places(key).find(|place| [0, key].contains(&shared.load(*place)));
    if let Some(place) = free.filter(|_| key != 0) {
        shared.store(place + 8, texts);
        shared.store(place, key);
    }
}

/// Forgets all: something else may be where some of them were.
pub fn clear(shared: Shared<'_>) {
    let all = (1 << FORMATS_LOG2) + FORMAT_PROBES;
    for place in (0..all).map(|n| FORMATS + 16 * n) {
        if shared.load(place) != 0 {
            shared.store(place, 0);
        }
    }
}

/// The bit that stands for a word of a call: its registers come first.
pub(super) fn bit(source: Source) -> Option<u32> {
    match source {
        Source::General(number) => Some(u32::from(number)),
        Source::Stack(word) => Some(6 + u32::from(word)),
        Source::Kept(_) | Source::Result | Source::Errno(_) | Source::Before => None,
    }
}

/// A format at this address, for calls with these named arguments. Addresses of programs have 47 bits (psABI 3.3.2).
pub(super) fn key(format: u64, named: u16) -> u64 {
    format | u64::from(named) << 48
}

/// Where a format may be, in the order in which threads look.
fn places(key: u64) -> impl Iterator<Item = u64> {
    let first = key.wrapping_mul(GOLDEN) >> (64 - FORMATS_LOG2);
    (0..FORMAT_PROBES).map(move |n| FORMATS + 16 * (first + n))
}
