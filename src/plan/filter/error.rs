//! What is wrong with a filter, and where.

use std::fmt;

/// A filter that cannot be understood. Shown in three lines: what is wrong, the filter, and a caret
/// under the spot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    message: String,
    text: String,
    at: usize,
}

impl FilterError {
    /// `at` counts characters of `text`.
    pub fn new(message: impl Into<String>, text: &[char], at: usize) -> FilterError {
        // One column for each character, or the caret would stand under another one.
        let shown = |&c: &char| if c.is_control() { '?' } else { c };
        FilterError {
            message: message.into(),
            text: text.iter().map(shown).collect(),
            at,
        }
    }

    /// What is wrong, alone.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FilterError { message, text, at } = self;
        write!(f, "{message}\n  {text}\n  {:at$}^", "")
    }
}
