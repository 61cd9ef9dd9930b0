//! Library types that are shown as what they hold: strings, sequences, smart pointers of C++ and Rust. What they are is
//! told by their names, where things lie in them by their members.

use super::entries::{At, Entries, number};
use crate::proto::held::Held;
use crate::proto::types::{Passing, Type};
use gimli::constants as dw;

/// So many members are looked at, and so deep members lie in each other.
const MOST_MEMBERS: usize = 2048;
const MOST_DEPTH: usize = 8;

/// What a type holds, and where.
pub(super) struct Found {
    what: What,
    size: u64,
    passing: Passing,
}

enum What {
    /// Characters, and how many there are.
    Text { at: u64, length: u64 },
    /// Elements of this type, and how many there are.
    Counted { of: At, at: u64, length: u64 },
    /// Elements of this type, up to another address.
    Spanned { of: At, at: u64, end: u64 },
    /// One thing of this type.
    One { of: At, at: u64 },
}

/// What a structure of this name holds; `None` of most.
pub(super) fn held(entries: &mut Entries, class: &At, name: &str) -> Option<Found> {
    let size = number(&class.entry()?, dw::DW_AT_byte_size)?;
    let (what, passing) = what(entries, class, name)?;
    Some(Found {
        what,
        size,
        passing,
    })
}

fn what(entries: &mut Entries, class: &At, name: &str) -> Option<(What, Passing)> {
    let generic = name.split('<').next().unwrap_or_default();
    match generic {
        "basic_string" if name.starts_with("basic_string<char,") => {
            let text = What::Text {
                // clang leaves out what some other unit tells: the pointer is all that is in it.
                at: member(entries, class, &["_M_dataplus", "_M_p"])
                    .or_else(|| member(entries, class, &["_M_dataplus"]))?
                    .0,
                length: member(entries, class, &["_M_string_length"])?.0,
            };
            Some((text, Passing::InMemory))
        }
        "basic_string_view" if name.starts_with("basic_string_view<char,") => {
            let text = What::Text {
                at: member(entries, class, &["_M_str"])?.0,
                length: member(entries, class, &["_M_len"])?.0,
            };
            Some((text, Passing::ByMembers))
        }
        "vector" if !name.starts_with("vector<bool") => {
            let (at, pointer) = member(entries, class, &["_M_impl", "_M_start"])?;
            let spanned = What::Spanned {
                of: target(entries, pointer)?,
                at,
                end: member(entries, class, &["_M_impl", "_M_finish"])?.0,
            };
            Some((spanned, Passing::InMemory))
        }
        "unique_ptr" | "shared_ptr" => {
            let of = parameter(entries, class, &["_Tp"])?;
            let is_plain = of.entry()?.tag() != dw::DW_TAG_array_type;
            let one = What::One { of, at: 0 };
            is_plain.then_some((one, Passing::InMemory))
        }
        "&str" | "&mut str" => {
            let text = What::Text {
                at: member(entries, class, &["data_ptr"])?.0,
                length: member(entries, class, &["length"])?.0,
            };
            Some((text, Passing::ByMembers))
        }
        "String" => {
            let text = What::Text {
                at: member(entries, class, RUST_POINTER_OF_STRING)?.0,
                length: member(entries, class, &["vec", "len"])?.0,
            };
            Some((text, Passing::ByMembers))
        }
        "Vec" => {
            let counted = What::Counted {
                of: parameter(entries, class, &["T"])?,
                at: member(entries, class, &RUST_POINTER_OF_STRING[1..])?.0,
                length: member(entries, class, &["len"])?.0,
            };
            Some((counted, Passing::ByMembers))
        }
        _ if name.starts_with("&[") || name.starts_with("&mut [") => {
            let (at, pointer) = member(entries, class, &["data_ptr"])?;
            let counted = What::Counted {
                of: target(entries, pointer)?,
                at,
                length: member(entries, class, &["length"])?.0,
            };
            Some((counted, Passing::ByMembers))
        }
        _ => None,
    }
}

/// Since Rust 1.83; before that, what `inner` holds was `buf`'s own.
const RUST_POINTER_OF_STRING: &[&str] = &["vec", "buf", "inner", "ptr", "pointer", "pointer"];

impl Found {
    /// The type that shows it, by the types of entries.
    pub(super) fn shown(self, mut get: impl FnMut(&At) -> Type) -> Type {
        let held = match self.what {
            What::Text { at, length } => Held::Text { at, length },
            What::Counted { of, at, length } => {
                let of = get(&of);
                Held::Counted { of, at, length }
            }
            What::Spanned { of, at, end } => {
                let of = get(&of);
                Held::Spanned { of, at, end }
            }
            What::One { of, at } => {
                let of = get(&of).pointer();
                Held::Value { of, at }
            }
        };
        held.shown(self.size, self.passing)
    }
}

/// Where a member of members is, and of which type; members of bases count as a class's own.
fn member(entries: &mut Entries, class: &At, path: &[&str]) -> Option<(u64, At)> {
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
    let mut bases = Vec::new();
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
        if is_base {
            bases.push((offset, ty));
        } else if entries.text(&at, &entry, dw::DW_AT_name).as_deref() == Some(name) {
            return Some((offset, ty));
        }
    }
    bases.into_iter().find_map(|(offset, base)| {
        let (inner, ty) = inside(entries, &base, name, depth + 1)?;
        Some((offset.checked_add(inner)?, ty))
    })
}

/// The type behind names and qualifiers.
fn plain(entries: &mut Entries, mut at: At) -> Option<At> {
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

/// What a pointer points to.
fn target(entries: &mut Entries, pointer: At) -> Option<At> {
    let pointer = plain(entries, pointer)?;
    let entry = pointer.entry()?;
    entries.follow(&pointer, &entry, dw::DW_AT_type)
}

/// The type that stands for a template's parameter.
fn parameter(entries: &mut Entries, class: &At, names: &[&str]) -> Option<At> {
    for at in class.children(MOST_MEMBERS) {
        let entry = at.entry()?;
        if entry.tag() == dw::DW_TAG_template_type_parameter {
            let name = entries.text(&at, &entry, dw::DW_AT_name);
            if name.is_some_and(|name| names.contains(&name.as_str())) {
                return entries.follow(&at, &entry, dw::DW_AT_type);
            }
        }
    }
    None
}
