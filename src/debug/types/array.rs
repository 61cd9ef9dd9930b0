//! Arrays of any number of dimensions.

use super::super::entries::{At, Entries, Entry, number};
use super::{MOST_STEPS, Types};
use crate::proto::types::{Expr, Integer, Lens, Type};
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
