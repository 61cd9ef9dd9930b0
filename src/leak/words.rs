//! The numbers that a pair needs of a call, taken from its values.

use crate::plan::pairs::{Function, Source, Width};
use crate::value::Value;
use smallvec::SmallVec;

/// The arguments that are known at entry, and later those that are known at return.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    args: SmallVec<[Number; 4]>,
    result: Number,
}

/// What a value is as a number.
#[derive(Clone, Debug, Default)]
enum Number {
    /// It is none, could not be read, or is not known yet.
    #[default]
    None,
    One(u64),
    /// As of `out fd[2]`. In a box of its own, as it is seldom met.
    #[expect(clippy::box_collection)]
    Several(Box<Vec<u64>>),
}

impl Words {
    pub(super) fn at_entry(args: &[Value]) -> Words {
        let mut words = Words::default();
        words.add(args);
        words
    }

    pub(super) fn at_return(&mut self, out_args: &[Value], result: &Value) {
        self.add(out_args);
        self.result = Number::of(result);
    }

    fn add(&mut self, values: &[Value]) {
        for value in values {
            self.args.push(Number::of(value));
        }
    }

    /// The parameter's number.
    pub(super) fn arg(&self, at: usize) -> Option<u64> {
        self.args.get(at)?.one()
    }

    /// The product of the function's sizes; none when it does not tell any.
    pub(super) fn size(&self, function: &Function) -> Option<u64> {
        let mut sizes = function.sizes.iter().map(|&at| self.arg(at).unwrap_or(0));
        let first = sizes.next()?;
        Some(sizes.fold(first, u64::saturating_mul))
    }

    /// What the call hands out or takes back: more than one for `out fd[2]`. Null pointers and negative
    /// descriptors are nothing.
    pub(super) fn keys(&self, function: &Function) -> impl Iterator<Item = u64> {
        let width = function.width(function.key);
        let is_something = move |key: &u64| match width {
            Width::Word => *key != 0,
            Width::Int => *key as i64 >= 0,
        };
        let all = match self.value(function.key) {
            Some(Number::Several(several)) => several.as_slice(),
            Some(Number::One(one)) => std::slice::from_ref(one),
            Some(Number::None) | None => &[],
        };
        all.iter().copied().filter(is_something)
    }

    /// All of the function's tests hold.
    pub(super) fn hold(&self, function: &Function) -> bool {
        function.tests.iter().all(|test| {
            let word = self.value(test.source).and_then(Number::one);
            word.is_some_and(|word| test.operator.holds(word as i64, test.number))
        })
    }

    /// The result as a number.
    pub(super) fn result(&self) -> Option<i64> {
        self.result.one().map(|word| word as i64)
    }

    fn value(&self, source: Source) -> Option<&Number> {
        match source {
            Source::Result => Some(&self.result),
            Source::Param(at) => self.args.get(at),
        }
    }
}

impl Number {
    fn of(value: &Value) -> Number {
        match value {
            Value::Struct(several) => {
                Number::Several(Box::new(several.iter().filter_map(word).collect()))
            }
            one => word(one).map_or(Number::None, Number::One),
        }
    }

    fn one(&self) -> Option<u64> {
        match self {
            Number::One(word) => Some(*word),
            _ => None,
        }
    }
}

/// The number that a value is; none for what is no number or could not be read.
fn word(value: &Value) -> Option<u64> {
    match value {
        Value::Signed(n) | Value::Char(n) => Some(*n as u64),
        Value::Unsigned(n) | Value::Hex(n) | Value::Octal(n) | Value::Guess(n) => Some(*n),
        Value::Bool(truth) => Some(u64::from(*truth)),
        Value::Pointer(at) => Some(at.0),
        Value::Failed(value, _) => word(value),
        _ => None,
    }
}
