//! A line in the making: its bytes, the column it has reached, and its colours.

use anstyle::Style;
use std::fmt;
use std::io::{self, Write};

/// What has been put together since the last write. A line may be written in two halves, so that its
/// column outlives its bytes.
pub(super) struct Line {
    bytes: Vec<u8>,
    column: usize,
    coloured: bool,
}

impl Line {
    pub(super) fn new(coloured: bool) -> Line {
        Line {
            bytes: Vec::new(),
            column: 0,
            coloured,
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.column += text.chars().count();
    }

    /// Adds text in a colour, if colours are wanted. They take no column.
    pub(super) fn paint(&mut self, style: Style, text: &str) {
        if !self.coloured {
            return self.push(text);
        }
        self.escape(style.render());
        self.push(text);
        self.escape(style.render_reset());
    }

    /// Blanks up to `column`.
    pub(super) fn pad_to(&mut self, column: usize) {
        self.blanks(column.saturating_sub(self.column));
    }

    pub(super) fn blanks(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, b' ');
        self.column += count;
    }

    /// Ends the line.
    pub(super) fn end(&mut self) {
        self.bytes.push(b'\n');
        self.column = 0;
    }

    /// Writes all of it in one go: standard error is shared with the traced program.
    pub(super) fn write_to(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let result = out.write_all(&self.bytes);
        self.bytes.clear();
        result
    }

    fn escape(&mut self, sequence: impl fmt::Display) {
        // Writing to memory does not fail.
        let _ = write!(self.bytes, "{sequence}");
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}
