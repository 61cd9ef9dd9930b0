//! Enumerations, and the names of their numbers.

use super::super::entries::{At, Entries, Entry, number};
use super::base::integer;
use super::{MOST_MEMBERS, Types};
use crate::proto::types::{Integer, Name, Type, named_numbers};
use gimli::{AttributeValue, constants as dw};

impl Types {
    pub(super) fn enumeration(
        &mut self,
        entries: &mut Entries,
        at: &At,
        entry: &Entry,
        steps: usize,
    ) -> Type {
        if let Some(known) = self.known.get(&at.key()) {
            return known.clone();
        }
        let target = self.target(entries, at, entry, steps);
        let integer = match target.unshown() {
            Type::Integer(integer) | Type::Character(integer) => *integer,
            _ => integer(number(entry, dw::DW_AT_byte_size).unwrap_or(4), false),
        };
        let mut names = Vec::new();
        let mut is_signed = integer.signed;
        for at in at.children(MOST_MEMBERS) {
            let Some(entry) = at.entry().filter(|e| e.tag() == dw::DW_TAG_enumerator) else {
                continue;
            };
            let (Some(name), Some(value)) = (
                entries.text(&at, &entry, dw::DW_AT_name),
                number(&entry, dw::DW_AT_const_value),
            ) else {
                continue;
            };
            let has_sign = matches!(
                entry.attr_value(dw::DW_AT_const_value),
                Some(AttributeValue::Sdata(n)) if n < 0
            );
            is_signed |= has_sign;
            names.push(Name {
                name: name.into(),
                value,
                mask: value,
            });
        }
        let ty = Type::Integer(Integer {
            signed: is_signed,
            ..integer
        });
        let ty = ty.shown(named_numbers(names));
        self.known.insert(at.key(), ty.clone());
        ty
    }
}
