//! The language of `--arg`.
//!
//! ```text
//! condition  = [ FILTER ":" ] either
//! either     = all { "||" all }
//! all        = one { "&&" one }
//! one        = "!" one | "(" either ")" | operand [ operator literal ]
//! operand    = "argN" { ".eltN" } | ( "ret" | "retval" | "arg0" ) { ".eltN" } | "errno" | "time"
//! operator   = "==" | "!=" | "<" | "<=" | ">" | ">=" | "&" | "~" | "!~"
//! literal    = number | 'c' | "text" | NAME | number with a unit of time
//! ```
//!
//! A text behind `~` is a pattern: `*` and `?`.

use super::{Condition, Expression, Literal, Of, Operand, Operator};
use crate::plan::filter::{Filter, FilterError};
use regex::Regex;
use std::time::Duration;

/// Reads a condition as the user wrote it.
pub fn parse(text: &str) -> Result<Condition, FilterError> {
    let (functions, from) = match end_of_filter(text) {
        Some(end) => (Some(Filter::parse(text[..end].trim())?), end + 1),
        None => (None, 0),
    };
    let mut parser = Parser {
        text: text.chars().collect(),
        at: text[..from].chars().count(),
        depth: 0,
    };
    let holds = parser.either()?;
    match parser.peek() {
        None => Ok(Condition { functions, holds }),
        Some(_) => Err(parser.wrong("`&&', `||' or the end is expected here")),
    }
}

/// Where the first colon is that stands alone: C++ has others, and texts may have any.
fn end_of_filter(text: &str) -> Option<usize> {
    let end = text.find(['"', '\'']).unwrap_or(text.len());
    let bytes = &text.as_bytes()[..end];
    (0..bytes.len()).find(|&at| {
        let is_colon = |at: Option<usize>| at.and_then(|at| bytes.get(at)) == Some(&b':');
        bytes[at] == b':' && !is_colon(at.checked_sub(1)) && !is_colon(Some(at + 1))
    })
}

struct Parser {
    text: Vec<char>,
    at: usize,
    depth: usize,
}

/// No more brackets may be nested.
const DEEPEST: usize = 100;

const OPERATORS: [(&str, Operator); 9] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("!~", Operator::NotLike),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Like),
    ("&", Operator::Bits),
];

/// In nanoseconds.
const UNITS: [(&str, u64); 4] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
];

impl Parser {
    fn wrong(&self, message: impl Into<String>) -> FilterError {
        FilterError::new(message, &self.text, self.at.min(self.text.len()))
    }

    fn rest(&self) -> &[char] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&mut self) -> Option<char> {
        let blanks = self.rest().iter().take_while(|c| c.is_whitespace());
        self.at += blanks.count();
        self.rest().first().copied()
    }

    fn take(&mut self, token: &str) -> bool {
        self.peek();
        let wanted: Vec<char> = token.chars().collect();
        let is_there = self.rest().starts_with(&wanted);
        self.at += if is_there { wanted.len() } else { 0 };
        is_there
    }

    fn word(&mut self) -> String {
        self.peek();
        let is_part = |c: &&char| c.is_alphanumeric() || **c == '_';
        let word: String = self.rest().iter().take_while(is_part).collect();
        self.at += word.chars().count();
        word
    }

    fn either(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(Expression::Either(parts))
    }

    fn all(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.one()?];
        while self.take("&&") {
            parts.push(self.one()?);
        }
        Ok(Expression::All(parts))
    }

    fn one(&mut self) -> Result<Expression, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("this is too deep"));
        }
        let one = self.bracketed();
        self.depth -= 1;
        one
    }

    fn bracketed(&mut self) -> Result<Expression, FilterError> {
        if self.take("!") {
            return Ok(Expression::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.either()?;
            return match self.take(")") {
                true => Ok(inner),
                false => Err(self.wrong("`)' is expected here")),
            };
        }
        let operand = self.operand()?;
        if self.at_end_of_one() {
            return Ok(Expression::Set(operand));
        }
        let operator = OPERATORS.iter().find(|(token, _)| self.take(token));
        let Some(&(_, operator)) = operator else {
            return Err(self.wrong("one of == != < <= > >= & ~ !~ is expected here"));
        };
        let literal = self.literal(operator, operand.of == Of::Time)?;
        Ok(Expression::Compared(operand, operator, literal))
    }

    fn at_end_of_one(&mut self) -> bool {
        self.peek();
        let rest: String = self.rest().iter().take(2).collect();
        rest.is_empty() || rest.starts_with(')') || rest == "&&" || rest == "||"
    }

    fn operand(&mut self) -> Result<Operand, FilterError> {
        self.peek();
        let from = self.at;
        let word = self.word();
        let numbered = word.strip_prefix("arg").and_then(|n| n.parse().ok());
        let of = match (word.as_str(), numbered) {
            ("ret" | "retval" | "arg0", _) => Of::Result,
            ("errno", _) => Of::Error,
            ("time", _) => Of::Time,
            (_, Some(number @ 1..)) => Of::Argument(number),
            _ => {
                self.at = from;
                return Err(self.wrong("arg1, arg2, …, ret, errno or time is expected here"));
            }
        };
        let mut members = Vec::new();
        while matches!(of, Of::Argument(_) | Of::Result) && self.take(".") {
            let member = self.word();
            match member.strip_prefix("elt").and_then(|n| n.parse().ok()) {
                Some(number @ 1..) => members.push(number),
                _ => return Err(self.wrong("behind a dot stands elt1, elt2, …")),
            }
        }
        Ok(Operand { of, members })
    }

    fn literal(&mut self, operator: Operator, is_time: bool) -> Result<Literal, FilterError> {
        let literal = match self.peek() {
            Some('"') => {
                let text = self.quoted('"')?;
                match operator {
                    Operator::Like | Operator::NotLike => Literal::Pattern(self.pattern(&text)?),
                    _ => Literal::Text(text),
                }
            }
            Some('\'') => self.character()?,
            Some('0'..='9' | '-') => self.number(is_time)?,
            Some(c) if c.is_alphabetic() || c == '_' => match self.word().as_str() {
                "true" => Literal::Number(1),
                "false" => Literal::Number(0),
                "NULL" => Literal::Name("nil".to_owned()),
                name => Literal::Name(name.to_owned()),
            },
            _ => return Err(self.wrong("a number, a name or a \"text\" is expected here")),
        };
        match literal.fits(operator, is_time) {
            true => Ok(literal),
            false if is_time => Err(self.wrong("time is compared with 5us, 1ms, 2s")),
            false => Err(self.wrong("this cannot be compared so")),
        }
    }

    fn character(&mut self) -> Result<Literal, FilterError> {
        let text = self.quoted('\'')?;
        match text.chars().collect::<Vec<_>>().as_slice() {
            [one] => Ok(Literal::Number(i128::from(u32::from(*one)))),
            _ => Err(self.wrong("one character stands in single quotes")),
        }
    }

    fn number(&mut self, is_time: bool) -> Result<Literal, FilterError> {
        let from = self.at;
        let negative = self.take("-");
        let word = self.word();
        let read = |digits: &str, base| i64::from_str_radix(digits, base).map(i128::from).ok();
        let number = match word.as_bytes() {
            [b'0', b'x' | b'X', ..] => u64::from_str_radix(&word[2..], 16).map(i128::from).ok(),
            [b'0', _, ..] if !is_time => read(&word[1..], 8),
            _ => read(&word, 10),
        };
        if let Some(number) = number {
            return Ok(Literal::Number(if negative { -number } else { number }));
        }
        let time = UNITS.iter().find_map(|(unit, nanos)| {
            let count: u32 = word.strip_suffix(unit)?.parse().ok()?;
            Some(Duration::from_nanos(u64::from(count) * nanos))
        });
        if let (Some(time), true, false) = (time, is_time, negative) {
            return Ok(Literal::Time(time));
        }
        self.at = from;
        Err(self.wrong("this is no number"))
    }

    fn quoted(&mut self, quote: char) -> Result<String, FilterError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(&c) = self.rest().first() else {
                return Err(self.wrong(format!("a {quote} is missing")));
            };
            self.at += 1;
            let escaped = match c {
                '\\' => self.rest().first().copied(),
                _ => None,
            };
            self.at += usize::from(escaped.is_some());
            text.push(match (c, escaped) {
                (c, None) if c == quote => return Ok(text),
                (c, None) => c,
                (_, Some('n')) => '\n',
                (_, Some('t')) => '\t',
                (_, Some('r')) => '\r',
                (_, Some('0')) => '\0',
                (_, Some(other)) => other,
            });
        }
    }

    fn pattern(&self, text: &str) -> Result<Regex, FilterError> {
        let parts = text.chars().map(|c| match c {
            '*' => ".*".to_owned(),
            '?' => ".".to_owned(),
            c => regex::escape(c.encode_utf8(&mut [0; 4])),
        });
        let pattern = format!("(?s)^{}$", parts.collect::<String>());
        Regex::new(&pattern).map_err(|_| self.wrong("the pattern is too long"))
    }
}

impl Literal {
    fn fits(&self, operator: Operator, is_time: bool) -> bool {
        let is_pattern = matches!(operator, Operator::Like | Operator::NotLike);
        let is_equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        match self {
            Literal::Time(_) => is_time && !is_pattern && operator != Operator::Bits,
            _ if is_time => false,
            Literal::Pattern(_) => is_pattern,
            Literal::Text(_) => is_equality,
            Literal::Name(_) => is_equality || operator == Operator::Bits,
            Literal::Number(_) => !is_pattern,
        }
    }
}
