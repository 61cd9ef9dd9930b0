//! Whose code is at an address: the units of a module, by the stretches of their code.

use gimli::DebugInfoOffset;
use std::ops::Range;

/// Stretches of code, and the units that they are of.
pub(super) struct Units {
    /// By where they begin.
    stretches: Vec<(Range<u64>, DebugInfoOffset)>,
    /// As far as any of the stretches reaches up to that of the same number.
    ends: Vec<u64>,
}

/// Code of a unit, on its way into the others'.
#[derive(Default)]
pub(super) struct Stretches(Vec<(Range<u64>, DebugInfoOffset)>);

/// Functions of a unit stand so close to each other. Bytes.
const GAP: u64 = 64;

impl Stretches {
    /// Adds one. There are millions, mostly one behind the other.
    pub(super) fn add(&mut self, range: Range<u64>, unit: DebugInfoOffset) {
        match self.0.last_mut() {
            Some((last, of))
                if *of == unit && range.start >= last.end && range.start - last.end <= GAP =>
            {
                last.end = range.end.max(last.end);
            }
            _ => self.0.push((range, unit)),
        }
    }
}

impl Units {
    pub(super) fn new(stretches: Stretches) -> Units {
        let mut stretches = stretches.0;
        stretches.sort_by_key(|(range, _)| range.start);
        // What is between stretches of one unit belongs to none.
        stretches.dedup_by(|(range, unit), (before, of)| {
            let is_same = unit == of;
            if is_same {
                before.end = before.end.max(range.end);
            }
            is_same
        });
        let furthest = |end: &mut u64, (range, _): &(Range<u64>, _)| {
            *end = range.end.max(*end);
            Some(*end)
        };
        let ends = stretches.iter().scan(0, furthest).collect();
        Units { stretches, ends }
    }

    /// The units whose code this is. There is more than one only where stretches overlap.
    pub(super) fn around(&self, at: u64) -> impl Iterator<Item = DebugInfoOffset> {
        let begun = self
            .stretches
            .partition_point(|(range, _)| range.start <= at);
        let before = self.stretches.iter().zip(&self.ends).take(begun).rev();
        let near = before.take_while(move |(_, end)| at < **end);
        let holding = near.filter(move |((range, _), _)| range.contains(&at));
        holding.map(|((_, unit), _)| *unit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Stretches, Units};
    use gimli::DebugInfoOffset;
    use std::ops::Range;

    #[test]
    fn those_around_an_address() {
        let of = |stretches: &[(Range<u64>, usize)]| {
            let mut all = Stretches::default();
            for (range, unit) in stretches {
                all.add(range.clone(), DebugInfoOffset(*unit));
            }
            Units::new(all)
        };
        let units = of(&[(30..40, 3), (0..5, 1), (10..100, 2), (0..0, 4), (31..32, 5)]);
        let check = |at, expected: &[usize]| {
            let found: Vec<usize> = units.around(at).map(|unit| unit.0).collect();
            assert_eq!(found, expected, "{at}");
        };
        check(0, &[1]);
        check(5, &[]);
        check(10, &[2]);
        check(31, &[5, 3, 2]);
        check(39, &[3, 2]);
        check(99, &[2]);
        check(100, &[]);
        assert_eq!(of(&[]).around(1).count(), 0);
        let units = of(&[
            (0..5, 1),
            (8..10, 1),
            (500..600, 1),
            (200..300, 2),
            (900..901, 2),
        ]);
        assert_eq!(units.stretches.len(), 4);
        let at = |at| units.around(at).map(|unit| unit.0).next();
        assert_eq!(
            [9, 250, 599, 700, 900].map(at),
            [Some(1), Some(2), Some(1), None, Some(2)]
        );
    }
}
