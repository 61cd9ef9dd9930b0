//! The paragraphs of a report: one for each stack and verdict of the heap that is worth it.

use super::super::book::Names;
use super::super::options::{Contents, Options, Sort};
use super::super::site::{Origin, Site, SiteId};
use super::build::{Subject, is_heap_kind};
use super::describe::Describer;
use super::model::{After, Entry, Line, Report, Verdict, key};
use super::noise::is_runtime;
use super::survey::{Group as Found, Led, Survey, led};
use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashSet};

/// A second in microseconds.
const SECOND: u64 = 1_000_000;

/// An entry, and what is needed to describe it.
struct Draft {
    entry: Entry,
    samples: Vec<u64>,
    sites: Vec<SiteId>,
}

/// The entries of the heap. What comes back are the sites that have one.
pub(super) fn sites(
    subject: &Subject<'_>,
    survey: &Survey,
    report: &mut Report,
    names: &mut dyn Names,
) -> HashSet<SiteId> {
    let leaders = subject
        .checked
        .map(|checked| led(subject.tracker, checked))
        .unwrap_or_default();
    let mut entries: BTreeMap<(Verdict, String), Draft> = BTreeMap::new();
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
        let growing = !is_lost
            && found.is_spread(subject.tracker.knowledge())
            && site.freed.blocks * 2 <= site.allocated.blocks;
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
            Slot::Vacant(slot) => {
                let samples = found.samples.clone();
                slot.insert(Draft {
                    entry: new,
                    samples,
                    sites: vec![*id],
                });
            }
            Slot::Occupied(mut slot) => {
                let known = slot.get_mut();
                merge(&mut known.entry, new);
                known.samples.extend(&found.samples);
                known.sites.push(*id);
            }
        }
    }
    report.lost_sites = lost_keys.len() as u64;
    let mut entries: Vec<Draft> = entries.into_values().collect();
    sort(&mut entries, subject.options.sort);
    entries.truncate(subject.options.top);
    for draft in &mut entries {
        describe(subject, draft, &leaders, names);
    }
    report.sites = entries.into_iter().map(|draft| draft.entry).collect();
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
        // Too short a time says nothing.
        rate: if now < SECOND {
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

fn sort(drafts: &mut [Draft], by: Sort) {
    let all = |entry: &Entry| entry.group.map_or(entry.live, |group| group.all);
    let oldest = |entry: &Entry| entry.age.map_or(0.0, |age| age.1);
    drafts.sort_by(|a, b| {
        let (a, b) = (&a.entry, &b.entry);
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
    draft: &mut Draft,
    leaders: &BTreeMap<SiteId, Led>,
    names: &mut dyn Names,
) {
    let Draft {
        entry,
        samples,
        sites: ids,
    } = draft;
    let sites = || ids.iter().filter_map(|id| subject.tracker.sites.get(*id));
    entry.after = sites().find_map(|site| site.after.clone()).map(|passed| {
        let caller = names.stack(subject.pid, Origin::Caller(passed.caller));
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
    if matches!(entry.verdict, Verdict::Reachable | Verdict::Possible)
        && let Some(&sample) = samples.last()
    {
        entry.held_by = describer.held_by(sample, names);
    }
    if entry.verdict == Verdict::Lost {
        let examples = ids.iter().filter_map(|id| Some(leaders.get(id)?.example));
        for example in examples {
            let group = checked
                .check
                .groups
                .get(example)
                .filter(|group| !group.cycle.is_empty());
            if let (Some(group), Some(first)) = (group, checked.told_by.get(example)) {
                entry.cycle = describer.cycle(group, *first, names);
                break;
            }
        }
    }
    if entry.cycle.is_empty() {
        entry.holds = describer.holds(samples, names);
    }
    if subject.options.contents == Contents::Shown {
        entry.contents = samples
            .iter()
            .take(3)
            .filter_map(|&sample| describer.dump(sample))
            .collect();
    }
}
