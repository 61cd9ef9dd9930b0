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

impl Units {
    pub(super) fn new(mut stretches: Vec<(Range<u64>, DebugInfoOffset)>) -> Units {
        stretches.sort_by_key(|(range, _)| range.start);
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
    use super::Units;
    use gimli::DebugInfoOffset;

    #[test]
    fn those_around_an_address() {
        let stretches = [(30..40, 3), (0..5, 1), (10..100, 2), (0..0, 4), (31..32, 5)];
        let units = stretches.map(|(range, unit)| (range, DebugInfoOffset(unit)));
        let units = Units::new(units.into());
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
        assert_eq!(Units::new(Vec::new()).around(1).count(), 0);
    }
}
