//! One pattern of a filter, ready to be held against names.

use super::scan::{Piece, bracket_end, is_subscript};
use super::{FilterError, bre, sets};
use crate::plan::written::{Written, spellings};
use regex::{Regex, RegexBuilder};
use std::collections::HashSet;

/// What a symbol or a library may be called. Every pattern must fit the whole name.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Any,
    /// A name; and the same as its language may write it.
    Exact(String, Option<Written>),
    Regex(Regex),
    Set(HashSet<String>),
    /// A name as its language writes it, `ns::handle`; or the symbol that is spelled so.
    Written(Box<Pattern>, Option<Written>),
    /// What fits symbols; where it fits none, names as languages write them.
    Unqualified(Box<Pattern>, Written),
    /// `0x401136`: no name at all.
    Address(u64),
}

/// A compiled pattern larger than this is of no use.
const SIZE_LIMIT: usize = 1 << 20;

impl Pattern {
    /// `*`, `?`, brackets, and a backslash that makes the next character an ordinary one. Users also
    /// write the anchors of regular expressions; as a pattern fits whole names anyway, they say nothing.
    pub(super) fn glob(piece: Piece<'_>) -> Result<Pattern, FilterError> {
        let piece = without_anchors(piece);
        let text = piece.chars();
        let mut plain = Some(String::new());
        let mut regex = String::new();
        let mut at = 0;
        while let Some(&c) = text.get(at) {
            let literal =
                match c {
                    '[' if is_subscript(text, at) => Some(c),
                    '*' | '?' | '[' => None,
                    '\\' => {
                        at += 1;
                        let escaped = text.get(at).copied();
                        Some(escaped.ok_or_else(|| {
                            piece.error(at - 1, "a backslash has nothing after it")
                        })?)
                    }
                    c => Some(c),
                };
            plain = plain
                .zip(literal)
                .map(|(plain, c)| plain + c.encode_utf8(&mut [0; 4]));
            at += 1;
            match (c, literal) {
                // Names of sources are held against it without blanks that say nothing.
                (_, Some(' ')) => regex.push_str(" ?"),
                (_, Some(c)) => bre::push_literal(&mut regex, c),
                ('*', _) => regex.push_str(".*"),
                ('?', _) => regex.push('.'),
                _ => {
                    let end = bracket_end(text, at - 1);
                    let end = end.ok_or_else(|| piece.error(at - 1, "this `[` has no `]`"))?;
                    bre::push_bracket(&mut regex, piece.part(at - 1..end), &['!', '^'])?;
                    at = end;
                }
            }
        }
        // Of Go's names some hold such characters.
        regex.push('|');
        text.iter().for_each(|&c| bre::push_literal(&mut regex, c));
        let name: String = text.iter().collect();
        match plain {
            Some(plain) => Ok(match address(&plain) {
                Some(at) => Pattern::Address(at),
                None => {
                    let written = Written::of(&plain);
                    Pattern::Exact(plain, written)
                }
            }),
            None if text == ['*'] => Ok(Pattern::Any),
            None => compile(piece, &regex),
        }
        .map(|pattern| pattern.or_written(&name))
    }

    /// A POSIX basic regular expression.
    pub(super) fn regex(piece: Piece<'_>) -> Result<Pattern, FilterError> {
        let text: String = piece.chars().iter().collect();
        let pattern = compile(piece, &bre::translate(piece)?)?;
        // A group ends like parameters do.
        match text.contains("::") {
            true => Ok(pattern.or_written(&text)),
            false => Ok(pattern),
        }
    }

    /// `%name`: the functions of a set.
    pub(super) fn set(piece: Piece<'_>) -> Result<Pattern, FilterError> {
        let name: String = piece.chars().iter().skip(1).collect();
        let set = sets::find(&name);
        let unknown = || format!("there is no set `%{name}`; known are {}", sets::known());
        set.map(Pattern::Set)
            .ok_or_else(|| piece.error(0, unknown()))
    }

    /// The one name that it fits.
    pub(super) fn spelt(&self) -> Option<&str> {
        match self {
            Pattern::Exact(name, _) => Some(name),
            Pattern::Written(symbol, _) => symbol.spelt(),
            _ => None,
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(exact, _) => exact == name,
            Pattern::Regex(regex) => regex.is_match(name),
            Pattern::Set(names) => names.contains(name),
            Pattern::Written(symbol, written) => {
                let is_pattern = matches!(**symbol, Pattern::Regex(_));
                let fits = |name: &String| symbol.matches(name);
                symbol.matches(name)
                    || written.as_ref().is_some_and(|written| written.means(name))
                    || is_pattern && spellings(name).iter().any(fits)
            }
            Pattern::Unqualified(pattern, _) => pattern.matches(name),
            Pattern::Address(_) => false,
        }
    }

    /// A symbol's function is written so, although the symbol is not: `handle` of `ns::handle()`.
    pub(super) fn is_written(&self, symbol: &str) -> bool {
        match self {
            Pattern::Exact(_, written) => written.as_ref().is_some_and(|name| name.means(symbol)),
            Pattern::Unqualified(pattern, written) => {
                let fits = |name: &String| pattern.matches(name);
                written.may_mean(symbol) && spellings(symbol).iter().any(fits)
            }
            _ => false,
        }
    }

    /// The name, or what names are like, of what it means as languages write it where no symbol is called so.
    pub(super) fn written(&self) -> Option<&str> {
        match self {
            Pattern::Exact(_, Some(written)) | Pattern::Unqualified(_, written) => {
                Some(written.text())
            }
            _ => None,
        }
    }

    /// It is one name.
    pub(super) fn is_exact(&self) -> bool {
        match self {
            Pattern::Written(symbol, _) => symbol.is_exact(),
            _ => matches!(self, Pattern::Exact(..)),
        }
    }

    /// As one that means what languages write, if it can be meant so.
    fn or_written(self, text: &str) -> Pattern {
        let written = match &self {
            Pattern::Exact(_, written) => written.clone(),
            Pattern::Regex(_) => Written::of(text),
            _ => return self,
        };
        match (Written::is_qualified(text), &self, written) {
            (true, _, written) => Pattern::Written(Box::new(self), written),
            (false, Pattern::Regex(_), Some(written)) => {
                Pattern::Unqualified(Box::new(self), written)
            }
            _ => self,
        }
    }
}

/// No symbol begins with a digit.
fn address(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("0x")?;
    // A sign would be understood as well.
    let all = digits.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| all)
}

fn without_anchors(piece: Piece<'_>) -> Piece<'_> {
    let text = piece.chars();
    let from = usize::from(text.first() == Some(&'^'));
    let escaped = text
        .iter()
        .rev()
        .skip(1)
        .take_while(|&&c| c == '\\')
        .count()
        % 2
        == 1;
    let anchored = text.len() > from && text.last() == Some(&'$') && !escaped;
    piece.part(from..text.len() - usize::from(anchored))
}

fn compile(piece: Piece<'_>, regex: &str) -> Result<Pattern, FilterError> {
    RegexBuilder::new(&format!(r"\A(?:{regex})\z"))
        .dot_matches_new_line(true)
        .size_limit(SIZE_LIMIT)
        .build()
        .map(Pattern::Regex)
        .map_err(|e| piece.error(0, too_much(&e)))
}

/// Mistakes are found before, with their place; what is left to the regex crate are its limits.
fn too_much(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "this pattern is too large".to_owned(),
        error => format!(
            "this pattern cannot be used: {}",
            error.to_string().lines().last().unwrap_or_default()
        ),
    }
}
