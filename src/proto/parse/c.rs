//! What C calls its types. A declaration that is copied out of a header or a manual page is understood:
//! the usual typedefs, types of several words, `const`, and names of parameters, which say nothing.

use super::super::types::{Integer, Lens, Real, Struct, Type, Width};
use super::Item;
use super::types::is_reserved;
use std::sync::Arc;

/// Words before a type or behind a `*` that say nothing of how a value is laid out.
const QUALIFIERS: [&str; 7] = [
    "const",
    "volatile",
    "restrict",
    "__restrict",
    "__restrict__",
    "extern",
    "static",
];

/// What numbers are made of.
#[derive(Default)]
struct Words {
    unsigned: bool,
    signed: bool,
    short: bool,
    longs: u8,
    base: Base,
}

#[derive(Default, PartialEq)]
enum Base {
    #[default]
    Int,
    Char,
    Double,
    Wide,
}

impl Item<'_> {
    /// Takes qualifiers; whether `const` was one of them.
    pub(super) fn qualifiers(&mut self) -> bool {
        let mut is_const = false;
        loop {
            let at = self.scanner.position();
            let word = self.scanner.word();
            if !QUALIFIERS.contains(&word) {
                self.scanner.go_to(at);
                return is_const;
            }
            is_const |= word == "const";
        }
    }

    /// A type whose first word, which has been read, is C's and not the language's.
    pub(super) fn c_type(&mut self, word: &str) -> Option<Type> {
        match word {
            "unsigned" | "signed" | "long" | "short" | "__int128" => {
                Some(self.number_of_words(word))
            }
            // What is behind a pointer to one is not known unless a typedef tells it.
            "struct" | "union" | "enum" => self.tagged(word),
            _ => named(word),
        }
    }

    fn number_of_words(&mut self, first: &str) -> Type {
        let mut words = Words::default();
        words.take(first);
        loop {
            let at = self.scanner.position();
            if !words.take(self.scanner.word()) {
                self.scanner.go_to(at);
                return words.ty();
            }
        }
    }

    /// `struct NAME`, `enum NAME`.
    fn tagged(&mut self, kind: &str) -> Option<Type> {
        let at = self.scanner.position();
        let name = self.scanner.word();
        if name.is_empty() {
            self.scanner.go_to(at);
            return None;
        }
        let known = self.parsed.typedefs.get(name).cloned();
        Some(known.unwrap_or(match kind {
            "enum" => Type::Integer(Integer::INT),
            _ => unknown_structure(),
        }))
    }

    /// Takes the name of a parameter.
    pub(super) fn parameter_name(&mut self) -> Option<Arc<str>> {
        let at = self.scanner.position();
        let name = self.scanner.word();
        let is_name = !name.starts_with(|c: char| c.is_ascii_digit()) && !is_reserved(name);
        if !is_name || !matches!(self.scanner.peek(), Some(',' | ')')) {
            self.scanner.go_to(at);
            return None;
        }
        (!name.is_empty()).then(|| name.into())
    }
}

impl Words {
    /// Whether the word is one of a number's.
    fn take(&mut self, word: &str) -> bool {
        match word {
            "unsigned" => self.unsigned = true,
            "signed" => self.signed = true,
            "short" => self.short = true,
            "long" => self.longs += 1,
            "int" => {}
            "char" => self.base = Base::Char,
            "double" => self.base = Base::Double,
            "__int128" => self.base = Base::Wide,
            _ => return false,
        }
        true
    }

    fn ty(&self) -> Type {
        let width = match (&self.base, self.short, self.longs) {
            (Base::Double, _, 0) => return Type::Real(Real::Double),
            (Base::Double, _, _) => return Type::Real(Real::Extended),
            (Base::Char, _, _) if self.unsigned => {
                return Type::Character(Integer::unsigned(Width::W8));
            }
            (Base::Char, _, _) => return Type::Character(Integer::CHAR),
            (Base::Wide, _, _) => return Type::wide(!self.unsigned),
            (Base::Int, true, _) => Width::W16,
            (Base::Int, false, 0) => Width::W32,
            (Base::Int, false, 1) => Width::Long,
            (Base::Int, false, _) => Width::W64,
        };
        Type::Integer(match self.unsigned {
            true => Integer::unsigned(width),
            false => Integer::signed(width),
        })
    }
}

/// What may only be pointed to.
fn unknown_structure() -> Type {
    Type::Struct(Arc::new(Struct::announced()))
}

/// Typedefs of the C library (x86-64 and i386 without large files), shown as its own prototypes show them.
pub(in crate::proto) fn named(word: &str) -> Option<Type> {
    let signed = |width| Type::Integer(Integer::signed(width));
    let unsigned = |width| Type::Integer(Integer::unsigned(width));
    Some(match word {
        "size_t" | "ino_t" | "nlink_t" | "rlim_t" | "nfds_t" | "fsblkcnt_t" | "fsfilcnt_t"
        | "u_long" => unsigned(Width::Long),
        "ssize_t" | "off_t" | "ptrdiff_t" | "intptr_t" | "time_t" | "clock_t" | "suseconds_t"
        | "blksize_t" | "blkcnt_t" => signed(Width::Long),
        "uintptr_t" | "pthread_t" => unsigned(Width::Long).shown(Lens::Hex),
        "off64_t" | "loff_t" | "intmax_t" | "int64_t" => signed(Width::W64),
        "dev_t" | "ino64_t" | "uintmax_t" | "uint64_t" | "u_int64_t" => unsigned(Width::W64),
        "pid_t" | "clockid_t" | "int32_t" => signed(Width::W32),
        "uid_t" | "gid_t" | "id_t" | "socklen_t" | "useconds_t" | "uint32_t" | "u_int32_t"
        | "u_int" => unsigned(Width::W32),
        "mode_t" => unsigned(Width::W32).shown(Lens::Octal),
        "in_addr_t" => unsigned(Width::W32).shown(Lens::Hex),
        "key_t" => signed(Width::W32).shown(Lens::Hex),
        "int16_t" => signed(Width::W16),
        "uint16_t" | "u_int16_t" | "u_short" | "sa_family_t" | "in_port_t" => unsigned(Width::W16),
        "__int128_t" => Type::wide(true),
        "__uint128_t" => Type::wide(false),
        "int8_t" => signed(Width::W8),
        "uint8_t" | "u_int8_t" => unsigned(Width::W8),
        "u_char" => Type::Character(Integer::unsigned(Width::W8)),
        "wchar_t" => Type::Character(Integer::INT),
        "wint_t" => Type::Character(Integer::INT),
        "_Bool" => unsigned(Width::W8).shown(Lens::Bool),
        "FILE" | "DIR" => unknown_structure(),
        "va_list" => Type::addr().shown(Lens::Hide),
        _ => return None,
    })
}
