//! The paragraphs of a report: one for each stack and verdict of the heap that is worth it.

use crate::leak::heap::is_heap_kind;
use crate::leak::options::{Contents, Options, Sort};
use crate::leak::report::build::Subject;
use crate::leak::report::describe::Describer;
use crate::leak::report::model::{After, Entry, Line, Report, Verdict};
use crate::leak::report::noise::is_runtime;
use crate::leak::report::survey::{Group as Found, Led, Survey, led};
use crate::leak::site::{Origin, Site, SiteId};
use crate::leak::symbols::Names;
use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A second in microseconds.
const SECOND: u64 = 1_000_000;

/// An entry, and what is needed to describe it.
struct Draft {
    entry: Entry,
    samples: Vec<u64>,
    sites: Vec<SiteId>,
}

/// Entries that are being put together.
#[derive(Default)]
struct Drafts {
    /// Those worth a paragraph, by verdict and the number of their key.
    wanted: BTreeMap<(Verdict, u64), Draft>,
    /// The rest.
    others: BTreeMap<(Verdict, u64), Draft>,
    /// The sites of those that are, and of those left out.
    told: HashSet<SiteId>,
    lost: HashSet<u64>,
}

/// The entries of the heap. What comes back are the sites that have one.
pub(super) fn sites(
    subject: &Subject,
    survey: &Survey,
    report: &mut Report,
    names: &mut dyn Names,
) -> HashSet<SiteId> {
    let leaders = subject.checked.as_ref();
    let leaders = leaders.map(|checked| led(&subject.tracker, checked));
    let leaders = leaders.unwrap_or_default();
    let mut drafts = Drafts::default();
    for ((kind, id, verdict), found) in &survey.groups {
        if let Some(site) = subject.tracker.sites.get(*id)
            && is_heap_kind(&subject.tracker, *kind)
        {
            let stack = names.stack(site.origin);
            let mut entry = entry(subject, site, *verdict, found, stack);
            let led = leaders.get(id).filter(|_| *verdict == Verdict::Lost);
            entry.group = led.map(|led: &Led| led.group);
            drafts.add(subject, entry, *id, found, report);
        }
    }
    let Drafts {
        wanted,
        others,
        told,
        lost,
    } = drafts;
    report.lost_sites = lost.len() as u64;
    let mut wanted: Vec<Draft> = wanted.into_values().collect();
    sort(&mut wanted, subject.options.sort);
    let rest = wanted.split_off(wanted.len().min(subject.options.top));
    for draft in &mut wanted {
        describe(subject, draft, &leaders, names);
    }
    report.sites = wanted.into_iter().map(|draft| draft.entry).collect();
    let mut others: Vec<Draft> = others.into_values().collect();
    others.sort_by(|a, b| {
        let (a, b) = (&a.entry, &b.entry);
        a.verdict.cmp(&b.verdict).then_with(|| a.cmp_key(b))
    });
    report.others = rest
        .into_iter()
        .chain(others)
        .map(|draft| draft.entry)
        .collect();
    told
}

impl Drafts {
    fn add(
        &mut self,
        subject: &Subject,
        mut entry: Entry,
        id: SiteId,
        found: &Found,
        report: &mut Report,
    ) {
        if is_runtime(&entry.stack, found.size) {
            report.not_counted.runtime += found.live;
            self.told.insert(id);
            return put(&mut self.others, entry, id, found);
        }
        if !is_site(&subject.options, &entry.stack) {
            return;
        }
        if subject.suppressions.cover(&entry.stack, entry.verdict) {
            report.not_counted.suppressed += found.live;
            self.told.insert(id);
            return;
        }
        let is_lost = matches!(entry.verdict, Verdict::Lost | Verdict::Indirect);
        match entry.verdict {
            Verdict::Lost | Verdict::Indirect => report.lost += found.live,
            Verdict::Reachable => report.reachable += found.live,
            Verdict::Possible => report.possible += found.live,
            Verdict::Unchecked => {}
        }
        if entry.verdict == Verdict::Lost {
            self.lost.insert(entry.key_number());
        }
        entry.growing = !is_lost
            && found.is_spread(subject.tracker.knowledge())
            && entry.freed.blocks.saturating_mul(2) <= entry.allocated.blocks;
        let is_wanted = subject.options.kinds.contains(&entry.verdict)
            || entry.growing
            || entry.verdict == Verdict::Unchecked && subject.checked.is_none();
        match is_wanted {
            true => {
                self.told.insert(id);
                put(&mut self.wanted, entry, id, found);
            }
            false => put(&mut self.others, entry, id, found),
        }
    }
}

/// Two stacks that read the same are one entry.
fn put(drafts: &mut BTreeMap<(Verdict, u64), Draft>, entry: Entry, id: SiteId, found: &Found) {
    match drafts.entry((entry.verdict, entry.key_number())) {
        Slot::Vacant(slot) => {
            let samples = found.samples.clone();
            slot.insert(Draft {
                entry,
                samples,
                sites: vec![id],
            });
        }
        Slot::Occupied(mut slot) => {
            let known = slot.get_mut();
            merge(&mut known.entry, entry);
            known.samples.extend(&found.samples);
            known.sites.push(id);
        }
    }
}

fn is_site(options: &Options, stack: &[Arc<Line>]) -> bool {
    let fits = |line: &Arc<Line>| {
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
    subject: &Subject,
    site: &Site,
    verdict: Verdict,
    found: &Found,
    stack: Vec<Arc<Line>>,
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
        let by_key = || a.cmp_key(b);
        by_verdict
            .then(by_wish)
            .then_with(by_size)
            .then_with(by_key)
    });
}

/// What takes time to find out, for those that are told.
fn describe(
    subject: &Subject,
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
        let caller = names.stack(Origin::Caller(passed.caller));
        let made = caller.first().map(|line| line.function.clone());
        After {
            call: passed.call.to_string(),
            function: made,
        }
    });
    let Some(checked) = &subject.checked else {
        return;
    };
    let describer = Describer {
        tracker: &subject.tracker,
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
