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
    /// The column that the line had reached at this byte of the text.
    column: usize,
    counted: usize,
    coloured: bool,
    charset: Charset,
}

const BLANKS: &str = "                                                                ";

impl Line {
    pub(super) fn new(coloured: bool) -> Line {
        Line {
            text: String::new(),
            column: 0,
            counted: 0,
            coloured,
            charset: Charset::Ascii,
        }
    }

    /// The same, for a reader of this character set.
    pub(super) fn with_charset(self, charset: Charset) -> Line {
        Line { charset, ..self }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn push_value(&mut self, value: &Value) {
        render_in(&mut self.text, value, self.charset);
    }

    /// Adds what another line holds.
    pub(super) fn push_line(&mut self, line: &Line) {
        if line.counted == 0 {
            // It has no colours: its columns are counted with the others.
            return self.push(&line.text);
        }
        self.count();
        self.text.push_str(&line.text);
        self.counted = self.text.len();
        self.column += line.column + width(&line.text.as_bytes()[line.counted..]);
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
        self.count();
        self.blanks(column.saturating_sub(self.column));
    }

    pub(super) fn blanks(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let some = left.min(BLANKS.len());
            self.text.push_str(&BLANKS[..some]);
            left -= some;
        }
    }

    /// Counts the columns of what was added.
    fn count(&mut self) {
        self.column += width(&self.text.as_bytes()[self.counted..]);
        self.counted = self.text.len();
    }

    /// Adds whole lines, when one has ended.
    pub(super) fn add_lines(&mut self, add: impl FnOnce(&mut String)) {
        self.escape(add);
    }

    /// Ends the line.
    pub(super) fn end(&mut self) {
        self.text.push('\n');
        self.column = 0;
        self.counted = self.text.len();
    }

    /// Writes all of it in one go: standard error is shared with the traced program.
    pub(super) fn write_to(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.count();
        let result = out.write_all(self.text.as_bytes());
        self.text.clear();
        self.counted = 0;
        result
    }

    /// Whatever `add` adds, in a colour.
    pub(super) fn painted(&mut self, style: Style, add: impl FnOnce(&mut Line)) {
        if !self.coloured {
            return add(self);
        }
        // Writing to memory does not fail.
        self.escape(|text| _ = fmt::Write::write_fmt(text, format_args!("{style}")));
        add(self);
        self.escape(|text| _ = fmt::Write::write_fmt(text, format_args!("{style:#}")));
    }

    /// Adds what takes no column.
    fn escape(&mut self, add: impl FnOnce(&mut String)) {
        self.count();
        add(&mut self.text);
        self.counted = self.text.len();
    }
}

/// How many columns a text takes: each byte that begins a character counts.
fn width(text: &[u8]) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => text.iter().filter(|byte| **byte & 0xc0 != 0x80).count(),
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}
