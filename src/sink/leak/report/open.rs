//! Resources other than heap blocks that are open: descriptors, streams, handles, mappings.

use super::super::book::Names;
use super::super::kinds::Action;
use super::super::site::Site;
use super::build::Subject;
use super::model::{PairEntry, Refusal, Verdict};
use super::survey::{Group, Survey, is_heap};
use crate::plan::pairs::Width;
use std::collections::BTreeMap;

/// An entry for each site with something open, most first.
pub(super) fn pairs(
    subject: &Subject<'_>,
    survey: &Survey,
    names: &mut dyn Names,
) -> Vec<PairEntry> {
    let mut entries: BTreeMap<String, PairEntry> = BTreeMap::new();
    for ((id, site, verdict), group) in &survey.groups {
        let kinds = subject.tracker.kinds();
        let (Some(kind), Some(site)) = (kinds.kind(*id), subject.tracker.sites.get(*site)) else {
            continue;
        };
        if is_heap(kind) {
            continue;
        }
        let mut entry = entry(subject, site, *verdict, group, names);
        entry.kind = kind.label.clone();
        if kind.width == Width::Int && kind.label != "own" {
            entry.kind = "fd".to_owned();
            ask_kernel(subject, &mut entry);
        }
        if entry.open == 0 || subject.suppressions.cover(&entry.stack, Verdict::Unchecked) {
            continue;
        }
        let key = super::model::key(&entry.title, &entry.stack);
        match entries.get_mut(&key) {
            Some(known) => merge(known, entry),
            None => {
                entries.insert(key, entry);
            }
        }
    }
    let mut entries: Vec<PairEntry> = entries.into_values().collect();
    entries.sort_by(|a, b| b.open.cmp(&a.open).then_with(|| a.title.cmp(&b.title)));
    entries
}

fn entry(
    subject: &Subject<'_>,
    site: &Site,
    verdict: Verdict,
    group: &Group,
    names: &mut dyn Names,
) -> PairEntry {
    let mut refused: Vec<Refusal> = site
        .refused
        .iter()
        .map(|((function, result), count)| Refusal {
            function: function.to_string(),
            result: *result,
            name: reason(subject, function, *result),
            count: *count,
        })
        .collect();
    refused.sort_by(|a, b| {
        b.count
            .cmp(&a.count)
            .then_with(|| a.function.cmp(&b.function))
    });
    let mut values = group.samples.clone();
    values.sort_unstable();
    PairEntry {
        title: site.title.to_string(),
        opened: site.allocated.blocks,
        // Of ranges that are cut more pieces may be given back than were taken.
        closed: site
            .allocated
            .blocks
            .saturating_sub(site.live().blocks.max(group.live.blocks)),
        open: group.live.blocks,
        bytes: group.live.bytes,
        grown: site.live().blocks as i64 - site.marked.blocks as i64,
        values,
        refused,
        verdict,
        stack: names.stack(subject.pid, site.origin),
        ..PairEntry::default()
    }
}

/// What the pair says that a result means.
fn reason(subject: &Subject<'_>, function: &str, result: i64) -> Option<String> {
    let roles = subject.tracker.kinds().roles(function);
    let releases = roles.iter().filter(|role| role.action == Action::Release);
    let mut reasons = releases.flat_map(|role| &role.function.reasons);
    reasons
        .find(|(number, _)| *number == result)
        .map(|(_, name)| name.clone())
}

/// Descriptors that the kernel does not know were closed in a way that nobody saw.
fn ask_kernel(subject: &Subject<'_>, entry: &mut PairEntry) {
    let Some(known) = &subject.descriptors else {
        return;
    };
    let looked = entry.values.len() as u64;
    entry.values.retain(|value| known.contains_key(value));
    entry.open -= looked - entry.values.len() as u64;
    let mut paths: Vec<String> = entry
        .values
        .iter()
        .filter_map(|fd| known.get(fd).cloned())
        .collect();
    paths.dedup();
    paths.truncate(3);
    entry.known = paths;
}

fn merge(known: &mut PairEntry, other: PairEntry) {
    known.opened = known.opened.max(other.opened);
    known.closed = known.closed.min(other.closed);
    known.open += other.open;
    known.bytes += other.bytes;
    known.values.extend(other.values);
    known.values.sort_unstable();
    known.known.extend(other.known);
    known.known.dedup();
    known.verdict = known.verdict.min(other.verdict);
}
