//! The numbers that a pair needs of a call, taken from its values.

use crate::plan::pairs::{Function, Source, Width};
use crate::value::Value;

/// The arguments that are known at entry, and later those that are known at return.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    args: Vec<Value>,
    result: Option<Value>,
}

impl Words {
    pub(super) fn at_entry(args: &[Value]) -> Words {
        Words {
            args: args.to_vec(),
            result: None,
        }
    }

    pub(super) fn at_return(&mut self, out_args: &[Value], result: &Value) {
        self.args.extend_from_slice(out_args);
        self.result = Some(result.clone());
    }

    /// The parameter's number.
    pub(super) fn arg(&self, at: usize) -> Option<u64> {
        word(self.args.get(at)?)
    }

    /// The product of the function's sizes; none when it does not tell any.
    pub(super) fn size(&self, function: &Function) -> Option<u64> {
        let mut sizes = function.sizes.iter().map(|&at| self.arg(at).unwrap_or(0));
        let first = sizes.next()?;
        Some(sizes.fold(first, u64::saturating_mul))
    }

    /// What the call hands out or takes back: more than one for `out fd[2]`. Null pointers and negative
    /// descriptors are nothing.
    pub(super) fn keys(&self, function: &Function) -> Vec<u64> {
        let value = self.value(function.key);
        let is_something = |key: &u64| match function.width(function.key) {
            Width::Word => *key != 0,
            Width::Int => *key as i64 >= 0,
        };
        let words: Vec<Option<u64>> = match value {
            Some(Value::Struct(several)) => several.iter().map(word).collect(),
            Some(one) => vec![word(one)],
            None => Vec::new(),
        };
        words.into_iter().flatten().filter(is_something).collect()
    }

    /// All of the function's tests hold.
    pub(super) fn hold(&self, function: &Function) -> bool {
        function.tests.iter().all(|test| {
            let word = self.value(test.source).and_then(word);
            word.is_some_and(|word| test.operator.holds(word as i64, test.number))
        })
    }

    /// The result as a number.
    pub(super) fn result(&self) -> Option<i64> {
        self.result.as_ref().and_then(word).map(|word| word as i64)
    }

    fn value(&self, source: Source) -> Option<&Value> {
        match source {
            Source::Result => self.result.as_ref(),
            Source::Param(at) => self.args.get(at),
        }
    }
}

/// The number that a value is; none for what is no number or could not be read.
pub(super) fn word(value: &Value) -> Option<u64> {
    match value {
        Value::Signed(n) | Value::Char(n) => Some(*n as u64),
        Value::Unsigned(n) | Value::Hex(n) | Value::Octal(n) | Value::Guess(n) => Some(*n),
        Value::Bool(truth) => Some(u64::from(*truth)),
        Value::Pointer(at) => Some(at.0),
        Value::Failed(value, _) => word(value),
        _ => None,
    }
}
