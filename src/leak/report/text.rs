//! A report to be read: one site, one paragraph, the worst first.

mod foot;
mod others;
#[cfg(test)]
mod tests;

pub use crate::leak::options::Frames;
use crate::leak::report::model::{Amount, Entry, Line, Origin, Report, Since, Verdict};
use crate::leak::report::numbers::{bytes, count, millis, of, seconds};
use foot::{foot, summary};
use others::pairs;
pub(in crate::leak) use others::{misuse, pair};
use std::fmt::Write as _;
use std::sync::Arc;

/// How paragraphs are shown.
#[derive(Clone, Copy)]
struct View {
    frames: Frames,
    /// Growth since a mark is told.
    marked: bool,
}

/// Where the second column of the head begins.
const SECOND: usize = 84;
/// What follows the number and its blanks.
const INDENT: &str = "     ";

/// The whole report, for a terminal of so many columns or for any place.
pub fn text(report: &Report, frames: Frames, width: Option<usize>) -> String {
    let mut text = String::new();
    if is_clean(report) {
        let found = match is_of_heap_only(report) {
            true if report.process.no_allocator => "nothing to watch",
            true if is_unseen(report) => "nothing seen",
            _ => "no leaks",
        };
        let _ = writeln!(text, "{found}: {}: {}", who(report), summary(report));
        return text;
    }
    head(&mut text, report, width);
    let view = View {
        frames,
        marked: report.heap.marked,
    };
    for (number, entry) in (1..).zip(&report.sites) {
        text.push('\n');
        paragraph(&mut text, number, entry, view);
    }
    if !report.pairs.is_empty() {
        text.push('\n');
        pairs(&mut text, &report.pairs);
    }
    for misuse in &report.misuses {
        text.push('\n');
        self::misuse(&mut text, misuse, frames);
    }
    foot(&mut text, report);
    let _ = writeln!(text, "{}", summary(report));
    text
}

/// Nothing is lost, nothing grows, nothing is open and nothing was done wrong.
pub fn is_clean(report: &Report) -> bool {
    let Report {
        sites,
        pairs,
        misuses,
        ..
    } = report;
    sites.is_empty() && pairs.is_empty() && misuses.is_empty()
}

/// No call of an allocator was seen: that is no reason to say that there are no leaks.
fn is_unseen(report: &Report) -> bool {
    let heap = &report.heap;
    let older = report.not_counted.older_freed.unwrap_or(0);
    report.is_of_heap() && heap.allocated.blocks == 0 && heap.freed.blocks == 0 && older == 0
}

fn is_of_heap_only(report: &Report) -> bool {
    matches!(report.watched.as_slice(), [only] if only == "heap")
}

fn who(report: &Report) -> String {
    let process = &report.process;
    let since = match process.since {
        Since::Attached => "attached",
        Since::Launched => "ran",
    };
    let mut who = format!(
        "{} (pid {}), {since} {} s",
        process.name,
        process.pid,
        seconds(process.seconds)
    );
    if let Some(ended) = &process.ended {
        let _ = write!(who, ", {ended}");
    }
    if process.threads > 1 {
        let _ = write!(who, ", {} threads", process.threads);
    }
    if let Some(allocator) = &process.allocator {
        let _ = write!(who, ", {allocator}");
    }
    who
}

fn head(text: &mut String, report: &Report, width: Option<usize>) {
    for (first, second) in heads(report) {
        text.push_str(&first);
        if let Some(second) = second {
            let used = [&first, &second].map(|part| part.chars().count());
            let _ = match blanks(used, width) {
                Some(blanks) => write!(text, "{:blanks$}{second}", ""),
                None => write!(text, "\n  {second}"),
            };
        }
        text.push('\n');
    }
}

/// The blanks between two parts of a line that take so many columns; none when they do not fit on one line.
fn blanks([first, second]: [usize; 2], width: Option<usize>) -> Option<usize> {
    let usual = SECOND.saturating_sub(first).max(3);
    let Some(width) = width else {
        return Some(usual);
    };
    let room = width.checked_sub(first + second)?;
    (room >= 3).then_some(usual.min(room))
}

/// The lines of the head, each in two parts.
pub(in crate::leak) fn heads(report: &Report) -> Vec<(String, Option<String>)> {
    let check = report.check.as_ref().map(|check| {
        let how = match &check.not_forked {
            _ if check.forked => ", forked".to_owned(),
            Some(why) => format!(", copied ({why})"),
            None => String::new(),
        };
        format!("check: {} pause{how}", millis(check.pause_ms))
    });
    let mut heads = vec![(format!("leaks: {}", who(report)), check)];
    let heap = &report.heap;
    let since = match (heap.marked, report.process.since) {
        (true, _) => "the mark",
        (false, Since::Attached) => "attach",
        (false, Since::Launched) => "start",
    };
    let totals = format!(
        "  allocated {} / {}   freed {}   live {} / {}   ({:+} since {since})",
        count(heap.allocated.blocks),
        bytes(heap.allocated.bytes),
        count(heap.freed.blocks),
        count(heap.live.blocks),
        bytes(heap.live.bytes),
        heap.grown,
    );
    let per = report.per.as_ref().map(|per| {
        let (function, bytes) = (&per.function, bytes(per.bytes.round() as u64));
        match per.calls {
            0 if report.process.ended.is_none() => format!("{function} was not called yet"),
            0 => format!("{function} was not called"),
            _ => format!("per {function}: {:.1} blocks, {bytes}", per.blocks),
        }
    });
    if report.is_of_heap() {
        heads.push((totals, per));
    }
    heads
}

/// What the check says, as users read it.
pub(in crate::leak) fn verdict(entry: &Entry) -> &'static str {
    match (entry.verdict, entry.growing) {
        (Verdict::Lost, _) => "LOST",
        (Verdict::Indirect, _) => "INDIRECT",
        (Verdict::Possible, _) => "POSSIBLE",
        (Verdict::Reachable, true) => "REFERENCED, GROWING",
        (Verdict::Reachable, false) => "REFERENCED",
        (Verdict::Unchecked, true) => "GROWING",
        (Verdict::Unchecked, false) => "NOT FREED",
    }
}

/// One site's paragraph.
pub(in crate::leak) fn site(
    number: usize,
    entry: &Entry,
    report: &Report,
    frames: Frames,
) -> String {
    let mut text = String::new();
    let marked = report.heap.marked;
    paragraph(&mut text, number, entry, View { frames, marked });
    text
}

/// `function file:line` of the calls that are shown.
pub(in crate::leak) fn calls(lines: &[Arc<Line>], frames: Frames) -> Vec<String> {
    let call = |line: &&Arc<Line>| format!("{} {}", line.function, place(line));
    shown(lines, frames).0.iter().map(call).collect()
}

fn paragraph(text: &mut String, number: usize, entry: &Entry, view: View) {
    let _ = write!(text, "{number:3}  {:8}  ", verdict(entry));
    live(text, entry);
    history(text, entry, view.marked);
    text.push('\n');
    if !entry.cycle.is_empty() {
        let _ = writeln!(text, "{INDENT}{}", cycle(entry));
    }
    let after = entry.after.as_ref();
    let after = after.map(|after| (after.function.as_deref(), after.call.as_str()));
    stack(text, &entry.stack, view.frames, after);
    if let Some(holds) = &entry.holds {
        let alike = format!("{} of {} alike", count(holds.alike), count(holds.of));
        let _ = writeln!(text, "{INDENT}holds  {}         {alike}", holds.what);
    }
    if !entry.held_by.is_empty() {
        let _ = writeln!(text, "{INDENT}held by {}", entry.held_by.join(" <- "));
    }
    for contents in &entry.contents {
        let _ = writeln!(text, "{INDENT}{contents}");
    }
}

/// How much there is of it.
fn live(text: &mut String, entry: &Entry) {
    let live = entry.live;
    match &entry.group {
        Some(group) if group.all != live => {
            let _ = write!(
                text,
                "{}{}        {} in {} keep all the rest",
                amount(group.all),
                if group.groups > 1 {
                    format!(", {} groups", count(group.groups))
                } else {
                    String::new()
                },
                bytes(live.bytes),
                of(live.blocks, "block"),
            );
        }
        _ => text.push_str(&amount(live)),
    }
    let is_alone = entry.group.is_none_or(|group| group.all == live);
    if let Some(size) = entry.size.filter(|_| live.blocks > 1 && is_alone) {
        let _ = write!(text, " of {}", count(size));
    }
}

/// How it came to that.
fn history(text: &mut String, entry: &Entry, marked: bool) {
    let _ = write!(
        text,
        "    {} allocated, {} freed",
        count(entry.allocated.blocks),
        count(entry.freed.blocks)
    );
    if marked {
        let _ = write!(text, "   ({:+})", entry.grown);
    }
    if entry.rate >= 0.05 {
        let _ = write!(text, "   {:.1}/s", entry.rate);
    }
    if let Some((youngest, oldest)) = entry.age {
        let ages = [seconds(youngest), seconds(oldest)];
        match ages {
            [a, b] if a == b => {
                let _ = write!(text, "   age {a} s");
            }
            [a, b] => {
                let _ = write!(text, "   age {a}-{b} s");
            }
        }
    }
    if entry.threads > 1 {
        let _ = write!(text, "   {} threads", entry.threads);
    }
}

fn cycle(entry: &Entry) -> String {
    let steps = entry
        .cycle
        .iter()
        .map(|step| format!("{} +{:#x} -> ", step.what, step.offset));
    let first = entry.cycle.first().map_or("", |step| step.what.as_str());
    format!(
        "CYCLE  {}{first}     (nothing outside points here)",
        steps.collect::<String>()
    )
}

/// `640 B in 20 blocks`
fn amount(amount: Amount) -> String {
    format!("{} in {}", bytes(amount.bytes), of(amount.blocks, "block"))
}

/// `server.c:11`, or the module where no line is known.
fn place(line: &Line) -> String {
    match (&line.file, line.line) {
        (Some(file), Some(number)) => format!("{}:{number}", base_name(file)),
        _ => line.module.clone(),
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The frames to show, and how many of the standard library are not.
fn shown(stack: &[Arc<Line>], frames: Frames) -> (Vec<&Arc<Line>>, usize) {
    let stack = match stack.split_last() {
        Some((last, known)) if last.is_cut() => known,
        _ => stack,
    };
    if frames == Frames::All {
        return (stack.iter().collect(), 0);
    }
    let Some(first) = stack.iter().position(|line| line.origin == Origin::User) else {
        // No code of the program's: all but the allocator.
        let rest = stack.iter().filter(|line| line.origin != Origin::Allocator);
        return (rest.collect(), 0);
    };
    let limit = match frames {
        Frames::First(limit) => limit,
        _ => usize::MAX,
    };
    let called = first.checked_sub(1).and_then(|before| stack.get(before));
    let called = called.filter(|line| line.origin == Origin::Standard && frames == Frames::User);
    let users = stack
        .iter()
        .filter(|line| line.origin == Origin::User)
        .take(limit);
    let lines: Vec<&Arc<Line>> = called.into_iter().chain(users).collect();
    let standard = stack
        .iter()
        .filter(|line| line.origin == Origin::Standard)
        .count();
    (lines, standard - usize::from(called.is_some()))
}

/// How many frames are known of a stack that has more.
fn cut_after(stack: &[Arc<Line>]) -> Option<usize> {
    let (last, known) = stack.split_last()?;
    last.is_cut().then_some(known.len())
}

fn stack(
    text: &mut String,
    stack: &[Arc<Line>],
    frames: Frames,
    after: Option<(Option<&str>, &str)>,
) {
    let (lines, left_out) = shown(stack, frames);
    // Where in a standard library is of no interest.
    let is_placed = |line: &Line| line.origin != Origin::Standard || frames == Frames::All;
    let placed = lines.iter().filter(|line| is_placed(line));
    let width = placed
        .map(|line| line.function.chars().count())
        .max()
        .unwrap_or(0)
        + 3;
    let told = |line: &&Arc<Line>| {
        if is_placed(line) {
            place(line)
        } else {
            String::new()
        }
    };
    let places: Vec<String> = lines.iter().map(told).collect();
    let second = places
        .iter()
        .map(|place| place.chars().count())
        .max()
        .unwrap_or(0)
        + 6;
    // The call stands beside the function that made it, or else beside the outermost one.
    let by_whom = after.map(|(function, _)| {
        let made = lines
            .iter()
            .position(|line| Some(line.function.as_str()) == function);
        made.unwrap_or(lines.len().saturating_sub(1))
    });
    for (at, (line, place)) in lines.iter().zip(&places).enumerate() {
        let blanks = match place.is_empty() {
            true => 0,
            false => width.saturating_sub(line.function.chars().count()),
        };
        let _ = write!(text, "{INDENT}{}{:blanks$}{place}", line.function, "");
        if let Some((_, call)) = after.filter(|_| by_whom == Some(at)) {
            let blanks = second - place.chars().count();
            let _ = write!(text, "{:blanks$}after {call}", "");
        }
        text.push('\n');
    }
    if let Some(known) = cut_after(stack) {
        let _ = writeln!(text, "{INDENT}(cut after {})", of(known as u64, "frame"));
    }
    if left_out > 0 {
        let _ = writeln!(
            text,
            "{INDENT}({} of the standard library left out)",
            of(left_out as u64, "frame")
        );
    }
}
