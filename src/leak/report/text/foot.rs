//! The last lines of a report: what is not worth a paragraph, what is not counted, and the sum.

use crate::leak::report::model::{Amount, Entry, Report, Since, Verdict};
use crate::leak::report::numbers::{bytes, count, estimated, millis, of};
use crate::leak::report::text::{amount, is_of_heap_only, is_unseen};
use std::fmt::Write as _;

pub(super) fn foot(text: &mut String, report: &Report) {
    if !report.is_of_heap() {
        return;
    }
    let normal = &report.normal;
    let is_growing = |entry: &Entry| entry.verdict == Verdict::Reachable && entry.growing;
    let growing = match report
        .sites
        .iter()
        .filter(|entry| is_growing(entry))
        .count()
    {
        _ if report.check.is_none() => "no check of who holds them",
        0 => "growing but still referenced: none",
        _ => "growing but still referenced: see above",
    };
    let _ = write!(
        text,
        "  -- {growing} --   normal: {}, {} allocated, {} freed",
        of(normal.sites, "site"),
        count(normal.allocated.blocks),
        count(normal.freed.blocks),
    );
    if normal.longest_ms > 0.0 {
        let _ = write!(text, " (longest life {})", millis(normal.longest_ms));
    }
    text.push('\n');
    if report.merged > 0 {
        let calls = of(report.merged, "call");
        let _ = writeln!(
            text,
            "  too many different stacks: of {calls} only the innermost frames are told, and what is alike is merged"
        );
    }
    if let Some(sample) = &report.sample {
        let _ = writeln!(text, "  {}", estimated(*sample));
    }
    let not_counted = not_counted(report);
    if !not_counted.is_empty() {
        let _ = writeln!(text, "  not counted: {}", not_counted.join("; "));
    }
}

fn not_counted(report: &Report) -> Vec<String> {
    let left_out = &report.not_counted;
    let mut parts = Vec::new();
    if let Some(freed) = left_out.older_freed {
        let check = report.check.clone().unwrap_or_default();
        let blocks = match check.before.blocks {
            0 => "blocks".to_owned(),
            _ => amount(check.before),
        };
        let mut known = format!("{} of them freed meanwhile", count(freed));
        if check.before_lost.blocks > 0 {
            let _ = write!(known, ", {} lost", super::amount(check.before_lost));
        }
        parts.push(format!("{blocks} older than the attach ({known})"));
        if check.heaps_left_out > 0 {
            let heaps = of(check.heaps_left_out, "heap");
            parts.push(format!("{heaps} whose chunks do not add up"));
        }
    }
    if report.check.as_ref().is_some_and(|check| check.incomplete) {
        let limits =
            "blocks beyond 2^31 or pointers beyond 2^32: what they hold may be called lost";
        parts.push(limits.to_owned());
    }
    let mut add = |amount: Amount, what: &str| {
        if amount.blocks > 0 {
            parts.push(format!("{} {what}", super::amount(amount)));
        }
    };
    add(left_out.runtime, "of the C library and runtimes");
    add(left_out.suppressed, "suppressed");
    add(left_out.young, "too young to judge");
    if let Some(unseen) = left_out.unseen_ms {
        let is_walked = report
            .check
            .as_ref()
            .is_some_and(|check| check.before.blocks > 0);
        let known = match is_walked {
            true => "",
            false => ", nor what was freed then",
        };
        parts.push(format!(
            "allocations of the last {}{known}",
            millis(unseen as f64)
        ));
    }
    if left_out.missed > 0 {
        parts.push(format!(
            "{} whose release was not seen",
            of(left_out.missed, "block")
        ));
    }
    parts
}

pub(super) fn summary(report: &Report) -> String {
    let children = match report.process.unfollowed {
        0 => String::new(),
        1 => "; 1 child not watched (-f does)".to_owned(),
        many => format!("; {} children not watched (-f does)", count(many)),
    };
    found(report) + &children
}

fn found(report: &Report) -> String {
    let heap = &report.heap;
    let open: u64 = report.pairs.iter().map(|pair| pair.open).sum();
    let open = match open {
        _ if is_of_heap_only(report) => None,
        _ if open == 0 => Some("nothing else open".to_owned()),
        _ => Some(format!(
            "{} open at {}",
            of(open, "other thing"),
            of(report.pairs.len() as u64, "site")
        )),
    };
    if !report.is_of_heap() {
        let open = open.unwrap_or_default();
        return open
            .replace("nothing else", "nothing")
            .replace(" other", "");
    }
    let open = open.map(|open| format!("; {open}")).unwrap_or_default();
    if report.process.no_allocator {
        return format!("no allocator was found{open}");
    }
    if is_unseen(report) {
        let did = match report.process.since {
            Since::Launched => "allocates",
            Since::Attached => "allocated",
        };
        return format!(
            "malloc, free and their kin were watched, and none was called: it {did} nothing, or has an allocator of \
             its own, which --alloc-sym malloc=NAME,free=NAME would show{open}"
        );
    }
    let lost = match (report.check.is_some(), report.lost.blocks) {
        (true, 0) => "lost 0 B".to_owned(),
        (true, _) => format!(
            "lost {} at {}",
            amount(report.lost),
            of(report.lost_sites, "site")
        ),
        (false, _) => format!("live {}", amount(heap.live)),
    };
    let reachable = match report.check {
        Some(_) => format!("; still reachable {}", bytes(report.reachable.bytes)),
        None => String::new(),
    };
    format!(
        "{lost}{reachable}{open}; total {}, {}, {} allocated",
        of(heap.allocated.blocks, "allocation"),
        of(heap.freed.blocks, "free"),
        bytes(heap.allocated.bytes),
    )
}
