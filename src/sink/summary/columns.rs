//! The table: ltrace's own, or one of columns that were chosen.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Of all time, in percent.
    Share,
    /// The time of all calls, calls within them included.
    Seconds,
    /// The same without calls within them that are traced as well.
    Own,
    /// The time of a call, on average.
    Usecs,
    /// How many calls.
    Calls,
    /// How many of them failed.
    Errors,
    /// The shortest call.
    Min,
    /// Half of them took no longer.
    Median,
    /// 99 of 100 took no longer.
    P99,
    /// The longest call.
    Max,
    /// The module that calls, or that has the function (`-x`).
    Module,
    /// The function.
    Function,
}

impl Column {
    /// All of them, by the names that users choose them by.
    pub const ALL: [(&'static str, Column); 12] = [
        ("share", Column::Share),
        ("seconds", Column::Seconds),
        ("self", Column::Own),
        ("usecs", Column::Usecs),
        ("calls", Column::Calls),
        ("errors", Column::Errors),
        ("min", Column::Min),
        ("p50", Column::Median),
        ("p99", Column::P99),
        ("max", Column::Max),
        ("module", Column::Module),
        ("function", Column::Function),
    ];

    fn head(self) -> &'static str {
        match self {
            Column::Share => "% time",
            Column::Usecs => "usecs/call",
            other => Column::ALL
                .iter()
                .find(|(_, column)| *column == other)
                .map_or("", |(name, _)| name),
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Column::Module | Column::Function)
    }
}

/// What is told of one function.
pub(super) struct Row {
    pub(super) name: Arc<str>,
    pub(super) module: Option<String>,
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) time: Duration,
    pub(super) own: Duration,
    pub(super) least: Duration,
    pub(super) most: Duration,
    pub(super) median: Duration,
    pub(super) p99: Duration,
}

/// How the table looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns; none for ltrace's own table.
    pub columns: Vec<Column>,
    /// What rows are in the order of: the largest first, names from A on.
    pub sort: Option<Column>,
}

const RULE: &str = "------ ----------- ----------- --------- --------------------\n";

impl Table {
    pub(super) fn has(&self, column: Column) -> bool {
        self.columns.contains(&column)
    }

    pub(super) fn wants_quantiles(&self) -> bool {
        let is_one = |column: &Column| matches!(column, Column::Median | Column::P99);
        self.columns.iter().chain(&self.sort).any(is_one)
    }

    pub(super) fn text(&self, mut rows: Vec<Row>) -> String {
        rows.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.module.cmp(&b.module)));
        let key = |row: &Row| match self.sort.unwrap_or(Column::Seconds) {
            Column::Share | Column::Seconds => row.time.as_micros(),
            Column::Own => row.own.as_nanos(),
            Column::Usecs => row.time.as_nanos() / u128::from(row.calls.max(1)),
            Column::Calls => u128::from(row.calls),
            Column::Errors => u128::from(row.errors),
            Column::Min => row.least.as_nanos(),
            Column::Median => row.median.as_nanos(),
            Column::P99 => row.p99.as_nanos(),
            Column::Max => row.most.as_nanos(),
            Column::Module | Column::Function => 0,
        };
        rows.sort_by_key(|row| Reverse(key(row)));
        if self.sort == Some(Column::Module) {
            rows.sort_by(|a, b| a.module.cmp(&b.module));
        }
        match self.columns.as_slice() {
            [] => usual(&rows),
            columns => chosen(columns, &rows),
        }
    }
}

/// ltrace's own.
fn usual(rows: &[Row]) -> String {
    let total: u128 = rows.iter().map(|row| row.time.as_micros()).sum();
    let calls: u64 = rows.iter().map(|row| row.calls).sum();
    let mut table = format!("% time     seconds  usecs/call     calls      function\n{RULE}");
    for row in rows {
        let micros = row.time.as_micros();
        let share = rounded(10_000 * micros, total);
        table += &format!(
            "{:3}.{:02} {:4}.{:06} {:11} {:9} {}\n",
            share / 100,
            share % 100,
            micros / 1_000_000,
            micros % 1_000_000,
            micros / u128::from(row.calls.max(1)),
            row.calls,
            row.name,
        );
    }
    let (seconds, micros) = (total / 1_000_000, total % 1_000_000);
    table + RULE + &format!("100.00 {seconds:4}.{micros:06}             {calls:9} total\n")
}

/// Columns as wide as they have to be.
fn chosen(columns: &[Column], rows: &[Row]) -> String {
    let total: u128 = rows.iter().map(|row| row.time.as_micros()).sum();
    let heads = columns.iter().map(|column| column.head().to_owned());
    let mut lines: Vec<Vec<String>> = vec![heads.collect()];
    for row in rows {
        let cells = columns.iter().map(|column| cell(*column, row, total));
        lines.push(cells.collect());
    }
    let width = |place: usize| lines.iter().map(|cells| cells[place].chars().count()).max();
    let widths: Vec<usize> = (0..columns.len())
        .map(|place| width(place).unwrap_or(0))
        .collect();
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect();
    lines.insert(1, rule);
    let mut table = String::new();
    for cells in lines {
        let mut line = String::new();
        for ((cell, width), column) in cells.iter().zip(&widths).zip(columns) {
            line += &match column.is_text() {
                true => format!("{cell:width$} "),
                false => format!("{cell:>width$} "),
            };
        }
        table += line.trim_end();
        table.push('\n');
    }
    table
}

fn cell(column: Column, row: &Row, total: u128) -> String {
    let seconds = |time: Duration| format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    let micros = |time: Duration| {
        let nanos = time.as_nanos();
        format!("{}.{:03}", nanos / 1000, nanos % 1000)
    };
    match column {
        Column::Share => {
            let share = rounded(10_000 * row.time.as_micros(), total);
            format!("{}.{:02}", share / 100, share % 100)
        }
        Column::Seconds => seconds(row.time),
        Column::Own => seconds(row.own),
        Column::Usecs => micros(row.time / u32::try_from(row.calls.max(1)).unwrap_or(u32::MAX)),
        Column::Calls => row.calls.to_string(),
        Column::Errors => row.errors.to_string(),
        Column::Min => micros(row.least),
        Column::Median => micros(row.median),
        Column::P99 => micros(row.p99),
        Column::Max => micros(row.most),
        Column::Module => row.module.clone().unwrap_or_default(),
        Column::Function => row.name.to_string(),
    }
}

/// `part / whole`, to the nearest number; nothing is no part of nothing.
fn rounded(part: u128, whole: u128) -> u128 {
    (part + whole / 2).checked_div(whole).unwrap_or(0)
}
