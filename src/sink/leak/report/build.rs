//! Makes a report of what a process holds.

use super::super::book::Names;
use super::super::kinds::KindId;
use super::super::options::{Contents, Options, Sort};
use super::super::site::{Site, SiteId};
use super::super::tracker::{Knowledge, Tracker};
use super::describe::Describer;
use super::model::*;
use super::noise::is_runtime;
use super::suppress::Suppressions;
use super::survey::{Checked, Group as Found, Led, Survey, is_heap, led, survey};
use super::{misuses, open};
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
    let told = sites(subject, &survey, &mut report, names);
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

fn is_heap_kind(tracker: &Tracker, kind: KindId) -> bool {
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

/// The entries of the heap. What comes back are the sites that have one.
fn sites(
    subject: &Subject<'_>,
    survey: &Survey,
    report: &mut Report,
    names: &mut dyn Names,
) -> HashSet<SiteId> {
    let leaders = subject
        .checked
        .map(|checked| led(subject.tracker, checked))
        .unwrap_or_default();
    let mut entries: BTreeMap<(Verdict, String), (Entry, Vec<u64>, Vec<SiteId>)> = BTreeMap::new();
    let mut told = HashSet::new();
    let mut lost_keys = HashSet::new();
    for ((kind, id, verdict), found) in &survey.groups {
        let Some(site) = subject.tracker.sites.get(*id) else {
            continue;
        };
        if !is_heap_kind(subject.tracker, *kind) {
            continue;
        }
        let stack = names.stack(subject.pid, site.origin);
        if is_runtime(&stack, found.size) {
            report.not_counted.runtime += found.live;
            told.insert(*id);
            continue;
        }
        if !is_site(subject.options, &stack) {
            continue;
        }
        if subject.suppressions.cover(&stack) {
            report.not_counted.suppressed += found.live;
            told.insert(*id);
            continue;
        }
        let is_lost = matches!(verdict, Verdict::Lost | Verdict::Indirect);
        if is_lost {
            report.lost += found.live;
        } else if *verdict == Verdict::Reachable {
            report.reachable += found.live;
        }
        let key = key(&site.title, &stack);
        if *verdict == Verdict::Lost {
            lost_keys.insert(key.clone());
        }
        let growing =
            !is_lost && found.is_spread() && site.freed.blocks * 2 <= site.allocated.blocks;
        let is_wanted = subject.options.kinds.contains(verdict)
            || growing
            || *verdict == Verdict::Unchecked && subject.checked.is_none();
        if !is_wanted {
            continue;
        }
        told.insert(*id);
        let new = entry(subject, site, *verdict, found, stack);
        let new = Entry {
            growing,
            group: leaders
                .get(id)
                .filter(|_| *verdict == Verdict::Lost)
                .map(|led: &Led| led.group),
            ..new
        };
        match entries.entry((*verdict, key)) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert((new, found.samples.clone(), vec![*id]));
            }
            std::collections::btree_map::Entry::Occupied(mut slot) => {
                let (known, samples, ids) = slot.get_mut();
                merge(known, new);
                samples.extend(&found.samples);
                ids.push(*id);
            }
        }
    }
    report.lost_sites = lost_keys.len() as u64;
    let mut entries: Vec<(Entry, Vec<u64>, Vec<SiteId>)> = entries.into_values().collect();
    sort(&mut entries, subject.options.sort);
    entries.truncate(subject.options.top);
    for (entry, samples, ids) in &mut entries {
        describe(subject, entry, samples, ids, &leaders, names);
    }
    report.sites = entries.into_iter().map(|(entry, ..)| entry).collect();
    told
}

fn is_site(options: &Options, stack: &[Line]) -> bool {
    let fits = |line: &Line| {
        let place = format!(
            "{}:{}",
            line.file.as_deref().unwrap_or(&line.module),
            line.line.unwrap_or(0)
        );
        options
            .blocks
            .sites
            .iter()
            .any(|re| re.is_match(&line.function) || re.is_match(&place))
    };
    options.blocks.sites.is_empty() || stack.iter().any(fits)
}

fn entry(
    subject: &Subject<'_>,
    site: &Site,
    verdict: Verdict,
    found: &Found,
    stack: Vec<Line>,
) -> Entry {
    let now = subject.tracker.micros(subject.tracker.now());
    let seconds = |micros: u64| micros as f64 / 1e6;
    let age = |born: u64| seconds(now.saturating_sub(born));
    Entry {
        verdict,
        title: site.title.to_string(),
        live: found.live,
        size: found.size,
        allocated: site.allocated,
        freed: site.freed,
        rate: if now == 0 {
            0.0
        } else {
            site.allocated.blocks as f64 / seconds(now)
        },
        age: Some((age(found.born.1), age(found.born.0))),
        threads: site.threads.len(),
        grown: site.live().blocks as i64 - site.marked.blocks as i64,
        stack,
        missed: site.missed,
        ..Entry::default()
    }
}

/// Two stacks that read the same are one site.
fn merge(known: &mut Entry, other: Entry) {
    known.live += other.live;
    known.size = known.size.filter(|size| Some(*size) == other.size);
    known.allocated += other.allocated;
    known.freed += other.freed;
    known.rate += other.rate;
    known.growing |= other.growing;
    known.grown += other.grown;
    known.missed += other.missed;
    known.threads = known.threads.max(other.threads);
    known.age = match (known.age, other.age) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    };
    known.group = match (known.group, other.group) {
        (Some(mut a), Some(b)) => {
            a.groups += b.groups;
            a.all += b.all;
            Some(a)
        }
        (a, b) => a.or(b),
    };
}

fn sort(entries: &mut [(Entry, Vec<u64>, Vec<SiteId>)], by: Sort) {
    let all = |entry: &Entry| entry.group.map_or(entry.live, |group| group.all);
    let oldest = |entry: &Entry| entry.age.map_or(0.0, |age| age.1);
    entries.sort_by(|(a, ..), (b, ..)| {
        let by_verdict = a.verdict.cmp(&b.verdict);
        let by_size = || all(b).bytes.cmp(&all(a).bytes);
        let by_wish = match by {
            Sort::Bytes => by_size(),
            Sort::Blocks => all(b).blocks.cmp(&all(a).blocks),
            Sort::Rate => b.rate.total_cmp(&a.rate),
            Sort::Age => oldest(b).total_cmp(&oldest(a)),
        };
        by_verdict
            .then(by_wish)
            .then_with(by_size)
            .then_with(|| a.key().cmp(&b.key()))
    });
}

/// What takes time to find out, for those that are told.
fn describe(
    subject: &Subject<'_>,
    entry: &mut Entry,
    samples: &[u64],
    ids: &[SiteId],
    leaders: &BTreeMap<SiteId, Led>,
    names: &mut dyn Names,
) {
    let sites = || ids.iter().filter_map(|id| subject.tracker.sites.get(*id));
    entry.after = sites().find_map(|site| site.after.clone()).map(|passed| {
        let caller = names.stack(
            subject.pid,
            super::super::site::Origin::Caller(passed.caller),
        );
        let made = caller.first().map(|line| line.function.clone());
        After {
            call: passed.call.to_string(),
            function: made,
        }
    });
    let Some(checked) = subject.checked else {
        return;
    };
    let describer = Describer {
        pid: subject.pid,
        tracker: subject.tracker,
        checked,
    };
    entry.holds = describer.holds(samples, names);
    if matches!(entry.verdict, Verdict::Reachable | Verdict::Possible)
        && let Some(&sample) = samples.last()
    {
        entry.held_by = describer.held_by(sample, names);
    }
    if entry.verdict == Verdict::Lost {
        let groups = ids
            .iter()
            .filter_map(|id| checked.check.groups.get(leaders.get(id)?.example));
        if let Some(group) = groups.clone().find(|group| !group.cycle.is_empty()) {
            entry.cycle = describer.cycle(group, names);
        }
    }
    if subject.options.contents == Contents::Shown {
        entry.contents = samples
            .iter()
            .take(3)
            .filter_map(|&sample| describer.dump(sample))
            .collect();
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
