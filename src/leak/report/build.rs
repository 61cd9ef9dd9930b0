//! Makes a report of what a process holds.

use crate::base::Tid;
use crate::base::snapshot::Copying;
use crate::leak::heap::{heap_sites, heaps, is_heap};
use crate::leak::history::Point;
use crate::leak::options::{Format, Options};
use crate::leak::report::checked::Checked;
use crate::leak::report::model::*;
use crate::leak::report::noise::is_runtime;
use crate::leak::report::suppress::Suppressions;
use crate::leak::report::survey::survey;
use crate::leak::report::{misuses, open, sites};
use crate::leak::site::SiteId;
use crate::leak::symbols::Names;
use crate::leak::system::Descriptor;
use crate::leak::table::Live;
use crate::leak::tracker::{Knowledge, Tracker};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What a report is made of: all that is known of a process at one moment, so that others can make it.
pub struct Subject {
    /// The process.
    pub process: Process,
    /// What it holds.
    pub tracker: Tracker,
    /// What a check found, if there was one.
    pub checked: Option<Checked>,
    /// What the user wants.
    pub options: Options,
    /// What he does not want to hear of.
    pub suppressions: Arc<Suppressions>,
    /// Names of its threads.
    pub threads: HashMap<Tid, String>,
    /// What the kernel says its descriptors are; nothing when it cannot be asked.
    pub descriptors: Option<BTreeMap<u64, Descriptor>>,
    /// What is known of the function of `--per`.
    pub per: PerCall,
    /// A mark was set.
    pub marked: bool,
    /// How much was live when.
    pub(in crate::leak) history: Vec<Point>,
}

/// Calls of the function of `--per`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerCall {
    /// How many there were.
    pub calls: u64,
    /// What was live before the first of them. What a program needs to start is no call's doing.
    pub before: Option<Amount>,
}

/// The report.
pub fn build(subject: &Subject, names: &mut dyn Names) -> Report {
    let Subject {
        tracker,
        checked,
        options,
        ..
    } = subject;
    let checked = checked.as_ref();
    let known = subject.descriptors.as_ref();
    let survey = survey(tracker, checked, &options.blocks, &subject.threads, known);
    let mut report = Report {
        version: VERSION,
        time: tracker.now().0.as_secs_f64(),
        watched: watched(tracker),
        check: checked.map(told),
        heap: heap(subject),
        process: subject.process.clone(),
        ..Report::default()
    };
    report.not_counted.young = survey.young;
    if tracker.knowledge() == Knowledge::SinceAttach {
        let older = heaps(tracker).map(|holdings| holdings.older_released);
        report.not_counted.older_freed = Some(older.sum());
    }
    report.not_counted.missed = heaps(tracker).map(|holdings| holdings.missed).sum();
    report.not_counted.unseen_ms = tracker.unseen().map(|unseen| unseen.as_millis() as u64);
    report.per = options
        .per
        .as_ref()
        .map(|function| per(function, subject.per, report.heap.live));
    let told = sites::sites(subject, &survey, &mut report, names);
    report.normal = normal(tracker, &told);
    if options.format == Format::Mtrace {
        report.blocks = blocks(subject, names);
    }
    remember(subject, &mut report, names);
    report.pairs = open::pairs(subject, &survey, names);
    report.misuses = misuses::misuses(subject, names);
    report.merged = names.merged();
    report.sample = options.sample;
    report
}

/// What was live when, by sites' keys.
fn remember(subject: &Subject, report: &mut Report, names: &mut dyn Names) {
    let mut known: HashMap<SiteId, usize> = HashMap::new();
    for point in &subject.history {
        let mut sites = Vec::new();
        for (id, bytes) in &point.sites {
            let number = *known.entry(*id).or_insert_with(|| {
                let site = subject.tracker.sites.get(*id);
                let key = site.map(|site| key(&site.title, &names.stack(site.origin)));
                report.series.push(key.unwrap_or_default());
                report.series.len() - 1
            });
            sites.push((number, *bytes));
        }
        let seconds = point.micros as f64 / 1e6;
        report.history.push(Moment {
            seconds,
            live: point.live,
            sites,
        });
    }
}

/// Every kind by its name, once.
fn watched(tracker: &Tracker) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for (_, kind) in tracker.kinds().all() {
        let label = if is_heap(kind) {
            "heap"
        } else {
            kind.label.as_str()
        };
        if !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    }
    labels
}

/// Every live block of the heap, by address.
fn blocks(subject: &Subject, names: &mut dyn Names) -> Vec<Block> {
    let tracker = &subject.tracker;
    let mut live: Vec<_> = heaps(tracker)
        .flat_map(|holdings| holdings.table.iter())
        .collect();
    live.sort_unstable_by_key(|(address, _)| *address);
    let block = |(address, live): (u64, Live)| {
        let site = tracker.sites.get(live.site)?;
        let stack = names.stack(site.origin);
        let is_told = !is_runtime(&stack, Some(live.size))
            && !subject.suppressions.cover(&stack, Verdict::Unchecked);
        is_told.then_some(Block {
            address,
            size: live.size,
            stack,
        })
    };
    live.into_iter().filter_map(block).collect()
}

fn told(checked: &Checked) -> CheckTold {
    CheckTold {
        pause_ms: checked.snapshot.pause.as_secs_f64() * 1e3,
        forked: checked.snapshot.copying == Copying::Forked,
        not_forked: match &checked.snapshot.copying {
            Copying::Refused(why) => Some(why.clone()),
            Copying::Copied | Copying::Forked | Copying::InPlace => None,
        },
        verdict_ms: checked.took.as_secs_f64() * 1e3,
        blocks: checked.check.index.blocks.len() as u64,
        before: checked.before.held,
        before_lost: checked.before.lost,
        heaps_left_out: checked.before.broken,
        incomplete: checked.check.is_cut(),
    }
}

fn heap(subject: &Subject) -> Heap {
    let mut heap = Heap {
        marked: subject.marked,
        ..Heap::default()
    };
    let mut marked = Amount::default();
    for (_, site) in heap_sites(&subject.tracker) {
        heap.allocated += site.allocated;
        heap.freed += site.freed;
        marked += site.marked;
    }
    heap.live = heap.allocated - heap.freed;
    heap.grown = heap.live.blocks as i64 - marked.blocks as i64;
    heap
}

fn per(function: &str, PerCall { calls, before }: PerCall, live: Amount) -> Per {
    let grown = live - before.unwrap_or_default();
    let each = |number: u64| match calls {
        0 => 0.0,
        _ => number as f64 / calls as f64,
    };
    Per {
        function: function.to_owned(),
        calls,
        blocks: each(grown.blocks),
        bytes: each(grown.bytes),
    }
}

fn normal(tracker: &Tracker, told: &HashSet<SiteId>) -> Normal {
    let mut normal = Normal::default();
    for (id, site) in heap_sites(tracker) {
        if site.allocated.blocks > 0 && !told.contains(&id) {
            normal.sites += 1;
            normal.allocated += site.allocated;
            normal.freed += site.freed;
            normal.longest_ms = normal.longest_ms.max(site.longest as f64 / 1e3);
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_leaves() {
        #[track_caller]
        fn check(calls: u64, before: (u64, u64), live: (u64, u64), expected: (f64, f64)) {
            let amount = |(blocks, bytes)| Amount { blocks, bytes };
            let before = Some(amount(before));
            let per = per("handle", PerCall { calls, before }, amount(live));
            assert_eq!((per.blocks, per.bytes), expected);
        }
        check(0, (0, 0), (3, 300), (0.0, 0.0));
        check(4, (0, 0), (6, 600), (1.5, 150.0));
        check(4, (4, 500), (6, 600), (0.5, 25.0));
        check(4, (4, 500), (3, 400), (0.0, 0.0));
    }
}
