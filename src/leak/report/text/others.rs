//! What is told of other resources than the heap, and of what was released wrongly.

use crate::leak::report::model::{Line, MisuseEntry, Origin, PairEntry, Verdict};
use crate::leak::report::numbers::{bytes, count};
use crate::leak::report::text::{Frames, INDENT, place, stack};
use std::fmt::Write as _;
use std::sync::Arc;

/// A reader cannot take in more values.
const VALUES: usize = 8;

/// What is told of another resource.
pub(in crate::leak) fn pair(entry: &PairEntry, frames: Frames) -> String {
    let mut text = format!(
        "{INDENT}{}   {} opened, {} closed: {}\n",
        entry.title,
        count(entry.opened),
        count(entry.closed),
        open(entry)
    );
    stack(&mut text, &entry.stack, frames, None);
    text
}

pub(super) fn pairs(text: &mut String, pairs: &[PairEntry]) {
    let title = pairs
        .iter()
        .map(|pair| pair.title.chars().count())
        .max()
        .unwrap_or(0)
        + 3;
    for (at, pair) in pairs.iter().enumerate() {
        let label = if at == 0 { "pairs:" } else { "" };
        let _ = write!(
            text,
            "{label:12}{:title$}{} opened, {} closed",
            pair.title,
            count(pair.opened),
            count(pair.closed)
        );
        let _ = write!(text, ": {}", open(pair));
        // The caller of the library that hands it out; the program may do so itself.
        let module = |line: Option<&Arc<Line>>| line.map_or("", |line| &line.module).to_owned();
        let own = module(pair.stack.first());
        let is_program = own == module(pair.stack.last());
        let is_user = |line: &&Arc<Line>| line.origin == Origin::User;
        let taker = pair.title.split(" -> ").next().unwrap_or_default();
        let is_itself = |line: &&Arc<Line>| line.function == taker;
        let calls = || pair.stack.iter().skip_while(is_itself);
        let users = || calls().filter(is_user);
        let user = users()
            .find(|line| is_program || line.module != own)
            .or_else(|| users().next());
        if let Some(line) = user {
            let _ = write!(text, "   {} {}", line.function, place(line));
        }
        text.push('\n');
    }
}

/// `3 refused by close (ret 5 SQLITE_BUSY), 3 never closed`, `4 open: fd 4, 5, 7, 9 /etc/passwd`
fn open(pair: &PairEntry) -> String {
    let mut parts = Vec::new();
    let mut refused = 0;
    for refusal in &pair.refused {
        refused += refusal.count;
        let name = refusal
            .name
            .as_ref()
            .map(|name| format!(" {name}"))
            .unwrap_or_default();
        let text = format!(
            "{} refused by {} (ret {}{name})",
            refusal.count, refusal.function, refusal.result
        );
        parts.push(text);
    }
    match (pair.kind == "fd", refused) {
        (true, _) => {
            let values = pair.values.iter().take(VALUES).map(u64::to_string);
            let more = if pair.values.len() > VALUES {
                ", ..."
            } else {
                ""
            };
            let mut text = format!(
                "{} open: fd {}{more}",
                pair.open,
                values.collect::<Vec<_>>().join(", ")
            );
            if !pair.known.is_empty() {
                let _ = write!(text, " {} (checked in /proc/PID/fd)", pair.known.join(", "));
            }
            parts.push(text);
        }
        (false, 0) => parts.push(format!("{} never released", pair.open)),
        // What was refused is still open, too.
        (false, _) if refused < pair.open => {
            parts.push(format!("{} never released", pair.open - refused))
        }
        (false, _) => {}
    }
    match pair.verdict {
        Verdict::Lost | Verdict::Indirect => parts.push("lost".to_owned()),
        _ => {}
    }
    if pair.bytes > 0 {
        parts.push(bytes(pair.bytes));
    }
    parts.join(", ")
}

/// What was done wrong.
pub(in crate::leak) fn misuse(text: &mut String, misuse: &MisuseEntry, frames: Frames) {
    let times = if misuse.count > 1 {
        format!(", {} times", count(misuse.count))
    } else {
        String::new()
    };
    let _ = writeln!(
        text,
        "  !  {}  {}({:#x}) by thread {}{times}",
        misuse.what, misuse.function, misuse.value, misuse.thread
    );
    stack(text, &misuse.stack, frames, None);
    let others = [
        ("released before by", &misuse.released),
        ("handed out by", &misuse.acquired),
    ];
    for (label, lines) in others.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(text, "{INDENT}{label}");
        stack(text, lines, frames, None);
    }
}
