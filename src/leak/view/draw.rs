//! The picture of a view: from what is known and the terminal's size to lines, none of which is too wide.

use crate::base::printable::is_plain;
use crate::leak::options::Sort;
use crate::leak::report::model::Report;
use crate::leak::report::numbers::{bytes, count};
use crate::leak::report::text::heads;
use crate::leak::view::rows::{Row, Tone};
use crate::leak::view::trend::{Glyphs, Trend};
use std::collections::HashMap;
use unicode_width::UnicodeWidthChar;

/// How something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Head,
    Bad,
    Doubtful,
    Faint,
    Chosen,
}

/// One line, by its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(Style, String)>);

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Sites,
    Help,
}

/// All that a picture shows.
pub(super) struct Picture<'a> {
    pub(super) report: Option<&'a Report>,
    pub(super) rows: &'a [Row],
    pub(super) trends: &'a HashMap<String, Trend>,
    pub(super) total: &'a Trend,
    /// The row that is told in full.
    pub(super) chosen: usize,
    pub(super) page: Page,
    pub(super) sort: Sort,
    /// How many seconds ago the report was made.
    pub(super) age: f64,
    /// Which process of how many.
    pub(super) process: (usize, usize),
    /// What happened last.
    pub(super) note: &'a str,
    pub(super) glyphs: Glyphs,
}

/// What the keys do.
const HELP: [&str; 20] = [
    "  s        order: bytes, blocks, rate, age",
    "  m        mark: from here on growth is told",
    "  c        check now who still holds what",
    "  w        write a snapshot, for --diff",
    "  up down  choose a site, to see all of its stack (also k, j, g, G)",
    "  tab      the next process",
    "  ?        this page, and back",
    "  q        a last report, and let go of the process (also Ctrl-C)",
    "",
    "  LOST       nothing points at these blocks any more: they cannot be freed",
    "  CYCLE      they point at each other, and nothing outside points in",
    "  INDIRECT   only lost blocks point at them",
    "  POSSIBLE   only pointers to their inside were found",
    "  GROWING    still referenced, and there are more and more of them",
    "  NOT FREED  there was no check",
    "",
    "  GROWTH     bytes in a second, over the last ten",
    "  TREND      live bytes over the last reports, from nothing to the most",
    "",
    "  The process is held for a moment at each check; the first line says for how long.",
];

/// The whole picture: no more lines than the terminal has rows, none wider than its columns.
pub(super) fn picture(picture: &Picture<'_>, columns: usize, rows: usize) -> Vec<Line> {
    let mut bottom = note(picture.note, columns);
    bottom.truncate((rows / 4).max(1));
    bottom.push(foot(picture));
    let above = rows.saturating_sub(bottom.len());
    let mut lines = head(picture, columns);
    lines.push(Line::default());
    // On a small terminal sites go before what is known of the process.
    if picture.page == Page::Sites && !picture.rows.is_empty() {
        let table = 1 + picture.rows.len().min(SITES);
        lines.truncate(above.saturating_sub(table).max(1));
    }
    match picture.page {
        Page::Help => lines.extend(HELP.map(Line::plain)),
        Page::Sites => sites(&mut lines, picture, columns, above),
    }
    lines.resize(above, Line::default());
    lines.append(&mut bottom);
    lines.truncate(rows);
    lines.into_iter().map(|line| line.cut(columns)).collect()
}

fn head(picture: &Picture<'_>, columns: usize) -> Vec<Line> {
    let Some(report) = picture.report else {
        return vec![Line::of(
            Style::Head,
            "leaks: looking for the first time ...",
        )];
    };
    let mut lines = Vec::new();
    for ((first, second), style) in heads(report).into_iter().zip([Style::Head, Style::Plain]) {
        let second = second.unwrap_or_default();
        match columns.checked_sub(width(&first) + width(&second)) {
            Some(between) if between >= 3 || second.is_empty() => {
                let text = format!("{first}{:between$}{second}", "");
                lines.push(Line::of(style, &text));
            }
            // What does not go beside it goes below.
            _ => {
                lines.push(Line::of(style, &first));
                let below = Line::plain(&format!("  {second}"));
                lines.extend(Some(below).filter(|_| !second.is_empty()));
            }
        }
    }
    if report.is_of_heap() {
        let width = Table::new(columns).trend.max(8) * 2;
        let rate = picture.total.rate().map(rate_text).unwrap_or_default();
        let drawn = picture.total.line(width, picture.glyphs);
        let estimated = report.sample.map_or("", |_| "   estimates");
        lines.push(Line::plain(&format!("  live {drawn} {rate}{estimated}")));
    }
    lines
}

/// So many sites are shown at least, if there are so many rows.
const SITES: usize = 3;

/// The table, and below it what is known of the chosen row.
fn sites(lines: &mut Vec<Line>, picture: &Picture<'_>, columns: usize, rows: usize) {
    let Some(report) = picture.report else { return };
    if picture.rows.is_empty() {
        lines.push(Line::plain("  no leaks so far"));
        let young = report.not_counted.young.blocks;
        if young > 0 {
            let text = format!("  {} blocks are too young to judge", count(young));
            lines.push(Line::of(Style::Faint, &text));
        }
        return;
    }
    let table = Table::new(columns);
    if rows.saturating_sub(lines.len()) > 1 {
        lines.push(Line::of(Style::Faint, &table.title(picture.sort)));
    }
    let left = rows.saturating_sub(lines.len());
    // What is told in full gets its half, if there is a half.
    let shown = match left {
        0..6 => left,
        _ => (left / 2).max(3).min(picture.rows.len()),
    };
    let chosen = picture.chosen.min(picture.rows.len() - 1);
    let first = (chosen + 1).saturating_sub(shown);
    for (at, row) in picture.rows.iter().enumerate().skip(first).take(shown) {
        lines.push(table.row(picture, at, row, at == chosen));
    }
    if let Some(row) = picture.rows.get(chosen)
        && left > shown
    {
        lines.push(Line::default());
        lines.extend(row.detail.lines().map(Line::plain));
    }
}

/// What happened last, on as many lines as it needs.
fn note(text: &str, columns: usize) -> Vec<Line> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.truncate(NOTE);
    lines
        .iter()
        .map(|line| Line::of(Style::Head, line))
        .collect()
}

/// No note is longer than so many lines.
const NOTE: usize = 4;

fn foot(picture: &Picture<'_>) -> Line {
    let mut line = Line::default();
    let others = match picture.process {
        (_, 0 | 1) => String::new(),
        (at, of) => format!("tab process {} of {of}   ", at + 1),
    };
    let age = match picture.report.map(|report| report.check.clone()) {
        Some(Some(_)) => format!("checked {:.0} s ago", picture.age),
        Some(None) => "not checked".to_owned(),
        None => String::new(),
    };
    let keys = format!(
        "q quit   ? help   {others}s sort: {}   m mark   c check   {age}",
        name(picture.sort)
    );
    line.add(Style::Faint, keys.trim_end());
    line
}

fn name(sort: Sort) -> &'static str {
    match sort {
        Sort::Bytes => "bytes",
        Sort::Blocks => "blocks",
        Sort::Rate => "rate",
        Sort::Age => "age",
    }
}

/// The columns that there is room for.
struct Table {
    /// Of the number before each row.
    number: usize,
    verdict: usize,
    bytes: usize,
    blocks: bool,
    growth: bool,
    /// Zero for none.
    trend: usize,
}

const BLOCKS: usize = 9;
const GROWTH: usize = 13;

impl Table {
    fn new(columns: usize) -> Table {
        // A narrow terminal has more use for the functions.
        let (number, verdict, bytes) = match columns {
            0..44 => (0, 8, 8),
            _ => (4, 10, 11),
        };
        Table {
            number,
            verdict,
            bytes,
            blocks: columns >= 50,
            growth: columns >= 64,
            trend: match columns {
                0..80 => 0,
                80..120 => 10,
                _ => 20,
            },
        }
    }

    fn title(&self, sort: Sort) -> String {
        // The order is told by a star.
        let name = |name: &str, by: Sort| match sort == by {
            true => format!("*{name}"),
            false => name.to_owned(),
        };
        let Table {
            number,
            verdict,
            bytes,
            ..
        } = *self;
        let mut text = format!(
            " {:number$}{:verdict$} {:>bytes$}",
            "",
            "VERDICT",
            name("LIVE", Sort::Bytes)
        );
        if self.blocks {
            text.push_str(&format!(" {:>BLOCKS$}", name("BLOCKS", Sort::Blocks)));
        }
        if self.growth {
            text.push_str(&format!(" {:>GROWTH$}", name("GROWTH", Sort::Rate)));
        }
        if self.trend > 0 {
            text.push_str(&format!("  {:width$}", "TREND", width = self.trend));
        }
        text.push_str("  SITE");
        text
    }

    fn row(&self, picture: &Picture<'_>, at: usize, row: &Row, is_chosen: bool) -> Line {
        let mut line = Line::default();
        let body = if is_chosen {
            Style::Chosen
        } else {
            Style::Plain
        };
        let tone = match row.tone {
            _ if is_chosen => Style::Chosen,
            Tone::Bad => Style::Bad,
            Tone::Doubtful => Style::Doubtful,
            Tone::Plain => Style::Plain,
        };
        let mark = if is_chosen { '>' } else { ' ' };
        let number = match self.number {
            0 => String::new(),
            width => format!("{:>1$} ", at + 1, width - 1),
        };
        line.add(body, &format!("{mark}{number}"));
        line.add(tone, &format!("{:1$}", row.verdict, self.verdict));
        let size = row.bytes.map(bytes).unwrap_or_default();
        line.add(body, &format!(" {size:>0$}", self.bytes));
        if self.blocks {
            line.add(body, &format!(" {:>BLOCKS$}", count(row.blocks)));
        }
        let trend = picture.trends.get(&row.key);
        if self.growth {
            let rate = trend.and_then(Trend::rate).filter(|_| row.bytes.is_some());
            line.add(
                body,
                &format!(" {:>GROWTH$}", rate.map(rate_text).unwrap_or_default()),
            );
        }
        if self.trend > 0 {
            let drawn = trend.map(|trend| trend.line(self.trend, picture.glyphs));
            let drawn = drawn.unwrap_or_else(|| " ".repeat(self.trend));
            line.add(body, &format!("  {drawn}"));
        }
        let grown = row.grown.map(|grown| format!("({grown:+})  "));
        let from = match picture.glyphs {
            Glyphs::Unicode => " ← ",
            Glyphs::Ascii => " < ",
        };
        let calls = row.calls.join(from);
        line.add(body, &format!("  {}{calls}", grown.unwrap_or_default()));
        line
    }
}

/// `+1.2 KiB/s`
fn rate_text(rate: f64) -> String {
    let sign = match rate {
        r if r >= 0.5 => "+",
        r if r <= -0.5 => "-",
        _ => return "0 B/s".to_owned(),
    };
    format!("{sign}{}/s", bytes(rate.abs().round() as u64))
}

impl Line {
    fn of(style: Style, text: &str) -> Line {
        Line(vec![(style, text.to_owned())])
    }

    fn plain(text: &str) -> Line {
        Line::of(Style::Plain, text)
    }

    fn add(&mut self, style: Style, text: &str) {
        self.0.push((style, text.to_owned()));
    }

    /// Its text.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// No wider than this, and without anything that would move the cursor.
    fn cut(self, columns: usize) -> Line {
        let mut left = columns;
        let mut parts = Vec::new();
        for (style, text) in self.0 {
            let mut kept = String::new();
            for c in text.chars().map(harmless) {
                let width = c.width().unwrap_or(0);
                if width > left {
                    left = 0;
                    break;
                }
                left -= width;
                kept.push(c);
            }
            parts.push((style, kept));
            if left == 0 {
                break;
            }
        }
        Line(parts)
    }
}

/// What we are told to say may hold anything.
fn harmless(c: char) -> char {
    if is_plain(c) { c } else { '?' }
}

fn width(text: &str) -> usize {
    text.chars().map(|c| harmless(c).width().unwrap_or(0)).sum()
}
