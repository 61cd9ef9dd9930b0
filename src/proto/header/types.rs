//! Types as C declares them: what they become as parameters and as members, and the words that name them.

use super::lexer::Word;
use super::{Fault, Reader};
use crate::proto::parse;
use crate::proto::types::{Expr, Integer, Lens, Real, Type, Width};
use std::sync::Arc;

/// A type, before it is known where it is used.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) kind: Kind,
    pub(super) is_const: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Plain(Type),
    Pointer(Arc<Meaning>),
    Array(Arc<Meaning>, u64),
    Function(Arc<Function>),
}

/// What a function takes and gives.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) result: Meaning,
    pub(super) params: Vec<(Meaning, Option<Arc<str>>)>,
    pub(super) is_variadic: bool,
}

/// How the words of a declaration are meant besides their type.
#[derive(Clone, Copy, Default)]
pub(super) struct Storage {
    pub(super) is_typedef: bool,
}

/// Words that say nothing of how something is passed.
const IGNORED: [&str; 22] = [
    "extern",
    "static",
    "inline",
    "__inline",
    "__inline__",
    "register",
    "auto",
    "volatile",
    "__volatile__",
    "__volatile",
    "restrict",
    "__restrict",
    "__restrict__",
    "_Noreturn",
    "noreturn",
    "__extension__",
    "_Thread_local",
    "__thread",
    "_Atomic",
    "__signed_unused",
    "_Nonnull",
    "_Nullable",
];

impl Meaning {
    pub(super) fn plain(ty: Type) -> Meaning {
        Meaning {
            kind: Kind::Plain(ty),
            is_const: false,
        }
    }

    pub(super) fn pointer(self) -> Meaning {
        Meaning {
            kind: Kind::Pointer(Arc::new(self)),
            is_const: false,
        }
    }

    /// As a member, or behind a pointer.
    pub(super) fn member(&self) -> Type {
        match &self.kind {
            Kind::Plain(ty) => ty.clone(),
            Kind::Function(_) => Type::Void,
            Kind::Pointer(to) => to.pointed(),
            Kind::Array(of, length) => {
                let element = of.member();
                let is_text = element == Type::Character(Integer::CHAR) && *length > 0;
                let length = Expr::Number(*length);
                match is_text {
                    true => Type::Array(Arc::new(element), Expr::Zero(Some(Box::new(length))))
                        .shown(Lens::Text),
                    false => Type::Array(Arc::new(element), length),
                }
            }
        }
    }

    /// A pointer to it.
    fn pointed(&self) -> Type {
        match &self.kind {
            Kind::Function(_) => Type::addr(),
            // What is read only, and of characters, is text.
            Kind::Plain(ty @ Type::Character(integer))
                if self.is_const && (*integer == Integer::CHAR || *integer == Integer::INT) =>
            {
                Type::text(ty.clone(), Expr::Zero(None))
            }
            _ => self.member().pointer(),
        }
    }

    /// As a parameter or result.
    pub(super) fn passed(&self) -> Type {
        match &self.kind {
            Kind::Array(of, 0) => of.pointed(),
            Kind::Array(..) => self.member().pointer(),
            Kind::Function(_) => Type::addr(),
            _ => self.member(),
        }
    }
}

/// The numbers' words, counted.
#[derive(Default)]
struct Words {
    unsigned: bool,
    signed: bool,
    short: bool,
    longs: u8,
    base: Option<&'static str>,
}

impl Words {
    fn take(&mut self, word: &str) -> bool {
        match word {
            "unsigned" | "__unsigned__" => self.unsigned = true,
            "signed" | "__signed__" | "__signed" => self.signed = true,
            "short" => self.short = true,
            "long" => self.longs += 1,
            "int" => self.base = self.base.or(Some("int")),
            "char" => self.base = Some("char"),
            "float" | "_Float32" => self.base = Some("float"),
            "double" | "_Float64" | "_Float32x" => self.base = Some("double"),
            "_Float128" | "__float128" | "_Float64x" => self.base = Some("quad"),
            "__int128" | "__int128_t" => self.base = Some("wide"),
            "__uint128_t" => {
                self.base = Some("wide");
                self.unsigned = true;
            }
            "_Complex" | "__complex__" => self.base = self.base.or(Some("int")),
            "void" => self.base = Some("void"),
            "_Bool" | "bool" => self.base = Some("bool"),
            _ => return false,
        }
        true
    }

    fn is_empty(&self) -> bool {
        self.base.is_none() && !self.unsigned && !self.signed && !self.short && self.longs == 0
    }

    fn ty(&self) -> Type {
        let integer = |width| {
            Type::Integer(match self.unsigned {
                true => Integer::unsigned(width),
                false => Integer::signed(width),
            })
        };
        match (self.base, self.short, self.longs) {
            (Some("void"), ..) => Type::Void,
            (Some("bool"), ..) => Type::Integer(Integer::unsigned(Width::W8)).shown(Lens::Bool),
            (Some("char"), ..) if self.unsigned => Type::Character(Integer::unsigned(Width::W8)),
            (Some("char"), ..) => Type::Character(Integer::CHAR),
            (Some("float"), ..) => Type::Real(Real::Single),
            (Some("double"), _, 0) => Type::Real(Real::Double),
            (Some("double" | "quad"), ..) => Type::Real(Real::Extended),
            (Some("wide"), ..) => Type::wide(!self.unsigned),
            (_, true, _) => integer(Width::W16),
            (_, _, 0) => integer(Width::W32),
            (_, _, 1) => integer(Width::Long),
            _ => integer(Width::W64),
        }
    }
}

impl<'t> Reader<'t> {
    /// The next word begins a type.
    pub(super) fn begins_type(&self) -> bool {
        match self.peek() {
            Word::Name(name) => {
                Words::default().take(name)
                    || IGNORED.contains(&name)
                    || matches!(
                        name,
                        "const"
                            | "__const"
                            | "struct"
                            | "union"
                            | "enum"
                            | "typedef"
                            | "__attribute__"
                            | "__attribute"
                            | "__typeof__"
                            | "typeof"
                            | "__builtin_va_list"
                    )
                    || self.typedefs.contains_key(name)
                    || parse::usual_type(name).is_some()
            }
            _ => false,
        }
    }

    /// The words before a declarator.
    pub(super) fn specifiers(&mut self, depth: usize) -> Result<(Storage, Meaning), Fault> {
        let mut storage = Storage::default();
        let mut is_const = false;
        let mut words = Words::default();
        let mut meaning: Option<Meaning> = None;
        while let Word::Name(name) = self.peek() {
            match name {
                "typedef" => {
                    self.next();
                    storage.is_typedef = true;
                }
                "const" | "__const" => {
                    self.next();
                    is_const = true;
                }
                "__attribute__" | "__attribute" | "__declspec" | "_Alignas" | "alignas"
                | "__asm__" | "asm" | "__asm" => {
                    self.next();
                    if self.peek() == Word::Mark('(') {
                        self.skip_pair();
                    }
                }
                name if IGNORED.contains(&name) => {
                    self.next();
                }
                "struct" | "union" | "enum" if meaning.is_none() && words.is_empty() => {
                    self.next();
                    meaning = Some(Meaning::plain(self.tagged(name, depth)?));
                }
                "__typeof__" | "typeof" | "__typeof" if meaning.is_none() => {
                    self.next();
                    self.skip_pair();
                    meaning = Some(Meaning::plain(Type::Integer(Integer::LONG)));
                }
                name if meaning.is_none() && words.take(name) => {
                    self.next();
                }
                name if meaning.is_none() && words.is_empty() => match self.named(name) {
                    Some(found) => {
                        self.next();
                        meaning = Some(found);
                    }
                    None => break,
                },
                _ => break,
            }
        }
        let mut meaning = match meaning {
            Some(meaning) => meaning,
            None if !words.is_empty() => Meaning::plain(words.ty()),
            None => {
                let what = match self.peek() {
                    Word::Name(name) => format!("unknown type '{name}'"),
                    other => format!("expected a type, got {}", super::shown(other)),
                };
                return Err(self.fault(&what));
            }
        };
        meaning.is_const |= is_const;
        Ok((storage, meaning))
    }

    /// What a typedef means: some of the C library are shown as its own prototypes show them.
    fn named(&self, name: &'t str) -> Option<Meaning> {
        let usual = match name {
            "__builtin_va_list" | "va_list" | "__gnuc_va_list" => {
                Some(Type::addr().shown(Lens::Hide))
            }
            name => parse::usual_type(name),
        };
        usual
            .map(Meaning::plain)
            .or_else(|| self.typedefs.get(name).cloned())
    }
}
