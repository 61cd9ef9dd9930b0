//! A line in the making: its text, the column it has reached, and its colours.

use crate::value::Value;
use crate::value::render::{Charset, render_in};
use anstyle::Style;
use std::fmt;
use std::io::{self, Write};

/// What has been put together since the last write. A line may be written in two halves, so that its
/// column outlives its text.
pub(super) struct Line {
    text: String,
    column: usize,
    coloured: bool,
    charset: Charset,
}

const BLANKS: &str = "                                                                ";

impl Line {
    pub(super) fn new(coloured: bool) -> Line {
        Line {
            text: String::new(),
            column: 0,
            coloured,
            charset: Charset::Ascii,
        }
    }

    /// The same, for a reader of this character set.
    pub(super) fn with_charset(self, charset: Charset) -> Line {
        Line { charset, ..self }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.add(|line| line.push_str(text));
    }

    pub(super) fn push_value(&mut self, value: &Value) {
        let charset = self.charset;
        self.add(|line| render_in(line, value, charset));
    }

    /// Adds what another line holds.
    pub(super) fn push_line(&mut self, line: &Line) {
        self.text.push_str(&line.text);
        self.column += line.column;
    }

    /// Adds text in a colour, if colours are wanted. They take no column.
    pub(super) fn paint(&mut self, style: Style, text: &str) {
        self.painted(style, |line| line.push(text));
    }

    pub(super) fn paint_value(&mut self, style: Style, value: &Value) {
        self.painted(style, |line| line.push_value(value));
    }

    /// Blanks up to `column`.
    pub(super) fn pad_to(&mut self, column: usize) {
        self.blanks(column.saturating_sub(self.column));
    }

    pub(super) fn blanks(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let some = left.min(BLANKS.len());
            self.text.push_str(&BLANKS[..some]);
            left -= some;
        }
        self.column += count;
    }

    /// What whole lines are added to, when one has ended.
    pub(super) fn lines(&mut self) -> &mut String {
        &mut self.text
    }

    /// Ends the line.
    pub(super) fn end(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }

    /// Writes all of it in one go: standard error is shared with the traced program.
    pub(super) fn write_to(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let result = out.write_all(self.text.as_bytes());
        self.text.clear();
        result
    }

    /// Whatever `add` adds, in a colour.
    pub(super) fn painted(&mut self, style: Style, add: impl FnOnce(&mut Line)) {
        if self.coloured {
            // Writing to memory does not fail.
            let _ = fmt::Write::write_fmt(&mut self.text, format_args!("{style}"));
        }
        add(self);
        if self.coloured {
            let _ = fmt::Write::write_fmt(&mut self.text, format_args!("{style:#}"));
        }
    }

    fn add(&mut self, add: impl FnOnce(&mut String)) {
        let from = self.text.len();
        add(&mut self.text);
        self.column += width(&self.text.as_bytes()[from..]);
    }
}

/// How many columns a text takes: each byte that begins a character counts.
fn width(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}
