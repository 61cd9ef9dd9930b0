//! Members of library types, found by their names.

use super::super::entries::{At, Entries, number};
use gimli::constants as dw;

/// So many members are looked at, and so deep members lie in each other.
const MOST_MEMBERS: usize = 2048;
const MOST_DEPTH: usize = 16;
/// So many types a template is given.
const MOST_PARAMETERS: usize = 64;

/// Where a member of members is, and of which type; members of bases, and of members without names, count as a class's
/// own.
pub(super) fn member(entries: &mut Entries, class: &At, path: &[&str]) -> Option<(u64, At)> {
    let mut found = (0, class.clone());
    for name in path {
        let (offset, at) = inside(entries, &found.1, name, 0)?;
        found = (found.0 + offset, at);
    }
    Some(found)
}

fn inside(entries: &mut Entries, class: &At, name: &str, depth: usize) -> Option<(u64, At)> {
    if depth > MOST_DEPTH {
        return None;
    }
    let class = plain(entries, class.clone())?;
    let mut others = Vec::new();
    for at in class.children(MOST_MEMBERS) {
        let entry = at.entry()?;
        let is_base = entry.tag() == dw::DW_TAG_inheritance;
        if !is_base && entry.tag() != dw::DW_TAG_member {
            continue;
        }
        let offset = number(&entry, dw::DW_AT_data_member_location).unwrap_or(0);
        let Some(ty) = entries.follow(&at, &entry, dw::DW_AT_type) else {
            continue;
        };
        match entries.text(&at, &entry, dw::DW_AT_name) {
            Some(called) if called == name => return Some((offset, ty)),
            Some(_) if !is_base => {}
            _ => others.push((offset, ty)),
        }
    }
    others.into_iter().find_map(|(offset, other)| {
        let (inner, ty) = inside(entries, &other, name, depth + 1)?;
        Some((offset.checked_add(inner)?, ty))
    })
}

/// The type behind names and qualifiers.
pub(super) fn plain(entries: &mut Entries, mut at: At) -> Option<At> {
    for _ in 0..MOST_DEPTH {
        let entry = at.entry()?;
        match entry.tag() {
            dw::DW_TAG_typedef | dw::DW_TAG_const_type | dw::DW_TAG_volatile_type => {
                at = entries.follow(&at, &entry, dw::DW_AT_type)?;
            }
            _ => return Some(at),
        }
    }
    None
}

/// How many bytes a type has.
pub(super) fn size(entries: &mut Entries, ty: At) -> Option<u64> {
    number(&plain(entries, ty)?.entry()?, dw::DW_AT_byte_size)
}

/// What a pointer points to.
pub(super) fn target(entries: &mut Entries, pointer: At) -> Option<At> {
    let pointer = plain(entries, pointer)?;
    let entry = pointer.entry()?;
    entries.follow(&pointer, &entry, dw::DW_AT_type)
}

/// The type that stands for a template's parameter.
pub(super) fn parameter(entries: &mut Entries, class: &At, name: &str) -> Option<At> {
    let class = plain(entries, class.clone())?;
    for at in class.children(MOST_MEMBERS) {
        let entry = at.entry()?;
        if entry.tag() == dw::DW_TAG_template_type_parameter
            && entries.text(&at, &entry, dw::DW_AT_name).as_deref() == Some(name)
        {
            return entries.follow(&at, &entry, dw::DW_AT_type);
        }
    }
    None
}

/// The types that stand for a template's parameters, however many it takes.
pub(super) fn pack(entries: &mut Entries, class: &At) -> Vec<At> {
    let children = class.children(MOST_MEMBERS).into_iter();
    let is_pack = |at: &At| {
        let tag = at.entry().map(|entry| entry.tag());
        tag == Some(dw::DW_TAG_GNU_template_parameter_pack)
    };
    let Some(pack) = children.filter(is_pack).last() else {
        return Vec::new();
    };
    let parameters = pack.children(MOST_PARAMETERS).into_iter();
    let types = parameters.filter_map(|at| entries.follow(&at, &at.entry()?, dw::DW_AT_type));
    types.collect()
}

/// The elements of a tuple with their places: each is in a member of this name, in bases of bases, of which the later ones
/// are looked at first.
pub(super) fn heads(entries: &mut Entries, class: &At, name: &str) -> Vec<(At, u64)> {
    let mut found = Vec::new();
    let mut classes = vec![(0_u64, class.clone())];
    for _ in 0..2 * MOST_PARAMETERS {
        let Some((base, class)) = classes.pop() else {
            break;
        };
        let class = plain(entries, class);
        for at in class.iter().flat_map(|class| class.children(MOST_MEMBERS)) {
            let Some(entry) = at.entry() else {
                continue;
            };
            let offset = number(&entry, dw::DW_AT_data_member_location).unwrap_or(0);
            let offset = base.saturating_add(offset);
            let Some(ty) = entries.follow(&at, &entry, dw::DW_AT_type) else {
                continue;
            };
            let called = entries.text(&at, &entry, dw::DW_AT_name);
            match entry.tag() {
                dw::DW_TAG_member if called.as_deref() == Some(name) => found.push((ty, offset)),
                dw::DW_TAG_inheritance => classes.push((offset, ty)),
                _ => {}
            }
        }
    }
    found
}
