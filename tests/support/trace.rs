//! Reads a trace back: which calls were begun, which came back.

use std::collections::BTreeSet;

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The task, when the line has a prefix that says so.
    pub tid: Option<i32>,
    /// What the line is about.
    pub what: What<'a>,
}

/// What a line can be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// `malloc(1) = 0x55…`
    Whole(&'a str),
    /// `malloc(1 <unfinished ...>`
    Begun(&'a str),
    /// `malloc(1 <no return ...>`, `<unwound ...>`, `<detached ...>`
    NeverReturned(&'a str),
    /// `<... malloc resumed> <unwound ...>`
    Closed(&'a str),
    /// `<... malloc resumed> ) = 0x55…`
    Resumed(&'a str),
    /// `--- SIGUSR1 (User defined signal 1) ---`
    Event,
    /// `+++ exited (status 0) +++`
    End,
    /// Anything else.
    Other,
}

impl<'a> Line<'a> {
    /// Reads one line; function names keep what is around them (`lib->malloc`, `malloc@libc.so.6`).
    pub fn parse(line: &'a str) -> Line<'a> {
        let (tid, rest) = split_tid(line);
        let what = if let Some(rest) = rest.strip_prefix("<... ") {
            match rest.split_once(" resumed> ") {
                Some((name, rest)) if never_returned(rest) => What::Closed(name),
                Some((name, _)) => What::Resumed(name),
                None => What::Other,
            }
        } else if rest.starts_with("--- ") {
            What::Event
        } else if rest.starts_with("+++ ") {
            What::End
        } else {
            match rest.split_once('(') {
                Some((name, _)) if rest.ends_with("<unfinished ...>") => What::Begun(name),
                Some((name, _)) if never_returned(rest) => What::NeverReturned(name),
                Some((name, _)) if rest.contains(") ") => What::Whole(name),
                _ => What::Other,
            }
        };
        Line { tid, what }
    }

    /// The function it is about.
    pub fn function(&self) -> Option<&'a str> {
        match self.what {
            What::Whole(name)
            | What::Begun(name)
            | What::NeverReturned(name)
            | What::Closed(name)
            | What::Resumed(name) => Some(name),
            What::Event | What::End | What::Other => None,
        }
    }

    /// A call begins on it.
    pub fn begins(&self) -> bool {
        matches!(
            self.what,
            What::Whole(_) | What::Begun(_) | What::NeverReturned(_)
        )
    }

    /// A call comes back on it.
    pub fn returns(&self) -> bool {
        matches!(self.what, What::Whole(_) | What::Resumed(_))
    }
}

/// The line ends with the reason why a call has no result.
fn never_returned(line: &str) -> bool {
    ["<no return ...>", "<unwound ...>", "<detached ...>"]
        .iter()
        .any(|reason| line.ends_with(reason))
}

/// `[pid 7] rest`, `7 rest` or `rest`.
fn split_tid(line: &str) -> (Option<i32>, &str) {
    let bracketed = line
        .strip_prefix("[pid ")
        .and_then(|rest| rest.split_once("] "));
    let Some((number, rest)) = bracketed.or_else(|| line.split_once(' ')) else {
        return (None, line);
    };
    match number.parse() {
        Ok(tid) => (Some(tid), rest),
        Err(_) => (None, line),
    }
}

/// The functions whose calls begin in `trace`, in order.
pub fn calls(trace: &str) -> Vec<&str> {
    trace
        .lines()
        .map(Line::parse)
        .filter(Line::begins)
        .filter_map(|line| line.function())
        .collect()
}

/// The lines of `trace` about the functions and events that `like` speaks of: what is left when
/// calls that a fixture does not announce are taken away.
pub fn about(trace: &str, like: &str) -> String {
    let key = |line: &str| {
        let line = Line::parse(line);
        match line.what {
            What::Event => Some("---".to_owned()),
            _ => line.function().map(str::to_owned),
        }
    };
    let wanted: BTreeSet<String> = like.lines().filter_map(key).collect();
    trace
        .lines()
        .filter(|line| key(line).is_some_and(|name| wanted.contains(&name)))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The trace without the prefix that names the task.
pub fn without_tids(trace: &str) -> String {
    trace
        .lines()
        .map(|line| format!("{}\n", split_tid(line).1))
        .collect()
}
