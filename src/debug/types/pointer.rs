//! Pointers: what they lead to is read later, as it may lead back.

use super::super::entries::{At, Entries, Entry, flag};
use super::{MOST_DEPTH, MOST_STEPS, Types, variants};
use crate::proto::types::{Expr, Integer, Struct, Type, Width};
use gimli::constants as dw;
use std::sync::Arc;

impl Types {
    pub(super) fn pointer(
        &mut self,
        entries: &mut Entries,
        at: &At,
        entry: &Entry,
        steps: usize,
    ) -> Type {
        let Some(mut to) = entries.follow(at, entry, dw::DW_AT_type) else {
            return Type::addr();
        };
        let is_reference = entry.tag() != dw::DW_TAG_pointer_type;
        // A structure may lead back to here: it is read later.
        for _ in 0..MOST_STEPS {
            let Some(target) = to.entry() else {
                return Type::addr();
            };
            if let Some(told) = entries.follow(&to, &target, dw::DW_AT_signature) {
                to = told;
                continue;
            }
            match target.tag() {
                dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => {
                    let name = entries.text(&to, &target, dw::DW_AT_name);
                    let name = name.unwrap_or_default();
                    let other = (self.named)(&name).or_else(|| self.system(&to, &name));
                    let other = other.or_else(|| self.contents(entries, &to, &name));
                    return other
                        .unwrap_or_else(|| self.waited_for(&to, &target))
                        .pointer();
                }
                dw::DW_TAG_subroutine_type => return Type::addr(),
                dw::DW_TAG_typedef
                | dw::DW_TAG_const_type
                | dw::DW_TAG_volatile_type
                | dw::DW_TAG_restrict_type => {
                    let name = entries.text(&to, &target, dw::DW_AT_name);
                    let named = |name: &str| (self.named)(name).or_else(|| self.system(&to, name));
                    if let Some(ty) = name.as_deref().and_then(named) {
                        return text_or_pointer(ty, is_reference);
                    }
                    // In C what it stands for is a number.
                    if name.as_deref() == Some("wchar_t") {
                        break;
                    }
                    match entries.follow(&to, &target, dw::DW_AT_type) {
                        Some(next) => to = next,
                        None => return Type::addr(),
                    }
                }
                _ => break,
            }
        }
        text_or_pointer(self.at(entries, &to, steps + 1), is_reference)
    }

    /// A structure that is pointed to.
    fn waited_for(&mut self, at: &At, entry: &Entry) -> Type {
        let structure = self.structure_at(at);
        let depth = self.depth + 1;
        if depth <= MOST_DEPTH && self.is_nearer(at, entry, depth) {
            self.unread.insert(at.key());
            self.waiting.push_back((at.clone(), structure.clone()));
        }
        variants::shown(at, structure)
    }

    pub(super) fn structure_at(&mut self, at: &At) -> Arc<Struct> {
        let new = || Type::Struct(Arc::new(Struct::announced()));
        match self.known.entry(at.key()).or_insert_with(new) {
            Type::Struct(structure) => structure.clone(),
            _ => Arc::new(Struct::announced()),
        }
    }

    /// Whether a structure has not been read from so near: what it leads to is to be read then, too.
    pub(super) fn is_nearer(&mut self, at: &At, entry: &Entry, depth: usize) -> bool {
        let key = at.key();
        let known = self.depths.get(&key);
        let is_nearer = known.is_none_or(|known| depth < *known);
        if !is_nearer || flag(entry, dw::DW_AT_declaration) {
            return false;
        }
        self.depths.insert(key, depth);
        true
    }

    /// Itanium C++ ABI 2.3: an offset, or an address and what is added to `this`.
    pub(super) fn pointer_to_member(
        &mut self,
        entries: &mut Entries,
        at: &At,
        entry: &Entry,
    ) -> Type {
        let to = entries.follow(at, entry, dw::DW_AT_type);
        let tag = to.and_then(|to| Some(to.entry()?.tag()));
        match tag {
            Some(dw::DW_TAG_subroutine_type) => {
                let members = vec![Type::addr(), Type::Integer(Integer::LONG)];
                Type::Struct(Arc::new(Struct::new(members)))
            }
            _ => Type::Integer(Integer::LONG),
        }
    }
}

/// A pointer to characters of C is text. So is one to those of UTF-16 and UTF-32.
fn text_or_pointer(to: Type, is_reference: bool) -> Type {
    match to {
        Type::Character(Integer::CHAR) if !is_reference => Type::string(),
        Type::Character(integer) if integer.width != Width::W8 && !is_reference => {
            Type::text(to, Expr::Zero(None))
        }
        to => to.pointer(),
    }
}
