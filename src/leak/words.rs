//! The numbers that a pair needs of a call, taken from its values.

use crate::plan::pairs::{Function, Source, Width};
use crate::value::Value;
use smallvec::SmallVec;

/// The arguments that are known at entry, and later those that are known at return.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// `None`: it is no number, or could not be read.
    args: SmallVec<[Option<u64>; 4]>,
    result: Option<u64>,
    /// What is several numbers, as of `out fd[2]`.
    several: Vec<(Source, Vec<u64>)>,
}

/// Arguments, or a result.
#[derive(Clone, Copy, Debug)]
pub enum Args<'e> {
    /// As they were decoded.
    Values(&'e [Value]),
    /// All are numbers.
    Numbers(&'e [u64]),
}

impl Words {
    pub(super) fn at_entry(args: Args<'_>) -> Words {
        let mut words = Words::default();
        words.add(args);
        words
    }

    pub(super) fn at_return(&mut self, out_args: Args<'_>, result: Args<'_>) {
        self.add(out_args);
        match result {
            Args::Values(values) => {
                self.result = values
                    .first()
                    .and_then(|value| self.number(value, Source::Result));
            }
            Args::Numbers(numbers) => self.result = numbers.first().copied(),
        }
    }

    fn add(&mut self, args: Args<'_>) {
        match args {
            Args::Values(values) => {
                for value in values {
                    let number = self.number(value, Source::Param(self.args.len()));
                    self.args.push(number);
                }
            }
            Args::Numbers(numbers) => self.args.extend(numbers.iter().copied().map(Some)),
        }
    }

    /// The number that a value is. Notes it if it is several.
    fn number(&mut self, value: &Value, source: Source) -> Option<u64> {
        let Value::Struct(several) = value else {
            return word(value);
        };
        let numbers = several.iter().filter_map(word).collect();
        self.several.push((source, numbers));
        None
    }

    /// The parameter's number.
    pub(super) fn arg(&self, at: usize) -> Option<u64> {
        *self.args.get(at)?
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
        let several = || {
            let mut all = self.several.iter();
            all.find(|(source, _)| *source == function.key)
        };
        let all = match self.value(function.key) {
            Some(one) => std::slice::from_ref(one),
            None => several().map_or(&[][..], |(_, numbers)| numbers),
        };
        all.iter().copied().filter(is_something)
    }

    /// All of the function's tests hold.
    pub(super) fn hold(&self, function: &Function) -> bool {
        function.tests.iter().all(|test| {
            let word = self.value(test.source);
            word.is_some_and(|word| test.operator.holds(*word as i64, test.number))
        })
    }

    /// The result as a number.
    pub(super) fn result(&self) -> Option<i64> {
        self.result.map(|word| word as i64)
    }

    fn value(&self, source: Source) -> Option<&u64> {
        match source {
            Source::Result => self.result.as_ref(),
            Source::Param(at) => self.args.get(at)?.as_ref(),
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
