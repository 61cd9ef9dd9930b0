//! POSIX basic regular expressions (POSIX.1-2017 XBD 9.3, with the GNU additions `\|`, `\+`, `\?`,
//! `\w` and their kin), translated for the `regex` crate, which speaks another dialect.

use super::FilterError;
use super::scan::{Piece, bracket_end, class_end};

/// What the brackets may name (XBD 9.3.5); the `regex` crate knows the same names.
const CLASSES: [&str; 12] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "xdigit",
];

/// The expression as the `regex` crate writes it.
pub(super) fn translate(piece: Piece<'_>) -> Result<String, FilterError> {
    let mut translation = Translation {
        piece,
        text: piece.chars(),
        at: 0,
        out: String::new(),
        open: Vec::new(),
        begins: true,
    };
    while let Some(&c) = translation.text.get(translation.at) {
        translation.element(c)?;
    }
    match translation.open.last() {
        Some(&at) => Err(piece.error(at, r"this `\(` has no `\)`")),
        None => Ok(translation.out),
    }
}

struct Translation<'t> {
    piece: Piece<'t>,
    text: &'t [char],
    at: usize,
    out: String,
    /// Where the groups begin that are open here.
    open: Vec<usize>,
    /// Nothing stands before this place that could be repeated: a `*` is an ordinary character here.
    begins: bool,
}

impl Translation<'_> {
    fn element(&mut self, c: char) -> Result<(), FilterError> {
        let at = self.at;
        self.at += 1;
        let begins = std::mem::replace(&mut self.begins, false);
        match c {
            '\\' => return self.escape(at, begins),
            '[' => {
                let end = bracket_end(self.text, at);
                let end = end.ok_or_else(|| self.piece.error(at, "this `[` has no `]`"))?;
                push_bracket(&mut self.out, self.piece.part(at..end), &['^'])?;
                self.at = end;
            }
            '.' => self.out.push('.'),
            '*' if !begins => self.out.push('*'),
            '^' if begins => {
                self.out.push('^');
                self.begins = true;
            }
            '$' if self.ends() => self.out.push('$'),
            c => push_literal(&mut self.out, c),
        }
        Ok(())
    }

    /// What a backslash makes of the next character.
    fn escape(&mut self, at: usize, begins: bool) -> Result<(), FilterError> {
        let Some(&c) = self.text.get(self.at) else {
            return Err(self.piece.error(at, "a backslash has nothing after it"));
        };
        self.at += 1;
        match c {
            '(' => {
                self.open.push(at);
                self.out.push_str("(?:");
                self.begins = true;
            }
            ')' if self.open.pop().is_some() => self.out.push(')'),
            ')' => return Err(self.piece.error(at, r"this `\)` has no `\(`")),
            '|' => {
                self.out.push('|');
                self.begins = true;
            }
            '+' | '?' if !begins => self.out.push(c),
            '{' if !begins => return self.interval(at),
            'w' | 'W' | 's' | 'S' | 'b' | 'B' => self.out.extend(['\\', c]),
            '<' => self.out.push_str(r"\b{start}"),
            '>' => self.out.push_str(r"\b{end}"),
            '`' => self.out.push_str(r"\A"),
            '\'' => self.out.push_str(r"\z"),
            '1'..='9' => {
                return Err(self
                    .piece
                    .error(at, "a back-reference cannot be used in a filter"));
            }
            c => push_literal(&mut self.out, c),
        }
        Ok(())
    }

    /// `\{m\}`, `\{m,\}`, `\{m,n\}`, of which `\{` at `at` has been read.
    fn interval(&mut self, at: usize) -> Result<(), FilterError> {
        let wrong = |why: &str| self.piece.error(at, why);
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.windows(2).position(|pair| pair == ['\\', '}']);
        let end = end.ok_or_else(|| wrong(r"this `\{` has no `\}`"))?;
        let inside: String = rest.iter().take(end).collect();
        let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
        let number = |digits: &str| match digits.parse::<u16>() {
            // A sign is no digit, though parse() takes one.
            Ok(n) if !digits.starts_with('+') => Ok(n),
            _ => Err(wrong(
                r"an interval is written `\{2\}`, `\{2,\}` or `\{2,5\}`",
            )),
        };
        let least = if least.is_empty() && inside != least {
            0
        } else {
            number(least)?
        };
        let interval = match most {
            "" => format!("{{{least},}}"),
            most => match number(most)? {
                most if most < least => return Err(wrong("this interval is backwards")),
                most => format!("{{{least},{most}}}"),
            },
        };
        self.out.push_str(&interval);
        self.at += end + 2;
        Ok(())
    }

    /// Whether the `$` that was just read stands at the end of the expression, a group or a branch.
    fn ends(&self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        matches!(rest, [] | ['\\', ')' | '|', ..])
    }
}

/// One character that stands for itself.
pub(super) fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
        out.push('\\');
    }
    out.push(c);
}

/// A whole bracket expression; one that begins with a character of `not` means all others.
pub(super) fn push_bracket(
    out: &mut String,
    piece: Piece<'_>,
    not: &[char],
) -> Result<(), FilterError> {
    let text = piece.chars();
    let last = text.len().saturating_sub(1);
    let mut at = 1;
    out.push('[');
    if text.get(at).is_some_and(|c| not.contains(c)) {
        out.push('^');
        at += 1;
    }
    while at < last {
        let (member, next) = member(piece, at)?;
        let ranges = text.get(next) == Some(&'-') && next + 1 < last;
        match member {
            Member::Class(name) => {
                out.push_str(&format!("[:{name}:]"));
                at = next;
            }
            Member::One(from) if ranges => {
                let (to, end) = match self::member(piece, next + 1)? {
                    (Member::One(to), end) if from <= to => (to, end),
                    _ => return Err(piece.error(at, "this range is backwards")),
                };
                push_literal(out, from);
                out.push('-');
                push_literal(out, to);
                at = end;
            }
            Member::One(c) => {
                push_literal(out, c);
                at = next;
            }
        }
    }
    out.push(']');
    Ok(())
}

enum Member {
    One(char),
    Class(String),
}

/// What stands at `at` in a bracket expression, and where the next thing begins.
fn member(piece: Piece<'_>, at: usize) -> Result<(Member, usize), FilterError> {
    let text = piece.chars();
    let Some(end) = class_end(text, at).filter(|_| text.get(at) == Some(&'[')) else {
        let c = text.get(at).copied().unwrap_or_default();
        return Ok((Member::One(c), at + 1));
    };
    let inside = text.get(at + 2..end - 2).unwrap_or_default();
    match (text.get(at + 1), inside) {
        (Some(':'), name) => {
            let name: String = name.iter().collect();
            if !CLASSES.contains(&name.as_str()) {
                return Err(piece.error(at, format!("there is no class `[:{name}:]`")));
            }
            Ok((Member::Class(name), end))
        }
        (_, &[c]) => Ok((Member::One(c), end)),
        _ => Err(piece.error(at, "collating elements of several characters are not known")),
    }
}
