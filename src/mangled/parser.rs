//! Mangled names, read (Itanium C++ ABI 5.1): a tree of what a function takes. Of expressions only the end is looked for.
//! Demanglers write text, in which types can no longer be told apart.

use super::tree::Tree;
use std::rc::Rc;

/// As deep as parts of a name are in each other.
const MOST_DEPTH: usize = 64;
/// Longer names are not read.
const MOST_LENGTH: usize = 8192;

/// Stands in a mangled name.
pub(super) struct Parser<'s> {
    rest: &'s [u8],
    /// What was named, and may be named again by its number.
    known: Vec<Rc<Tree>>,
    /// What the template's parameters stand for.
    pub(super) arguments: Vec<Rc<Tree>>,
    depth: usize,
}

impl<'s> Parser<'s> {
    /// Before the name that follows `_Z`.
    pub(super) fn new(name: &'s str) -> Option<Parser<'s>> {
        (name.len() <= MOST_LENGTH).then_some(Parser {
            rest: name.as_bytes(),
            known: Vec::new(),
            arguments: Vec::new(),
            depth: 0,
        })
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The letter after the next.
    pub(super) fn second(&self) -> Option<u8> {
        self.rest.get(1).copied()
    }

    pub(super) fn bump(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn starts_with(&self, text: &str) -> bool {
        self.rest.starts_with(text.as_bytes())
    }

    /// Goes past this text, if it stands here.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, text: &str) -> Option<()> {
        self.eat(text).then_some(())
    }

    /// Two letters at once.
    pub(super) fn pair(&mut self) -> Option<[u8; 2]> {
        let (pair, rest) = self.rest.split_first_chunk::<2>()?;
        self.rest = rest;
        Some(*pair)
    }

    /// Digits, if there are any.
    pub(super) fn number(&mut self) -> Option<u64> {
        let end = self.rest.iter().position(|byte| !byte.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        self.rest = rest;
        Some(number)
    }

    /// A number that may be missing, and `_` behind it: 0 when it is missing, else one more.
    pub(super) fn ordinal(&mut self) -> Option<usize> {
        if self.eat("_") {
            return Some(0);
        }
        let number = self.number()?;
        self.expect("_")?;
        usize::try_from(number).ok()?.checked_add(1)
    }

    /// The same in base 36, as substitutions count.
    pub(super) fn sequence(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        let mut has_digits = false;
        loop {
            let digit = match self.bump()? {
                b'_' if has_digits => return number.checked_add(1),
                b'_' => return Some(0),
                digit @ b'0'..=b'9' => digit - b'0',
                digit @ b'A'..=b'Z' => digit - b'A' + 10,
                _ => return None,
            };
            has_digits = true;
            number = number.checked_mul(36)?.checked_add(digit.into())?;
        }
    }

    /// `<source-name>`: how something is called in the source.
    pub(super) fn source_name(&mut self) -> Option<&'s str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (name, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(name).ok()
    }

    /// Keeps what can be named again.
    pub(super) fn keep(&mut self, tree: Rc<Tree>) -> Rc<Tree> {
        self.known.push(tree.clone());
        tree
    }

    /// The last that was kept is not to be named again by this.
    pub(super) fn unkeep(&mut self) {
        self.known.pop();
    }

    pub(super) fn kept(&self, number: usize) -> Option<Rc<Tree>> {
        self.known.get(number).cloned()
    }

    /// Reads something that may hold others of its kind.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MOST_DEPTH {
            return None;
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }
}
