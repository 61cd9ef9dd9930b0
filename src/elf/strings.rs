//! Names out of a string table, with a bound on how much is taken out of it.

use std::borrow::Cow;

/// A string table that names are copied out of.
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
        let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let rest = &rest[..rest.len().min(self.budget)];
        let end = rest.iter().position(|&byte| byte == 0);
        self.budget -= end.unwrap_or(rest.len());
        let name = rest.get(..end?).filter(|name| !name.is_empty())?;
        Some(String::from_utf8_lossy(name)).map(Cow::into_owned)
    }
}
