//! Cuts a filter into its patterns: where a glob, a path or a regular expression begins and ends.

use super::FilterError;
use std::ops::Range;

/// A part of a filter that still knows where it stands, for the caret under a mistake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'t> {
    text: &'t [char],
    from: usize,
    to: usize,
}

impl<'t> Piece<'t> {
    pub(super) fn chars(self) -> &'t [char] {
        self.text.get(self.from..self.to).unwrap_or_default()
    }

    /// A mistake `at` characters from the beginning of the piece.
    pub(super) fn error(self, at: usize, message: impl Into<String>) -> FilterError {
        FilterError::new(message, self.text, self.from + at)
    }

    /// The piece without what lies outside of `part`.
    pub(super) fn part(self, part: Range<usize>) -> Piece<'t> {
        let to = self.to.min(self.from.saturating_add(part.end));
        let from = to.min(self.from + part.start);
        Piece { from, to, ..self }
    }

    /// Where the `@` stands that divides `/symbol@library/`.
    pub(super) fn at_sign(self) -> Option<usize> {
        find(self.chars(), 0, |c| c == '@')
    }
}

/// A place in a filter.
#[derive(Debug)]
pub(super) struct Scanner<'t> {
    text: &'t [char],
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [char]) -> Scanner<'t> {
        Scanner { text, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    pub(super) fn error(&self, message: impl Into<String>) -> FilterError {
        FilterError::new(message, self.text, self.at)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Piece<'t> {
        self.take(self.text.len())
    }

    /// A glob for library names. No rule is empty, so that `++` can only be part of a name.
    pub(super) fn library(&mut self) -> Piece<'t> {
        let mut from = self.at;
        loop {
            let end = find(self.text, from, is_mark).unwrap_or(self.text.len());
            if self.text.get(end..end + 2) != Some(&['+', '+']) {
                return self.take(end);
            }
            from = end + 2;
        }
    }

    /// A glob for symbols. Those of Go begin with the path of a package, which ends with the first dot behind its
    /// last `/`; no sign belongs to it that comes after that or after a `*`.
    pub(super) fn symbol(&mut self) -> Piece<'t> {
        self.path_until(|before| {
            let name = before.rsplit(|&c| c == '/').next().unwrap_or_default();
            before.last() == Some(&'*') || name.len() < before.len() && name.contains(&'.')
        })
    }

    /// A glob for paths. A sign before another `/` of the same path is part of it; one right before
    /// a `/` is not, as a regular expression may begin there.
    pub(super) fn path(&mut self) -> Piece<'t> {
        self.path_until(|_| false)
    }

    /// The same, which a sign behind a text that is complete does not belong to.
    fn path_until(&mut self, is_complete: impl Fn(&[char]) -> bool) -> Piece<'t> {
        let mut from = self.at;
        loop {
            let end = find(self.text, from, is_mark).unwrap_or(self.text.len());
            let next = find(self.text, end + 1, |c| matches!(c, '/' | '@'));
            let before = next.and_then(|next| self.text.get(next - 1..=next));
            let goes_on = matches!(before, Some(&[c, '/']) if !is_mark(c));
            let so_far = self.text.get(self.at..end).unwrap_or_default();
            if !goes_on || self.text.get(end) == Some(&'@') || is_complete(so_far) {
                return self.take(end);
            }
            from = end + 1;
        }
    }

    /// The inside of `/re/`.
    pub(super) fn regex(&mut self) -> Result<Piece<'t>, FilterError> {
        let Some(end) = self.regex_end() else {
            return Err(self.error("this regular expression has no `/` at its end"));
        };
        let from = self.at + 1;
        self.at = end + 1;
        Ok(Piece {
            text: self.text,
            from,
            to: end,
        })
    }

    /// Whether `/re/` stands here rather than a path: nothing of a pattern follows its second `/`.
    pub(super) fn is_regex(&self) -> bool {
        let after = |end: usize| self.text.get(end + 1).is_none_or(|&c| is_mark(c));
        self.regex_end().is_some_and(after)
    }

    /// Whether all that is left is one `/re/`.
    pub(super) fn is_regex_to_the_end(&self) -> bool {
        self.regex_end()
            .is_some_and(|end| end + 1 == self.text.len())
    }

    fn regex_end(&self) -> Option<usize> {
        find(self.text, self.at + 1, |c| c == '/')
    }

    fn take(&mut self, to: usize) -> Piece<'t> {
        let from = self.at;
        self.at = to;
        Piece {
            text: self.text,
            from,
            to,
        }
    }
}

fn is_mark(c: char) -> bool {
    matches!(c, '+' | '-' | '@')
}

/// The first character from `at` on that is looked for and neither escaped nor in brackets.
fn find(text: &[char], mut at: usize, wanted: impl Fn(char) -> bool) -> Option<usize> {
    while let Some(&c) = text.get(at) {
        if wanted(c) {
            return Some(at);
        }
        at = match c {
            '\\' => at + 2,
            '[' if !is_subscript(text, at) => bracket_end(text, at).unwrap_or(at + 1),
            _ => at + 1,
        };
    }
    None
}

/// The brackets at `at` belong to a name of C++: `operator[]`, `operator new[]`.
pub(super) fn is_subscript(text: &[char], at: usize) -> bool {
    let is_closed = text.get(at + 1) == Some(&']');
    let name: String = text.get(..at).unwrap_or_default().iter().collect();
    let names = ["operator", "operator new", "operator delete"];
    is_closed && names.iter().any(|end| name.trim_end().ends_with(end))
}

/// What follows the bracket expression that begins at `at` (POSIX.1-2017 XBD 9.3.5): a `]` that comes
/// first is one of its characters, and so are those in `[:class:]`, `[=x=]` and `[.x.]`.
pub(super) fn bracket_end(text: &[char], at: usize) -> Option<usize> {
    let mut at = at + 1;
    if matches!(text.get(at), Some('!' | '^')) {
        at += 1;
    }
    let first = at;
    loop {
        match text.get(at)? {
            ']' if at > first => return Some(at + 1),
            '[' => at = class_end(text, at).unwrap_or(at + 1),
            _ => at += 1,
        }
    }
}

/// What follows the `[:class:]`, `[=x=]` or `[.x.]` that begins at `at`, if one does.
pub(super) fn class_end(text: &[char], at: usize) -> Option<usize> {
    let kind = *text.get(at + 1)?;
    if !matches!(kind, ':' | '=' | '.') {
        return None;
    }
    let rest = text.get(at + 2..)?;
    let end = rest.windows(2).position(|pair| pair == [kind, ']'])?;
    Some(at + 2 + end + 2)
}
