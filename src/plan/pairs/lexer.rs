//! Cuts a pair spec into words, signs and numbers that know where they stand.

use super::{Operator, PairError};

/// What a spec is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Name(String),
    Number(i64),
    Compare(Operator),
    /// `->`
    Arrow,
    /// `+->`
    CountArrow,
    /// `&&`
    And,
    /// One of `( ) , = | [ ]`.
    Sign(char),
    End,
}

/// The tokens of a spec, and the one that is looked at.
pub(super) struct Lexer {
    text: Vec<char>,
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Lexer {
    pub(super) fn new(text: &str) -> Result<Lexer, PairError> {
        let text: Vec<char> = text.chars().collect();
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(&c) = text.get(at) {
            if c.is_whitespace() {
                at += 1;
                continue;
            }
            let (token, length) = token(&text, at)?;
            tokens.push((token, at));
            at += length;
        }
        tokens.push((Token::End, text.len()));
        let at = 0;
        Ok(Lexer { text, tokens, at })
    }

    pub(super) fn peek(&self) -> &Token {
        self.tokens
            .get(self.at)
            .map_or(&Token::End, |(token, _)| token)
    }

    /// Where the token that is looked at begins.
    pub(super) fn place(&self) -> usize {
        self.tokens
            .get(self.at)
            .map_or(self.text.len(), |(_, at)| *at)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        // The last one is the end, which stays.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Goes on if this token comes next, and says whether it did.
    pub(super) fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.next();
        }
        found
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(name) if name == word);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn expect(&mut self, sign: char, what: &str) -> Result<(), PairError> {
        match self.eat(&Token::Sign(sign)) {
            true => Ok(()),
            false => Err(self.error(format!("`{sign}` is missing here{what}"))),
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> PairError {
        self.error_at(self.place(), message)
    }

    pub(super) fn error_at(&self, place: usize, message: impl Into<String>) -> PairError {
        PairError::new(message, &self.text, place)
    }
}

/// The token that begins at `at`, and its length.
fn token(text: &[char], at: usize) -> Result<(Token, usize), PairError> {
    let rest = text.get(at..).unwrap_or_default();
    let starts = |sign: &str| sign.chars().eq(rest.iter().take(sign.len()).copied());
    let signs = [
        ("+->", Token::CountArrow),
        ("->", Token::Arrow),
        ("&&", Token::And),
        ("==", Token::Compare(Operator::Equal)),
        ("!=", Token::Compare(Operator::NotEqual)),
        (">=", Token::Compare(Operator::AtLeast)),
        ("<=", Token::Compare(Operator::AtMost)),
        (">", Token::Compare(Operator::Above)),
        ("<", Token::Compare(Operator::Below)),
    ];
    if let Some((sign, token)) = signs.into_iter().find(|(sign, _)| starts(sign)) {
        return Ok((token, sign.len()));
    }
    match rest {
        [c @ ('(' | ')' | ',' | '=' | '|' | '[' | ']'), ..] => Ok((Token::Sign(*c), 1)),
        [c, ..] if c.is_ascii_digit() || *c == '-' => number(text, at, rest),
        [c, ..] if is_name(*c) => {
            let name: String = rest.iter().take_while(|c| is_name(**c)).collect();
            let length = name.len();
            match name.as_str() {
                "NULL" => Ok((Token::Number(0), length)),
                _ => Ok((Token::Name(name), length)),
            }
        }
        _ => Err(PairError::new(
            "only names, numbers and the signs of the pair language can stand here",
            text,
            at,
        )),
    }
}

fn number(text: &[char], at: usize, rest: &[char]) -> Result<(Token, usize), PairError> {
    let sign = usize::from(rest.first() == Some(&'-'));
    let plain = rest
        .iter()
        .skip(sign)
        .take_while(|c| c.is_ascii_alphanumeric());
    let plain: String = plain.collect();
    let value = match plain.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => plain.parse(),
    };
    match value {
        Ok(value) if sign == 1 => Ok((Token::Number(-value), plain.len() + 1)),
        Ok(value) => Ok((Token::Number(value), plain.len())),
        Err(_) => Err(PairError::new("this is not a number", text, at)),
    }
}

/// Mangled names and symbols with a `.` or `$` are names too.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '@')
}
