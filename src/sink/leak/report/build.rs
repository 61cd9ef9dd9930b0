//! Makes a report of what a process holds.

use super::super::book::Names;
use super::super::kinds::KindId;
use super::super::options::Options;
use super::super::site::{Site, SiteId};
use super::super::tracker::{Knowledge, Tracker};
use super::model::*;
use super::suppress::Suppressions;
use super::survey::{Checked, is_heap, survey};
use super::{misuses, open, sites};
use crate::base::{Pid, Tid};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a report is made of.
pub struct Subject<'a> {
    /// The process.
    pub pid: Pid,
    /// What it holds.
    pub tracker: &'a Tracker,
    /// What a check found, if there was one.
    pub checked: Option<&'a Checked>,
    /// What the user wants.
    pub options: &'a Options,
    /// What he does not want to hear of.
    pub suppressions: &'a Suppressions,
    /// Names of its threads.
    pub threads: HashMap<Tid, String>,
    /// What the kernel says its descriptors are; nothing when it cannot be asked.
    pub descriptors: Option<BTreeMap<u64, String>>,
    /// How often the function of `--per` was called.
    pub calls: u64,
    /// A mark was set.
    pub marked: bool,
}

/// The report.
pub fn build(subject: &Subject<'_>, process: Process, names: &mut dyn Names) -> Report {
    let Subject {
        tracker,
        checked,
        options,
        ..
    } = *subject;
    let survey = survey(tracker, checked, &options.blocks, &subject.threads);
    let mut report = Report {
        version: VERSION,
        check: checked.map(told),
        heap: heap(subject),
        process,
        ..Report::default()
    };
    report.not_counted.young = survey.young;
    if tracker.knowledge() == Knowledge::SinceAttach {
        let heaps = tracker
            .holdings()
            .filter(|(kind, _)| is_heap_kind(tracker, *kind));
        report.not_counted.older_freed =
            Some(heaps.map(|(_, holdings)| holdings.older_released).sum());
    }
    let heaps = tracker
        .holdings()
        .filter(|(kind, _)| is_heap_kind(tracker, *kind));
    report.not_counted.missed = heaps.map(|(_, holdings)| holdings.missed).sum();
    report.per = options
        .per
        .as_ref()
        .map(|function| per(function, subject.calls, &report.heap));
    let told = sites::sites(subject, &survey, &mut report, names);
    report.normal = normal(tracker, &told);
    report.pairs = open::pairs(subject, &survey, names);
    report.misuses = misuses::misuses(subject, names);
    report
}

fn told(checked: &Checked) -> CheckTold {
    CheckTold {
        pause_ms: checked.frozen.pause.as_secs_f64() * 1e3,
        verdict_ms: checked.took.as_secs_f64() * 1e3,
        blocks: checked.check.index.blocks.len() as u64,
    }
}

pub(super) fn is_heap_kind(tracker: &Tracker, kind: KindId) -> bool {
    tracker.kinds().kind(kind).is_some_and(is_heap)
}

fn heap_sites(tracker: &Tracker) -> impl Iterator<Item = (SiteId, &Site)> {
    tracker
        .sites
        .iter()
        .filter(|(_, site)| is_heap_kind(tracker, site.kind))
}

fn heap(subject: &Subject<'_>) -> Heap {
    let mut heap = Heap {
        marked: subject.marked,
        ..Heap::default()
    };
    let mut marked = Amount::default();
    for (_, site) in heap_sites(subject.tracker) {
        heap.allocated += site.allocated;
        heap.freed += site.freed;
        marked += site.marked;
    }
    heap.live = heap.allocated - heap.freed;
    heap.grown = heap.live.blocks as i64 - marked.blocks as i64;
    heap
}

fn per(function: &str, calls: u64, heap: &Heap) -> Per {
    let each = |number: f64| {
        if calls == 0 {
            0.0
        } else {
            number / calls as f64
        }
    };
    Per {
        function: function.to_owned(),
        calls,
        blocks: each(heap.live.blocks as f64),
        bytes: each(heap.live.bytes as f64),
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
