//! Where the code of operator new lies whose calls are recorded: what it calls to allocate is not.

use super::Recorder;
use crate::plan::nesting::Nesting;
use crate::plan::{Kind, Tracepoint};
use crate::record::header;
use std::ops::Range;

/// What is between two of them is less: an operator that is not recorded, as the program has its own, may be called all the
/// same, and is no smaller if it calls anything.
const GAP: u64 = 16;

/// The code of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Operators(Vec<Range<u64>>);

impl Operators {
    fn add(&mut self, code: Range<u64>) {
        self.0.push(code);
        self.0.sort_unstable_by_key(|code| code.start);
    }

    /// Forgets those that lie there.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        self.0.retain(|code| !range.contains(&code.start));
    }

    /// The longest piece of code that is made of them alone: in a library they lie side by side. As one word, so that it
    /// is read at once: its length is in the lower 16 bits.
    fn word(&self) -> u64 {
        let pieces = self.0.chunk_by(|one, next| next.start < one.end + GAP);
        let ends = pieces.filter_map(|piece| Some((piece.first()?.start, piece.last()?.end)));
        let lengths =
            ends.filter_map(|(start, end)| Some((u16::try_from(end - start).ok()?, start)));
        lengths
            .max()
            .map_or(0, |(length, start)| start << 16 | u64::from(length))
    }
}

impl Recorder {
    /// Notes that the calls of a function are recorded that begins there.
    pub(super) fn note_operator(&mut self, point: &Tracepoint, entry: u64) {
        if let Kind::Resource {
            nesting: Some(Nesting::New { length }),
            ..
        } = point.kind
        {
            self.patched.operators.add(entry..entry + length);
            self.publish_operators();
        }
    }

    /// Tells the target where they are.
    pub(super) fn publish_operators(&self) {
        let word = self.patched.operators.word();
        self.shared().store(header::OPERATORS, word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_piece() {
        let mut operators = Operators::default();
        assert_eq!(operators.word(), 0);
        operators.add(0x7000_1040..0x7000_1080);
        operators.add(0x7000_1000..0x7000_1035);
        operators.add(0x7fff_0000..0x7fff_0010);
        assert_eq!(operators.word(), 0x7000_1000_0080);
        operators.forget(&(0x7fff_0000..0x7fff_1000));
        assert_eq!(operators.word(), 0x7000_1000_0080);
        operators.forget(&(0x7000_0000..0x7001_0000));
        assert_eq!(operators.word(), 0);
    }

    /// That of the library stays unseen where the program has its own.
    #[test]
    fn what_lies_in_between_is_none() {
        let mut operators = Operators::default();
        operators.add(0x7000_1000..0x7000_1009);
        operators.add(0x7000_1050..0x7000_106e);
        assert_eq!(operators.word(), 0x7000_1050_001e);
    }
}
