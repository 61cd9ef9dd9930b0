//! Lines of instructions: `co_linetable` of CPython since 3.11 (Objects/locations.md there; PEP 657).

/// The lines of one code object, by its instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Where a piece ends, in code units of two bytes, and its line.
    pieces: Vec<(u32, Option<u32>)>,
    first: u32,
}

/// Kinds of entries: the second nibble of their first byte.
const NO_LOCATION: u8 = 15;
const LONG: u8 = 14;
const NO_COLUMN: u8 = 13;
const ONE_LINE: std::ops::RangeInclusive<u8> = 10..=12;

impl Lines {
    /// Reads a table. What is broken ends it.
    pub(super) fn read(table: &[u8], first: u32) -> Lines {
        let mut pieces = Vec::new();
        let (mut end, mut line) = (0_u32, i64::from(first));
        let mut rest = table.iter().copied().peekable();
        while let Some(head) = rest.next() {
            // Only the first byte of an entry has its highest bit set.
            if head & 0x80 == 0 {
                break;
            }
            end = end.saturating_add(u32::from(head & 7) + 1);
            let kind = (head >> 3) & 15;
            let delta = match kind {
                NO_LOCATION => Some(0),
                LONG | NO_COLUMN => signed(&mut rest),
                kind if ONE_LINE.contains(&kind) => Some(i64::from(kind - ONE_LINE.start())),
                _ => Some(0),
            };
            let Some(delta) = delta else { break };
            line = line.saturating_add(delta);
            let known = u32::try_from(line).ok().filter(|&line| line > 0);
            pieces.push((end, known.filter(|_| kind != NO_LOCATION)));
            while rest.next_if(|byte| byte & 0x80 == 0).is_some() {}
        }
        Lines { pieces, first }
    }

    /// The line of a code unit. In front of the first one, the function has not begun.
    pub(super) fn at(&self, unit: i64) -> Option<u32> {
        if unit < 0 {
            return Some(self.first).filter(|&first| first > 0);
        }
        let unit = u32::try_from(unit).ok()?;
        let piece = self.pieces.partition_point(|&(end, _)| end <= unit);
        self.pieces.get(piece)?.1
    }
}

/// A signed number, six bits a byte, its sign in the lowest bit.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let mut value = 0_i64;
    for shift in (0..36).step_by(6) {
        let byte = bytes.next()?;
        value |= i64::from(byte & 0x3f) << shift;
        if byte & 0x40 == 0 {
            return Some(if value & 1 == 0 {
                value >> 1
            } else {
                -(value >> 1)
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as for a function at line 10 whose second statement is spread over lines.
    const TABLE: [u8; 12] = [
        0x80,
        0x00, // 1 unit, short form, line 10
        0xd8 | 7,
        0x08,
        0x0e, // 8 units, one line further
        0xd0,
        0x04,
        0x05, // 1 unit, the same line
        0xf1,
        0x04,
        0x01,
        0x05, // 2 units, long form, two lines further
    ];

    #[track_caller]
    fn check(table: &[u8], expected: &[(i64, Option<u32>)]) {
        let lines = Lines::read(table, 10);
        for &(unit, line) in expected {
            assert_eq!(lines.at(unit), line, "{unit}");
        }
    }

    #[test]
    fn forms() {
        check(
            &TABLE,
            &[
                (-1, Some(10)),
                (0, Some(10)),
                (1, Some(11)),
                (8, Some(11)),
                (9, Some(11)),
                (10, Some(13)),
                (11, Some(13)),
                (12, None),
                (i64::MAX, None),
            ],
        );
        // Back by one line; nowhere; on.
        check(
            &[0xe8, 0x03, 0xf8, 0xe8, 0x04],
            &[(0, Some(9)), (1, None), (2, Some(11)), (3, None)],
        );
    }

    #[test]
    fn damaged_tables() {
        for end in 0..TABLE.len() {
            let lines = Lines::read(&TABLE[..end], 10);
            assert!(lines.at(0).is_none_or(|line| line == 10));
        }
        check(&[0x00, 0x80], &[(0, None)]);
        check(
            &[0xe8, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f],
            &[(0, None)],
        );
        for byte in 0..=255 {
            Lines::read(&[byte; 40], u32::MAX).at(5);
        }
        // Before the first line there is none.
        check(&[0xe8, 0x3f], &[(0, None)]);
    }
}
