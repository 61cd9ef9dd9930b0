//! Names out of a string table, with a bound on how much is taken out of it.

use std::borrow::Cow;

/// A string table that names are taken out of.
#[derive(Clone)]
pub(super) struct Strings<'a> {
    bytes: &'a [u8],
    /// How many bytes may still be read. A file can let each of a million symbols share one name of
    /// a megabyte; an honest one repeats a name a few times at most.
    budget: usize,
}

/// How often the whole table may be copied out.
const REPEATS: usize = 16;

impl<'a> Strings<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Strings {
            bytes,
            budget: bytes.len().saturating_mul(REPEATS),
        }
    }

    /// The string at this offset; `None` when it is empty, has no end, or the budget is spent.
    pub(super) fn get(&mut self, offset: u64) -> Option<String> {
        self.name(offset).map(Cow::into_owned)
    }

    /// The same where it stands.
    pub(super) fn name(&mut self, offset: u64) -> Option<Cow<'a, str>> {
        let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let rest = &rest[..rest.len().min(self.budget)];
        let end = memchr::memchr(0, rest);
        self.budget -= end.unwrap_or(rest.len());
        let name = rest.get(..end?).filter(|name| !name.is_empty())?;
        // Faster than what makes good what is not UTF-8, which is next to nothing.
        let text = std::str::from_utf8(name).map(Cow::Borrowed);
        Some(text.unwrap_or_else(|_| String::from_utf8_lossy(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::Strings;

    #[track_caller]
    fn check(table: &[u8], offset: u64, expected: Option<&str>) {
        assert_eq!(Strings::new(table).get(offset).as_deref(), expected);
    }

    #[test]
    fn names() {
        check(b"\0puts\0", 1, Some("puts"));
        check(b"\0puts\0", 3, Some("ts"));
        check(b"\0puts\0", 0, None);
        check(b"\0puts\0", 6, None);
        check(b"\0puts\0", u64::MAX, None);
        check(b"\0puts", 1, None);
        check(b"", 0, None);
        check(b"\xff\0", 0, Some("\u{fffd}"));
    }

    #[test]
    fn a_name_cannot_be_taken_for_ever() {
        let table = [&[b'x'; 1000][..], &[0]].concat();
        let mut strings = Strings::new(&table);
        let taken = (0..1000).filter_map(|_| strings.get(0)).count();
        assert_eq!(taken, 16);
    }
}
