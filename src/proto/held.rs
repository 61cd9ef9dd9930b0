//! Library types that are shown as what they hold: texts, sequences, what a pointer leads to.

use super::types::{Expr, Integer, Laid, Lens, Names, Passing, Struct, Type, Width};
use std::sync::Arc;

/// What a structure holds, and where in it. Bytes.
#[derive(Clone, Debug)]
pub enum Held {
    /// Characters behind a pointer, and how many there are.
    Text {
        /// The pointer.
        at: u64,
        /// Their number.
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
    /// A value of this type.
    Value {
        /// The type.
        of: Type,
        /// The value.
        at: u64,
    },
}

impl Held {
    /// The type of a structure of this size that shows only this.
    pub fn shown(self, size: u64, passing: Passing) -> Type {
        let word = || Type::Integer(Integer::unsigned(Width::Long)).shown(Lens::Hide);
        let array = |of: Type, length| Type::Array(Arc::new(of), length).pointer();
        let (members, offsets) = match self {
            Held::Text { at, length } => {
                let text = Type::text(Type::Character(Integer::CHAR), Expr::Member(2));
                (vec![text, word()], vec![at, length])
            }
            Held::Counted { of, at, length } => {
                let elements = array(of, Expr::Member(2));
                (vec![elements, word()], vec![at, length])
            }
            Held::Spanned { of, at, end } => {
                let elements = array(of, Expr::UpTo(2));
                (vec![elements, word()], vec![at, end])
            }
            Held::Value { of, at } => (vec![of], vec![at]),
        };
        let laid = Laid {
            offsets: offsets.into(),
            size,
            align: 8,
            passing,
        };
        let structure = Struct::announced();
        structure.tell(members, Names::default(), Some(laid));
        Type::Struct(Arc::new(structure)).shown(Lens::Contents)
    }
}
