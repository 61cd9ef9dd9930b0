//! Arrays of any number of dimensions.

use super::super::entries::{At, Entries, Entry, flag, number};
use super::{MOST_STEPS, Types};
use crate::proto::layout::Model;
use crate::proto::types::{Expr, Integer, Laid, Lens, Names, Passing, Struct, Type};
use gimli::constants as dw;
use std::sync::Arc;

impl Types {
    pub(super) fn array(
        &mut self,
        entries: &mut Entries,
        at: &At,
        entry: &Entry,
        steps: usize,
    ) -> Type {
        let mut ty = self.target(entries, at, entry, steps);
        if !ty.is_complete() {
            return Type::Array(Arc::new(Type::Character(Integer::CHAR)), Expr::Number(0));
        }
        let mut lengths: Vec<Option<u64>> = Vec::new();
        for at in at.children(MOST_STEPS) {
            let Some(entry) = at.entry() else {
                continue;
            };
            if entry.tag() == dw::DW_TAG_subrange_type {
                let bound = number(&entry, dw::DW_AT_upper_bound);
                let count = number(&entry, dw::DW_AT_count);
                let bound = bound.filter(|bound| *bound < u64::from(u32::MAX));
                lengths.push(count.or(bound.map(|bound| bound + 1)));
            }
        }
        if flag(entry, dw::DW_AT_GNU_vector) {
            let length = lengths.first().copied().flatten().unwrap_or(0);
            return vector(Type::Array(Arc::new(ty), Expr::Number(length)));
        }
        let is_text = ty == Type::Character(Integer::CHAR);
        for (index, length) in lengths.iter().rev().enumerate() {
            let is_text = is_text && index == 0;
            let shown_length = match length {
                Some(length) if is_text && *length > 0 => {
                    Expr::Zero(Some(Box::new(Expr::Number(*length))))
                }
                // As far as it goes on behind the structure.
                None if is_text => Expr::Zero(None),
                length => Expr::Number(length.unwrap_or(0)),
            };
            ty = Type::Array(Arc::new(ty), shown_length);
            ty = match length {
                _ if is_text => ty.shown(Lens::Text),
                Some(_) => ty,
                None => ty.shown(Lens::Unknown),
            };
        }
        ty
    }
}

/// A vector as compilers have them, which is passed as a whole (psABI 3.2.3, "SSEUP").
fn vector(elements: Type) -> Type {
    let size = Model::Lp64.layout(&elements).size;
    let structure = Struct::announced();
    let laid = Laid {
        offsets: [0].into(),
        size,
        align: size.max(1),
        passing: Passing::Vector,
    };
    structure.tell(vec![elements], Names::default(), Some(laid));
    Type::Struct(Arc::new(structure)).shown(Lens::Contents)
}

/// Whether it is told by the type how a value is passed. It is not of vectors that are larger than the registers that every
/// processor has: that depends on what the code is compiled for. Nor of the ways of 32 bits.
pub(in crate::debug) fn is_passed_as_told(ty: &Type, model: Model) -> bool {
    let is_in_memory = model.layout(ty).size > LARGEST;
    is_in_memory || !has_unknown_vector(ty, model, 0)
}

/// A vector that is larger than the registers that every processor has: where code is compiled for those that have one for it, that is
/// where it is passed. Nothing is known of what is beyond the smaller register that is part of it.
pub(in crate::debug) fn in_larger_register(ty: Type, model: Model) -> Type {
    let is_larger = match ty.unshown() {
        Type::Struct(s) if model == Model::Lp64 => s.laid().is_some_and(|laid| {
            laid.passing == Passing::Vector && matches!(laid.size, 32 | LARGEST)
        }),
        _ => false,
    };
    match is_larger {
        true => {
            let words = Type::Array(Arc::new(Type::Integer(Integer::ULONG)), Expr::Number(2));
            vector(words).shown(Lens::Unknown)
        }
        false => ty,
    }
}

/// Bytes of the largest vector register.
const LARGEST: u64 = 64;
/// Structures are looked at so deep.
const DEEPEST: usize = 16;

fn has_unknown_vector(ty: &Type, model: Model, depth: usize) -> bool {
    match ty.unshown() {
        Type::Struct(s) if s.laid().is_some_and(|laid| laid.passing == Passing::Vector) => {
            model == Model::Ilp32 || !matches!(model.layout(ty).size, 8 | 16)
        }
        Type::Struct(s) if depth < DEEPEST => {
            let mut members = s.members().unwrap_or_default().iter();
            members.any(|member| has_unknown_vector(member, model, depth + 1))
        }
        Type::Array(element, _) => has_unknown_vector(element, model, depth + 1),
        _ => false,
    }
}
