//! Functions typed by their mangled names (Itanium C++ ABI 5.1), where neither a prototype nor debug information tells
//! more. A name tells what a function is given, but not whether there is an object before that, or the address of where its
//! result goes: the code tells how many registers it takes. Where both do not fit together, nothing is told.

mod classes;
mod expression;
mod names;
mod parser;
mod reads;
mod shown;
#[cfg(test)]
mod tests;
mod tree;
mod types;

use crate::abi::convention::Cursor;
use crate::abi::location::{Location, Register};
use crate::base::machine::Machine;
use crate::proto::types::{Integer, Lens, Type, Width};
use crate::proto::{Param, Prototype};
pub use classes::Classes;
use classes::Kind;
use parser::Parser;
use reads::Reads;
use shown::{Shown, by_value, word};
use std::rc::Rc;
use tree::{Function, Scope, Tree, What};

/// What is known of the 64-bit program or library that a function is in.
#[derive(Clone, Copy)]
pub struct Around<'m> {
    /// The instructions from an address on; empty where there are none.
    pub code: &'m dyn Fn(u64) -> &'m [u8],
    /// The classes in it.
    pub classes: &'m Classes,
}

/// How the function is typed that begins at an address, by its symbol.
pub fn prototype(symbol: &str, at: u64, around: Around<'_>) -> Option<Prototype> {
    if (around.code)(at).is_empty() {
        return None;
    }
    let mut function = function(symbol)?;
    function.name.scope = decided(&function, around.classes);
    let shown = function.params.iter().map(|ty| by_value(ty));
    let shown: Vec<Shown> = shown.collect::<Option<_>>()?;
    let are_sure = !shown.contains(&Shown::Word);
    let types = shown.into_iter().filter_map(Shown::ty);
    let types: Vec<Type> = types.collect();
    let gives = Gives::of(&function);
    let told = registers(&gives, &types);
    // Variadic functions keep all registers, and what is on the stack cannot be seen so.
    let tells = !function.is_variadic && told < MOST_REGISTERS;
    let words = Words {
        told,
        are_sure,
        reads: tells.then(|| reads::arguments(around.code, at)),
    };
    let before = before(&function, &gives, &words)?;
    let params = types.into_iter().map(|ty| Param {
        ty,
        name: None,
        at_return: false,
    });
    let params = before.iter().map(|first| first.param()).chain(params);
    Some(Prototype::new(symbol, gives.ty(), params.collect()))
}

/// How many parameters the source of a function has, by its symbol; `None` where that does not tell.
pub fn parameters(symbol: &str) -> Option<usize> {
    function(symbol).map(|function| function.params.len())
}

/// Which constructor or destructor of its class a symbol is, by its digit; `None` where it is none.
pub fn structor(symbol: &str) -> Option<u8> {
    match function(symbol)?.name.what {
        What::Structor { variant } => Some(variant),
        _ => None,
    }
}

/// As many integers are passed in registers (psABI 3.2.3).
const MOST_REGISTERS: u32 = 6;

/// What the name says.
fn function(symbol: &str) -> Option<Function> {
    let name = symbol.strip_prefix("_Z")?;
    let mut parser = Parser::new(name)?;
    // Thunks find the object of another class in that which they are called with.
    let is_thunk = parser.thunk()?;
    let mut function = parser.function()?;
    if is_thunk {
        function.name.scope = Scope::Object;
    }
    parser.is_at_end().then_some(function)
}

/// What a function gives back.
enum Gives {
    /// This.
    Told(Type),
    /// That is not told. Where it goes may be handed in.
    Untold,
}

impl Gives {
    fn ty(self) -> Type {
        match self {
            Gives::Told(ty) => ty,
            Gives::Untold => word(),
        }
    }

    /// Only templates tell it, and functions that can give nothing else.
    fn of(function: &Function) -> Gives {
        let ty = match &function.name.what {
            What::Structor { .. } => return Gives::Told(Type::Void),
            What::Operator(letters) if is_comparison(letters) => {
                let byte = Type::Integer(Integer::unsigned(Width::W8));
                return Gives::Told(byte.shown(Lens::Bool));
            }
            What::Conversion(to) => Some(to),
            _ => function.result.as_ref(),
        };
        match ty.and_then(|ty| by_value(ty)) {
            Some(Shown::As(ty)) => Gives::Told(ty),
            _ => Gives::Untold,
        }
    }
}

/// By its letters, an operator that gives a truth value.
fn is_comparison(letters: &[u8; 2]) -> bool {
    matches!(
        letters,
        b"eq" | b"ne" | b"lt" | b"gt" | b"le" | b"ge" | b"nt"
    )
}

/// What is passed before the parameters that a name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// The object.
    This,
    /// Where the result goes.
    Result,
    /// One of these two.
    Either,
    /// Of a part of an object, where its virtual bases are (Itanium C++ ABI 2.6).
    Bases,
}

impl First {
    fn param(self) -> Param {
        let is_shown = matches!(self, First::This | First::Either);
        Param {
            ty: match is_shown {
                true => Type::addr(),
                false => Type::addr().shown(Lens::Hide),
            },
            name: (self == First::This).then(|| "this".into()),
            at_return: false,
        }
    }
}

/// What is known of the words that are passed to a function.
struct Words {
    /// So many argument registers are taken by the parameters that are told.
    told: u32,
    /// One of them may be two, as only its type's name is known.
    are_sure: bool,
    /// What the code reads, where that tells anything.
    reads: Option<Reads>,
}

/// What is passed before the parameters that are told.
fn before(function: &Function, gives: &Gives, words: &Words) -> Option<&'static [First]> {
    let may_build = matches!(gives, Gives::Untold) && words.are_sure;
    let scope = &function.name.scope;
    let Some(reads) = words.reads else {
        return match scope {
            Scope::Object => Some(&[First::This]),
            Scope::Namespace => Some(&[]),
            Scope::Class | Scope::Either(_) => None,
        };
    };
    let others = reads.surely.saturating_sub(words.told);
    let takes_told = words.told > 0 && reads.surely == words.told;
    match (scope, others) {
        (Scope::Object, 0 | 1) => Some(&[First::This]),
        (Scope::Object, 2) if function.name.what == (What::Structor { variant: b'2' }) => {
            Some(&[First::This, First::Bases])
        }
        (Scope::Namespace, 0) => Some(&[]),
        (Scope::Namespace, 1) if may_build => Some(&[First::Result]),
        // A static function, or one that leaves its last argument to another.
        (Scope::Class, 0) if takes_told && reads.perhaps == words.told => Some(&[]),
        (Scope::Class, 0) if takes_told && reads.perhaps == MOST_REGISTERS => None,
        (Scope::Class, 0 | 1) => Some(&[First::This]),
        (Scope::Either(_), 0) => Some(&[]),
        (Scope::Either(_), 1) if words.are_sure => Some(&[First::Either]),
        (Scope::Namespace, _) => None,
        (_, 2) if may_build => Some(&[First::Result, First::This]),
        _ => None,
    }
}

/// What a function is in, by all that is known.
fn decided(function: &Function, classes: &Classes) -> Scope {
    let Scope::Either(outer) = &function.name.scope else {
        return function.name.scope.clone();
    };
    // A namespace is no type.
    if function.params.iter().any(|ty| mentions(ty, outer)) {
        return Scope::Class;
    }
    let kind = match &**outer {
        Tree::Named(named) => classes.kind(&named.path),
        _ => None,
    };
    match kind {
        Some(Kind::Class) => Scope::Class,
        Some(Kind::Namespace) => Scope::Namespace,
        None => Scope::Either(outer.clone()),
    }
}

/// Whether a type is made of another.
fn mentions(tree: &Tree, other: &Rc<Tree>) -> bool {
    match tree {
        Tree::Pointer(inner)
        | Tree::Reference(inner)
        | Tree::Const(inner)
        | Tree::Array(_, inner) => mentions(inner, other),
        Tree::Named(_) => tree == &**other,
        _ => false,
    }
}

/// How many argument registers the parameters take.
fn registers(gives: &Gives, params: &[Type]) -> u32 {
    let nothing = Type::Void;
    let result = match gives {
        Gives::Told(ty) => ty,
        Gives::Untold => &nothing,
    };
    let mut cursor = Cursor::new(Machine::Amd64, result);
    let taken = |location| match location {
        Location::Registers(Register::General(n), None | Some(Register::Vector(_))) => n + 1,
        Location::Registers(_, Some(Register::General(n))) => n + 1,
        _ => 0,
    };
    let last = params.iter().map(|ty| taken(cursor.next(ty))).max();
    last.unwrap_or(0).into()
}
