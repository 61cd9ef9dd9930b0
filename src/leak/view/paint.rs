//! Lines as bytes for a terminal, in colour or not.

use crate::leak::view::draw::{Line, Style};
use anstyle::{AnsiColor, Effects};
use std::fmt::Write as _;

/// Whether there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// As the terminal can show them.
    Shown,
    /// No escapes but those that move the cursor.
    #[default]
    None,
}

/// Draws over what was there: each line to its end, and nothing scrolls.
pub(super) fn paint(lines: &[Line], colours: Colours) -> String {
    let mut text = String::from("\x1b[H");
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            text.push_str("\r\n");
        }
        for (style, part) in &line.0 {
            let style = match colours {
                Colours::Shown => ansi(*style),
                Colours::None => anstyle::Style::new(),
            };
            // A string takes whatever is written to it.
            let _ = write!(text, "{style}{part}{style:#}");
        }
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    text
}

fn ansi(style: Style) -> anstyle::Style {
    let plain = anstyle::Style::new();
    match style {
        Style::Plain => plain,
        Style::Head => plain.bold(),
        Style::Bad => AnsiColor::Red.on_default().bold(),
        Style::Doubtful => AnsiColor::Yellow.on_default(),
        Style::Faint => plain.dimmed(),
        Style::Chosen => plain.effects(Effects::INVERT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_or_none() {
        let part = |style, text: &str| (style, text.to_owned());
        let lines = [
            Line(vec![part(Style::Bad, "LOST"), part(Style::Plain, " 3 B")]),
            Line::default(),
        ];
        assert_eq!(
            paint(&lines, Colours::None),
            "\x1b[HLOST 3 B\x1b[K\r\n\x1b[K\x1b[J"
        );
        let coloured = paint(&lines, Colours::Shown);
        assert!(
            coloured.contains("\x1b[31mLOST\x1b[0m 3 B\x1b[K"),
            "{coloured:?}"
        );
    }
}
