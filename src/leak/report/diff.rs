//! What changed between two saved reports: by site, whatever process and addresses they are of.

use crate::leak::report::model::{Amount, Entry, Line, Origin, Report, VERSION};
use crate::leak::report::numbers::{bytes, count};
use crate::leak::report::texts;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// A saved report that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is no report, from this place on.
    #[error("{name}: line {line}, column {column}: this is no saved report: {why}")]
    Broken {
        /// The file.
        name: String,
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// It is of another version.
    #[error("{0}: this report is of format {1}, and only {VERSION} is understood")]
    Version(String, u32),
}

/// Reads a saved report. `name` is for complaints.
pub fn read(name: &str, text: &str) -> Result<Report, Unreadable> {
    let mut report: Report = serde_json::from_str(text).map_err(|why| {
        let text = why.to_string();
        Unreadable::Broken {
            name: name.to_owned(),
            line: why.line(),
            column: why.column(),
            why: text.split(" at line ").next().unwrap_or(&text).to_owned(),
        }
    })?;
    texts::clean(&mut report);
    match report.version {
        VERSION => Ok(report),
        other => Err(Unreadable::Version(name.to_owned(), other)),
    }
}

/// One site in both reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change {
    pub(crate) before: Amount,
    pub(crate) after: Amount,
    pub(crate) title: String,
    pub(crate) stack: Vec<Arc<Line>>,
}

impl Change {
    fn bytes(&self) -> i64 {
        self.after.bytes as i64 - self.before.bytes as i64
    }

    fn blocks(&self) -> i64 {
        self.after.blocks as i64 - self.before.blocks as i64
    }
}

/// The sites that are not the same in both, those that grew most first.
pub(crate) fn changes(before: &Report, after: &Report) -> Vec<Change> {
    let mut all: BTreeMap<String, Change> = BTreeMap::new();
    let mut add = |entry: &Entry, which: fn(&mut Change) -> &mut Amount| {
        let change = all.entry(entry.key()).or_insert_with(|| Change {
            title: entry.title.clone(),
            stack: entry.stack.clone(),
            ..Change::default()
        });
        *which(change) += entry.live;
    };
    before
        .all()
        .for_each(|entry| add(entry, |change| &mut change.before));
    after
        .all()
        .for_each(|entry| add(entry, |change| &mut change.after));
    let mut changes: Vec<Change> = all
        .into_values()
        .filter(|change| change.before != change.after)
        .collect();
    changes.sort_by_key(|change| std::cmp::Reverse((change.bytes(), change.blocks())));
    changes
}

/// The comparison, to be read.
pub fn text(before: &Report, after: &Report, top: usize) -> String {
    let changes = changes(before, after);
    let mut text = String::new();
    let (a, b) = (before.heap.live, after.heap.live);
    let _ = writeln!(
        text,
        "diff: {} (pid {}) -> {} (pid {})   live {} -> {} ({}), {} -> {} blocks",
        before.process.name,
        before.process.pid,
        after.process.name,
        after.process.pid,
        bytes(a.bytes),
        bytes(b.bytes),
        signed(b.bytes as i64 - a.bytes as i64),
        count(a.blocks),
        count(b.blocks),
    );
    if changes.is_empty() {
        text.push_str("no site changed\n");
    }
    for (number, change) in (1..).zip(changes.iter().take(top)) {
        let _ = writeln!(
            text,
            "\n{number:3}  {}  in {:+} blocks    {} -> {}{}",
            signed(change.bytes()),
            change.blocks(),
            bytes(change.before.bytes),
            bytes(change.after.bytes),
            match (change.before.blocks, change.after.blocks) {
                (0, _) => "   new",
                (_, 0) => "   gone",
                _ => "",
            },
        );
        let users = change
            .stack
            .iter()
            .filter(|line| line.origin == Origin::User);
        for line in users {
            let place = match (&line.file, line.line) {
                (Some(file), Some(number)) => {
                    format!("{}:{number}", file.rsplit('/').next().unwrap_or(file))
                }
                _ => line.module.clone(),
            };
            let _ = writeln!(text, "     {}   {place}", line.function);
        }
    }
    if changes.len() > top {
        let _ = writeln!(
            text,
            "\n{} more sites changed",
            count((changes.len() - top) as u64)
        );
    }
    text
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { '-' } else { '+' };
    format!("{sign}{}", bytes(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(sites: &[(&str, u64, u64)], vaddr: u64) -> Report {
        let entry = |&(function, blocks, bytes): &(&str, u64, u64)| Entry {
            title: "malloc -> free".to_owned(),
            live: Amount { blocks, bytes },
            stack: vec![Arc::new(Line {
                function: function.to_owned(),
                file: Some("/src/a.c".to_owned()),
                line: Some(7),
                module: "server".to_owned(),
                vaddr,
                ..Line::default()
            })],
            ..Entry::default()
        };
        let mut report = Report {
            version: VERSION,
            ..Report::default()
        };
        report.process.name = "server".to_owned();
        for site in sites {
            report.heap.live += Amount {
                blocks: site.1,
                bytes: site.2,
            };
            report.sites.push(entry(site));
        }
        report
    }

    #[test]
    fn what_changed() {
        let before = report(&[("same", 1, 10), ("grown", 1, 10), ("gone", 2, 50)], 0x10);
        // Another build has other addresses.
        let after = report(&[("same", 1, 10), ("grown", 3, 30), ("new", 1, 100)], 0x20);
        assert_eq!(
            text(&before, &after, 10),
            "diff: server (pid 0) -> server (pid 0)   live 70 B -> 140 B (+70 B), 4 -> 5 blocks

  1  +100 B  in +1 blocks    0 B -> 100 B   new
     new   a.c:7

  2  +20 B  in +2 blocks    10 B -> 30 B
     grown   a.c:7

  3  -50 B  in -2 blocks    50 B -> 0 B   gone
     gone   a.c:7
"
        );
        assert!(text(&before, &after, 1).ends_with("2 more sites changed\n"));
        assert!(text(&after, &after, 1).ends_with("no site changed\n"));
    }

    #[test]
    fn saved_and_read_back() {
        let saved = serde_json::to_string(&report(&[("f", 1, 2)], 3)).expect("JSON");
        assert_eq!(
            read("f", &saved).expect("a report"),
            report(&[("f", 1, 2)], 3)
        );
        for end in 0..saved.len() {
            assert!(read("f", &saved[..end]).is_err());
        }
        let check = |text: &str, expected: &str| {
            assert_eq!(
                read("my.json", text).expect_err("an error").to_string(),
                expected
            );
        };
        check(
            "{\n \"version\": x",
            "my.json: line 2, column 13: this is no saved report: expected value",
        );
        check(
            "{}",
            "my.json: this report is of format 0, and only 1 is understood",
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".{0,60}") {
            let _ = read("f", &text);
        }
    }
}
