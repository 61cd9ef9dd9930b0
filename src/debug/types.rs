//! Types as debug information tells them, in the terms of prototypes.

mod array;
mod base;
mod enumeration;
mod member;
mod passing;
mod pointer;
mod structure;
mod variants;

use super::contents;
use super::entries::{At, Entries, Entry, Key, number};
use crate::proto::layout::Model;
use crate::proto::types::{Integer, Laid, Lens, Names, Passing, Struct, Type};
pub(super) use array::{in_larger_register, is_passed_as_told};
use base::base;
use gimli::constants as dw;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Types that are meant to be shown in another way than their debug information says, by their names.
pub type Named = Box<dyn Fn(&str) -> Option<Type> + Send>;

/// So many qualifiers, names and pointers lead from one type to another.
const MOST_STEPS: usize = 32;
/// So many members a structure has, and so many names an enumeration.
const MOST_MEMBERS: usize = 512;
/// As far as structures that are pointed to are read at once. Those that are beyond have no members until a function is
/// asked for that leads to them.
const MOST_DEPTH: usize = 3;
/// So many structures are read for one function.
const MOST_STRUCTURES: usize = 256;

/// The types of a module, as far as they have been read.
pub(super) struct Types {
    named: Named,
    /// The same of structures, which may be larger than this tells.
    system: Named,
    /// Structures and enumerations.
    known: HashMap<Key, Type>,
    /// By how many pointers structures are away from a function that leads to them, at least, of those that have been read.
    depths: HashMap<Key, usize>,
    /// Structures that are pointed to, and whose members are to be read.
    waiting: VecDeque<(At, Arc<Struct>)>,
    /// Those of them that have not been read in the meantime, as parts of others.
    unread: HashSet<Key>,
    /// That of the structure that is being read.
    depth: usize,
    /// How many types are in a structure by value.
    weights: HashMap<*const Struct, usize>,
    /// Structures that are shown as what they hold.
    contents: HashMap<Key, Option<Type>>,
}

impl Types {
    pub(super) fn new(named: Named, system: Named) -> Types {
        Types {
            named,
            system,
            known: HashMap::new(),
            depths: HashMap::new(),
            waiting: VecDeque::new(),
            unread: HashSet::new(),
            depth: 0,
            weights: HashMap::new(),
            contents: HashMap::new(),
        }
    }

    /// The type of an entry.
    pub(super) fn get(&mut self, entries: &mut Entries, at: &At) -> Type {
        self.depth = 0;
        self.at(entries, at, 0)
    }

    /// Reads members of structures that the types asked for lead to.
    pub(super) fn finish(&mut self, entries: &mut Entries) {
        let mut left = MOST_STRUCTURES;
        while let Some((at, structure)) = self.waiting.pop_front() {
            if !self.unread.remove(&at.key()) {
                continue;
            }
            if left == 0 {
                self.depths.remove(&at.key());
                continue;
            }
            left -= 1;
            self.depth = self.depths.get(&at.key()).copied().unwrap_or(MOST_DEPTH);
            self.tell(entries, &at, &structure, 0);
        }
        self.depth = 0;
    }

    fn at(&mut self, entries: &mut Entries, at: &At, steps: usize) -> Type {
        if steps > MOST_STEPS {
            return Type::Void;
        }
        match at.entry() {
            Some(entry) => self.of(entries, at, &entry, steps),
            None => Type::Void,
        }
    }

    fn of(&mut self, entries: &mut Entries, at: &At, entry: &Entry, steps: usize) -> Type {
        // What is told elsewhere, in a unit of its own.
        if let Some(told) = entries.follow(at, entry, dw::DW_AT_signature) {
            return self.at(entries, &told, steps + 1);
        }
        let name = entries.text(at, entry, dw::DW_AT_name);
        if let Some(name) = &name
            && let Some(ty) = (self.named)(name)
        {
            return ty;
        }
        if let Some(ty) = name.as_deref().and_then(|name| self.system(at, name)) {
            return match size(entries, at) {
                Some(size) => of_size(ty, size),
                None => ty,
            };
        }
        match entry.tag() {
            dw::DW_TAG_base_type => base(name.as_deref().unwrap_or_default(), entry),
            dw::DW_TAG_typedef if name.as_deref() == Some("wchar_t") => {
                Type::Character(Integer::INT)
            }
            dw::DW_TAG_typedef if name.as_deref() == Some("va_list") => {
                Type::addr().shown(Lens::Hide)
            }
            dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_restrict_type
            | dw::DW_TAG_atomic_type
            | dw::DW_TAG_immutable_type
            | dw::DW_TAG_packed_type => self.target(entries, at, entry, steps),
            dw::DW_TAG_pointer_type
            | dw::DW_TAG_reference_type
            | dw::DW_TAG_rvalue_reference_type => self.pointer(entries, at, entry, steps),
            dw::DW_TAG_ptr_to_member_type => self.pointer_to_member(entries, at, entry),
            dw::DW_TAG_unspecified_type => match name.as_deref() {
                Some("decltype(nullptr)") => Type::addr(),
                _ => Type::Void,
            },
            dw::DW_TAG_enumeration_type => self.enumeration(entries, at, entry, steps),
            dw::DW_TAG_array_type => self.array(entries, at, entry, steps),
            dw::DW_TAG_structure_type
            | dw::DW_TAG_class_type
            | dw::DW_TAG_union_type
            | dw::DW_TAG_interface_type => {
                let name = name.unwrap_or_default();
                match self.contents(entries, at, &name) {
                    Some(contents) => contents,
                    None => self.structure(entries, at, entry, steps),
                }
            }
            _ => Type::Void,
        }
    }

    fn system(&self, at: &At, name: &str) -> Option<Type> {
        let is_known = at.unit.encoding().address_size == 8;
        is_known.then(|| (self.system)(name)).flatten()
    }

    /// What a structure is shown as, if it is one of a library that holds something.
    fn contents(&mut self, entries: &mut Entries, at: &At, name: &str) -> Option<Type> {
        if let Some(known) = self.contents.get(&at.key()) {
            return known.clone();
        }
        if contents::is_opaque(entries, at, name) {
            self.contents.insert(at.key(), Some(Type::Void));
            return Some(Type::Void);
        }
        // What it holds may hold such again.
        self.contents.insert(at.key(), None);
        let depth = self.depth;
        let held = contents::held(entries, at, name, &mut |entries, of| {
            self.at(entries, of, MOST_STEPS / 2)
        });
        let shown = held.and_then(|(held, passing)| {
            let entry = at.entry()?;
            match (passing, number(&entry, dw::DW_AT_byte_size)) {
                (Some(passing), Some(size)) => Some(held.shown(size, 8, passing)),
                _ => match self.structure(entries, at, &entry, 0) {
                    Type::Struct(structure) => held.shown_in(structure),
                    _ => None,
                },
            }
        });
        self.depth = depth;
        self.contents.insert(at.key(), shown.clone());
        shown
    }

    /// What the type's own attribute leads to; `void` without one.
    fn target(&mut self, entries: &mut Entries, at: &At, entry: &Entry, steps: usize) -> Type {
        match entries.follow(at, entry, dw::DW_AT_type) {
            Some(target) => self.at(entries, &target, steps + 1),
            None => Type::Void,
        }
    }
}

/// The size of a type, which may be that of what it stands for.
fn size(entries: &mut Entries, at: &At) -> Option<u64> {
    let mut at = at.clone();
    for _ in 0..MOST_STEPS {
        let entry = at.entry()?;
        if let Some(size) = number(&entry, dw::DW_AT_byte_size) {
            return Some(size);
        }
        at = entries.follow(&at, &entry, dw::DW_AT_type)?;
    }
    None
}

/// A type, and what is behind it in something larger.
fn of_size(ty: Type, size: u64) -> Type {
    let layout = Model::Lp64.layout(&ty);
    if layout.size >= size {
        return ty;
    }
    let laid = |offsets| Laid {
        offsets,
        size,
        align: layout.align,
        passing: Passing::ByMembers,
    };
    let whole = Struct::announced();
    match ty.unshown() {
        Type::Struct(s) => {
            let offsets = Model::Lp64.offsets(s).map(|(offset, _)| offset).collect();
            let members = s.members().unwrap_or_default().to_vec();
            let names = s.names().cloned().unwrap_or_default();
            whole.tell(members, names, Some(laid(offsets)));
            match &ty {
                Type::Shown(lens, _) => Type::Struct(Arc::new(whole)).shown(lens.clone()),
                _ => Type::Struct(Arc::new(whole)),
            }
        }
        _ => {
            whole.tell(vec![ty], Names::default(), Some(laid([0].into())));
            Type::Struct(Arc::new(whole)).shown(Lens::Contents)
        }
    }
}
