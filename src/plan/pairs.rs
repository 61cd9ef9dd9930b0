//! The language of acquire/release pairs (`--pair`, `filters/*.pairs`): which functions hand something
//! out, which take it back, and how to tell from arguments and results what it was.
//!
//! ```text
//! spec    = call ( "->" | "+->" ) release { "|" release }        "+->": a count, not an owner
//!         | names params "=" "new" [ test ] [ "if" tests ]       realloc-like; belongs to the pair before it
//! call    = names [ params ] [ "=" [ type ] name [ test ] ] [ "if" tests ]
//! release = names params [ "if" tests ] [ "else" NAME "=" number { "," NAME "=" number } ]
//! names   = name { "," name }
//! params  = "(" [ param { "," param } ] ")"
//! param   = "_" | [ "out" ] [ type ] name [ "[" number "]" ]      type = "int" | "long"
//! tests   = name test { "&&" name test }
//! test    = ( "==" | "!=" | ">=" | "<=" | ">" | "<" ) number      number may be NULL
//! ```
//!
//! What is handed out is the one name that the two sides share. It is a result (`= p`), an argument
//! (`p`), or what an argument points to when the call returns (`out p`). Four names have a meaning of
//! their own: `ret` is the result of either side, `size` and `count` tell how many bytes were handed
//! out (their product), `old` and `new` are the two of a realloc-like function. A release that names
//! `size` may give back a part.
//!
//! A call whose tests fail hands out nothing, and neither does one that hands out a null pointer; a
//! release whose tests fail takes nothing back, and `else` names its reasons. An `if` belongs to the
//! function before it. `int` is 32 bits, `long` and pointers are 64: a name is an `int` when it is
//! compared by order, and so is `ret`.

mod lexer;
mod parse;
mod prototype;
mod sets;

pub use sets::{known, label, named};

use std::fmt;

/// One pair, or a function that replaces what a pair handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// As it was written.
    pub text: String,
    /// What hands out.
    pub acquire: Function,
    /// What takes back: none for [`Form::Replace`], else at least one.
    pub releases: Vec<Function>,
    /// What the arrow was.
    pub form: Form,
}

/// How acquiring and releasing go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `->`: each thing is handed out once and taken back once.
    Owned,
    /// `+->`: each thing is handed out and taken back many times; the numbers must be equal.
    Counted,
    /// `f(old) = new`: takes one thing back and hands out another.
    Replace,
}

/// Functions of one signature, and what is to be read of their calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The symbols.
    pub names: Vec<String>,
    /// The parameters that are named or stand before one that is.
    pub params: Vec<Param>,
    /// How wide the result is.
    pub result: Width,
    /// What is handed out or taken back.
    pub key: Source,
    /// The parameters whose product is the size in bytes.
    pub sizes: Vec<usize>,
    /// The parameter that holds what is replaced.
    pub old: Option<usize>,
    /// All must hold for the call to have an effect.
    pub tests: Vec<Test>,
    /// What results mean when the tests do not hold.
    pub reasons: Vec<(i64, String)>,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// Nothing is read of it.
    Unused,
    /// Its value matters.
    In(Width),
    /// It points to so many values that matter when the call returns.
    Out(Width, u8),
}

/// How wide a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// C's `int`.
    Int,
    /// A pointer or `long`.
    Word,
}

/// Where in a call a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this parameter, or behind it when it is an [`Param::Out`].
    Param(usize),
    /// In the result.
    Result,
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// What is compared.
    pub source: Source,
    /// How.
    pub operator: Operator,
    /// With what.
    pub number: i64,
}

/// The comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// A pair that cannot be understood. Shown in three lines: what is wrong, the spec, and a caret under
/// the spot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PairError {
    message: String,
    text: String,
    at: usize,
}

impl Pair {
    /// Reads a spec as the user wrote it.
    pub fn parse(text: &str) -> Result<Pair, PairError> {
        parse::pair(text)
    }

    /// Every function of the pair.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        std::iter::once(&self.acquire).chain(&self.releases)
    }

    /// Parts may be given back: things are ranges.
    pub fn is_of_ranges(&self) -> bool {
        self.releases
            .iter()
            .any(|release| !release.sizes.is_empty())
    }

    /// How wide what is handed out is.
    pub fn key_width(&self) -> Width {
        self.acquire.width(self.acquire.key)
    }
}

impl Function {
    /// How wide the value there is.
    pub fn width(&self, source: Source) -> Width {
        match source {
            Source::Result => self.result,
            Source::Param(at) => match self.params.get(at) {
                Some(Param::In(width) | Param::Out(width, _)) => *width,
                Some(Param::Unused) | None => Width::Word,
            },
        }
    }

    /// Whether a call's effect is known only when it returns.
    pub fn needs_return(&self) -> bool {
        let at_return = |source| match source {
            Source::Result => true,
            Source::Param(at) => matches!(self.params.get(at), Some(Param::Out(..))),
        };
        at_return(self.key) || self.tests.iter().any(|test| at_return(test.source))
    }
}

impl Operator {
    /// Whether it holds.
    pub fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
            Operator::AtLeast => left >= right,
            Operator::AtMost => left <= right,
            Operator::Above => left > right,
            Operator::Below => left < right,
        }
    }

    /// Whether it asks which of two is the greater one.
    fn is_order(self) -> bool {
        !matches!(self, Operator::Equal | Operator::NotEqual)
    }
}

impl PairError {
    /// `at` counts characters of `text`.
    fn new(message: impl Into<String>, text: &[char], at: usize) -> PairError {
        // One column for each character, or the caret would stand under another one.
        let shown = |&c: &char| if c.is_control() { '?' } else { c };
        PairError {
            message: message.into(),
            text: text.iter().map(shown).collect(),
            at,
        }
    }
}

impl fmt::Display for PairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PairError { message, text, at } = self;
        write!(f, "{message}\n  {text}\n  {:at$}^", "")
    }
}

#[cfg(test)]
mod tests;
