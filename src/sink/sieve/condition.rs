//! What is asked of a call's arguments and its end (`--arg`): `read: arg1 == 3 && ret < 0`.

mod parse;

use crate::base::errno;
use crate::plan::Tracepoint;
use crate::plan::filter::Filter;
use crate::value::Value;
use crate::value::render::render;
use regex::Regex;
use std::sync::Arc;
use std::time::Duration;

pub use parse::parse;

/// One `--arg`: whose calls it is about, and what must hold of them.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The functions; all without any.
    functions: Option<Filter>,
    holds: Expression,
}

/// What holds of a call, or does not.
#[derive(Clone, Debug)]
enum Expression {
    Either(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Compared(Operand, Operator, Literal),
    /// It is there, and neither zero, nor null, nor empty.
    Set(Operand),
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Operand {
    of: Of,
    /// Members of a structure or array, of the one before, counted from 1.
    members: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Counted from 1.
    Argument(usize),
    Result,
    Error,
    /// How long the call took.
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Bits in common.
    Bits,
    /// A text that a pattern fits.
    Like,
    NotLike,
}

#[derive(Clone, Debug)]
enum Literal {
    Number(i128),
    /// `O_CREAT`, `ENOENT`
    Name(String),
    Text(String),
    Pattern(Regex),
    Time(Duration),
}

/// A call as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The function.
    pub point: &'a Tracepoint,
    /// The arguments, as far as they are known.
    pub args: &'a [Value],
    /// Those that are known at the end.
    pub out_args: &'a [Value],
    /// All of them as they were passed, if that is known.
    pub words: &'a [u64],
    /// How it ended, once it has.
    pub end: Option<End<'a>>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Its result, if it came back.
    pub result: Option<(&'a Value, u64)>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Condition {
    /// It says something of calls of this function.
    pub fn is_about(&self, point: &Tracepoint) -> bool {
        self.functions
            .as_ref()
            .is_none_or(|filter| filter.matches(&point.symbol, &point.module))
    }

    /// The functions of which it says something, unless those are all.
    pub fn functions(&self) -> Option<&Filter> {
        self.functions.as_ref()
    }

    /// Whether it holds; `None` when that is known at the call's end only.
    pub fn holds(&self, call: &Call<'_>) -> Option<bool> {
        self.holds.holds(call)
    }
}

impl Expression {
    fn holds(&self, call: &Call<'_>) -> Option<bool> {
        match self {
            Expression::Not(inner) => inner.holds(call).map(|holds| !holds),
            Expression::All(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| part.holds(call)).collect();
                match parts.contains(&Some(false)) {
                    true => Some(false),
                    false => parts.into_iter().collect::<Option<Vec<_>>>().map(|_| true),
                }
            }
            Expression::Either(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| part.holds(call)).collect();
                match parts.contains(&Some(true)) {
                    true => Some(true),
                    false => parts.into_iter().collect::<Option<Vec<_>>>().map(|_| false),
                }
            }
            Expression::Compared(operand, operator, literal) => {
                let found = operand.find(call)?;
                Some(found.is_some_and(|found| found.compares(*operator, literal)))
            }
            Expression::Set(operand) => {
                let found = operand.find(call)?;
                Some(found.is_some_and(|found| found.is_set()))
            }
        }
    }
}

/// What an operand is in a call.
enum Found<'a> {
    Value(&'a Value, Option<u64>),
    Error(i32),
    Time(Duration),
}

impl Operand {
    /// What it is; `Some(None)` when the call has no such thing, `None` when that is not known yet.
    fn find<'a>(&self, call: &Call<'a>) -> Option<Option<Found<'a>>> {
        let found = match self.of {
            Of::Time => return Some(Some(Found::Time(call.end?.elapsed))),
            Of::Error => match call.end?.result {
                Some((Value::Failed(_, error), _)) => return Some(Some(Found::Error(*error))),
                _ => return Some(Some(Found::Error(0))),
            },
            Of::Result => call
                .end?
                .result
                .map(|(value, word)| (unfailed(value), Some(word))),
            Of::Argument(number) => {
                let mut args = call.args.iter().chain(call.out_args);
                match args.nth(number - 1) {
                    None if call.end.is_none() => return None,
                    found => found.map(|value| (value, call.words.get(number - 1).copied())),
                }
            }
        };
        let Some((mut value, mut word)) = found else {
            return Some(None);
        };
        for member in &self.members {
            let (Value::Struct(members) | Value::Array { items: members, .. }) = value else {
                return Some(None);
            };
            let Some(inner) = members.get(member - 1) else {
                return Some(None);
            };
            (value, word) = (inner, None);
        }
        Some(Some(Found::Value(value, word)))
    }
}

/// The value that stands for the failure.
fn unfailed(value: &Value) -> &Value {
    match value {
        Value::Failed(value, _) => value,
        value => value,
    }
}

impl Found<'_> {
    fn is_set(&self) -> bool {
        match self {
            Found::Time(time) => !time.is_zero(),
            Found::Error(error) => *error != 0,
            Found::Value(Value::Bytes { bytes, .. }, _) => !bytes.is_empty(),
            Found::Value(Value::Void | Value::Hidden, _) => false,
            Found::Value(value, word) => number(value, *word).is_none_or(|number| number != 0),
        }
    }

    fn compares(&self, operator: Operator, literal: &Literal) -> bool {
        match (self, literal) {
            (Found::Time(time), Literal::Time(limit)) => operator.orders(time.cmp(limit)),
            (Found::Error(error), Literal::Name(name)) => {
                let is_it = errno::name(*error) == Some(name.as_str());
                operator.equals(is_it)
            }
            (Found::Error(error), Literal::Number(wanted)) => {
                operator.orders(i128::from(*error).cmp(wanted))
            }
            (Found::Value(value, word), Literal::Number(wanted)) => number(value, *word)
                .is_some_and(|number| match operator {
                    Operator::Bits => number & wanted != 0,
                    _ => operator.orders(number.cmp(wanted)),
                }),
            (Found::Value(value, _), Literal::Name(name)) => has_name(value, name, operator),
            (Found::Value(value, _), Literal::Text(wanted)) => match text(value) {
                // How it goes on is unknown.
                Some((text, true)) => operator.equals(wanted.as_bytes().starts_with(&text)),
                Some((text, false)) => operator.equals(text == wanted.as_bytes()),
                None => operator == Operator::NotEqual,
            },
            (Found::Value(value, _), Literal::Pattern(pattern)) => {
                let text = match text(value) {
                    Some((text, _)) => String::from_utf8_lossy(&text).into_owned(),
                    None => render(value),
                };
                pattern.is_match(&text) == (operator == Operator::Like)
            }
            _ => operator == Operator::NotEqual,
        }
    }
}

impl Operator {
    fn orders(self, order: std::cmp::Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Bits | Operator::Like | Operator::NotLike => false,
        }
    }

    fn equals(self, equal: bool) -> bool {
        equal == (self == Operator::Equal)
    }
}

/// The number that a value shows, or what was passed where it shows something else.
fn number(value: &Value, word: Option<u64>) -> Option<i128> {
    Some(match value {
        Value::Signed(number) | Value::Char(number) => i128::from(*number),
        Value::Unsigned(number) | Value::Hex(number) | Value::Octal(number) => i128::from(*number),
        Value::Guess(word) => i128::from(*word as i64),
        Value::Thread(tid, _) => i128::from(*tid),
        Value::Descriptor(number, _) => i128::from(*number),
        Value::Bool(truth) => i128::from(*truth),
        Value::Float(number) | Value::HexFloat(number) => *number as i128,
        Value::Pointer(at) | Value::Unreadable(at) | Value::Leads { at, .. } => i128::from(at.0),
        Value::Failed(value, _) => return number(value, word),
        _ => i128::from(word?),
    })
}

/// A name or a flag: `==` of flags is all of them, `&` one among them.
fn has_name(value: &Value, wanted: &str, operator: Operator) -> bool {
    let names: &[Arc<str>] = match value {
        Value::Name(name) => std::slice::from_ref(name),
        Value::Flags { names, .. } => names,
        Value::Failed(value, _) => return has_name(value, wanted, operator),
        Value::Pointer(at) if wanted == "nil" => return operator.equals(at.0 == 0),
        _ if wanted == "nil" => return operator == Operator::NotEqual,
        _ => &[],
    };
    let is_among = names.iter().any(|name| **name == *wanted);
    match operator {
        Operator::Bits => is_among,
        _ => {
            let has_rest = matches!(value, Value::Flags { rest: 1.., .. });
            operator.equals(is_among && names.len() == 1 && !has_rest)
        }
    }
}

/// A text, and whether there is more of it.
fn text(value: &Value) -> Option<(Vec<u8>, bool)> {
    Some(match value {
        Value::Bytes { bytes, cut } => (bytes.to_vec(), *cut),
        Value::Wide { text, cut } => (text.as_bytes().to_vec(), *cut),
        Value::Name(name) => (name.as_bytes().to_vec(), false),
        Value::Descriptor(_, what) => (what.as_bytes().to_vec(), false),
        Value::Thread(_, Some(name)) => (name.as_bytes().to_vec(), false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
