//! Whether a trace of the fixture `mixture` has every call once, and of every call one return or one mark that
//! says why there is none.

use super::trace::{Line, What};
use std::collections::BTreeMap;

/// What `mixture` says of itself at its end.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    blocks: usize,
    blocks_of_children: usize,
    forks: usize,
    jumps: usize,
}

impl Account {
    /// The account in what it wrote.
    pub fn read(stdout: &str) -> Option<Account> {
        let line = stdout.lines().find(|line| line.starts_with("blocks "))?;
        let numbers = line
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect::<Vec<usize>>();
        let [blocks, blocks_of_children, forks, jumps] = numbers[..] else {
            return None;
        };
        Some(Account {
            blocks,
            blocks_of_children,
            forks,
            jumps,
        })
    }

    /// What differs from the trace of a whole run, with `-f` or without.
    pub fn differs_from(&self, trace: &str, followed: bool) -> Option<String> {
        let of = |count: usize| if followed { count } else { 0 };
        let expected = [
            ("malloc(100x)", self.blocks),
            ("malloc(2000)", of(self.blocks_of_children)),
            ("fork()", self.forks),
            ("fork in the child", of(self.forks)),
            ("longjmp()", self.jumps),
            ("setjmp again", self.jumps),
        ];
        let mut seen = [0; 6];
        for line in trace.lines() {
            let begins =
                |call| usize::from(own_call(line).is_some_and(|own| own.starts_with(call)));
            seen[0] += begins("malloc(100");
            seen[1] += begins("malloc(2000");
            seen[2] += begins("fork(");
            seen[3] += usize::from(line.contains("<... fork resumed again>"));
            seen[4] += begins("longjmp(");
            seen[5] += usize::from(line.contains("<... _setjmp resumed again>"));
        }
        let pairs = expected.into_iter().zip(seen);
        let wrong = pairs.filter(|((_, wanted), seen)| wanted != seen);
        let told: Vec<String> = wrong
            .map(|((what, wanted), seen)| format!("{what}: {seen} instead of {wanted}"))
            .collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

/// A call that the program itself makes, from the function's name on.
fn own_call(line: &str) -> Option<&str> {
    let Line { what, .. } = Line::parse(line);
    let (What::Whole(name) | What::Begun(name) | What::NeverReturned(name)) = what else {
        return None;
    };
    let own = name.strip_prefix("mixture->").unwrap_or(name);
    (!own.contains(['@', '>'])).then(|| &line[line.find(own).unwrap_or(0)..])
}

/// A name without what it is called through, which only the beginning of a call shows.
fn bare(name: &str) -> &str {
    let name = name.rsplit("->").next().unwrap_or(name);
    name.split('@').next().unwrap_or(name)
}

/// The first fault of a trace, whenever it began and ended: a call without an end or with two, or a task that
/// asks for blocks and gives none back in between.
pub fn fault(trace: &str) -> Option<String> {
    let mut open: BTreeMap<(Option<i32>, &str), i64> = BTreeMap::new();
    let mut holds: BTreeMap<Option<i32>, bool> = BTreeMap::new();
    // Lines name no task while there is but one, which is the oldest.
    let oldest = trace.lines().filter_map(|text| Line::parse(text).tid).min();
    for (number, text) in (1..).zip(trace.lines()) {
        let mut line = Line::parse(text);
        line.tid = line.tid.or(oldest);
        let at = |what: &str| Some(format!("line {number}: {what}: {text}"));
        if let Some(name) = line.function() {
            let (begins, ends) = match line.what {
                What::Begun(_) => (1, 0),
                What::Resumed(_) | What::Closed(_) => (0, 1),
                _ => (1, 1),
            };
            let count = open.entry((line.tid, bare(name))).or_default();
            *count += begins - ends;
            if *count < 0 {
                return at("an end without a call");
            }
        }
        let Some(call) = own_call(text) else {
            continue;
        };
        if call.starts_with("malloc(100") || call.starts_with("malloc(2000") {
            if holds.insert(line.tid, true) == Some(true) {
                return at("a lost free, or a malloc told twice");
            }
        } else if call.starts_with("free(") && holds.insert(line.tid, false) == Some(false) {
            return at("a lost malloc, or a free told twice");
        }
    }
    let left = open.iter().find(|(_, count)| **count != 0);
    left.map(|((tid, name), count)| format!("task {tid:?}: {count} calls of {name} never ended"))
}
