//! Constant expressions: sizes of arrays, values of enumerations.

use super::lexer::Word;
use super::{Fault, Reader};
use crate::proto::layout::Model;

/// How deep parentheses may nest.
const DEEPEST: usize = 32;

/// What binds stronger has a greater number.
fn binding(word: Word<'_>) -> Option<u8> {
    Some(match word {
        Word::Mark('|') => 1,
        Word::Mark('^') => 2,
        Word::Mark('&') => 3,
        Word::Shift(_) => 4,
        Word::Mark('+' | '-') => 5,
        Word::Mark('*' | '/' | '%') => 6,
        _ => return None,
    })
}

impl Reader<'_> {
    /// The value of an expression, in two's complement.
    pub(super) fn constant(&mut self, depth: usize) -> Result<u64, Fault> {
        let value = self.operation(0, depth)?;
        if !self.eat('?') {
            return Ok(value);
        }
        let yes = self.constant(depth + 1)?;
        self.expect(':')?;
        let no = self.constant(depth + 1)?;
        Ok(if value != 0 { yes } else { no })
    }

    fn operation(&mut self, least: u8, depth: usize) -> Result<u64, Fault> {
        if depth > DEEPEST {
            return Err(self.fault("nested too deep"));
        }
        let mut left = self.operand(depth)?;
        while let Some(bound) = binding(self.peek()).filter(|bound| *bound > least) {
            let operator = self.next();
            let right = self.operation(bound, depth + 1)?;
            left = match operator {
                Word::Mark('|') => left | right,
                Word::Mark('^') => left ^ right,
                Word::Mark('&') => left & right,
                Word::Shift('<') => left.checked_shl(right as u32).unwrap_or(0),
                Word::Shift(_) => left.checked_shr(right as u32).unwrap_or(0),
                Word::Mark('+') => left.wrapping_add(right),
                Word::Mark('-') => left.wrapping_sub(right),
                Word::Mark('*') => left.wrapping_mul(right),
                Word::Mark('/') => left.checked_div(right).unwrap_or(0),
                _ => left.checked_rem(right).unwrap_or(0),
            };
        }
        Ok(left)
    }

    fn operand(&mut self, depth: usize) -> Result<u64, Fault> {
        if depth > DEEPEST {
            return Err(self.fault("nested too deep"));
        }
        match self.peek() {
            Word::Number(number) => {
                self.next();
                Ok(number)
            }
            Word::Mark('-') => {
                self.next();
                Ok(self.operand(depth + 1)?.wrapping_neg())
            }
            Word::Mark('~') => {
                self.next();
                Ok(!self.operand(depth + 1)?)
            }
            Word::Mark('!') => {
                self.next();
                Ok(u64::from(self.operand(depth + 1)? == 0))
            }
            Word::Mark('+') => {
                self.next();
                self.operand(depth + 1)
            }
            Word::Mark('(') => {
                self.next();
                if self.begins_type() {
                    self.type_name(depth + 1)?;
                    self.expect(')')?;
                    return self.operand(depth + 1);
                }
                let value = self.constant(depth + 1)?;
                self.expect(')')?;
                Ok(value)
            }
            Word::Name("sizeof" | "_Alignof" | "__alignof__") => {
                self.next();
                self.expect('(')?;
                let ty = self.type_name(depth + 1)?;
                self.expect(')')?;
                Ok(Model::Lp64.layout(&ty.member()).size)
            }
            Word::Name(name) => match self.constants.get(name) {
                Some(value) => {
                    let value = *value;
                    self.next();
                    Ok(value)
                }
                None => Err(self.fault(&format!("unknown constant '{name}'"))),
            },
            _ => Err(self.fault("expected a constant")),
        }
    }
}
