//! Types of mangled names in the terms of prototypes.

use super::tree::{Builtin, Named, Tree};
use crate::proto::held::Held;
use crate::proto::types::{Expr, Integer, Lens, Passing, Real, Struct, Type, Width};
use std::sync::Arc;

/// How a parameter or result is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    /// By its type.
    As(Type),
    /// As a word: an enumeration, or an object that is one word or passed by its address. It may also be an object of two
    /// words, or a structure in memory.
    Word,
    /// Not at all: it takes no room.
    Nothing,
}

impl Shown {
    /// The type of what is passed, if anything is.
    pub(super) fn ty(self) -> Option<Type> {
        match self {
            Shown::As(ty) => Some(ty),
            Shown::Word => Some(word()),
            Shown::Nothing => None,
        }
    }
}

/// A word of which only the name of its type is known.
pub(super) fn word() -> Type {
    Type::Integer(Integer::LONG).shown(Lens::Guess)
}

/// A type by value; `None` when it is not known how it is passed.
pub(super) fn by_value(tree: &Tree) -> Option<Shown> {
    Some(Shown::As(match tree {
        Tree::Builtin(builtin) => of_language(*builtin),
        Tree::Pointer(to) => match to.plain() {
            Tree::Builtin(Builtin::Char) => Type::string(),
            Tree::Builtin(character @ (Builtin::Wchar | Builtin::Char16 | Builtin::Char32))
                if **to != *to.plain() =>
            {
                Type::text(of_language(*character), Expr::Zero(None))
            }
            to => behind(to).pointer(),
        },
        Tree::Reference(to) => match to.plain() {
            inner @ Tree::Reference(_) => return by_value(inner),
            to => behind(to).pointer(),
        },
        Tree::Const(inner) => return by_value(inner),
        Tree::Function => Type::addr(),
        // Itanium C++ ABI 2.3: an offset, or an address and what is added to `this`.
        Tree::Member(of) => match of.plain() {
            Tree::Function => {
                let members = vec![Type::addr(), Type::Integer(Integer::LONG)];
                Type::Struct(Arc::new(Struct::new(members)))
            }
            _ => Type::Integer(Integer::LONG),
        },
        // A parameter of this type is a pointer.
        Tree::Array(_, of) => behind(of.plain()).pointer(),
        Tree::Complex(of) => match of.plain() {
            Tree::Builtin(real @ (Builtin::Float | Builtin::Double | Builtin::LongDouble)) => {
                Type::Struct(Arc::new(Struct::new(vec![of_language(*real); 2])))
            }
            _ => return None,
        },
        Tree::Named(named) => return object(named),
        Tree::Pack(_) | Tree::Unknown => return None,
    }))
}

/// What is shown behind a pointer or reference: no further than that, so that it can be recorded with the call.
fn behind(tree: &Tree) -> Type {
    match tree {
        Tree::Builtin(builtin) => of_language(*builtin),
        Tree::Pointer(_) => Type::addr(),
        Tree::Array(Some(length), of) => match of.plain() {
            Tree::Builtin(Builtin::Char) => {
                let length = Expr::Zero(Some(Box::new(Expr::Number(*length))));
                Type::Array(Arc::new(Type::Character(Integer::CHAR)), length).shown(Lens::Text)
            }
            of @ Tree::Builtin(builtin) if *of != Tree::Builtin(Builtin::Void) => {
                Type::Array(Arc::new(of_language(*builtin)), Expr::Number(*length))
            }
            _ => Type::Void,
        },
        Tree::Named(named) => match object(named) {
            Some(Shown::As(ty)) => ty,
            _ => Type::Void,
        },
        _ => Type::Void,
    }
}

fn of_language(builtin: Builtin) -> Type {
    let signed = |width| Type::Integer(Integer::signed(width));
    let unsigned = |width| Type::Integer(Integer::unsigned(width));
    let character = |width| Type::Character(Integer::unsigned(width));
    match builtin {
        Builtin::Void => Type::Void,
        Builtin::Bool => unsigned(Width::W8).shown(Lens::Bool),
        Builtin::Char => Type::Character(Integer::CHAR),
        Builtin::SignedChar => Type::Character(Integer::CHAR).shown(Lens::Ascii),
        Builtin::UnsignedChar | Builtin::Char8 => character(Width::W8),
        Builtin::Wchar => Type::Character(Integer::INT),
        Builtin::Char16 => character(Width::W16),
        Builtin::Char32 => character(Width::W32),
        Builtin::Short => signed(Width::W16),
        Builtin::UnsignedShort => unsigned(Width::W16),
        Builtin::Int => signed(Width::W32),
        Builtin::UnsignedInt => unsigned(Width::W32),
        Builtin::Long => signed(Width::Long),
        Builtin::UnsignedLong => unsigned(Width::Long),
        Builtin::Int128 => {
            let half = unsigned(Width::W64).shown(Lens::Hex);
            Type::Struct(Arc::new(Struct::new(vec![half; 2])))
        }
        Builtin::Float => Type::Real(Real::Single),
        Builtin::Double => Type::Real(Real::Double),
        Builtin::LongDouble => Type::Real(Real::Extended),
        Builtin::Nullptr => Type::addr(),
    }
}

/// A class or enumeration: those that every program knows are shown as what they hold.
fn object(named: &Named) -> Option<Shown> {
    let arguments = named.arguments.as_deref().unwrap_or_default();
    let first = arguments.first().map(|tree| tree.plain());
    let is_of = |builtin| first == Some(&Tree::Builtin(builtin));
    let two_words = |held: Held| Some(Shown::As(held.shown(16, 8, Passing::ByMembers)));
    let in_memory = |held: Held, size| Some(Shown::As(held.shown(size, 8, Passing::InMemory)));
    let unit = Integer::CHAR;
    let text = |at, length| Held::Text { unit, at, length };
    match &*named.path {
        // libstdc++, bits/basic_string.h: where the characters are, how many, and room for a few.
        "std::__cxx11::basic_string" if is_of(Builtin::Char) => in_memory(text(0, 8), 32),
        // Of before C++11, bits/cow_string.h: where the characters are, which end with a NUL.
        "std::basic_string" if is_of(Builtin::Char) => {
            let of = Type::string();
            in_memory(Held::Value { of, at: 0 }, 8)
        }
        // libstdc++, std/string_view: how many, and where they are.
        "std::basic_string_view" if is_of(Builtin::Char) => two_words(text(8, 0)),
        // libc++, string_view; LLVM, ADT/StringRef.h: the other way round.
        "std::__1::basic_string_view" if is_of(Builtin::Char) => two_words(text(0, 8)),
        "llvm::StringRef" => two_words(text(0, 8)),
        // libstdc++, initializer_list; LLVM, ADT/ArrayRef.h: where the elements are, and how many.
        "std::initializer_list" | "llvm::ArrayRef" | "llvm::MutableArrayRef" => {
            let of = elements(first);
            two_words(Held::Counted {
                of,
                at: 0,
                length: 8,
            })
        }
        // libstdc++, bits/stl_vector.h: where the elements are, where they end, and where their room ends.
        "std::vector" if !is_of(Builtin::Bool) => {
            let of = elements(first);
            in_memory(Held::Spanned { of, at: 0, end: 8 }, 24)
        }
        // They are passed in all kinds of registers.
        "std::complex" | "std::tuple" | "std::pair" | "std::array" | "std::optional" => None,
        path if takes_no_room(path) => Some(Shown::Nothing),
        _ => Some(Shown::Word),
    }
}

/// What a sequence holds, as far as it is known.
fn elements(of: Option<&Tree>) -> Type {
    match of {
        Some(Tree::Pointer(_)) => Type::addr(),
        Some(of) => behind(of),
        None => Type::Void,
    }
}

/// Empty classes of the library, which say only which function is meant.
fn takes_no_room(path: &str) -> bool {
    let Some(name) = path.strip_prefix("std::") else {
        return false;
    };
    let name = name.strip_prefix("__1::").unwrap_or(name);
    name.ends_with("_iterator_tag")
        || matches!(
            name,
            "integral_constant"
                | "piecewise_construct_t"
                | "nothrow_t"
                | "in_place_t"
                | "less"
                | "greater"
                | "equal_to"
                | "hash"
                | "__true_type"
                | "__false_type"
        )
}
