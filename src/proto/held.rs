//! Library types that are shown as what they hold: texts, sequences, one of several cases, what a pointer leads to.

use super::types::{
    Blocks, Expr, First, Integer, Laid, Lens, Names, Nodes, Part, Passing, Struct, Type, When,
    Width,
};
use std::sync::Arc;

/// What a structure holds, and where in it. Offsets in bytes.
#[derive(Clone, Debug)]
pub enum Held {
    /// Characters behind a pointer, and how many there are.
    Text {
        /// One of them.
        unit: Integer,
        /// The pointer.
        at: u64,
        /// Their number.
        length: u64,
    },
    /// The same as libc++ has it: few characters are in the structure itself.
    ShortText {
        /// One of them.
        unit: Integer,
        /// One byte: its lowest bit is clear when they are, the others are their number then.
        tag: u64,
        /// Where they are then.
        short: u64,
        /// The pointer, else.
        at: u64,
        /// Their number, else.
        length: u64,
    },
    /// Elements of this type behind a pointer, and how many there are.
    Counted {
        /// The type.
        of: Type,
        /// The pointer.
        at: u64,
        /// Their number.
        length: u64,
    },
    /// Elements of this type behind a pointer, up to another address.
    Spanned {
        /// The type.
        of: Type,
        /// The pointer.
        at: u64,
        /// The address where they end.
        end: u64,
    },
    /// Elements of this type in nodes.
    Nodes {
        /// The type.
        of: Type,
        /// How one node leads to the next.
        nodes: Nodes,
        /// The pointer to the first one.
        at: u64,
        /// Their number, where it is told.
        length: Option<u64>,
    },
    /// The same where further numbers are needed for that.
    Numbered {
        /// The type.
        of: Type,
        /// How one element leads to the next, by the third member and those behind it.
        nodes: Nodes,
        /// The pointer to where they are.
        at: u64,
        /// Their number.
        length: u64,
        /// The numbers.
        numbers: Vec<u64>,
    },
    /// Elements of this type in blocks.
    Blocks {
        /// The type.
        of: Type,
        /// The pointer into the table of blocks.
        at: u64,
        /// Where the first element is, and how many there are or where they end.
        first: Begin,
        /// As [`Blocks`] has it.
        bytes: u64,
        /// As [`Blocks`] has it.
        least: u64,
    },
    /// A value of this type.
    Value {
        /// The type.
        of: Type,
        /// The value.
        at: u64,
    },
    /// A value of this type behind a pointer.
    Behind {
        /// The type.
        of: Type,
        /// The pointer.
        at: u64,
    },
    /// Values without names, each with its place.
    Members(Vec<(Type, u64)>),
    /// One of several values, as a number of so many bytes tells.
    Choice {
        /// The number.
        tag: u64,
        /// Its size.
        size: u64,
        /// The values, in the order of the number from 0; nothing where that says all.
        cases: Vec<Case>,
        /// What all other numbers mean.
        other: &'static str,
    },
    /// A value that several own.
    Shared {
        /// Its type.
        of: Type,
        /// The pointer to it.
        at: u64,
        /// The pointer to where owners are counted.
        block: u64,
        /// Their number, in that.
        count: u64,
        /// It is one less than that.
        is_one_less: bool,
    },
    /// The same where the value lies beside the number of its owners.
    Together {
        /// The type.
        of: Type,
        /// The pointer to both.
        at: u64,
        /// The value, there.
        value: u64,
        /// The number, there.
        count: u64,
    },
    /// The same of elements, of which there are as many as is told beside the pointer.
    TogetherCounted {
        /// The type of one.
        of: Type,
        /// What they are together.
        are: Are,
        /// The pointer.
        at: u64,
        /// Their number.
        length: u64,
        /// The first one, behind the pointer.
        value: u64,
        /// The number of owners, there.
        count: u64,
    },
}

/// What elements are together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Are {
    Sequence,
    Text,
    /// The last one is a zero that does not count.
    TerminatedText,
}

/// Where elements in blocks begin.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Begin {
    /// By addresses of the first element and behind the last one.
    Address { first: u64, end: u64 },
    /// By the first element's number, and how many there are.
    Index { first: u64, length: u64 },
}

/// One case of several.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Case {
    Named(&'static str),
    Value { of: Type, at: u64 },
}

impl Held {
    /// The type of a structure of this size and alignment that shows only this.
    pub fn shown(self, size: u64, align: u64, passing: Passing) -> Type {
        self.built(None, size, align, passing)
    }

    /// The same in the place of a structure, and passed like that; `None` when nothing is known of it.
    pub fn shown_in(self, structure: Arc<Struct>) -> Option<Type> {
        let (size, align, passing) = {
            let laid = structure.laid()?;
            (laid.size, laid.align, laid.passing)
        };
        Some(self.built(Some(structure), size, align, passing))
    }

    fn built(
        self,
        structure: Option<Arc<Struct>>,
        size: u64,
        align: u64,
        passing: Passing,
    ) -> Type {
        let is_one = !matches!(self, Held::Members(_));
        let (mut members, mut offsets) = self.members();
        // What is in it decides in which registers it is passed.
        if let Some(structure) = structure {
            members.push(Type::Struct(structure).shown(Lens::Hide));
            offsets.push(0);
        }
        let laid = Laid {
            offsets: offsets.into(),
            size,
            align,
            passing,
        };
        let structure = Struct::announced();
        structure.tell(members, Names::default(), Some(laid));
        let ty = Type::Struct(Arc::new(structure));
        match is_one {
            true => ty.shown(Lens::Contents),
            false => ty,
        }
    }

    fn members(self) -> (Vec<Type>, Vec<u64>) {
        let array = |of: Type, length| Type::Array(Arc::new(of), length).pointer();
        match self {
            Held::Text { unit, at, length } => {
                let text = Type::text(Type::Character(unit), Expr::Member(2));
                (vec![text, word()], vec![at, length])
            }
            Held::ShortText {
                unit,
                tag,
                short,
                at,
                length,
            } => {
                let part = |from, bits| {
                    let part = Part {
                        bytes: 1,
                        from,
                        bits,
                        signed: false,
                    };
                    Type::Part(part).shown(Lens::Hide)
                };
                let character = Type::Character(unit);
                let inside = Type::Array(Arc::new(character.clone()), Expr::Member(2));
                let inside = inside.shown(Lens::Text);
                let outside = Type::text(character, Expr::Member(3));
                let members = vec![
                    part(0, 1),
                    part(1, 7),
                    word(),
                    when(1, 0, inside),
                    when(1, 1, outside),
                ];
                (members, vec![tag, tag, length, short, at])
            }
            Held::Counted { of, at, length } => {
                let elements = array(of, Expr::Member(2));
                (vec![elements, word()], vec![at, length])
            }
            Held::Spanned { of, at, end } => {
                let elements = array(of, Expr::UpTo(2));
                (vec![elements, word()], vec![at, end])
            }
            Held::Nodes {
                of,
                nodes,
                at,
                length,
            } => {
                let count = length.map_or(Expr::Zero(None), |_| Expr::Member(2));
                let elements = array(of, count).shown(Lens::Nodes(nodes));
                (vec![elements, word()], vec![at, length.unwrap_or(at)])
            }
            Held::Numbered {
                of,
                nodes,
                at,
                length,
                numbers,
            } => {
                let elements = array(of, Expr::Member(2)).shown(Lens::Nodes(nodes));
                let mut members = vec![elements];
                members.resize(2 + numbers.len(), word());
                (members, [vec![at, length], numbers].concat())
            }
            Held::Blocks {
                of,
                at,
                first,
                bytes,
                least,
            } => {
                let (begins, offsets) = match first {
                    Begin::Address { first, end } => {
                        let begins = First::Address { first: 2, end: 3 };
                        (begins, vec![at, first, end])
                    }
                    Begin::Index { first, length } => (First::Index(2), vec![at, first, length]),
                };
                let blocks = Blocks {
                    first: begins,
                    bytes,
                    least,
                };
                let elements = array(of, Expr::Member(3)).shown(Lens::Blocks(blocks));
                (vec![elements, word(), word()], offsets)
            }
            Held::Value { of, at } => (vec![of], vec![at]),
            Held::Behind { of, at } => (vec![of.pointer()], vec![at]),
            Held::Members(members) => members.into_iter().unzip(),
            Held::Choice {
                tag,
                size,
                cases,
                other,
            } => choice(tag, size, cases, other),
            Held::Shared {
                of,
                at,
                block,
                count,
                is_one_less,
            } => {
                let number = Type::Integer(Integer::signed(match is_one_less {
                    true => Width::Long,
                    false => Width::W32,
                }));
                let number = match is_one_less {
                    true => number.shown(Lens::OneMore),
                    false => number,
                };
                let counted = laid(vec![(number, count)], &[""]).shown(Lens::Contents);
                let both = vec![(of.clone().pointer(), at), (counted.pointer(), block)];
                let both = laid(both, &["", "use_count"]);
                let members = vec![when(3, 0, of.pointer()), when_not(3, 0, both), word()];
                (members, vec![at, 0, block])
            }
            Held::Together {
                of,
                at,
                value,
                count,
            } => {
                let both = owned(of, value, count);
                (vec![both.pointer()], vec![at])
            }
            Held::TogetherCounted {
                of,
                are,
                at,
                length,
                value,
                count,
            } => {
                let most = Expr::MemberOutside(2);
                let elements = match are {
                    Are::TerminatedText => {
                        Type::Array(Arc::new(of), Expr::Zero(Some(Box::new(most))))
                    }
                    _ => Type::Array(Arc::new(of), most),
                };
                let elements = match are {
                    Are::Sequence => elements,
                    _ => elements.shown(Lens::Text),
                };
                let both = owned(elements, value, count);
                (vec![both.pointer(), word()], vec![at, length])
            }
        }
    }
}

/// A value beside the number of its owners; without any, there is no value any more.
fn owned(of: Type, value: u64, count: u64) -> Type {
    let number = Type::Integer(Integer::ULONG);
    let members = vec![(when_not(2, 0, of), value), (number, count)];
    laid(members, &["", "strong"])
}

/// A number that is needed, and not shown.
fn word() -> Type {
    Type::Integer(Integer::ULONG).shown(Lens::Hide)
}

fn when(member: usize, value: u64, ty: Type) -> Type {
    case(member, value, None, ty)
}

fn when_not(member: usize, value: u64, ty: Type) -> Type {
    let when = When {
        member,
        values: vec![(value, value)],
        others: true,
        name: None,
    };
    ty.shown(Lens::When(Arc::new(when)))
}

fn case(member: usize, value: u64, name: Option<&str>, ty: Type) -> Type {
    let when = When {
        member,
        values: vec![(value, value)],
        others: false,
        name: name.map(Into::into),
    };
    ty.shown(Lens::When(Arc::new(when)))
}

fn choice(tag: u64, size: u64, cases: Vec<Case>, other: &str) -> (Vec<Type>, Vec<u64>) {
    let number = Type::Integer(Integer::unsigned(match size {
        1 => Width::W8,
        2 => Width::W16,
        4 => Width::W32,
        _ => Width::W64,
    }));
    let mut members = vec![number.shown(Lens::Hide)];
    let mut offsets = vec![tag];
    let all = When {
        member: 1,
        values: vec![(0, (cases.len() as u64).saturating_sub(1))],
        others: true,
        name: Some(other.into()),
    };
    for (value, of) in cases.into_iter().enumerate() {
        let (ty, at) = match of {
            Case::Named(name) => (case(1, value as u64, Some(name), Type::Void), 0),
            Case::Value { of, at } => (when(1, value as u64, of), at),
        };
        members.push(ty);
        offsets.push(at);
    }
    members.push(Type::Void.shown(Lens::When(Arc::new(all))));
    offsets.push(0);
    (members, offsets)
}

/// A structure of which these members are known.
pub fn laid(members: Vec<(Type, u64)>, names: &[&str]) -> Type {
    let (types, offsets): (Vec<Type>, Vec<u64>) = members.into_iter().unzip();
    let size = offsets.iter().max().copied().unwrap_or(0) + 8;
    let names = match names.iter().all(|name| name.is_empty()) {
        true => Names::default(),
        false => names.iter().map(|name| Arc::from(*name)).collect(),
    };
    let laid = Laid {
        offsets: offsets.into(),
        size,
        align: 8,
        passing: Passing::ByMembers,
    };
    let structure = Struct::announced();
    structure.tell(types, names, Some(laid));
    Type::Struct(Arc::new(structure))
}
