//! Two traces of one program, by Debian's ltrace and by ours, laid side by side: which calls are in both.

use super::expect::without_addresses;
use regex::Regex;

/// A call as a trace shows it, put together when it was shown in two parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub name: String,
    /// What stands between the parentheses.
    pub args: String,
    /// What stands behind `=`; or in angle brackets, why there is nothing.
    pub result: String,
    /// It was said not to return, and did.
    pub returned_after_all: bool,
    /// The line of a second return.
    pub is_again: bool,
}

impl Call {
    /// In one line.
    pub fn line(&self) -> String {
        match self.result.ends_with(" ...>") {
            _ if self.is_again => format!("<... {} resumed again> ) = {}", self.name, self.result),
            true => format!("{}({} {}", self.name, self.args, self.result),
            false => format!("{}({}) = {}", self.name, self.args, self.result),
        }
    }
}

/// A trace: the calls of the main thread, and all other lines.
#[derive(Debug, Default)]
pub struct Trace {
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// Signals, ends, messages.
    pub others: Vec<String>,
    /// Other threads have calls.
    pub has_other_threads: bool,
}

/// Reads traces.
pub struct Grammar {
    task: Regex,
    resumed: Regex,
    returned: Regex,
    begun: Regex,
}

impl Default for Grammar {
    fn default() -> Grammar {
        let regex = |text| Regex::new(text).expect("valid");
        Grammar {
            task: regex(r"^(\d+) (.*)$"),
            resumed: regex(r"^<\.\.\. (\S+) resumed( again)?> (.*)$"),
            returned: regex(r"^(?:([^( ]*)\()?(.*)\) += (.*)$"),
            begun: regex(r"^([^( ]*)\((.*?)[, ]*<(unfinished|no return|unwound|detached) \.\.\.>$"),
        }
    }
}

impl Grammar {
    /// The trace of these lines; `main` is the thread that is meant, lines without a thread are its own.
    pub fn read(&self, text: &str, main: Option<&str>) -> Trace {
        let mut trace = Trace::default();
        let mut open = Vec::new();
        for line in without_addresses(text).lines() {
            let (task, line) = match self.task.captures(line) {
                Some(parts) => (parts.get(1), parts.get(2).map_or("", |rest| rest.as_str())),
                None => (None, line),
            };
            let task = task.map(|task| task.as_str());
            match (task, main) {
                (Some(task), Some(main)) if task != main => trace.has_other_threads = true,
                _ => self.line(line, &mut trace, &mut open),
            }
        }
        trace
    }

    fn line(&self, line: &str, trace: &mut Trace, open: &mut Vec<usize>) {
        if line.starts_with("---") || line.starts_with("+++") {
            trace.others.push(line.to_owned());
        } else if let Some(parts) = self.resumed.captures(line) {
            let rest = parts[3].trim_start_matches([',', ' ']).to_owned();
            if parts.get(2).is_some() {
                trace.calls.push(Call {
                    name: parts[1].to_owned(),
                    result: rest.trim_start_matches([')', ' ', '=']).to_owned(),
                    is_again: true,
                    ..Call::default()
                });
                return;
            }
            let calls = &mut trace.calls;
            let Some(index) = open.iter().rposition(|at| calls[*at].name == parts[1]) else {
                return trace.others.push(line.to_owned());
            };
            self.resume(&mut calls[open.remove(index)], &rest);
        } else if let Some(parts) = self.begun.captures(line) {
            open.push(trace.calls.len());
            trace.calls.push(Call {
                name: parts[1].to_owned(),
                args: parts[2].to_owned(),
                result: format!("<{} ...>", &parts[3]),
                ..Call::default()
            });
        } else if let Some(parts) = self.returned.captures(line).filter(|p| p.get(1).is_some()) {
            trace.calls.push(Call {
                name: parts[1].to_owned(),
                args: parts[2].to_owned(),
                result: parts[3].to_owned(),
                ..Call::default()
            });
        } else {
            trace.others.push(line.to_owned());
        }
    }

    fn resume(&self, call: &mut Call, rest: &str) {
        let Some(parts) = self.returned.captures(rest) else {
            call.result = rest.to_owned();
            return;
        };
        call.returned_after_all = call.result.starts_with("<no return");
        if !parts[2].is_empty() && !call.args.is_empty() {
            call.args.push_str(", ");
        }
        call.args.push_str(&parts[2]);
        call.result = parts[3].to_owned();
    }
}

/// The arguments of a list, as far as quotes and brackets tell them apart.
pub fn arguments(list: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut depth, mut quote, mut start, mut escaped) = (0, None, 0, false);
    for (at, byte) in list.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'{' | b'[' | b'(' | b'<') => depth += 1,
            (None, b'}' | b']' | b')' | b'>') => depth -= 1,
            (None, b',') if depth == 0 && list[at..].starts_with(", ") => {
                found.push(&list[start..at]);
                start = at + 2;
            }
            _ => {}
        }
    }
    match list.is_empty() {
        true => found,
        false => {
            found.push(&list[start..]);
            found
        }
    }
}

/// What two lists have in common, in order, as pairs; and what only one of them has.
pub fn aligned<'a>(old: &'a [Call], new: &'a [Call]) -> Vec<(Option<&'a Call>, Option<&'a Call>)> {
    let same = |a: &Call, b: &Call| a.name == b.name && a.is_again == b.is_again;
    let width = new.len() + 1;
    // The longest common part of what follows, from the end (the textbook's table).
    let mut longest = vec![0u16; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = match same(&old[i], &new[j]) {
                true => longest[(i + 1) * width + j + 1] + 1,
                false => longest[(i + 1) * width + j].max(longest[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && same(&old[i], &new[j]) {
            pairs.push((Some(&old[i]), Some(&new[j])));
            (i, j) = (i + 1, j + 1);
        } else if j < new.len()
            && (i == old.len() || longest[i * width + j + 1] >= longest[(i + 1) * width + j])
        {
            pairs.push((None, Some(&new[j])));
            j += 1;
        } else {
            pairs.push((Some(&old[i]), None));
            i += 1;
        }
    }
    pairs
}
