//! The rows of the view's table: one for each site, resource and mistake that the report tells.

use crate::leak::report::model::{Entry, PairEntry, Report, Verdict};
use crate::leak::report::text::{self, Frames};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Bad,
    Doubtful,
    Plain,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// By which it is known in the next report.
    pub(super) key: String,
    pub(super) tone: Tone,
    pub(super) verdict: String,
    /// Nothing for what has no size.
    pub(super) bytes: Option<u64>,
    pub(super) blocks: u64,
    /// Since the mark, if there is one.
    pub(super) grown: Option<i64>,
    /// The calls, the innermost first.
    pub(super) calls: Vec<String>,
    /// All that is known of it.
    pub(super) detail: String,
}

/// All rows, in the order of the report.
pub(super) fn rows(report: &Report, frames: Frames) -> Vec<Row> {
    let sites = (1..).zip(&report.sites);
    let mut rows: Vec<Row> = sites
        .map(|(number, entry)| site(number, entry, report, frames))
        .collect();
    rows.extend(report.pairs.iter().map(|entry| pair(entry, report, frames)));
    rows.extend(report.misuses.iter().map(|misuse| Row {
        key: format!("{} {} {:#x}", misuse.what, misuse.function, misuse.value),
        tone: Tone::Bad,
        verdict: "MISUSE".to_owned(),
        bytes: None,
        blocks: misuse.count,
        grown: None,
        calls: with_first(&misuse.what, text::calls(&misuse.stack, frames)),
        detail: {
            let mut detail = String::new();
            text::misuse(&mut detail, misuse, frames);
            detail
        },
    }));
    rows
}

fn site(number: usize, entry: &Entry, report: &Report, frames: Frames) -> Row {
    let all = entry.group.map_or(entry.live, |group| group.all);
    let verdict = match entry.verdict {
        _ if !entry.cycle.is_empty() => "CYCLE",
        Verdict::Reachable if entry.growing => "GROWING",
        _ => text::verdict(entry),
    };
    Row {
        key: key(entry),
        tone: match entry.verdict {
            Verdict::Lost | Verdict::Indirect => Tone::Bad,
            Verdict::Possible => Tone::Doubtful,
            Verdict::Reachable | Verdict::Unchecked if entry.growing => Tone::Doubtful,
            Verdict::Reachable | Verdict::Unchecked => Tone::Plain,
        },
        verdict: verdict.to_owned(),
        bytes: Some(all.bytes),
        blocks: all.blocks,
        grown: report.heap.marked.then_some(entry.grown),
        calls: text::calls(&entry.stack, frames),
        detail: text::site(number, entry, report, frames),
    }
}

/// By which the entry is known in the next report.
fn key(entry: &Entry) -> String {
    format!("{:?} {}", entry.verdict, entry.key())
}

fn pair(entry: &PairEntry, report: &Report, frames: Frames) -> Row {
    let stack: Vec<String> = entry
        .stack
        .iter()
        .map(|line| line.function.clone())
        .collect();
    Row {
        key: format!("{} {}", entry.title, stack.join(";")),
        tone: match entry.verdict {
            Verdict::Lost | Verdict::Indirect => Tone::Bad,
            _ => Tone::Doubtful,
        },
        verdict: format!("{} open", entry.kind),
        bytes: (entry.bytes > 0).then_some(entry.bytes),
        blocks: entry.open,
        grown: report.heap.marked.then_some(entry.grown),
        calls: with_first(&entry.title, text::calls(&entry.stack, frames)),
        detail: text::pair(entry, frames),
    }
}

fn with_first(first: &str, mut calls: Vec<String>) -> Vec<String> {
    calls.insert(0, first.to_owned());
    calls
}
