//! Calls that a function of an allocator makes for another one: operator new calls malloc, and operator delete jumps to
//! free. The outer call is the one that counts; where it is seen, the inner one need not be recorded.

use super::pairs::{Function, Source};

/// What a function does for others of its allocator, or has them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nesting {
    /// It hands out blocks, and operator new may have it do so.
    Acquires,
    /// It is the standard library's operator new, with so many bytes of code: what it calls is its own business.
    New {
        /// The size of its code.
        length: u64,
    },
    /// It takes back what its first argument points to. One of a higher rank jumps to one of a lower rank.
    Releases {
        /// 0 for `free`.
        rank: u8,
    },
}

impl Nesting {
    /// What is known of a function of this name that allocates or releases. Only the standard library's functions are
    /// known to do so one by the other.
    pub fn of(name: &str, function: &Function) -> Option<Nesting> {
        let is_release = function.key == Source::Param(0) && function.sizes.is_empty();
        match name {
            _ if function.old.is_some() => None,
            "free" if is_release => Some(Nesting::Releases { rank: 0 }),
            _ if is_release => {
                // Itanium C++ ABI, 5.1.3: `dl` is operator delete, `da` operator delete[]; `Pv` is its first parameter.
                // The array form calls the other, and those with more parameters call those with fewer.
                let (base, rest) = match name.strip_prefix("_ZdlPv") {
                    Some(rest) => (1, rest),
                    None => (2, name.strip_prefix("_ZdaPv")?),
                };
                let rank = base + u8::from(!rest.is_empty());
                Some(Nesting::Releases { rank })
            }
            _ if function.sizes.is_empty() => None,
            _ => Some(Nesting::Acquires),
        }
    }

    /// The same of the function in the standard library, with so many bytes of code.
    pub(super) fn in_standard_library(self, name: &str, length: u64) -> Nesting {
        let is_new = ["_Znw", "_Zna"].iter().any(|new| name.starts_with(new));
        match self {
            Nesting::Acquires if is_new && length > 0 => Nesting::New { length },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::pairs::Pair;

    #[test]
    fn who_calls_whom() {
        let pair = Pair::parse("malloc(size) = p -> free(p)").expect("a pair");
        let release = |name| Nesting::of(name, &pair.releases[0]);
        let ranks = [
            ("free", Some(0)),
            ("_ZdlPv", Some(1)),
            ("_ZdlPvm", Some(2)),
            ("_ZdaPv", Some(2)),
            ("_ZdaPvSt11align_val_t", Some(3)),
            ("my_free", None),
        ];
        for (name, rank) in ranks {
            assert_eq!(
                release(name),
                rank.map(|rank| Nesting::Releases { rank }),
                "{name}"
            );
        }
        let acquire = Nesting::of("_Znwm", &pair.acquire);
        assert_eq!(acquire, Some(Nesting::Acquires));
        let known = |name, length| Nesting::Acquires.in_standard_library(name, length);
        assert_eq!(known("_Znwm", 53), Nesting::New { length: 53 });
        assert_eq!(known("malloc", 53), Nesting::Acquires);
        assert_eq!(known("_Znwm", 0), Nesting::Acquires);
    }

    #[test]
    fn what_may_be_anything() {
        let realloc = Pair::parse("realloc(old, size) = new").expect("a pair");
        assert_eq!(Nesting::of("realloc", &realloc.acquire), None);
        let open = Pair::parse("open = fd>=0 -> close(fd)").expect("a pair");
        assert_eq!(Nesting::of("open", &open.acquire), None);
        assert_eq!(Nesting::of("close", &open.releases[0]), None);
    }
}
