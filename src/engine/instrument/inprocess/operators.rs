//! Where the code of operator new lies whose calls are recorded: what it calls to allocate is not.

use super::Recorder;
use crate::plan::nesting::Nesting;
use crate::plan::{Kind, Tracepoint};
use crate::record::header;
use std::ops::Range;

/// So many bytes the operators have at most together: those of one library lie side by side.
const MOST: u64 = 4096;

/// The code of all operators new of one library.
#[derive(Clone, Debug, Default)]
pub(super) struct Operators(Range<u64>);

impl Operators {
    /// Adds what lies near to what there is.
    fn add(&mut self, code: Range<u64>) {
        let both = match self.0.is_empty() {
            true => code,
            false => self.0.start.min(code.start)..self.0.end.max(code.end),
        };
        if both.end - both.start <= MOST {
            self.0 = both;
        }
    }

    /// Forgets them if they lie there.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        if range.contains(&self.0.start) {
            self.0 = 0..0;
        }
    }

    /// As one word, so that it is read at once: the length is in the lower 16 bits.
    fn word(&self) -> u64 {
        self.0.start << 16 | (self.0.end - self.0.start)
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
    fn one_library() {
        let mut operators = Operators::default();
        assert_eq!(operators.word(), 0);
        operators.add(0x7000_1040..0x7000_1080);
        operators.add(0x7000_1000..0x7000_1010);
        operators.add(0x7fff_0000..0x7fff_0010);
        assert_eq!(operators.word(), 0x7000_1000_0080);
        operators.forget(&(0x7fff_0000..0x7fff_1000));
        assert_eq!(operators.word(), 0x7000_1000_0080);
        operators.forget(&(0x7000_0000..0x7001_0000));
        assert_eq!(operators.word(), 0);
    }
}
