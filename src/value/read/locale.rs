//! Locales of the C library by their names.

use super::Reader;
use crate::base::addr::Addr;
use crate::value::Value;

/// Those that have a name, by their numbers (bits/locale.h): 6 is LC_ALL.
const CATEGORIES: [(u64, &str); 12] = [
    (0, "LC_CTYPE"),
    (1, "LC_NUMERIC"),
    (2, "LC_TIME"),
    (3, "LC_COLLATE"),
    (4, "LC_MONETARY"),
    (5, "LC_MESSAGES"),
    (7, "LC_PAPER"),
    (8, "LC_NAME"),
    (9, "LC_ADDRESS"),
    (10, "LC_TELEPHONE"),
    (11, "LC_MEASUREMENT"),
    (12, "LC_IDENTIFICATION"),
];
/// The first six are musl's.
const OF_MUSL: usize = 6;

/// A name is no longer.
const LONGEST: usize = 64;

impl Reader<'_> {
    /// A locale; its address when it is none of glibc or musl.
    pub(super) fn locale(&self, at: Addr) -> Value {
        let names = match at {
            Addr(0) => None,
            _ => self.of_glibc(at).or_else(|| self.of_musl(at)),
        };
        match names {
            _ if at.0 == u64::MAX >> (64 - 8 * self.model.pointer()) => {
                Value::Name("LC_GLOBAL_LOCALE".into())
            }
            Some(names) => Value::Name(united(&names).into()),
            None => Value::Pointer(at),
        }
    }

    /// `struct __locale_struct` (bits/types/__locale_t.h): 13 categories, three tables, and the names.
    fn of_glibc(&self, at: Addr) -> Option<Vec<String>> {
        let names = CATEGORIES.iter();
        let names = names.map(|(number, _)| self.name(self.word(at, 16 + number)?));
        names.collect()
    }

    /// `struct __locale_struct` (src/internal/locale_impl.h): for each category nothing, or its map, whose name is behind
    /// two words.
    fn of_musl(&self, at: Addr) -> Option<Vec<String>> {
        let names = CATEGORIES.iter().take(OF_MUSL);
        let names = names.map(|(number, _)| match self.word(at, *number)? {
            0 => Some("C".to_owned()),
            map => self.name(Addr(map).offset(2 * self.model.pointer() as i64).0),
        });
        names.collect()
    }

    fn word(&self, at: Addr, index: u64) -> Option<u64> {
        let size = self.model.pointer();
        let at = at.offset((index * size) as i64);
        self.memory.read_uint(at, size as usize).ok()
    }

    /// What may be a locale's name.
    fn name(&self, at: u64) -> Option<String> {
        let (bytes, is_whole) = self.memory.read_c_string(Addr(at), LONGEST).ok()?;
        let is_such = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
        let name = String::from_utf8(bytes.to_vec()).ok()?;
        (is_whole && is_such).then_some(name)
    }
}

/// One name for all categories where they have the same, else what setlocale(3) would say of those that are not C.
fn united(names: &[String]) -> String {
    match names {
        [first, rest @ ..] if rest.iter().all(|name| name == first) => first.clone(),
        names => {
            let others = CATEGORIES.iter().zip(names);
            let others = others.filter(|(_, name)| *name != "C");
            let named = others.map(|((_, category), name)| format!("{category}={name}"));
            named.collect::<Vec<_>>().join(";")
        }
    }
}
