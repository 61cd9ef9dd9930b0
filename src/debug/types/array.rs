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
        let mut lengths = Vec::new();
        for at in at.children(MOST_STEPS) {
            let Some(entry) = at.entry() else {
                continue;
            };
            if entry.tag() == dw::DW_TAG_subrange_type {
                let bound = number(&entry, dw::DW_AT_upper_bound);
                let count = number(&entry, dw::DW_AT_count);
                let bound = bound.filter(|bound| *bound < u64::from(u32::MAX));
                lengths.push(count.or(bound.map(|bound| bound + 1)).unwrap_or(0));
            }
        }
        if flag(entry, dw::DW_AT_GNU_vector) {
            let is_64_bits = at.unit.encoding().address_size == 8;
            let length = lengths.first().copied().unwrap_or(0);
            return vector(Type::Array(Arc::new(ty), Expr::Number(length)), is_64_bits);
        }
        let is_text = ty == Type::Character(Integer::CHAR);
        for (index, length) in lengths.iter().rev().enumerate() {
            let length = match is_text && index == 0 && *length > 0 {
                true => Expr::Zero(Some(Box::new(Expr::Number(*length)))),
                false => Expr::Number(*length),
            };
            ty = Type::Array(Arc::new(ty), length);
            if is_text && index == 0 {
                ty = ty.shown(Lens::Text);
            }
        }
        ty
    }
}

/// A vector as compilers have them, which is passed as a whole (psABI 3.2.3, "SSEUP"). Nothing is known of one that is
/// larger than the registers that every processor has, or of the ways of 32 bits.
fn vector(elements: Type, is_64_bits: bool) -> Type {
    let size = Model::Lp64.layout(&elements).size;
    let structure = Struct::announced();
    if is_64_bits && [8, 16].contains(&size) {
        let laid = Laid {
            offsets: [0].into(),
            size,
            align: size,
            passing: Passing::Vector,
        };
        structure.tell(vec![elements], Names::default(), Some(laid));
    }
    Type::Struct(Arc::new(structure)).shown(Lens::Contents)
}
