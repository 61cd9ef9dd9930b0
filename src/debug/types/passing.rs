//! How values of a class are passed, where not by its members.

use super::super::entries::{At, Entries, Entry, flag, number};
use crate::proto::types::{Passing, Type};
use gimli::{AttributeValue, constants as dw};

/// DWARF 5, 5.7.1.1; not all compilers say it.
pub(super) fn calling_convention(entry: &Entry) -> Option<Passing> {
    match entry.attr_value(dw::DW_AT_calling_convention)? {
        AttributeValue::CallingConvention(dw::DW_CC_pass_by_reference) => Some(Passing::InMemory),
        AttributeValue::CallingConvention(dw::DW_CC_pass_by_value) => Some(Passing::ByMembers),
        _ => None,
    }
}

/// Whether a function of a class makes its objects more than their bytes (Itanium C++ ABI 1.1, "non-trivial for the
/// purposes of calls"): one that copies, moves or destroys them, and that its source defines.
pub(super) fn copies_or_destroys(
    entries: &mut Entries,
    class: &At,
    at: &At,
    entry: &Entry,
) -> bool {
    let is_written =
        number(entry, dw::DW_AT_defaulted).unwrap_or(0) == 0 && !flag(entry, dw::DW_AT_deleted);
    if !is_written {
        return false;
    }
    let name = entries.text(at, entry, dw::DW_AT_name).unwrap_or_default();
    if name.starts_with('~') {
        return true;
    }
    let own = class
        .entry()
        .and_then(|entry| entries.text(class, &entry, dw::DW_AT_name));
    let own = own.unwrap_or_default();
    if own.split('<').next() != Some(&name) {
        return false;
    }
    // `this`, and what is copied.
    let params = at.children(3);
    let Some(second) = params.get(1).filter(|_| params.len() == 2) else {
        return false;
    };
    let Some(mut ty) = second
        .entry()
        .and_then(|e| entries.follow(second, &e, dw::DW_AT_type))
    else {
        return false;
    };
    for _ in 0..3 {
        if ty.key() == class.key() {
            return true;
        }
        let next = ty.entry().filter(|entry| {
            matches!(
                entry.tag(),
                dw::DW_TAG_reference_type
                    | dw::DW_TAG_rvalue_reference_type
                    | dw::DW_TAG_const_type
            )
        });
        let Some(next) = next.and_then(|entry| entries.follow(&ty, &entry, dw::DW_AT_type)) else {
            return false;
        };
        ty = next;
    }
    false
}

/// Whether a member or base is a class that is more than its bytes.
pub(super) fn is_in_memory(ty: &Type) -> bool {
    match ty {
        Type::Struct(s) => s
            .laid()
            .is_some_and(|laid| laid.passing == Passing::InMemory),
        Type::Array(ty, _) | Type::Shown(_, ty) => is_in_memory(ty),
        _ => false,
    }
}
