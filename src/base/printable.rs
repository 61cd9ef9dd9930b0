//! Words of others as they may be shown: names out of files, paths, what a program calls itself. None of them may
//! command a terminal, begin a line of its own, or turn the direction of text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Shown as it is: everything but controls (C0, DEL, C1), separators of lines and paragraphs, and marks that turn
/// the direction of text (Unicode Standard Annex 9, 2).
pub fn is_plain(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}

/// The text with C's escapes for what is not plain: `\n`, `\033`, `\u202e`.
pub fn printable(text: &str) -> Cow<'_, str> {
    match text.chars().all(is_plain) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(escaped(text)),
    }
}

/// The same for text that we put together of several lines: those stay.
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if is_plain(c) => shown.push(c),
            '\t' => shown.push_str("\\t"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            // Writing to a string does not fail.
            c if c <= '\u{ff}' => drop(write!(shown, "\\{:03o}", u32::from(c))),
            c => drop(write!(shown, "\\u{:04x}", u32::from(c))),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{is_plain, printable, printable_lines};
    use std::borrow::Cow;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(printable(text), shown);
        assert!(printable(text).chars().all(is_plain));
    }

    #[test]
    fn what_is_not_plain_is_escaped() {
        check("\u{1b}]0;title\u{7}", "\\033]0;title\\007");
        check("two\r\nlines\tof\u{7f}", "two\\r\\nlines\\tof\\177");
        check("\u{9b}31m", "\\23331m");
        check("a\u{202e}b\u{2066}c\u{2028}d", "a\\u202eb\\u2066c\\u2028d");
        let kept = "operator<< naïve 名前 \u{fffd} \\n";
        assert!(matches!(printable(kept), Cow::Borrowed(text) if text == kept));
        assert_eq!(printable_lines("a\nb\u{1b}\n"), "a\nb\\033\n");
    }
}
