//! Where members are.

use super::super::entries::{At, Entry, number};
use crate::proto::types::{Part, Type};
use gimli::{AttributeValue, Expression, Operation, constants as dw};

/// Where a member is: a number, or in DWARF 2 what is to be added.
pub(super) fn member_location(at: &At, entry: &Entry) -> Option<u64> {
    let expression = match entry.attr_value(dw::DW_AT_data_member_location) {
        None => return Some(0),
        Some(AttributeValue::Exprloc(expression)) => expression,
        Some(AttributeValue::Block(bytes)) => Expression(bytes),
        Some(_) => return number(entry, dw::DW_AT_data_member_location),
    };
    let mut operations = expression.operations(at.unit.encoding());
    match (operations.next(), operations.next()) {
        (Ok(Some(Operation::PlusConstant { value })), Ok(None)) => Some(value),
        _ => None,
    }
}

/// Where a bit-field is: DWARF 4 and 5 count from the structure's beginning, DWARF 2 from the other end of its type.
pub(super) fn bit_field(
    entry: &Entry,
    offset: u64,
    bits: u64,
    size: Option<u64>,
    ty: &Type,
) -> Option<(u64, Part)> {
    let bits = u8::try_from(bits)
        .ok()
        .filter(|bits| (1..=64).contains(bits))?;
    let from = match number(entry, dw::DW_AT_data_bit_offset) {
        Some(from) => from,
        None => {
            let storage = number(entry, dw::DW_AT_byte_size).or(size).unwrap_or(4);
            // It may be negative, of a field that leaves its type.
            let above = number(entry, dw::DW_AT_bit_offset)?;
            let from = storage
                .wrapping_mul(8)
                .wrapping_sub(above)
                .wrapping_sub(bits.into());
            offset.checked_mul(8)?.wrapping_add(from)
        }
    };
    let first = (from % 8) as u8;
    let bytes = (u32::from(first) + u32::from(bits)).div_ceil(8);
    let signed = match ty.unshown() {
        Type::Integer(integer) | Type::Character(integer) => integer.signed,
        _ => false,
    };
    let part = Part {
        bytes: u8::try_from(bytes).ok().filter(|bytes| *bytes <= 8)?,
        from: first,
        bits,
        signed,
    };
    Some((from / 8, part))
}

/// A bit-field of a type, shown as that is.
pub(super) fn with_part(ty: Type, part: Part) -> Type {
    match ty {
        Type::Shown(lens, _) => Type::Part(part).shown(lens),
        _ => Type::Part(part),
    }
}
