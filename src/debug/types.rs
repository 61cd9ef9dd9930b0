//! Types as debug information tells them, in the terms of prototypes.

use super::contents;
use super::entries::{At, Entries, Entry, Key, flag, number};
use crate::proto::layout::Model;
use crate::proto::types::{
    Expr, Integer, Laid, Lens, Name, Names, Part, Passing, Real, Struct, Type, Width, named_numbers,
};
use gimli::{AttributeValue, DwAte, Expression, Operation, constants as dw};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Types that are meant to be shown in another way than their debug information says, by their names.
pub type Named = Box<dyn Fn(&str) -> Option<Type> + Send>;

/// So many qualifiers, names and pointers lead from one type to another.
const MOST_STEPS: usize = 32;
/// So many members a structure has, and so many names an enumeration.
const MOST_MEMBERS: usize = 512;
/// So many other things a class has besides.
const MOST_CHILDREN: usize = 4096;
/// As far as structures that are pointed to are read at once. Those that are beyond have no members until a function is
/// asked for that leads to them.
const MOST_DEPTH: usize = 3;
/// So many types are in a structure by value.
const MOST_WEIGHT: usize = 4096;
/// So many structures are read for one function.
const MOST_STRUCTURES: usize = 256;

/// The types of a module, as far as they have been read.
pub(super) struct Types {
    named: Named,
    /// Structures and enumerations.
    known: HashMap<Key, Type>,
    /// By how many pointers structures are away from a function that leads to them, at least, of those that have been read.
    depths: HashMap<Key, usize>,
    /// Structures that are pointed to, and whose members are to be read, with their depth.
    waiting: VecDeque<(At, Arc<Struct>, usize)>,
    /// That of the structure that is being read.
    depth: usize,
    /// How many types are in a structure by value.
    weights: HashMap<*const Struct, usize>,
    /// Structures that are shown as what they hold.
    contents: HashMap<Key, Option<Type>>,
}

/// Members on their way into a structure.
#[derive(Default)]
struct Members {
    types: Vec<Type>,
    offsets: Vec<u64>,
    names: Vec<Arc<str>>,
    /// Objects point to a table of virtual functions.
    is_polymorphic: bool,
}

impl Types {
    pub(super) fn new(named: Named) -> Types {
        Types {
            named,
            known: HashMap::new(),
            depths: HashMap::new(),
            waiting: VecDeque::new(),
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
        while let Some((at, structure, depth)) = self.waiting.pop_front() {
            if left == 0 {
                self.depths.remove(&at.key());
                continue;
            }
            left -= 1;
            self.depth = depth;
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

    /// What a structure is shown as, if it is one of a library that holds something.
    fn contents(&mut self, entries: &mut Entries, at: &At, name: &str) -> Option<Type> {
        if let Some(known) = self.contents.get(&at.key()) {
            return known.clone();
        }
        // What it holds may hold such again.
        self.contents.insert(at.key(), None);
        let held = contents::held(entries, at, name);
        let depth = self.depth;
        let shown = held.map(|held| held.shown(|of| self.at(entries, of, MOST_STEPS / 2)));
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

    fn pointer(&mut self, entries: &mut Entries, at: &At, entry: &Entry, steps: usize) -> Type {
        let Some(mut to) = entries.follow(at, entry, dw::DW_AT_type) else {
            return Type::addr();
        };
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
                    let other = (self.named)(&name);
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
                    if let Some(ty) = name.and_then(|name| (self.named)(&name)) {
                        return ty.pointer();
                    }
                    match entries.follow(&to, &target, dw::DW_AT_type) {
                        Some(next) => to = next,
                        None => return Type::addr(),
                    }
                }
                _ => break,
            }
        }
        let is_reference = entry.tag() != dw::DW_TAG_pointer_type;
        match self.at(entries, &to, steps + 1) {
            Type::Character(Integer::CHAR) if !is_reference => Type::string(),
            ty => ty.pointer(),
        }
    }

    /// A structure that is pointed to.
    fn waited_for(&mut self, at: &At, entry: &Entry) -> Type {
        let structure = self.structure_at(at);
        let depth = self.depth + 1;
        if depth <= MOST_DEPTH && self.is_nearer(at, entry, depth) {
            self.waiting
                .push_back((at.clone(), structure.clone(), depth));
        }
        Type::Struct(structure)
    }

    fn structure_at(&mut self, at: &At) -> Arc<Struct> {
        let new = || Type::Struct(Arc::new(Struct::announced()));
        match self.known.entry(at.key()).or_insert_with(new) {
            Type::Struct(structure) => structure.clone(),
            _ => Arc::new(Struct::announced()),
        }
    }

    /// Whether a structure has not been read from so near: what it leads to is to be read then, too.
    fn is_nearer(&mut self, at: &At, entry: &Entry, depth: usize) -> bool {
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
    fn pointer_to_member(&mut self, entries: &mut Entries, at: &At, entry: &Entry) -> Type {
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

    fn enumeration(&mut self, entries: &mut Entries, at: &At, entry: &Entry, steps: usize) -> Type {
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

    fn array(&mut self, entries: &mut Entries, at: &At, entry: &Entry, steps: usize) -> Type {
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

    /// A structure by value: its members are needed at once.
    fn structure(&mut self, entries: &mut Entries, at: &At, entry: &Entry, steps: usize) -> Type {
        // Something in it may be of its own type, in a damaged file: that has no members then.
        let structure = self.structure_at(at);
        if self.is_nearer(at, entry, self.depth) {
            self.tell(entries, at, &structure, steps + 1);
        }
        Type::Struct(structure)
    }

    fn tell(&mut self, entries: &mut Entries, at: &At, structure: &Struct, steps: usize) {
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

/// A type of a language itself.
fn base(name: &str, entry: &Entry) -> Type {
    let size = number(entry, dw::DW_AT_byte_size).unwrap_or_default();
    let encoding = match entry.attr_value(dw::DW_AT_encoding) {
        Some(AttributeValue::Encoding(encoding)) => encoding,
        _ => DwAte(0),
    };
    let number = |signed| match size {
        1 | 2 | 4 | 8 => Type::Integer(integer(size, signed)),
        _ => halves(size, &Type::Integer(integer(8, false)).shown(Lens::Hex)),
    };
    match encoding {
        dw::DW_ATE_boolean => number(false).shown(Lens::Bool),
        dw::DW_ATE_signed if name == "wchar_t" => Type::Character(Integer::INT),
        dw::DW_ATE_signed => number(true),
        dw::DW_ATE_signed_char if name == "char" => Type::Character(Integer::CHAR),
        dw::DW_ATE_signed_char => Type::Character(integer(1, true)),
        dw::DW_ATE_unsigned_char if name == "u8" => number(false),
        dw::DW_ATE_unsigned_char => Type::Character(integer(1, false)),
        dw::DW_ATE_UTF => Type::Character(integer(size, false)),
        dw::DW_ATE_address => Type::addr(),
        dw::DW_ATE_float => match size {
            4 => Type::Real(Real::Single),
            8 => Type::Real(Real::Double),
            12 | 16 if name == "long double" => Type::Real(Real::Extended),
            _ => number(false),
        },
        dw::DW_ATE_complex_float => {
            let part = match size {
                8 => Real::Single,
                16 => Real::Double,
                _ => Real::Extended,
            };
            Type::Struct(Arc::new(Struct::new(vec![Type::Real(part); 2])))
        }
        _ if size == 0 => Type::Void,
        _ => number(false),
    }
}

/// A value of another size, as so many words.
fn halves(size: u64, word: &Type) -> Type {
    let count = size.div_ceil(8).min(8) as usize;
    Type::Struct(Arc::new(Struct::new(vec![word.clone(); count])))
}

fn integer(size: u64, signed: bool) -> Integer {
    let width = match size {
        1 => Width::W8,
        2 => Width::W16,
        4 => Width::W32,
        _ => Width::W64,
    };
    Integer { width, signed }
}

/// DWARF 5, 5.7.1.1; not all compilers say it.
fn calling_convention(entry: &Entry) -> Option<Passing> {
    match entry.attr_value(dw::DW_AT_calling_convention)? {
        AttributeValue::CallingConvention(dw::DW_CC_pass_by_reference) => Some(Passing::InMemory),
        AttributeValue::CallingConvention(dw::DW_CC_pass_by_value) => Some(Passing::ByMembers),
        _ => None,
    }
}

/// Whether a function of a class makes its objects more than their bytes (Itanium C++ ABI 1.1, "non-trivial for the
/// purposes of calls"): one that copies, moves or destroys them, and that somebody has written.
fn copies_or_destroys(entries: &mut Entries, class: &At, at: &At, entry: &Entry) -> bool {
    let is_written =
        number(entry, dw::DW_AT_defaulted).unwrap_or(0) == 0 && !flag(entry, dw::DW_AT_deleted);
    if !is_written {
        return false;
    }
    let name = entries.text(at, entry, dw::DW_AT_name).unwrap_or_default();
    if name.starts_with('~') {
        return true;
    }
    let own = class
        .entry()
        .and_then(|entry| entries.text(class, &entry, dw::DW_AT_name));
    let own = own.unwrap_or_default();
    if own.split('<').next() != Some(&name) {
        return false;
    }
    // `this`, and what is copied.
    let params = at.children(3);
    let Some(second) = params.get(1).filter(|_| params.len() == 2) else {
        return false;
    };
    let Some(mut ty) = second
        .entry()
        .and_then(|e| entries.follow(second, &e, dw::DW_AT_type))
    else {
        return false;
    };
    for _ in 0..3 {
        if ty.key() == class.key() {
            return true;
        }
        let next = ty.entry().filter(|entry| {
            matches!(
                entry.tag(),
                dw::DW_TAG_reference_type
                    | dw::DW_TAG_rvalue_reference_type
                    | dw::DW_TAG_const_type
            )
        });
        let Some(next) = next.and_then(|entry| entries.follow(&ty, &entry, dw::DW_AT_type)) else {
            return false;
        };
        ty = next;
    }
    false
}

/// Whether a member or base is a class that is more than its bytes.
fn is_in_memory(ty: &Type) -> bool {
    match ty {
        Type::Struct(s) => s
            .laid()
            .is_some_and(|laid| laid.passing == Passing::InMemory),
        Type::Array(ty, _) | Type::Shown(_, ty) => is_in_memory(ty),
        _ => false,
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
    // The size is a multiple of it.
    let by_size = 1_u64.checked_shl(size.trailing_zeros());
    align.min(by_size.unwrap_or(u64::MAX))
}

/// Where a member is: a number, or in DWARF 2 what is to be added.
fn member_location(at: &At, entry: &Entry) -> Option<u64> {
    let expression = match entry.attr_value(dw::DW_AT_data_member_location) {
        None => return Some(0),
        Some(AttributeValue::Exprloc(expression)) => expression,
        Some(AttributeValue::Block(bytes)) => Expression(bytes),
        Some(_) => return number(entry, dw::DW_AT_data_member_location),
    };
    let mut operations = expression.operations(at.unit.encoding());
    match (operations.next(), operations.next()) {
        (Ok(Some(Operation::PlusConstant { value })), Ok(None)) => Some(value),
        _ => None,
    }
}

/// Where a bit-field is: DWARF 4 and 5 count from the structure's beginning, DWARF 2 from the other end of its type.
fn bit_field(
    entry: &Entry,
    offset: u64,
    bits: u64,
    size: Option<u64>,
    ty: &Type,
) -> Option<(u64, Part)> {
    let bits = u8::try_from(bits)
        .ok()
        .filter(|bits| (1..=64).contains(bits))?;
    let from = match number(entry, dw::DW_AT_data_bit_offset) {
        Some(from) => from,
        None => {
            let storage = number(entry, dw::DW_AT_byte_size).or(size).unwrap_or(4);
            // It may be negative, of a field that leaves its type.
            let above = number(entry, dw::DW_AT_bit_offset)?;
            let from = storage
                .wrapping_mul(8)
                .wrapping_sub(above)
                .wrapping_sub(bits.into());
            offset.checked_mul(8)?.wrapping_add(from)
        }
    };
    let first = (from % 8) as u8;
    let bytes = (u32::from(first) + u32::from(bits)).div_ceil(8);
    let signed = match ty.unshown() {
        Type::Integer(integer) | Type::Character(integer) => integer.signed,
        _ => false,
    };
    let part = Part {
        bytes: u8::try_from(bytes).ok().filter(|bytes| *bytes <= 8)?,
        from: first,
        bits,
        signed,
    };
    Some((from / 8, part))
}

/// A bit-field of a type, shown as that is.
fn with_part(ty: Type, part: Part) -> Type {
    match ty {
        Type::Shown(lens, _) => Type::Part(part).shown(lens),
        _ => Type::Part(part),
    }
}
