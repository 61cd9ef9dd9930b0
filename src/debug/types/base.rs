//! Types of a language itself.

use super::super::entries::{Entry, number};
use crate::proto::types::{Integer, Laid, Lens, Names, Passing, Real, Struct, Type, When, Width};
use gimli::{AttributeValue, DwAte, constants as dw};
use std::sync::Arc;

/// A type of a language itself.
pub(super) fn base(name: &str, entry: &Entry) -> Type {
    let size = number(entry, dw::DW_AT_byte_size).unwrap_or_default();
    let encoding = match entry.attr_value(dw::DW_AT_encoding) {
        Some(AttributeValue::Encoding(encoding)) => encoding,
        _ => DwAte(0),
    };
    let number = |signed| match size {
        1 | 2 | 4 | 8 => Type::Integer(integer(size, signed)),
        WIDE => Type::wide(signed),
        _ => words(size, Passing::ByMembers),
    };
    match encoding {
        dw::DW_ATE_boolean => number(false).shown(Lens::Bool),
        dw::DW_ATE_signed if name == "wchar_t" => Type::Character(Integer::INT),
        dw::DW_ATE_signed => number(true),
        dw::DW_ATE_signed_char if name == "char" => Type::Character(Integer::CHAR),
        dw::DW_ATE_signed_char => Type::Character(integer(1, true)),
        dw::DW_ATE_unsigned_char if name == "u8" => number(false),
        dw::DW_ATE_unsigned_char => Type::Character(integer(1, false)),
        // g++ 12.
        dw::DW_ATE_unsigned if name == "char8_t" => Type::Character(integer(1, false)),
        dw::DW_ATE_UTF => Type::Character(integer(size, false)),
        dw::DW_ATE_address => Type::addr(),
        dw::DW_ATE_float => match size {
            4 => Type::Real(Real::Single),
            8 => Type::Real(Real::Double),
            12 | 16 if name == "long double" => Type::Real(Real::Extended),
            // `_Float128`, which is in a vector register (psABI 3.2.3).
            WIDE => words(size, Passing::Vector),
            _ => number(false),
        },
        dw::DW_ATE_complex_float => {
            let part = match size {
                8 => Real::Single,
                16 => Real::Double,
                _ => Real::Extended,
            };
            Type::Struct(Arc::new(Struct::new(vec![Type::Real(part); 2])))
        }
        _ if size == 0 && name == "()" => unit(),
        _ if size == 0 => Type::Void,
        _ => number(false),
    }
}

/// Rust's `()`, of which there is only one.
fn unit() -> Type {
    let always = When {
        member: 0,
        values: Vec::new(),
        others: true,
        name: Some("()".into()),
    };
    let value = Type::Void.shown(Lens::When(Arc::new(always)));
    let unit = Struct::announced();
    let laid = Laid {
        offsets: [0].into(),
        size: 0,
        align: 1,
        passing: Passing::ByMembers,
    };
    unit.tell(vec![value], Names::default(), Some(laid));
    Type::Struct(Arc::new(unit)).shown(Lens::Contents)
}

/// A value of another size, as so many words. Those of 16 bytes are aligned by them (psABI, figure 3.1).
fn words(size: u64, passing: Passing) -> Type {
    let count = size.div_ceil(8).min(8);
    let word = Type::Integer(integer(8, false)).shown(Lens::Hex);
    let words = vec![word; count as usize];
    let structure = Struct::announced();
    let laid = Laid {
        offsets: (0..count).map(|n| 8 * n).collect(),
        size: 8 * count,
        align: if size == WIDE { WIDE } else { 8 },
        passing,
    };
    structure.tell(words, Names::default(), Some(laid));
    Type::Struct(Arc::new(structure))
}

/// Bytes of `__int128` and `_Float128`.
const WIDE: u64 = 16;

pub(super) fn integer(size: u64, signed: bool) -> Integer {
    let width = match size {
        1 => Width::W8,
        2 => Width::W16,
        4 => Width::W32,
        _ => Width::W64,
    };
    Integer { width, signed }
}
