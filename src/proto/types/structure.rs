//! Structures: members in order, and where they lie.

use super::super::layout::Model;
use super::Type;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The members of a structure. Its identity is its place: two with equal members are two.
pub struct Struct {
    /// Empty until a structure is told that was announced, as by `typedef NAME = struct;`.
    body: OnceLock<Body>,
    /// It was announced, and so may lie on a cycle of pointers.
    announced: bool,
}

struct Body {
    members: Vec<Type>,
    /// What the members are called, an empty name where there is none; empty when none is called anything.
    names: Names,
    /// Where the members lie, unless that follows from their types.
    laid: Option<Laid>,
}

/// Names of members, in their order.
pub type Names = Arc<[Arc<str>]>;

/// A layout that was told: with gaps, bases, overlapping members or bit-fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Laid {
    /// Where each member begins. Bytes.
    pub offsets: Box<[u64]>,
    /// Bytes.
    pub size: u64,
    /// Its address is a multiple of this.
    pub align: u64,
    /// How it is passed by value.
    pub passing: Passing,
}

/// How values of a structure are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// As the calling convention says of its members.
    ByMembers,
    /// In memory, whatever its members are: classes that are more than their bytes (Itanium C++ ABI 3.1.2.3).
    InMemory,
    /// As a whole in one vector register.
    Vector,
    /// Each of its halves by itself, in a register while there is one.
    ByHalves,
}

impl Struct {
    /// A structure with these members, laid out by the ABI.
    pub fn new(members: Vec<Type>) -> Struct {
        Struct::named(members, Names::default())
    }

    /// The same, with their names.
    pub fn named(members: Vec<Type>, names: Names) -> Struct {
        let body = Body {
            members,
            names,
            laid: None,
        };
        Struct {
            body: OnceLock::from(body),
            announced: false,
        }
    }

    /// A structure with these members, one right behind the other.
    pub fn packed(members: Vec<Type>, names: Names) -> Struct {
        let mut size = 0_u64;
        let mut offsets = Vec::new();
        for member in &members {
            offsets.push(size);
            size = size.saturating_add(Model::Lp64.layout(member).size);
        }
        let laid = Laid {
            offsets: offsets.into(),
            size,
            align: 1,
            passing: Passing::ByMembers,
        };
        let body = Body {
            members,
            names,
            laid: Some(laid),
        };
        Struct {
            body: OnceLock::from(body),
            announced: false,
        }
    }

    /// A structure whose members will be told later.
    pub fn announced() -> Struct {
        Struct {
            body: OnceLock::new(),
            announced: true,
        }
    }

    /// The members, when they have been told.
    pub fn members(&self) -> Option<&[Type]> {
        self.body.get().map(|body| &*body.members)
    }

    /// What the members are called, when any of them has a name.
    pub fn names(&self) -> Option<&Names> {
        let names = &self.body.get()?.names;
        (!names.is_empty()).then_some(names)
    }

    /// Where the members lie, if that was told.
    pub fn laid(&self) -> Option<&Laid> {
        self.body.get()?.laid.as_ref()
    }

    /// It was announced before it was told, and so may point to itself.
    pub fn is_announced(&self) -> bool {
        self.announced
    }

    /// Tells the members of an announced structure, and perhaps where they lie. The first telling counts: whether this
    /// is it.
    pub fn tell(&self, members: Vec<Type>, names: Names, laid: Option<Laid>) -> bool {
        let body = Body {
            members,
            names,
            laid,
        };
        self.body.set(body).is_ok()
    }
}

impl PartialEq for Struct {
    fn eq(&self, other: &Struct) -> bool {
        std::ptr::eq(self, other)
    }
}

/// Does not follow the members of announced structures: they may lead in a circle.
impl fmt::Debug for Struct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.members() {
            Some(members) if !self.announced => f.debug_tuple("Struct").field(&members).finish(),
            _ => f.write_str("Struct(..)"),
        }
    }
}
