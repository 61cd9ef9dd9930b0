//! Structures, unions and enumerations.

use super::lexer::Word;
use super::types::Meaning;
use super::{Fault, Reader};
use crate::proto::layout::{Layout, Model, round_up};
use crate::proto::types::{Integer, Laid, Name, Names, Part, Passing, Struct, Type, named_numbers};
use std::sync::Arc;

/// So many members a structure has, and so deep structures lie in each other.
const MOST_MEMBERS: usize = 4096;
const DEEPEST: usize = 24;

/// Members on their way into a structure.
struct Members {
    is_union: bool,
    is_packed: bool,
    types: Vec<Type>,
    names: Vec<Arc<str>>,
    offsets: Vec<u64>,
    /// The first bit that is free.
    end: u64,
    size: u64,
    align: u64,
    /// The layout does not follow from the types of the members.
    is_special: bool,
}

impl Members {
    fn add(&mut self, name: Option<&str>, ty: Type) {
        let Layout { size, align } = Model::Lp64.layout(&ty);
        let align = if self.is_packed { 1 } else { align.max(1) };
        let offset = match self.is_union {
            true => 0,
            false => round_up(self.end.div_ceil(8), align),
        };
        self.align = self.align.max(align);
        self.end = offset.saturating_add(size).saturating_mul(8);
        self.size = self.size.max(offset.saturating_add(size));
        self.push(name, ty, offset);
    }

    /// A bit-field (psABI 3.1.2): it lies in one unit of its type.
    fn add_bits(&mut self, name: Option<&str>, ty: &Type, bits: u64) {
        self.is_special = true;
        let Layout { size, align } = Model::Lp64.layout(ty);
        let unit = size.clamp(1, 8) * 8;
        let mut from = if self.is_union { 0 } else { self.end };
        if bits == 0 || from % unit + bits > unit {
            from = from.next_multiple_of(unit);
        }
        self.end = from.saturating_add(bits);
        self.size = self.size.max(self.end.div_ceil(8));
        if bits == 0 || name.is_none() {
            return;
        }
        self.align = self.align.max(align);
        let signed = match ty.unshown() {
            Type::Integer(integer) | Type::Character(integer) => integer.signed,
            _ => false,
        };
        let part = Type::Part(Part {
            bytes: (from % 8 + bits).div_ceil(8).min(8) as u8,
            from: (from % 8) as u8,
            bits: bits.min(64) as u8,
            signed,
        });
        let part = match ty {
            Type::Shown(lens, _) => part.shown(lens.clone()),
            _ => part,
        };
        self.push(name, part, from / 8);
    }

    fn push(&mut self, name: Option<&str>, ty: Type, offset: u64) {
        self.types.push(ty);
        self.names.push(name.unwrap_or_default().into());
        self.offsets.push(offset);
    }

    fn tell(self, structure: &Struct) -> bool {
        let names: Names = match self.names.iter().all(|name| name.is_empty()) {
            true => Names::default(),
            false => self.names.into(),
        };
        let laid = (self.is_special || self.is_union || self.is_packed).then(|| Laid {
            offsets: self.offsets.into(),
            size: round_up(self.size, self.align.max(1)),
            align: self.align.max(1),
            passing: Passing::ByMembers,
        });
        structure.tell(self.types, names, laid)
    }
}

impl<'t> Reader<'t> {
    /// What follows `struct`, `union` or `enum`.
    pub(super) fn tagged(&mut self, kind: &str, depth: usize) -> Result<Type, Fault> {
        if depth > DEEPEST {
            return Err(self.fault("nested too deep"));
        }
        let mut is_packed = self.attributes_pack();
        let tag = match self.peek() {
            Word::Name(name) => {
                self.next();
                Some(name)
            }
            _ => None,
        };
        is_packed |= self.attributes_pack();
        if kind == "enum" {
            return self.enumeration(tag);
        }
        let known = tag.and_then(|tag| self.tags.get(tag)).cloned();
        let ty = known.unwrap_or_else(|| Type::Struct(Arc::new(Struct::announced())));
        if let Some(tag) = tag {
            self.tags.insert(tag, ty.clone());
        }
        if !self.eat('{') {
            return Ok(ty);
        }
        let members = self.members(kind == "union", is_packed, depth)?;
        if let Type::Struct(structure) = &ty {
            members.tell(structure);
        }
        Ok(ty)
    }

    fn members(&mut self, is_union: bool, is_packed: bool, depth: usize) -> Result<Members, Fault> {
        let mut members = Members {
            is_union,
            is_packed: is_packed || self.is_packed_behind(),
            types: Vec::new(),
            names: Vec::new(),
            offsets: Vec::new(),
            end: 0,
            size: 0,
            align: 1,
            is_special: false,
        };
        while !self.eat('}') {
            if self.peek() == Word::End {
                return Err(self.fault("expected '}'"));
            }
            if self.eat(';') {
                continue;
            }
            if let Word::Name("_Static_assert" | "static_assert") = self.peek() {
                self.next();
                self.skip_pair();
                continue;
            }
            self.member(&mut members, depth)?;
        }
        self.attributes_pack();
        Ok(members)
    }

    /// The members of one declaration.
    fn member(&mut self, members: &mut Members, depth: usize) -> Result<(), Fault> {
        let (_, base) = self.specifiers(depth + 1)?;
        if self.eat(';') {
            // A structure without a name, whose members count as this one's own.
            if base.member().is_complete() {
                members.add(None, base.member());
            }
            return Ok(());
        }
        loop {
            let (name, meaning) = match self.peek() {
                Word::Mark(':') => (None, base.clone()),
                _ => self.declarator(base.clone(), depth + 1)?,
            };
            if self.eat(':') {
                let bits = self.constant(depth + 1)?;
                members.add_bits(name, &meaning.member(), bits);
            } else {
                self.check_member(&meaning)?;
                members.add(name, meaning.member());
            }
            self.skip_attributes();
            if members.types.len() > MOST_MEMBERS {
                return Err(self.fault("too many members"));
            }
            if self.eat(';') {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    fn check_member(&self, meaning: &Meaning) -> Result<(), Fault> {
        match meaning.member().is_complete() {
            true => Ok(()),
            false => Err(self.fault("this member's own members have not been told yet")),
        }
    }

    fn enumeration(&mut self, tag: Option<&'t str>) -> Result<Type, Fault> {
        // The type that it is made of, since C23.
        if self.eat(':') {
            self.specifiers(1)?;
        }
        if !self.eat('{') {
            let known = tag.and_then(|tag| self.tags.get(tag)).cloned();
            return Ok(known.unwrap_or(Type::Integer(Integer::INT)));
        }
        let mut names = Vec::new();
        let mut value = 0_u64;
        while !self.eat('}') {
            let Word::Name(name) = self.next() else {
                self.at -= 1;
                return Err(self.fault(&format!(
                    "expected a name, got {}",
                    super::shown(self.peek())
                )));
            };
            self.skip_attributes();
            if self.eat('=') {
                value = self.constant(0)?;
            }
            self.constants.insert(name, value);
            names.push(Name {
                name: name.into(),
                value,
                mask: value,
            });
            value = value.wrapping_add(1);
            if !self.eat(',') {
                self.expect('}')?;
                break;
            }
        }
        self.attributes_pack();
        let is_signed = names.iter().any(|name| (name.value as i64) < 0);
        let integer = if is_signed {
            Integer::INT
        } else {
            Integer::UINT
        };
        let ty = Type::Integer(integer).shown(named_numbers(names));
        if let Some(tag) = tag {
            self.tags.insert(tag, ty.clone());
        }
        Ok(ty)
    }

    /// Takes attributes; whether one of them is `packed`.
    fn attributes_pack(&mut self) -> bool {
        let from = self.at;
        self.skip_attributes();
        let taken = self.tokens.get(from..self.at).unwrap_or_default();
        let packs = |word| matches!(word, Word::Name("packed" | "__packed__"));
        taken.iter().any(|token| packs(token.word))
    }

    /// The same of attributes behind the brace that closes what is open here.
    fn is_packed_behind(&mut self) -> bool {
        let at = self.at;
        self.at = at.saturating_sub(1);
        self.skip_pair();
        let is_packed = self.attributes_pack();
        self.at = at;
        is_packed
    }
}
