//! How Rust passes values between its own functions: not documented, and stable enough in practice. What is one scalar,
//! or two, is passed in as many registers, each by itself; what is larger than two words by its address.

use crate::proto::layout::Model;
use crate::proto::types::{Laid, Passing, Struct, Type};
use std::sync::Arc;

/// So many scalars are looked at.
const MOST: usize = 16;
/// What two registers hold.
const TWO_WORDS: u64 = 16;

/// A parameter as it is passed; `None` when that cannot be told.
pub(super) fn passed(ty: Type) -> Option<Type> {
    let is_large = matches!(ty.unshown(), Type::Struct(s)
        if s.laid().is_some_and(|laid| laid.size > TWO_WORDS));
    match is_large {
        true => Some(ty.pointer()),
        false => returned(ty),
    }
}

/// A result as it is returned.
pub(super) fn returned(ty: Type) -> Option<Type> {
    let Type::Struct(s) = &ty else {
        return Some(ty);
    };
    let Some(laid) = s.laid().filter(|laid| laid.size <= TWO_WORDS) else {
        return Some(ty);
    };
    let mut scalars = Vec::new();
    add(&ty, 0, &mut scalars);
    match &scalars[..] {
        [] if laid.size > 0 => None,
        [(0, _), (second, _)] if *second < 8 => Some(apart(s, laid, *second)),
        _ => Some(ty),
    }
}

/// The same structure with what begins at this offset in a word of its own.
fn apart(s: &Struct, laid: &Laid, second: u64) -> Type {
    let members = s.members().unwrap_or_default();
    let begins = |offset: u64| match offset {
        offset if offset >= second => 8 + offset - second,
        offset => offset,
    };
    // Both scalars may be in one member.
    let is_split = laid.offsets.contains(&second);
    let member = |(ty, offset): (&Type, &u64)| match ty {
        Type::Struct(inner) if !is_split => match inner.laid() {
            Some(laid) => apart(inner, laid, second.saturating_sub(*offset)),
            None => ty.clone(),
        },
        ty => ty.clone(),
    };
    let members = members.iter().zip(&laid.offsets).map(member).collect();
    let apart = Struct::announced();
    apart.tell(
        members,
        s.names().cloned().unwrap_or_default(),
        Some(Laid {
            offsets: laid.offsets.iter().copied().map(begins).collect(),
            size: TWO_WORDS,
            align: 8,
            passing: Passing::ByMembers,
        }),
    );
    Type::Struct(Arc::new(apart))
}

/// The scalars of a type, and where they are.
fn add<'t>(ty: &'t Type, base: u64, scalars: &mut Vec<(u64, &'t Type)>) {
    if scalars.len() >= MOST {
        return;
    }
    match ty.unshown() {
        Type::Struct(s) => {
            for (offset, member) in Model::Lp64.offsets(s) {
                add(member, base.saturating_add(offset), scalars);
            }
        }
        // Three of nothing are more than two scalars.
        Type::Array(..) => scalars.extend([(base, ty); 3]),
        _ => scalars.push((base, ty)),
    }
}
