//! Types that are one of several cases, as a number in them tells: Rust's enumerations that hold something (DWARF 5,
//! 5.7.10). The number may be part of what one of the cases holds.

use super::super::entries::{At, Entries, Entry, number};
use super::base::integer;
use super::member::member_location;
use super::structure::Members;
use super::{MOST_MEMBERS, Types};
use crate::proto::types::{Lens, Struct, Type, When};
use gimli::constants as dw;
use std::sync::Arc;

/// Where the cases stand among what a structure consists of.
const FIRST: usize = 4;

/// A structure, shown as the case that it is if there are several.
pub(super) fn shown(at: &At, structure: Arc<Struct>) -> Type {
    let ty = Type::Struct(structure);
    match at.children(FIRST).iter().any(is_variant_part) {
        true => ty.shown(Lens::Contents),
        false => ty,
    }
}

fn is_variant_part(at: &At) -> bool {
    at.entry()
        .is_some_and(|entry| entry.tag() == dw::DW_TAG_variant_part)
}

/// A case: its number, if it is not that of all other numbers, where what it holds is described, and where it lies.
struct Case {
    value: Option<u64>,
    name: Arc<str>,
    of: Type,
    offset: u64,
}

impl Types {
    /// Adds the number that tells, and what all cases hold.
    pub(super) fn variants(
        &mut self,
        entries: &mut Entries,
        at: &At,
        entry: &Entry,
        steps: usize,
        members: &mut Members,
    ) {
        let told = tag(entries, at, entry);
        let bits = told.as_ref().map_or(64, |(_, size)| 8 * size.clamp(&1, &8));
        let mask = u64::MAX >> (64 - bits);
        let mut teller = 0;
        if let Some((offset, size)) = told {
            members.push(
                Type::Integer(integer(size, false)).shown(Lens::Hide),
                offset,
            );
            teller = members.len();
        }
        let mut cases = Vec::new();
        for at in at.children(MOST_MEMBERS) {
            cases.extend(self.variant(entries, &at, steps));
        }
        let known = cases.iter().filter_map(|case| case.value);
        let known: Vec<(u64, u64)> = known.map(|value| (value & mask, value & mask)).collect();
        let when = |value: Option<u64>, name| {
            let when = When {
                member: teller,
                values: value.map_or(known.clone(), |value| vec![(value & mask, value & mask)]),
                others: value.is_none(),
                name: Some(name),
            };
            Lens::When(Arc::new(when))
        };
        let is_complete = cases.iter().any(|case| case.value.is_none());
        for case in cases {
            members.push(case.of.shown(when(case.value, case.name)), case.offset);
        }
        if !is_complete {
            members.push(Type::Void.shown(when(None, "invalid".into())), 0);
        }
    }

    fn variant(&mut self, entries: &mut Entries, at: &At, steps: usize) -> Option<Case> {
        let entry = at.entry().filter(|e| e.tag() == dw::DW_TAG_variant)?;
        let value = number(&entry, dw::DW_AT_discr_value);
        // A case without number, or with one that is too large to be told, or with a list of them.
        let is_other = entry.attr(dw::DW_AT_discr_value).is_none();
        if entry.attr(dw::DW_AT_discr_list).is_some() || (value.is_none() && !is_other) {
            return None;
        }
        let children = at.children(FIRST).into_iter();
        let mut members = children.filter_map(|at| {
            let entry = at.entry().filter(|e| e.tag() == dw::DW_TAG_member)?;
            Some((at, entry))
        });
        let (at, entry) = members.next()?;
        let to = entries.follow(&at, &entry, dw::DW_AT_type)?;
        Some(Case {
            value,
            name: entries.text(&at, &entry, dw::DW_AT_name)?.into(),
            of: self.at(entries, &to, steps + 1),
            offset: member_location(&at, &entry)?,
        })
    }
}

/// Where the number is that tells, and its size.
fn tag(entries: &mut Entries, at: &At, entry: &Entry) -> Option<(u64, u64)> {
    let member = entries.follow(at, entry, dw::DW_AT_discr)?;
    let entry = member.entry()?;
    let ty = entries.follow(&member, &entry, dw::DW_AT_type)?;
    let size = number(&ty.entry()?, dw::DW_AT_byte_size)?;
    Some((member_location(&member, &entry)?, size))
}
