//! Reads one line of a prototype file from left to right: blanks, names, numbers, marks.

/// A line and how far it has been read.
pub(super) struct Scanner<'t> {
    line: &'t str,
    at: usize,
}

/// Why a line cannot be understood, and where.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// The byte of the line.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) message: String,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(line: &'t str) -> Scanner<'t> {
        Scanner { line, at: 0 }
    }

    /// Where the next thing stands, blanks skipped.
    pub(super) fn position(&mut self) -> usize {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.at
    }

    /// Goes back (or on) to a place that `position` told.
    pub(super) fn go_to(&mut self, position: usize) {
        self.at = position;
    }

    /// The next character that is not a blank.
    pub(super) fn peek(&mut self) -> Option<char> {
        self.position();
        self.rest().chars().next()
    }

    /// Takes this mark if it is the next thing.
    pub(super) fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(mark);
        if found {
            self.at += mark.len_utf8();
        }
        found
    }

    /// Takes this mark, or says what stands there instead.
    pub(super) fn expect(&mut self, mark: char) -> Result<(), Fault> {
        if self.eat(mark) {
            return Ok(());
        }
        let message = format!("expected '{mark}', got {}", self.next_shown());
        Err(self.fault(message))
    }

    /// Takes the word that stands here, empty when there is none: letters, digits and `_`.
    pub(super) fn word(&mut self) -> &'t str {
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// Takes a function's name: all up to a blank or a parenthesis, since symbols hold strange signs.
    pub(super) fn symbol(&mut self) -> &'t str {
        self.take_while(|c| !c.is_whitespace() && !"(),;\"".contains(c))
    }

    /// Takes an integer as C spells it: `12`, `-1`, `017`, `0x1f`; in two's complement.
    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        let from = self.position();
        let negative = self.eat('-');
        let word = self.word();
        let parsed = if let Some(hex) = word.strip_prefix("0x").or(word.strip_prefix("0X")) {
            u64::from_str_radix(hex, 16)
        } else if word.starts_with('0') {
            u64::from_str_radix(word, 8)
        } else {
            word.parse()
        };
        match parsed {
            Ok(number) if negative => Ok(number.wrapping_neg()),
            Ok(number) => Ok(number),
            Err(_) => Err(Fault {
                at: from,
                message: format!("bad number '{word}'"),
            }),
        }
    }

    /// Takes a text between double quotes. There are no escapes.
    pub(super) fn quoted(&mut self) -> Result<&'t str, Fault> {
        self.expect('"')?;
        let Some(length) = self.rest().find('"') else {
            return Err(self.fault("missing '\"'".to_owned()));
        };
        let text = &self.rest()[..length];
        self.at += length + 1;
        Ok(text)
    }

    /// A fault at the next thing.
    pub(super) fn fault(&mut self, message: String) -> Fault {
        Fault {
            at: self.position(),
            message,
        }
    }

    /// The next thing as a message names it.
    pub(super) fn next_shown(&mut self) -> String {
        match self.peek() {
            None => "the end of the line".to_owned(),
            Some(mark) => format!("'{mark}'"),
        }
    }

    fn rest(&self) -> &'t str {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        self.position();
        let rest = self.rest();
        let length = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }
}
