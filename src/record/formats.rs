//! Which words of a call lead to texts, by the address of its printf format: a table in shared memory, which only the
//! tracer writes. A call with a format that is not in it asks the tracer.

use super::code::asm::GOLDEN;
use super::layout::{FORMAT_PROBES, FORMATS, FORMATS_LOG2};
use super::shape::Source;
use super::shared::Shared;

/// Has calls with the format at this address recorded, unless there is no room: `texts` tells which of their words lead to
/// texts, a bit for each, its registers first. What is there must never change.
pub fn add(shared: Shared<'_>, format: u64, texts: u64) {
    let free = places(format).find(|place| [0, format].contains(&shared.load(*place)));
    if let Some(place) = free.filter(|_| format != 0) {
        shared.store(place + 8, texts);
        shared.store(place, format);
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

/// Where a format may be, in the order in which threads look.
fn places(format: u64) -> impl Iterator<Item = u64> {
    let first = format.wrapping_mul(GOLDEN) >> (64 - FORMATS_LOG2);
    (0..FORMAT_PROBES).map(move |n| FORMATS + 16 * (first + n))
}
