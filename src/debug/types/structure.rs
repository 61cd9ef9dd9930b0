//! Structures, unions and classes: their members, and where these lie.

use super::super::entries::{At, Entries, Entry, flag, number};
use super::member::{bit_field, member_location, with_part};
use super::passing::{calling_convention, copies_or_destroys, is_in_memory};
use super::{MOST_MEMBERS, Types, variants};
use crate::proto::layout::Model;
use crate::proto::types::{Laid, Lens, Names, Passing, Struct, Type};
use gimli::constants as dw;
use std::sync::Arc;

/// So many other things a class has besides.
const MOST_CHILDREN: usize = 4096;
/// So many types are in a structure by value.
const MOST_WEIGHT: usize = 4096;

/// Members on their way into a structure.
#[derive(Default)]
pub(super) struct Members {
    types: Vec<Type>,
    offsets: Vec<u64>,
    names: Vec<Arc<str>>,
    /// Objects point to a table of virtual functions.
    is_polymorphic: bool,
    /// One of them is a structure that this one is part of by some detour, and so holds a pointer.
    is_recursive: bool,
}

impl Members {
    /// Adds one that has no name.
    pub(super) fn push(&mut self, ty: Type, offset: u64) {
        self.types.push(ty);
        self.offsets.push(offset);
        self.names.push("".into());
    }

    pub(super) fn len(&self) -> usize {
        self.types.len()
    }
}

impl Types {
    /// A structure by value: its members are needed at once.
    pub(super) fn structure(
        &mut self,
        entries: &mut Entries,
        at: &At,
        entry: &Entry,
        steps: usize,
    ) -> Type {
        // Something in it may be of its own type, in a damaged file: that has no members then.
        let structure = self.structure_at(at);
        let is_nearer = self.is_nearer(at, entry, self.depth);
        // What waits to be read because something points to it is needed now.
        if self.unread.remove(&at.key()) || is_nearer {
            let nearest = self.depths.get(&at.key()).copied();
            let depth = self.depth;
            self.depth = nearest.unwrap_or(depth).min(depth);
            self.tell(entries, at, &structure, steps + 1);
            self.depth = depth;
        }
        variants::shown(at, structure)
    }

    pub(super) fn tell(
        &mut self,
        entries: &mut Entries,
        at: &At,
        structure: &Struct,
        steps: usize,
    ) {
        let Some(entry) = at.entry() else {
            return;
        };
        let Some(size) = number(&entry, dw::DW_AT_byte_size) else {
            return;
        };
        let mut members = Members::default();
        let mut passing = calling_convention(&entry);
        let class = at;
        for at in class.children(MOST_CHILDREN) {
            let Some(entry) = at.entry() else {
                continue;
            };
            match entry.tag() {
                dw::DW_TAG_member | dw::DW_TAG_inheritance
                    if members.types.len() < MOST_MEMBERS =>
                {
                    self.member(entries, &at, &entry, steps, &mut members);
                }
                dw::DW_TAG_variant_part => {
                    self.variants(entries, &at, &entry, steps, &mut members);
                }
                dw::DW_TAG_subprogram if passing.is_none() => {
                    let does = copies_or_destroys(entries, class, &at, &entry);
                    passing = does.then_some(Passing::InMemory);
                }
                _ => {}
            }
        }
        let has_other = || members.types.iter().any(is_in_memory);
        let passing = passing.unwrap_or(match members.is_polymorphic || has_other() {
            true => Passing::InMemory,
            false => Passing::ByMembers,
        });
        let weights = members.types.iter().map(|ty| self.weight(ty));
        let weight = weights.sum::<usize>() + 1;
        if weight > MOST_WEIGHT {
            members = Members::default();
        }
        self.weights
            .insert(std::ptr::from_ref(structure), weight.min(MOST_WEIGHT));
        let align = number(&entry, dw::DW_AT_alignment);
        let align = align.unwrap_or_else(|| natural_alignment(&members, size));
        let laid = Laid {
            offsets: members.offsets.into(),
            size,
            align,
            passing,
        };
        structure.tell(members.types, names(members.names), Some(laid));
    }

    fn weight(&self, ty: &Type) -> usize {
        match ty {
            Type::Struct(s) => self.weights.get(&Arc::as_ptr(s)).copied().unwrap_or(1),
            Type::Array(ty, _) | Type::Shown(_, ty) => self.weight(ty),
            _ => 1,
        }
    }

    fn member(
        &mut self,
        entries: &mut Entries,
        at: &At,
        entry: &Entry,
        steps: usize,
        members: &mut Members,
    ) {
        // Those of a class, and not of its objects.
        if flag(entry, dw::DW_AT_external) || flag(entry, dw::DW_AT_declaration) {
            return;
        }
        let Some(to) = entries.follow(at, entry, dw::DW_AT_type) else {
            return;
        };
        let mut ty = self.at(entries, &to, steps + 1);
        let size = to.entry().and_then(|to| number(&to, dw::DW_AT_byte_size));
        let name = entries.text(at, entry, dw::DW_AT_name).unwrap_or_default();
        // Where a virtual base is, only the object knows.
        let Some(offset) = member_location(at, entry) else {
            return;
        };
        let offset = match number(entry, dw::DW_AT_bit_size) {
            Some(bits) => {
                let Some((offset, part)) = bit_field(entry, offset, bits, size, &ty) else {
                    return;
                };
                ty = with_part(ty, part);
                offset
            }
            None => offset,
        };
        if name.starts_with("_vptr") {
            ty = ty.shown(Lens::Hide);
            members.is_polymorphic = true;
        }
        if !ty.is_complete() {
            members.is_recursive |= matches!(ty, Type::Struct(_));
            return;
        }
        members.types.push(ty);
        members.offsets.push(offset);
        members.names.push(name.into());
    }
}

/// What members are called: those of tuples are not.
fn names(names: Vec<Arc<str>>) -> Names {
    let is_numbered = |name: &str| {
        let number = name.strip_prefix("__").unwrap_or(name);
        number.bytes().all(|byte| byte.is_ascii_digit())
    };
    match names.iter().all(|name| is_numbered(name)) {
        true => Names::default(),
        false => names.into(),
    }
}

/// What a structure of this size is aligned to, which is not told unless its source says it: as its members are, but for
/// packed ones.
fn natural_alignment(members: &Members, size: u64) -> u64 {
    let aligned = members.types.iter().zip(&members.offsets);
    let aligns = aligned.map(|(ty, offset)| {
        let align = Model::Lp64.layout(ty).align.max(1);
        match offset.is_multiple_of(align) {
            true => align,
            false => 1,
        }
    });
    let align = aligns.max().unwrap_or(1);
    let align = if members.is_recursive { 8 } else { align };
    // The size is a multiple of it.
    let by_size = 1_u64.checked_shl(size.trailing_zeros());
    align.min(by_size.unwrap_or(u64::MAX))
}
